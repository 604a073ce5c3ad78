"""What one call may change, checked before anything is sent; the adapters add what their frameworks name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from texapi_core.adapter_base.parameters import NOT_IN_PAYLOAD, SENT, ChatParameters
from texapi_core.settings_checks import settings_error

SECRET_OPTIONS = {"extra_headers": "default_headers", "extra_query": "default_query"}
"""Options of one call that may hold secrets -> the constructor argument, which no repr or dump shows."""

_PER_CALL = SENT | NOT_IN_PAYLOAD
_NO_ALIASES: Mapping[str, str] = {}


@cache
def argument_names(model_class: type[BaseModel], *other_names: str) -> frozenset[str]:
    """The names that a constructor takes: its fields, their aliases, and arguments that are not fields."""
    fields = model_class.model_fields
    return frozenset({*fields, *(field.alias for field in fields.values() if field.alias), *other_names})


def arguments_of_a_call(
    arguments: Mapping[str, Any],
    constructor_names: Collection[str],
    *,
    aliases: Mapping[str, str] = _NO_ALIASES,
    also: Collection[str] = (),
) -> dict[str, Any]:
    """The arguments of one call that are given, by their names in the payload; `None` means "not given".

    An argument that only the constructor takes is refused: as a member of the payload it would have no
    effect, or send a secret.

    Args:
        arguments: what the call was given.
        constructor_names: what the constructor takes.
        aliases: the constructor's other names for what one call may change.
        also: what one call of this framework may change beside the parameters of every call.

    Raises:
        TexAPISettingsError: the text names the argument, never its value.
    """
    given = {aliases.get(name, name): value for name, value in arguments.items() if value is not None}
    for name in given:
        if name in constructor_names and name not in _PER_CALL and name not in also:
            raise settings_error(
                f"`{name}` cannot be changed for one call. Pass it to the constructor. Nothing was sent."
            )
    return given


@cache
def _call_parameters() -> type[BaseModel]:
    """Made on first use, so that an import does not wait for it."""

    class CallParameters(ChatParameters):
        """What one call may set beside the constructor's parameters."""

        model_config = ConfigDict(defer_build=False)

        model: str | None = Field(default=None, min_length=1)
        n: int | None = Field(default=None, ge=1)
        tools: list[Any] | None = None
        tool_choice: str | dict[str, Any] | None = None
        parallel_tool_calls: bool | None = None
        stream_options: dict[str, Any] | None = None
        metadata: dict[str, Any] | None = None

    return CallParameters


def check_parameters(arguments: Mapping[str, Any]) -> None:
    """Refuse parameters of one call that are out of range or of a wrong type.

    Unknown parameters pass: the gateway may know them.

    Raises:
        TexAPISettingsError: the text names the parameter and what it may be.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    if not given:
        return
    parameters = _call_parameters()
    known = {name: value for name, value in given.items() if name in parameters.model_fields}
    try:
        parameters.model_validate(known)
    except ValidationError as error:
        reasons = [f"`{'.'.join(map(str, each['loc']))}`: {each['msg']}" for each in error.errors()]
        raise settings_error(f"{'; '.join(reasons)}. Nothing was sent.") from None
