"""What JSON Schema 2020-12 allows as the value of a keyword; Claude refuses a schema with any other."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

_TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")
_SYNONYMS = {
    **{name: name for name in _TYPES},
    "str": "string",
    "int": "integer",
    "float": "number",
    "double": "number",
    "bool": "boolean",
    "list": "array",
    "tuple": "array",
    "dict": "object",
    "none": "null",
}
"""Types as handwritten schemas name them, in lower case -> JSON schema's."""


def kept_if(is_legal: bool, value: Any) -> tuple[Any] | None:
    """The value in a tuple, which keeps `None` apart from a value that is left out."""
    return (value,) if is_legal else None


def legal_type(value: Any) -> tuple[Any] | None:
    """Each known type once, by the name that JSON schema has for it."""
    found = [_SYNONYMS.get(each.lower()) for each in as_list(value) if isinstance(each, str)]
    legal = [each for each in dict.fromkeys(found) if each is not None]
    return kept_if(bool(legal), legal if isinstance(value, list) else legal and legal[0])


def as_list(value: Any) -> list[Any]:
    """The list, or a list of the one value."""
    return value if isinstance(value, list) else [value]


def legal_names(value: Any) -> tuple[Any] | None:
    """Each name once."""
    is_legal = isinstance(value, list) and all(isinstance(each, str) for each in value)
    return (list(dict.fromkeys(value)),) if is_legal else None


def _legal_text(value: Any) -> tuple[str] | None:
    return None if value is None else (value if isinstance(value, str) else str(value),)


def legal_dependencies(value: Any) -> tuple[Any] | None:
    """The names that a property requires beside it."""
    if not isinstance(value, Mapping):
        return None
    found = {name: legal_names(each) for name, each in value.items()}
    return ({name: each[0] for name, each in found.items() if each is not None},)


def _legal_default(value: Any) -> tuple[Any] | None:
    return kept_if(not isinstance(value, float) or math.isfinite(value), value)


def _where(is_legal: Callable[[Any], bool]) -> Callable[[Any], tuple[Any] | None]:
    return lambda value: kept_if(is_legal(value), value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and value == int(value)


def _is_anchor(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z_][-A-Za-z0-9._]*", value) is not None


_COUNTS = [f"{end}{of}" for end in ("min", "max") for of in ("Length", "Items", "Contains", "Properties")]
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
CHECKS: Mapping[str, Callable[[Any], tuple[Any] | None]] = {
    **dict.fromkeys(
        ("format", "pattern", "contentEncoding", "contentMediaType", "$dynamicRef"),
        _where(lambda value: isinstance(value, str)),
    ),
    **dict.fromkeys(
        ("uniqueItems", "deprecated", "readOnly", "writeOnly"), _where(lambda value: isinstance(value, bool))
    ),
    **dict.fromkeys(_NUMBERS, _where(_is_number)),
    **dict.fromkeys(_COUNTS, _where(_is_count)),
    **dict.fromkeys(("$anchor", "$dynamicAnchor"), _where(_is_anchor)),
    "multipleOf": _where(lambda value: _is_number(value) and value > 0),
    "examples": _where(lambda value: isinstance(value, list)),
    "default": _legal_default,
    "dependentRequired": legal_dependencies,
    "type": legal_type,
    "required": legal_names,
    "enum": _where(lambda value: isinstance(value, list) and bool(value)),
    "title": _legal_text,
    "description": _legal_text,
}
"""Keyword -> its legal value; `None` for one that JSON Schema 2020-12 does not allow."""
