"""LangChain's objects, made without validating again what this package has already validated."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from copy import copy
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

_Model = TypeVar("_Model", bound=BaseModel)


class Template(Generic[_Model]):
    """Makes objects like an example that pydantic has validated: every chunk of a stream needs several.

    The result is that of `example.model_copy(update=changes)`, in half the time: the object is restored by
    the protocol of `pickle`. `model_copy` is used where that gives another result, as for a class with
    private attributes or with its own `__copy__`.
    """

    def __init__(self, example: _Model) -> None:
        self._example = example
        self._class = type(example)
        self._fields = dict(example.__dict__)
        self._fields_set = frozenset(example.model_fields_set)
        self._has_extra = example.model_extra is not None
        self._containers = frozenset(
            name for name, value in self._fields.items() if isinstance(value, (list, dict, set))
        )
        self.make: Callable[[dict[str, Any]], _Model] = self._copied
        """The example with changes: field -> value. Lists and dicts of the example are not shared."""
        with suppress(Exception):
            if self._unpickled({}).__getstate__() == self._copied({}).__getstate__():
                self.make = self._unpickled

    def _copied(self, changes: dict[str, Any]) -> _Model:
        made = self._example.model_copy(update=changes)
        for name in self._containers.difference(changes):
            made.__dict__[name] = copy(self._fields[name])
        return made

    def _unpickled(self, changes: dict[str, Any]) -> _Model:
        fields = {**self._fields, **changes}
        for name in self._containers:
            if name not in changes:
                fields[name] = copy(self._fields[name])
        made = self._class.__new__(self._class)
        made.__setstate__(
            {
                "__dict__": fields,
                "__pydantic_fields_set__": {*changes, *self._fields_set},  # smaller in this order
                "__pydantic_extra__": {} if self._has_extra else None,
                "__pydantic_private__": None,
            }
        )
        return made
