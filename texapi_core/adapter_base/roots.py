"""Structured answers whose root is no object, such as a list: wrapped in an object on the way out.

Providers take only objects as parameters of a tool and at the root of a schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from functools import lru_cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin
from weakref import WeakKeyDictionary

from pydantic import BaseModel, RootModel, create_model

from texapi_core.adapter_base.schema_cache import root_object

ANSWER = "answer"
"""The one member of the object around such an answer."""

_ILLEGAL_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]+")
_PLAIN = (list, tuple, set, frozenset, dict, str, int, float, bool)
_GENERIC = (list, dict, Mapping, tuple, set, frozenset, Sequence, Union, UnionType, Literal)
_TYPES_OF_VALUES = ("array", "string", "number", "integer", "boolean", "null")
_MAX_NAME = 64
_wrappers: WeakKeyDictionary[type, type[Wrapper]] = WeakKeyDictionary()


class Wrapper(BaseModel):
    """An object around an answer."""


def wrapped_class(answer_class: Any) -> Any:
    """The class to ask the model for: one with the member `answer` in place of a `RootModel` or `list[X]`."""
    if is_type_of_values(answer_class):
        return _wrapper_of_values(answer_class)
    if not (isinstance(answer_class, type) and issubclass(answer_class, RootModel)):
        return answer_class
    schema = root_object(answer_class.model_json_schema())
    if schema.get("type") == "object":
        return answer_class
    wrapper = _wrappers.get(answer_class)
    if wrapper is None:
        name = _ILLEGAL_IN_NAMES.sub("_", answer_class.__name__).strip("_")
        fields: dict[str, Any] = {ANSWER: (answer_class, ...)}
        wrapper = create_model(name, __base__=Wrapper, __module__=answer_class.__module__, **fields)
        wrapper.__doc__ = schema.get("description")
        _wrappers[answer_class] = wrapper
    return wrapper


def is_type_of_values(answer_class: Any) -> bool:
    """Whether this is a type whose values have no members of their own, e.g. `list[str]`, an enum, `dict`."""
    if isinstance(answer_class, type) and issubclass(answer_class, Enum):
        return True
    return answer_class in _PLAIN or get_origin(answer_class) in _GENERIC


def root_model(answer_class: Any) -> Any:
    """The class itself, or a `RootModel` for a type whose values are no objects: frameworks want a class."""
    return RootModel[answer_class] if is_type_of_values(answer_class) else answer_class


@lru_cache(maxsize=128)
def _wrapper_of_values(answer_class: Any) -> type[Wrapper]:
    fields: dict[str, Any] = {ANSWER: (answer_class, ...)}
    name = _ILLEGAL_IN_NAMES.sub("_", "_".join(_words_of(answer_class))).strip("_")
    return create_model(name[:_MAX_NAME] or ANSWER, __base__=Wrapper, **fields)


def _words_of(hint: Any) -> Iterator[str]:
    """`list`, `Person` for `list[Person]`."""
    origin = get_origin(hint)
    yield str(getattr(origin or hint, "__name__", origin or hint))
    for each in get_args(hint):
        yield from _words_of(each)


def wrapped_schema(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The JSON schema of an object around `schema`, `None` for a schema of an object."""
    if not _is_of_values(schema):
        return None
    definitions = ("$defs", "definitions")
    inner = {name: value for name, value in schema.items() if name not in (*definitions, "$schema", "title")}
    around = {"type": "object", "properties": {ANSWER: inner}, "required": [ANSWER]}
    kept = {name: schema[name] for name in (*definitions, "description") if name in schema}
    return {"title": schema.get("title", ANSWER), **kept, **around}


def _is_of_values(schema: Any) -> bool:
    """Whether a schema is of no object, also without a `type`: by its values or its alternatives."""
    if not isinstance(schema, Mapping) or "properties" in schema:
        return False
    if given := schema.get("type"):
        types = given if isinstance(given, list) else [given]
        return all(each in _TYPES_OF_VALUES for each in types)
    values = [*(schema.get("enum") or ()), *([schema["const"]] if "const" in schema else ())]
    if values:
        return not any(isinstance(each, Mapping) for each in values)
    alternatives = schema.get("anyOf") or schema.get("oneOf")
    return isinstance(alternatives, list) and all(map(_is_of_values, alternatives))


def unwrapped(answer: Any, answer_class: type) -> Any:
    """The answer that the user asked for; a part of a streamed one may have none yet."""
    if wrapped_class(answer_class) is answer_class:
        return answer
    if not is_type_of_values(answer_class) and isinstance(answer, answer_class):
        return answer
    return getattr(answer, ANSWER, None)


def wrapped_values(text: str) -> Iterator[dict[str, Any]]:
    """The JSON values in a text, each in its object: models leave it out when nothing forces it."""
    with suppress(ValueError, RecursionError):
        yield _wrapped(json.loads(text))
    start = 0
    while found := re.compile(r"[\[{]").search(text, start):
        start = found.end()
        with suppress(ValueError, RecursionError):
            value, start = json.JSONDecoder().raw_decode(text, found.start())
            yield _wrapped(value)


def _wrapped(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) and value.keys() == {ANSWER} else {ANSWER: value}
