"""What users may pass: names in `additional_kwargs`, and for one call."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from texapi_core.accounting_parameters import AccountingParameters
from texapi_core.parameters import ChatParameters
from texapi_core.settings import CALL_OPTIONS

TOOL_NAMES = "tool_names"
"""Call argument that maps tool names of the wire to the tools' own; never sent."""

NOT_IN_PAYLOAD = frozenset(
    {*CALL_OPTIONS, "extra_body", "stream", "stream_usage", "replay_reasoning", "tool_media", TOOL_NAMES}
)
"""Arguments of one call that are no members of the payload themselves."""

_PER_CALL = (
    NOT_IN_PAYLOAD | {"model"} | (set(ChatParameters.model_fields) - set(AccountingParameters.model_fields))
)
"""Constructor fields that one call may change."""

_OTHER_NAMES = frozenset({"base_url", "async_http_client"})
"""Arguments of the constructor that are no fields."""

_SECRETS = {"extra_headers": "default_headers", "extra_query": "default_query"}
"""What may hold secrets -> the constructor's argument that is kept out of whatever is printed or saved."""


def check_additional_kwargs(additional_kwargs: Mapping[str, Any], fields: Collection[str]) -> None:
    """Refuse what would be printed and saved as it stands, and what only the constructor takes.

    Raises:
        TexAPISettingsError: the text names the argument and where it belongs, never its value.
    """
    for name, value in additional_kwargs.items():
        if value is not None and name in _SECRETS:
            raise _settings_error(
                f"`{name}` in `additional_kwargs` would be printed and saved with all that is in it. "
                f"Pass `{_SECRETS[name]}=...` to the constructor."
            )
    arguments_of_a_call(additional_kwargs, fields)


def arguments_of_a_call(arguments: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """The arguments that are given; `None` means "not given".

    Raises:
        TexAPISettingsError: an argument that only the constructor takes, for as a member of the payload it
            would do nothing, or send a secret.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    for name in given:
        if name in _OTHER_NAMES or (name in fields and name not in _PER_CALL):
            raise _settings_error(
                f"`{name}` cannot be changed for one call. Pass it to the constructor. Nothing was sent."
            )
    return given


def check_number_of_answers(payload: Mapping[str, Any]) -> None:
    """Refuse a payload that asks for answers which nobody would see, but somebody would pay for."""
    n = payload.get("n")
    if isinstance(n, int) and n > 1:
        raise _settings_error(
            f"`n` is {n}, but LlamaIndex's responses hold one answer. Make a call for each "
            "answer. Nothing was sent."
        )


def _settings_error(message: str) -> ValueError:
    from texapi_core.errors import TexAPISettingsError  # imports the SDK, which an error may

    return TexAPISettingsError(message)
