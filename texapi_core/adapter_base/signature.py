"""What `help()`, notebooks and the API reference show of a constructor: made from its fields."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

_FIRST = ("model", "api_key", "base_url", "temperature", "max_tokens", "timeout", "max_retries")
_TYPES: dict[str, Any] = {
    "api_key": str | SecretStr | None,
    "base_url": str | None,
    "api_base": str | None,
    "logit_bias": dict[str | int, float] | None,
}
"""Arguments whose types differ from their fields'."""
_POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD
_BUILT = (dict, list)
"""Factories of defaults whose result is shown; others read the environment or make an object."""


class _ByFactory:
    def __repr__(self) -> str:
        return "<by environment>"


_BY_FACTORY = _ByFactory()


def describe_constructor(
    model_class: type[BaseModel],
    framework_class: type[BaseModel],
    descriptions: Mapping[str, str],
    *,
    positional: bool = False,
) -> None:
    """Give a class a signature with `model` first and a docstring with all arguments.

    Args:
        model_class: the class; its arguments go by their aliases.
        framework_class: its base in the framework, whose arguments come last.
        descriptions: of the framework's arguments, and of those that are not fields.
        positional: whether the model's name may be passed without `model=`.
    """
    arguments = dict(_arguments(model_class, framework_class, descriptions))
    signature = inspect.Signature(
        [
            inspect.Parameter(
                name,
                _POSITIONAL if positional and name == _FIRST[0] else inspect.Parameter.KEYWORD_ONLY,
                default=_default(name, field),
                annotation=_TYPES.get(name, Any if field is None else field.annotation),
            )
            for name, (field, _) in arguments.items()
        ]
    )
    setattr(model_class, "__signature__", signature)  # noqa: B010 # mypy knows no such attribute
    if model_class.__doc__:  # there is none with `python -OO`
        lines = "".join(f"\n        {name}: {text}" for name, (_, text) in arguments.items())
        head, raises, tail = model_class.__doc__.partition("\n    Raises:")
        model_class.__doc__ = f"{head}\n    Args:{lines}\n{raises}{tail}"


def _arguments(
    model_class: type[BaseModel], framework_class: type[BaseModel], descriptions: Mapping[str, str]
) -> Iterator[tuple[str, tuple[FieldInfo | None, str]]]:
    fields = {field.alias or name: field for name, field in model_class.model_fields.items()}
    framework = framework_class.model_fields
    own = [name for name in fields if name not in framework]
    extra = [name for name in descriptions if name not in fields and name not in framework]
    first = [name for name in _FIRST if name in own or name in extra]
    others = [name for name in (*own, *extra) if name not in first]
    for name in (*first, *others, *(name for name in fields if name in framework)):
        field = fields.get(name)
        text = descriptions.get(name) or (field.description if field else None) or ""
        yield name, (field, f"{text}{_shown_default(name, field)}")


def _default(name: str, field: FieldInfo | None) -> Any:
    if field is None or (field.is_required() and name in _TYPES):
        return None  # the constructor finds one
    if field.is_required():
        return inspect.Parameter.empty
    if field.default_factory is None:
        return field.default
    return field.default_factory() if field.default_factory in _BUILT else _BY_FACTORY


def _shown_default(name: str, field: FieldInfo | None) -> str:
    """The default as a sentence, unless the description has it."""
    default = _default(name, field)
    if isinstance(default, Enum):
        default = default.value
    is_shown = isinstance(default, (bool, int, float, str))
    return f" Default {default!r}." if is_shown else ""
