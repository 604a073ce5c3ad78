"""What users may pass: names in `additional_kwargs`, and for one call."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from texapi_core.adapter_base.parameters import NOT_IN_PAYLOAD, check_arguments_of_a_call
from texapi_core.settings_checks import settings_error

TOOL_NAMES = "tool_names"
"""Call argument that maps tool names of the wire to the tools' own; never sent."""

NOT_SENT = NOT_IN_PAYLOAD | {TOOL_NAMES}
"""Arguments of one call that are no members of the payload themselves."""

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
            raise settings_error(
                f"`{name}` in `additional_kwargs` would be printed and saved with all that is in it. "
                f"Pass `{_SECRETS[name]}=...` to the constructor."
            )
    arguments_of_a_call(additional_kwargs, fields)


def arguments_of_a_call(arguments: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """The arguments that are given; `None` means "not given".

    Raises:
        TexAPISettingsError: an argument that only the constructor takes.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    if given:
        check_arguments_of_a_call(given, {*fields, *_OTHER_NAMES})
    return given


def check_number_of_answers(payload: Mapping[str, Any]) -> None:
    """Refuse a payload that asks for answers which nobody would see, but somebody would pay for."""
    n = payload.get("n")
    if isinstance(n, int) and n > 1:
        raise settings_error(
            f"`n` is {n}, but LlamaIndex's responses hold one answer. Make a call for each "
            "answer. Nothing was sent."
        )
