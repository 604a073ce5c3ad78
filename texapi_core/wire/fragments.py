"""The entries of `tool_calls` in a message or a delta, in every form that gateways send them in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from texapi_core.wire.generated import storable
from texapi_core.wire.scalars import NULLS, read_index
from texapi_core.wire.text import json_of

_KNOWN_CALL_FIELDS = frozenset({"index", "id", "type", "function", "custom", "name", "arguments"})
_KNOWN_FUNCTION_FIELDS = frozenset({"name", "arguments"})
_KNOWN_CUSTOM_FIELDS = frozenset({"name", "input"})


def tool_call_entries(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The `tool_calls` of a message or a delta, the legacy `function_call` included."""
    entries = message.get("tool_calls")
    if type(entries) is dict:
        entries = [entries]
    if type(entries) is list and entries:
        return [entry for entry in entries if type(entry) is dict]
    function_call = message.get("function_call")
    return [{"function": function_call}] if isinstance(function_call, dict) else []


@dataclass(slots=True)
class Fragment:
    """What an entry of `tool_calls` holds: a whole call, or a piece of one."""

    index: int | None
    id: str
    name: str
    arguments: str
    extras: dict[str, Any]
    is_custom: bool = False
    """Whether the arguments are a piece of the input of a custom tool."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in it."""
        return not (self.id or self.name or self.arguments or self.extras)


def read_fragment(entry: Mapping[str, Any]) -> Fragment:
    """What an entry holds.

    Written with `in` and `type`, as `StreamState._bare_delta` is: each chunk of a call has a fragment.
    """
    function: Any = entry["function"] if "function" in entry else None
    if type(function) is not dict:
        function = json_of(function) if isinstance(function, str) else None
        function = function if isinstance(function, dict) else {}
        if not function and "custom" in entry and type(entry["custom"]) is dict:
            return _read_custom_fragment(entry, entry["custom"])
    index = entry["index"] if "index" in entry else None
    id_ = entry["id"] if "id" in entry else None
    name = (function["name"] if "name" in function else None) or (entry["name"] if "name" in entry else None)
    holder = function if "arguments" in function else entry
    arguments = holder["arguments"] if "arguments" in holder else None
    extras: dict[str, Any] = {}
    if not _KNOWN_CALL_FIELDS.issuperset(entry):
        extras = storable({k: v for k, v in entry.items() if k not in _KNOWN_CALL_FIELDS and v is not None})
    if not _KNOWN_FUNCTION_FIELDS.issuperset(function):
        inside = {k: v for k, v in function.items() if k not in _KNOWN_FUNCTION_FIELDS and v is not None}
        if inside:
            extras = {**extras, "function": storable(inside)}
    return Fragment(
        index if type(index) is int else read_index(index),
        "" if not id_ or id_ in NULLS else str(id_),
        name if type(name) is str and name not in NULLS else "",
        arguments if type(arguments) is str else _arguments_text(arguments),
        extras,
    )


def _read_custom_fragment(entry: Mapping[str, Any], custom: Mapping[str, Any]) -> Fragment:
    about = {name: value for name, value in custom.items() if name not in _KNOWN_CUSTOM_FIELDS}
    given = {name: value for name, value in entry.items() if name != "custom"}
    fragment = read_fragment({**given, "function": {**about, "name": custom.get("name")}})
    fragment.arguments = _arguments_text(custom.get("input"))
    fragment.is_custom = True
    return fragment


def _arguments_text(arguments: Any) -> str:
    if arguments is None or arguments.__class__ is str:
        return arguments or ""
    return json.dumps(arguments, ensure_ascii=False)
