"""Tool calls: read from a whole message, or assembled from the deltas of a stream."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from texapi_core.wire.generated import merged, storable

_KNOWN_CALL_FIELDS = frozenset({"index", "id", "type", "function", "name", "arguments"})
_KNOWN_FUNCTION_FIELDS = frozenset({"name", "arguments"})
_NO_ARGUMENTS = frozenset({"{}", "null"})
"""Placeholders: there are no arguments, or they are still to come."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool, as the model asked for it."""

    id: str
    """Never empty: generated where the gateway sent none."""
    name: str
    arguments: str
    """JSON text as the model wrote it; `""` when it wrote none. May be cut or no JSON at all."""
    extras: Mapping[str, Any] = field(default_factory=dict)
    """What else the provider put on the call, e.g. Gemini's `extra_content`, and under `function` what it put
    beside name and arguments, e.g. LiteLLM's `provider_specific_fields`; goes back unchanged."""
    is_open: bool = False
    """Whether the arguments are known to be incomplete, and are not parsed."""

    def parse_arguments(self) -> dict[str, Any] | None:
        """The arguments as a dict, `None` when they are no JSON object or the tool has no name."""
        if not self.name:
            return None
        text = self.arguments.strip()
        if not text:
            return {}
        if self.is_open or not text.endswith("}"):  # nearly always while a call streams
            return None
        arguments = _json_of(text)
        return arguments if isinstance(arguments, dict) else None

    def as_wire(self) -> dict[str, Any]:
        """The call as an assistant message carries it back to the gateway."""
        beside = dict(self.extras)
        function = {**beside.pop("function", {}), "name": self.name, "arguments": self.arguments or "{}"}
        return {"id": self.id, "type": "function", "function": function, **beside}


@dataclass(slots=True)
class ToolCallDelta:
    """What one chunk of a stream adds to one tool call."""

    index: int
    """Position of the call in the answer: 0, 1, ..., whatever index the gateway used."""
    id: str | None
    """Set once, on the first delta where it is known."""
    name: str | None
    """What this chunk adds to the name; nearly every provider sends it whole."""
    arguments: str
    """What this chunk adds to the JSON text of the arguments."""
    extras: Mapping[str, Any] = field(default_factory=dict)


def read_tool_calls(entries: Sequence[Mapping[str, Any]]) -> tuple[ToolCall, ...]:
    """The tool calls of a whole message."""
    assembler = ToolCallAssembler()
    assembler.feed(entries)
    assembler.finish()
    return assembler.tool_calls()


def tool_call_entries(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The `tool_calls` of a message or a delta, the legacy `function_call` included."""
    entries = message.get("tool_calls")
    if isinstance(entries, dict):
        entries = [entries]
    if isinstance(entries, list) and entries:
        return [entry for entry in entries if isinstance(entry, dict)]
    function_call = message.get("function_call")
    return [{"function": function_call}] if isinstance(function_call, dict) else []


def read_index(index: Any) -> int | None:
    """The index of a choice or a tool call; some servers send a float or text."""
    if isinstance(index, str) and index.isdecimal():
        return int(index[:9])
    if isinstance(index, float) and index.is_integer():
        return int(index)
    return index if isinstance(index, int) and not isinstance(index, bool) else None


class ToolCallAssembler:
    """Assembles tool-call deltas, however the gateway splits and numbers them."""

    def __init__(self) -> None:
        self._calls: list[PartialToolCall] = []

    def __len__(self) -> int:
        return len(self._calls)

    def feed(self, entries: Sequence[Mapping[str, Any]]) -> tuple[ToolCallDelta, ...]:
        """What the entries of one chunk add: one delta for each entry that adds something."""
        fed: list[PartialToolCall] = []
        deltas = []
        for position, entry in enumerate(entries):
            fragment = _read_fragment(entry)
            call = self._call_for(fragment, position, len(entries), fed)
            fed.append(call)
            delta = call.grow(fragment)
            if delta is not None:
                deltas.append(delta)
        return tuple(deltas)

    def finish(self) -> tuple[ToolCallDelta, ...]:
        """Ids for the calls that came without one, and buffered arguments."""
        return tuple(delta for call in self._calls if (delta := call.finish()) is not None)

    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls so far."""
        return tuple(ToolCall(call.id, call.name, call.arguments, dict(call.extras)) for call in self._calls)

    def _call_for(
        self, fragment: _Fragment, position: int, entry_count: int, fed: list[PartialToolCall]
    ) -> PartialToolCall:
        call = self._candidate(fragment, position, entry_count)
        if call is None or self._starts_another(fragment, call, fed):
            taken_ids = {other.id for other in self._calls}
            call = PartialToolCall(len(self._calls), fragment.index, taken_ids)
            self._calls.append(call)
        return call

    def _candidate(self, fragment: _Fragment, position: int, entry_count: int) -> PartialToolCall | None:
        """The call that a fragment most likely continues."""
        if not self._calls:
            return None
        if fragment.id:
            by_id = [call for call in self._calls if call.id == fragment.id]
            if by_id and fragment.index in (None, by_id[-1].wire_index):
                return by_id[-1]
        if fragment.index is not None:
            by_index = [call for call in self._calls if call.wire_index == fragment.index]
            return by_index[-1] if by_index else None
        if entry_count > 1 and not fragment.id and not fragment.name:
            return self._calls[position] if position < len(self._calls) else None
        return self._calls[-1]

    @staticmethod
    def _starts_another(fragment: _Fragment, call: PartialToolCall, fed: list[PartialToolCall]) -> bool:
        """Whether the fragment opens a new call although its index is the index of `call`.

        Gemini-style gateways number every call 0; others repeat id and name on every fragment, or send
        a different id with each.
        """
        if fragment.name and call.name and call in fed:
            return True
        if fragment.id and call.id:
            if fragment.id == call.id or call.is_continued_by(fragment):
                return False
            return bool(fragment.name) or call.is_complete()
        if not fragment.name or not call.name:
            return False
        if fragment.arguments.lstrip().startswith("{") and call.is_complete():
            return True
        return fragment.name != call.name and call.has_arguments


@dataclass(slots=True)
class _Fragment:
    index: int | None
    id: str
    name: str
    arguments: str
    extras: dict[str, Any]


def _read_fragment(entry: Mapping[str, Any]) -> _Fragment:
    function = entry.get("function")
    if isinstance(function, str):
        function = _json_of(function)
    if not isinstance(function, dict):
        function = {}
    id_ = entry.get("id")
    name = function.get("name") or entry.get("name")
    extras: dict[str, Any] = {}
    if not _KNOWN_CALL_FIELDS.issuperset(entry):
        extras = storable({k: v for k, v in entry.items() if k not in _KNOWN_CALL_FIELDS and v is not None})
    if not _KNOWN_FUNCTION_FIELDS.issuperset(function):
        inside = {k: v for k, v in function.items() if k not in _KNOWN_FUNCTION_FIELDS and v is not None}
        if inside:
            extras = {**extras, "function": storable(inside)}
    return _Fragment(
        read_index(entry.get("index")),
        str(id_) if id_ else "",
        name if isinstance(name, str) else "",
        _arguments_text(function.get("arguments", entry.get("arguments"))),
        extras,
    )


def _arguments_text(arguments: Any) -> str:
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else json.dumps(arguments, ensure_ascii=False)


def _json_of(text: str) -> Any:
    """The value of JSON text, `None` when it is not valid."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


class PartialToolCall:
    """A `ToolCall` while it streams."""

    def __init__(self, index: int, wire_index: int | None, taken_ids: set[str]) -> None:
        self.index = index
        self.wire_index = wire_index
        self._taken_ids = taken_ids
        self.id = ""
        self.name = ""
        self.extras: dict[str, Any] = {}
        self._argument_parts: list[str] = []
        self._has_begun = False
        """Whether arguments have been emitted."""
        self._buffered = ""
        """Arguments not emitted yet: later ones may replace them, or they may be JSON inside JSON."""

    @property
    def arguments(self) -> str:
        """The arguments emitted so far; after `finish`, all of them."""
        if len(self._argument_parts) > 1:
            self._argument_parts = ["".join(self._argument_parts)]
        return self._argument_parts[0] if self._argument_parts else ""

    @property
    def has_arguments(self) -> bool:
        """Whether any arguments have come, buffered ones included."""
        return bool(self._argument_parts or self._buffered)

    def is_complete(self) -> bool:
        """Whether the arguments so far are one whole JSON object."""
        text = (self.arguments + _unbuffered(self._buffered)).strip()
        return text.startswith("{") and text.endswith("}") and _json_of(text) is not None

    def is_continued_by(self, fragment: _Fragment) -> bool:
        """Whether a fragment with the same name but another id continues these arguments."""
        text = fragment.arguments.strip()
        if fragment.name != self.name or not text or self.is_complete():
            return False
        if self._has_begun or self._buffered:
            return not text.startswith("{")
        return text.startswith("{") and _json_of(text) is None

    def grow(self, fragment: _Fragment) -> ToolCallDelta | None:
        """Add a fragment. Returns what it adds, `None` when that is nothing."""
        id_ = None if self.id or fragment.id in self._taken_ids else fragment.id or None
        name = self._new_name(fragment.name)
        if id_:
            self.id = id_
        if name:
            self.name += name
        arguments = self._new_arguments(fragment.arguments) if fragment.arguments else ""
        if arguments:
            self._argument_parts.append(arguments)
        if fragment.extras:
            self.extras = merged(self.extras, fragment.extras)
        if not (id_ or name or arguments or fragment.extras):
            return None
        return ToolCallDelta(self.index, id_, name, arguments, fragment.extras)

    def finish(self) -> ToolCallDelta | None:
        """What the end of the stream adds: a missing id, `""` as a missing name, buffered arguments."""
        new_id = None if self.id else f"call_{uuid.uuid4().hex[:24]}"
        arguments, self._buffered = _unbuffered(self._buffered), ""
        if self.name and not (new_id or arguments):
            return None
        self.id = self.id or new_id or ""
        if arguments:
            self._argument_parts.append(arguments)
        return ToolCallDelta(self.index, new_id, None if self.name else "", arguments)

    def _new_arguments(self, piece: str) -> str:
        """The arguments that a piece lets us emit: neither repeated ones nor ones that may be replaced."""
        if self._has_begun:
            return "" if self._is_repeated_by(piece) else piece
        text = piece.strip()
        if not text:
            return piece if not self._buffered else ""
        if self._buffered.strip() in _NO_ARGUMENTS and text.startswith("{"):
            self._buffered = ""
        if text in _NO_ARGUMENTS or text.startswith('"') or self._buffered.startswith('"'):
            self._buffered += piece.lstrip() if not self._buffered else piece
            return ""
        buffered, self._buffered, self._has_begun = self._buffered, "", True
        return buffered + piece

    def _is_repeated_by(self, piece: str) -> bool:
        """Whether a piece is the same whole object as the arguments: some gateways repeat them at the end."""
        if not (piece.lstrip().startswith("{") and self._argument_parts[-1].rstrip().endswith("}")):
            return False
        whole = _json_of(self.arguments)
        return whole is not None and whole == _json_of(piece)

    def _new_name(self, name: str) -> str | None:
        """What a name adds: nothing when repeated, its new part when it comes in pieces or cumulatively."""
        if not name or name == self.name or self.has_arguments:
            return None if self.name or not name else name
        return name[len(self.name) :] if name.startswith(self.name) else name


def _unbuffered(arguments: str) -> str:
    """Buffered arguments as the model meant them: `{}` for a placeholder, JSON inside JSON as an object."""
    if arguments.strip() in _NO_ARGUMENTS:
        return "{}"
    if arguments.startswith('"'):
        inner = _json_of(arguments)
        if isinstance(inner, str) and isinstance(_json_of(inner), dict):
            return inner
    return arguments
