"""Names of tools in an answer: their own where others were sent, and those that no tool has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from texapi_core.wire.arguments import ArgumentsText
from texapi_core.wire.custom_tools import tool_kinds
from texapi_core.wire.tool_calls import ToolCall, ToolCallDelta
from texapi_core.wire.values import SAME_NAMES, UNKNOWN_TOOLS, ChatDelta, ChatReply, OwnNames


def note_unknown_tools(reply: ChatReply, names: ToolNames, tools: Sequence[Any] | None) -> ChatReply:
    """The answer with a note of calls that name none of the `tools` of its request.

    There is none with a provider's own tools, whose names are not known.
    """
    if not tools or not any(choice.tool_calls for choice in reply.choices):
        return reply
    kinds = tool_kinds(tools)
    if len(kinds) < len(tools):
        return reply
    known = set(map(names.own_name, kinds))
    choices = []
    for choice in reply.choices:
        unknown = [call.name for call in choice.tool_calls if call.name not in known]
        if unknown:
            choice = replace(choice, metadata={**choice.metadata, UNKNOWN_TOOLS: unknown})
        choices.append(choice)
    return replace(reply, choices=tuple(choices))


class ToolNames:
    """Gives the calls of one answer the own names of tools and properties.

    With `storable`, integers beyond 64 bits in arguments become text. False if there is nothing to do.
    """

    def __init__(self, own_names: OwnNames = SAME_NAMES, *, storable: bool = False) -> None:
        self._own_names = own_names.tools
        self._properties = dict(own_names.properties)
        """By both names of a tool: a model may know its own from the prompt."""
        for sent, own in own_names.tools.items():
            if sent in own_names.properties:
                self._properties[own] = own_names.properties[sent]
        self._storable = storable
        self._arguments: dict[int, ArgumentsText | None] = {}
        """Index of a call -> its arguments, if they may change."""
        self._pieces: dict[int, str] = {}
        """Index of a call -> the start of its name: a stream may split a name."""
        self._sent: dict[int, str] = {}
        """Index of a call -> the name by which the model calls the tool."""

    def __bool__(self) -> bool:
        return bool(self._own_names or self._properties or self._storable)

    def own_name(self, sent: Any) -> Any:
        """The own name of the tool that was sent under a name."""
        return self._own_names.get(sent, sent)

    def own(self, reply: ChatReply) -> ChatReply:
        """The answer with the tools' own names."""
        if not self or not any(choice.tool_calls for choice in reply.choices):
            return reply
        choices = []
        for choice in reply.choices:
            calls = [self._own_call(call) for call in choice.tool_calls]
            choices.append(replace(choice, tool_calls=tuple(calls)))
        return replace(reply, choices=tuple(choices))

    def _own_call(self, call: ToolCall) -> ToolCall:
        arguments = call.arguments
        if (text := self._text_of(call.name)) is not None:
            arguments = text.feed(arguments) + text.finish()
        return replace(call, name=self._own_names.get(call.name, call.name), arguments=arguments)

    def _text_of(self, sent: str) -> ArgumentsText | None:
        """What changes the arguments of a call of the tool that was sent under a name."""
        properties = self._properties.get(sent)
        return ArgumentsText(properties or {}) if properties or self._storable else None

    def own_in_deltas(self, deltas: list[ChatDelta]) -> list[ChatDelta]:
        """The deltas with the tools' own names, each of them whole."""
        for delta in deltas:
            if delta.tool_calls:
                delta.tool_calls = tuple(map(self._own_in_call, delta.tool_calls))
        return deltas

    def own_at_end(self, deltas: Iterable[ChatDelta]) -> Iterator[ChatDelta]:
        """The last deltas of a stream, and the start of a name that turned out to be none of these."""
        last = self.own_in_deltas(list(deltas))
        yield from last
        left = [ToolCallDelta(index, None, name, "") for index, name in self._pieces.items()]
        for index, text in self._arguments.items():
            if text is not None and (rest := text.finish()):
                left.append(ToolCallDelta(index, None, None, rest))
        self._pieces = {}
        if left:
            yield ChatDelta(tool_calls=tuple(left), raw=last[-1].raw if last else {})

    def _own_in_call(self, call: ToolCallDelta) -> ToolCallDelta:
        named = self._own_name_in_call(call) if self._own_names or self._properties else call
        if not call.arguments:
            return named
        if call.index not in self._arguments:
            self._arguments[call.index] = self._text_of(self._sent.get(call.index, ""))
        if (text := self._arguments[call.index]) is None:
            return named
        arguments = text.feed(call.arguments)
        return named if arguments is call.arguments else replace(named, arguments=arguments)

    def _own_name_in_call(self, call: ToolCallDelta) -> ToolCallDelta:
        if call.name is None and (not call.arguments or call.index not in self._pieces):
            return call
        name = self._pieces.pop(call.index, "") + (call.name or "")
        self._sent[call.index] = name
        own = self._own_names.get(name)
        if own is None and not call.arguments and any(sent.startswith(name) for sent in self._own_names):
            self._pieces[call.index] = name
            return replace(call, name=None)
        return replace(call, name=own or name)
