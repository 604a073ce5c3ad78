"""What users may pass: names of parameters, for a constructor and for one call."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel

from texapi_core.adapter_base.parameters import NOT_IN_PAYLOAD, SENT, check_arguments_of_a_call
from texapi_core.settings import CALL_OPTIONS, reveal_secret

_ALIASES = {"model_name": "model", "stop_sequences": "stop", "request_timeout": "timeout"}
"""The constructor's other names for what one call may change."""

NOT_SENT = NOT_IN_PAYLOAD | {"ls_structured_output_format"}
"""Arguments of one call that are no members of the payload themselves; the last is for tracers."""

TOOL_PARAMETERS = frozenset({"tools", "tool_choice", "response_format"})
"""Arguments of one call that may be functions, classes or tools."""

N_AND_STREAM = "`n` above 1 cannot be streamed. Use `invoke` without `streaming`, or leave `n` out."

_METADATA = "metadata"
"""A member of the payload in `model_kwargs`, for the constructor's is LangChain's."""

_PAYLOAD = SENT | {"n", _METADATA}
"""Constructor fields that are members of the payload."""

_SECRETS = ("extra_headers", "extra_query")

_OF_THE_CONSTRUCTOR = {"extra_headers": "default_headers", "extra_query": "default_query"}
"""Options of one call -> what the constructor calls them. In the payload they would do nothing, and stand
in the clear in traces and cache keys."""

_TOKEN_LIMITS = ("max_tokens", "max_completion_tokens")


@cache
def argument_names(model_class: type[BaseModel]) -> frozenset[str]:
    """The names that the constructor takes, aliases included."""
    fields = model_class.model_fields
    return frozenset({*fields, *(field.alias for field in fields.values() if field.alias)})


def arguments_of_a_call(kwargs: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """The arguments of one call by their names in the payload; `None` means "not given".

    Raises:
        TexAPISettingsError: an argument that only the constructor takes.
    """
    arguments = {_ALIASES.get(name, name): value for name, value in kwargs.items() if value is not None}
    check_arguments_of_a_call(arguments, fields, also=_PAYLOAD)
    return arguments


def check_model_kwargs(
    model_kwargs: Mapping[str, Any], given: Mapping[str, Any], fields: Collection[str]
) -> None:
    """Refuse what would be sent twice, or as a member of the payload that nobody knows.

    Raises:
        ValueError: a name that the constructor was given too, or that is no parameter of the payload.
    """
    for name in model_kwargs:
        if name in CALL_OPTIONS:
            constructors = _OF_THE_CONSTRUCTOR.get(name, name)
            raise ValueError(
                f"`{name}` in `model_kwargs` is no parameter of the payload. Pass `{constructors}` to the "
                f"constructor, or `{name}` to a call."
            )
        if given.get(name) is not None and name != _METADATA:
            raise ValueError(f"`{name}` was given twice: to the constructor and in `model_kwargs`.")
        if name in fields and name not in _PAYLOAD:
            raise ValueError(
                f"`{name}` in `model_kwargs` is no parameter of the payload. Pass it to the constructor."
            )
    limits = [name for name in _TOKEN_LIMITS if {**given, **model_kwargs}.get(name) is not None]
    if len(limits) > 1:
        raise ValueError(
            "`max_tokens` and `max_completion_tokens` are one limit: providers refuse both at once."
        )


def without_secrets(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments fit for traces and cache keys: headers and queries as digests.

    They may hold secrets, and they may change an answer.
    """
    return {
        name: digest(value) if name in _SECRETS and isinstance(value, Mapping) else value
        for name, value in arguments.items()
    }


def digest(mapping: Mapping[str, Any]) -> str:
    """The same for equal mappings; tells nothing of what is in them."""
    pairs = sorted((name.lower(), str(reveal_secret(value))) for name, value in mapping.items())
    return "sha256:" + hashlib.sha256(repr(pairs).encode()).hexdigest()[:16]
