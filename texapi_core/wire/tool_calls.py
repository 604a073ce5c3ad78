"""Tool calls: read from a whole message, or assembled from the deltas of a stream."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from texapi_core.wire.custom_tools import CLOSING, OPENING, escaped
from texapi_core.wire.finish_reasons import was_cut
from texapi_core.wire.fragments import Fragment, read_fragment
from texapi_core.wire.pieces import GrowingText, Nesting, join_members
from texapi_core.wire.text import json_of

_NO_ARGUMENTS = ("{}", "null")
"""Placeholders: there are no arguments, or they are still to come. No set: long arguments would be hashed."""
_MAX_NAME = 1000
"""Characters. No tool has a longer name; further pieces of one are ignored."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool, as the model asked for it."""

    id: str
    """Never empty: generated where the gateway sent none."""
    name: str
    """The tool's own name, as the application gave it."""
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
        if self.is_open:
            return None
        if not text:
            return {}
        if not text.endswith("}"):
            return None
        arguments = json_of(text)
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
    """What this chunk adds to `ToolCall.extras`."""


def read_tool_calls(
    entries: Sequence[Mapping[str, Any]], finish_reason: str | None = "stop"
) -> tuple[ToolCall, ...]:
    """The tool calls of a whole message."""
    assembler = ToolCallAssembler()
    assembler.feed(entries)
    assembler.finish()
    return assembler.tool_calls(is_cut=was_cut(finish_reason))


class ToolCallAssembler:
    """Assembles tool-call deltas, however the gateway splits and numbers them."""

    def __init__(self) -> None:
        self._calls: list[PartialToolCall] = []
        self._by_id: dict[str, PartialToolCall] = {}
        self._by_index: dict[int | None, PartialToolCall] = {}
        """Index on the wire -> the last call that has it."""

    def __len__(self) -> int:
        return len(self._calls)

    def feed(self, entries: Sequence[Mapping[str, Any]]) -> tuple[ToolCallDelta, ...]:
        """What the entries of one chunk add: one delta for each entry that adds something."""
        fed: set[PartialToolCall] = set()
        deltas = []
        for position, entry in enumerate(entries):
            fragment = read_fragment(entry)
            call = self._call_for(fragment, position, len(entries), fed)
            if call is None:
                continue
            fed.add(call)
            delta = call.grow(fragment)
            if delta is not None:
                deltas.append(delta)
        return tuple(deltas)

    def finish(self) -> tuple[ToolCallDelta, ...]:
        """Ids for the calls that came without one, and buffered arguments."""
        return tuple(delta for call in self._calls if (delta := call.finish()) is not None)

    def tool_calls(self, *, is_cut: bool = False) -> tuple[ToolCall, ...]:
        """The calls so far. If the answer is cut, one without arguments is open: they were still to come."""
        calls = []
        for call in self._calls:
            arguments = call.arguments
            # Any text may be a whole input: of a cut answer, the last one is taken for a cut one.
            is_cut_input = call.is_custom and call is self._calls[-1]
            is_open = is_cut and (call.is_null or is_cut_input or not arguments.strip())
            calls.append(ToolCall(call.id, call.name, arguments, call.extras, is_open))
        return tuple(calls)

    def _call_for(
        self, fragment: Fragment, position: int, entry_count: int, fed: set[PartialToolCall]
    ) -> PartialToolCall | None:
        """The call that a fragment belongs to, `None` for a fragment of nothing that continues none."""
        call = self._candidate(fragment, position, entry_count)
        if call is None or self._starts_another(fragment, call, fed):
            if call is None and fragment.is_empty:
                return None
            call = PartialToolCall(len(self._calls), fragment.index, self._by_id)
            self._calls.append(call)
            self._by_index[fragment.index] = call
        return call

    def _candidate(self, fragment: Fragment, position: int, entry_count: int) -> PartialToolCall | None:
        """The call that a fragment most likely continues."""
        if not self._calls:
            return None
        if fragment.id:
            by_id = self._by_id.get(fragment.id)
            if by_id is not None and fragment.index in (None, by_id.wire_index):
                return by_id
        if fragment.index is not None:
            return self._by_index.get(fragment.index)
        if entry_count > 1 and not fragment.id and not fragment.name:
            return self._calls[position] if position < len(self._calls) else None
        return self._calls[-1]

    @staticmethod
    def _starts_another(fragment: Fragment, call: PartialToolCall, fed: set[PartialToolCall]) -> bool:
        """Whether the fragment opens a new call although its index is the index of `call`.

        Gemini-style gateways number every call 0; others repeat id and name on every fragment, or send
        a different id with each.
        """
        if fragment.name and call.name and call in fed:
            return True
        if fragment.id and call.id:
            if fragment.id == call.id or call.is_continued_by(fragment):
                return False
            return bool(fragment.name) or (bool(fragment.arguments) and call.is_complete())
        if not fragment.name or not call.name:
            return False
        if fragment.arguments.lstrip().startswith("{") and call.is_complete():
            return True
        return call.has_arguments and fragment.name != call.name


class PartialToolCall:
    """A `ToolCall` while it streams."""

    def __init__(self, index: int, wire_index: int | None, by_id: dict[str, PartialToolCall]) -> None:
        self.index = index
        self.wire_index = wire_index
        self._by_id = by_id
        self.id = ""
        self.name = ""
        self._extras: list[dict[str, Any]] = []
        self._argument_parts: list[str] = []
        self._pieces = GrowingText()
        self._has_begun = False
        """Whether arguments have been emitted."""
        self._buffer: list[str] = []
        """Arguments not emitted yet: later ones may replace them, or they may be JSON inside JSON."""
        self._whole = _WholeObject()
        self.is_null = False
        """Whether the arguments were null as text."""
        self.is_custom = False
        """Whether the arguments are made of the input of a custom tool."""

    @property
    def arguments(self) -> str:
        """The arguments emitted so far; after `finish`, all of them."""
        return "".join(self._argument_parts)

    @property
    def extras(self) -> dict[str, Any]:
        """What else the provider put on the call."""
        return dict(join_members(self._extras)) if self._extras else {}

    @property
    def has_arguments(self) -> bool:
        """Whether any arguments have come, buffered ones included."""
        return bool(self._argument_parts or self._buffer)

    def is_complete(self) -> bool:
        """Whether the arguments so far are one whole JSON object."""
        if self.is_custom:
            return False
        if self._pieces.held_whole:
            return isinstance(json_of(self._pieces.held_whole), dict)
        return self._whole.of(self._buffer or self._argument_parts) is not None

    def is_continued_by(self, fragment: Fragment) -> bool:
        """Whether a fragment with the same name but another id continues these arguments."""
        text = fragment.arguments.strip()
        if self.is_custom or fragment.name != self.name or not text or self.is_complete():
            return False
        if self._has_begun or self._buffer:
            return not text.startswith("{")
        return text.startswith("{") and json_of(text) is None

    def grow(self, fragment: Fragment) -> ToolCallDelta | None:
        """Add a fragment. Returns what it adds, `None` when that is nothing."""
        id_ = None if self.id or fragment.id in self._by_id else fragment.id or None
        name = self._new_name(fragment.name) if fragment.name else None
        if id_:
            self.id = id_
            self._by_id[id_] = self
        if name:
            self.name += name
        self.is_custom = self.is_custom or fragment.is_custom
        arguments = self._new_arguments(fragment.arguments) if fragment.arguments else ""
        if arguments:
            self._argument_parts.append(arguments)
        if fragment.extras:
            self._extras.append(fragment.extras)
        if not (id_ or name or arguments or fragment.extras):
            return None
        return ToolCallDelta(self.index, id_, name, arguments, fragment.extras)

    def finish(self) -> ToolCallDelta | None:
        """What the end of the stream adds: a missing id, `""` as a missing name, buffered arguments."""
        new_id = None if self.id else f"call_{uuid.uuid4().hex[:24]}"
        self.is_null = self._buffer == ["null"]
        if self.is_custom:
            arguments = self._input(self._pieces.finish()) + CLOSING
        else:
            arguments = self._held_arguments() or _unbuffered("".join(self._buffer))
        self._buffer = []
        if self.name and not (new_id or arguments):
            return None
        self.id = self.id or new_id or ""
        if arguments:
            self._argument_parts.append(arguments)
        return ToolCallDelta(self.index, new_id, None if self.name else "", arguments)

    def _new_arguments(self, piece: str) -> str:
        """The arguments that a piece lets us emit: neither repeated ones nor ones that may be replaced."""
        if self.is_custom:
            piece = self._pieces.add(piece)
            return self._input(piece) if piece else ""
        if self._has_begun:
            return "" if self._is_repeated_by(piece) else self._pieces.add(piece)
        text = piece.strip()
        is_text = bool(self._buffer) and self._buffer[0].startswith('"')
        if text in _NO_ARGUMENTS and not is_text:
            self._buffer = [text]
            return ""
        if is_text or text.startswith('"'):
            self._buffer.append(piece if is_text else piece.lstrip())
            return ""
        if not text:
            return "" if self._buffer else piece
        is_placeholder = bool(self._buffer) and text.startswith("{")
        buffered = "" if is_placeholder else "".join(self._buffer)
        self._buffer, self._has_begun, self._whole = [], True, _WholeObject()
        return self._pieces.add(buffered + piece)

    def _input(self, piece: str) -> str:
        """A piece of the input of a custom tool, as arguments."""
        return ("" if self._argument_parts else OPENING) + escaped(piece)

    def _held_arguments(self) -> str:
        """What the end adds to arguments whose pieces may be cumulative: the reading that is JSON wins."""
        whole, emitted = self._pieces.held_whole, self.arguments
        held = self._pieces.finish()
        if whole and json_of(emitted + held) is None and isinstance(json_of(whole), dict):
            return whole[len(emitted) :]
        return held

    def _is_repeated_by(self, piece: str) -> bool:
        """Whether a piece is the same whole object as the arguments: some gateways repeat them at the end."""
        if "{" not in piece or not piece.lstrip().startswith("{") or not self.is_complete():
            return False
        return bool(self._whole.of(self._argument_parts) == json_of(piece))

    def _new_name(self, name: str) -> str | None:
        """What a name adds: nothing when repeated, its new part when it comes in pieces or cumulatively."""
        if name == self.name or self.has_arguments or len(self.name) > _MAX_NAME:
            return None if self.name else name
        return name[len(self.name) :] if name.startswith(self.name) else name


class _WholeObject:
    """The JSON object that pieces add up to, parsed once: when its last brace comes."""

    def __init__(self) -> None:
        self._count = 0
        self._nesting = Nesting()
        self._has_ended = False
        self._value: dict[str, Any] | None = None

    def of(self, parts: Sequence[str]) -> dict[str, Any] | None:
        """The object, `None` while it is not whole. `parts` are those of the last call, and new ones."""
        added = parts[self._count :]
        self._count = len(parts)
        if self._has_ended:
            if any(not part.isspace() for part in added):
                self._value = None
            return self._value
        for part in added:
            self._nesting.add(part)
        if not self._nesting.is_open and any(not part.isspace() for part in added):
            self._has_ended = True
            value = json_of(_unbuffered("".join(parts)))
            self._value = value if isinstance(value, dict) else None
        return self._value


def _unbuffered(arguments: str) -> str:
    """Buffered arguments as the model meant them: `{}` for a placeholder, JSON inside JSON as an object."""
    if arguments.strip() in _NO_ARGUMENTS:
        return "{}"
    if arguments.startswith('"'):
        inner = json_of(arguments)
        if isinstance(inner, str) and isinstance(json_of(inner), dict):
            return inner
    return arguments
