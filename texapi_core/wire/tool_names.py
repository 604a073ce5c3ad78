"""Names of tools in an answer: their own where others were sent, and those that no tool has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from texapi_core.wire.tool_calls import ToolCallDelta
from texapi_core.wire.values import UNKNOWN_TOOLS, ChatDelta, ChatReply


def note_unknown_tools(reply: ChatReply, names: ToolNames, tools: Sequence[Any] | None) -> ChatReply:
    """The answer with a note of calls that name none of the `tools` of its request.

    There is none where a provider has tools of its own, whose names are not known.
    """
    if not tools or not any(choice.tool_calls for choice in reply.choices):
        return reply
    functions = [tool["function"] for tool in tools if isinstance(tool, Mapping) and "function" in tool]
    if len(functions) < len(tools):
        return reply
    known = {names.own_name(function.get("name")) for function in functions}
    choices = []
    for choice in reply.choices:
        unknown = [call.name for call in choice.tool_calls if call.name not in known]
        if unknown:
            choice = replace(choice, metadata={**choice.metadata, UNKNOWN_TOOLS: unknown})
        choices.append(choice)
    return replace(reply, choices=tuple(choices))


class ToolNames:
    """Gives the calls of one answer the tools' own names: `own_names` maps the names that were sent to them.

    False if no name had to change: then there is nothing to do.
    """

    def __init__(self, own_names: Mapping[str, str]) -> None:
        self._own_names = own_names
        self._pieces: dict[int, str] = {}
        """Index of a call -> the start of its name: a stream may split a name."""

    def __bool__(self) -> bool:
        return bool(self._own_names)

    def own_name(self, sent: Any) -> Any:
        """The own name of the tool that was sent under a name."""
        return self._own_names.get(sent, sent)

    def own(self, reply: ChatReply) -> ChatReply:
        """The answer with the tools' own names."""
        if not self._own_names or not any(choice.tool_calls for choice in reply.choices):
            return reply
        choices = []
        for choice in reply.choices:
            calls = [
                replace(call, name=self._own_names.get(call.name, call.name)) for call in choice.tool_calls
            ]
            choices.append(replace(choice, tool_calls=tuple(calls)))
        return replace(reply, choices=tuple(choices))

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
        self._pieces = {}
        if left:
            yield ChatDelta(tool_calls=tuple(left), raw=last[-1].raw if last else {})

    def _own_in_call(self, call: ToolCallDelta) -> ToolCallDelta:
        if call.name is None and (not call.arguments or call.index not in self._pieces):
            return call
        name = self._pieces.pop(call.index, "") + (call.name or "")
        own = self._own_names.get(name)
        if own is None and not call.arguments and any(sent.startswith(name) for sent in self._own_names):
            self._pieces[call.index] = name
            return replace(call, name=None)
        return replace(call, name=own or name)
