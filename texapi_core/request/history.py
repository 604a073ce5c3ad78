"""Makes any history one that every provider takes: each call with its result, no answer that says nothing.

Interrupted, trimmed and stored conversations have calls without results, results without calls, and results
that came late. Histories of other LLM classes have empty ids, tool names as ids, or ids that restart in every
turn. Providers refuse them, and since a history is stored, they refuse each later turn too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from texapi_core.accounting.record import logger
from texapi_core.request.calls import wire_call
from texapi_core.request.names import is_legal_call_id, legal_call_id

History = Literal["mend", "as_is"]
"""What is done about a history that providers refuse: `mend` makes it legal, `as_is` sends it unchanged."""
WireMessage = dict[str, Any]

NO_RESULT = "No result: the call was interrupted."
"""The result of a call that has none. It does not depend on what follows: prompt caches hold it."""
RESULT_ROLES = ("tool", "function")
_NOT_CONTENT = frozenset({"role", "content", "name"})

_Kind = Literal[
    "call without a result",
    "result apart from its call",
    "result without its call",
    "further result of a call",
    "missing or repeated call id",
    "illegal call id",
    "empty answer",
    "legacy function call",
]


@dataclass(slots=True)
class _Call:
    """A call of the turn, and its result when that was found."""

    given_id: Any
    name: str | None
    id: str
    result: WireMessage | None = None


def mend_history(messages: Sequence[WireMessage]) -> list[WireMessage]:
    """The messages, each call with one result right behind it, in the order of the calls.

    - A call without a result gets `NO_RESULT`.
    - A result goes to its call: by its id, and among calls of one id by the name of the tool; else to the
      first open call of the tool that it names; else, if it or the call has no id, to the first open one that
      is of no other tool. Once the model has answered without a result, it has seen `NO_RESULT`, and that
      stays: each turn is a prefix of the next.
    - A result without an open call becomes a user message, in its place, that says what it is.
    - Calls get legal and unique ids, the same in their results. `function_call` becomes a tool call.
    - Answers that say nothing are left out.

    Nothing is changed in place. A legal history stays; what was mended in another is logged, without content.
    """
    if _is_legal(messages):
        return list(messages)
    mender = _Mender()
    for position, message in enumerate(messages):
        mender.add(position, message)
    mended = mender.finish()
    if found := ", ".join(f"{kind} ({count})" for kind, count in mender.kinds.items() if count):
        logger.warning(
            'The history was mended, since providers refuse it: %s. `history="as_is"` sends it unchanged.',
            found,
        )
    return mended


class _Mender:
    """A history that is read once, from its start: nothing depends on what follows but the results."""

    def __init__(self) -> None:
        self.kinds: Counter[_Kind] = Counter()
        """What was mended, and how often."""
        self._mended: list[tuple[WireMessage, Sequence[_Call]]] = []
        self._ids: set[str] = set()
        self._turn: list[_Call] = []
        """The calls that a result may belong to."""
        self._next: list[_Call] = []
        """The calls whose results are at their place when they come next."""
        self._last_role = None

    def add(self, position: int, message: WireMessage) -> None:
        """Add the next message, which stands at `position`."""
        role = message["role"]
        if role in RESULT_ROLES:
            self._add_result(message)
        elif role == "assistant":
            self._add_answer(position, message)
        else:
            self._next = []
            self._mended.append((self._with_new_ids(message), ()))
        self._last_role = role

    def finish(self) -> list[WireMessage]:
        """The whole history."""
        messages: list[WireMessage] = []
        for message, calls in self._mended:
            messages.append(message)
            for call in calls:
                self.kinds["call without a result"] += call.result is None
                messages.append(call.result or _result_message(call.id, NO_RESULT))
        return messages

    def _add_result(self, message: WireMessage) -> None:
        call = _call_of(message, self._turn)
        if call is None:
            is_further = any(message.get("tool_call_id") in (each.id, each.given_id) for each in self._turn)
            self.kinds["further result of a call" if is_further else "result without its call"] += 1
            self._mended.append((_as_user_message(message, is_further=is_further), ()))
            return
        call.result = _as_result_of(call, message)
        if not self._next or self._next.pop(0) is not call:
            self.kinds["result apart from its call"] += 1
            self._next = []

    def _with_new_ids(self, message: WireMessage) -> WireMessage:
        """The message with the new ids of calls in the notes on what is attached to their results."""
        notes = {
            attached_to_result(call.given_id): attached_to_result(call.id)
            for call in self._turn
            if call.given_id and all(call.given_id != each.id for each in self._turn)
        }
        if not notes or not isinstance(message["content"], list):
            return message
        parts = [
            {**part, "text": notes.get(part["text"], part["text"])} if part.get("type") == "text" else part
            for part in message["content"]
        ]
        return {**message, "content": parts}

    def _add_answer(self, position: int, message: WireMessage) -> None:
        if self._last_role != "assistant":
            self._turn = []
        if "function_call" in message:
            self.kinds["legacy function call"] += 1
            message = _without_legacy(message)
        calls = _read_calls(message, position, self._ids)
        if not calls:
            message = {name: value for name, value in message.items() if name != "tool_calls"}
        for call in calls:
            if call.id != call.given_id:
                self.kinds[_why_renamed(call)] += 1
        self._turn, self._next = [*self._turn, *calls], calls.copy()
        if calls:
            self._mended.append((_with_ids(message, calls), calls))
        elif not _says_nothing(message):
            self._mended.append((message, ()))
        else:
            self.kinds["empty answer"] += 1


def attached_to_result(tool_call_id: str | None) -> str:
    """The note before the images and files of a tool result, in the user message after it."""
    return f"Attached to the result of {f'tool call {tool_call_id}' if tool_call_id else 'a tool call'}:"


def _is_legal(messages: Sequence[WireMessage]) -> bool:
    """Whether nothing is to be mended: a look at each message, since nearly every history is legal."""
    awaited: list[str] = []
    taken: set[str] = set()
    for message in messages:
        role = message["role"]
        if role == "tool":
            if not awaited or message.get("tool_call_id") != awaited.pop():
                return False
        elif awaited or role == "function":
            return False
        elif role == "assistant":
            content = message["content"]
            if "tool_calls" in message:
                for call in reversed(message["tool_calls"]):
                    id_ = call["id"]
                    if not isinstance(id_, str) or id_ in taken or not is_legal_call_id(id_):
                        return False
                    taken.add(id_)
                    awaited.append(id_)
                if not message["tool_calls"] or (content is not None and is_blank(content)):
                    return False
            elif "function_call" in message or (may_be_blank(content) and _says_nothing(message)):
                return False
    return not awaited


def may_be_blank(content: Any) -> bool:
    """Whether a text needs a closer look: nearly every one begins with a letter."""
    return not content or type(content) is not str or not "!" <= content[0] <= "~"


def is_blank(content: Any) -> bool:
    """Whether a content has no text but white space, and nothing else."""
    if isinstance(content, list):
        return all(part.get("type") == "text" and is_blank(part.get("text")) for part in content)
    return not content or (isinstance(content, str) and content.isspace())


def _says_nothing(message: WireMessage) -> bool:
    """Whether an answer has neither text nor calls, refusal, audio or reasoning."""
    carries_more = any(value for name, value in message.items() if name not in _NOT_CONTENT)
    return not carries_more and is_blank(message["content"])


def _without_legacy(message: WireMessage) -> WireMessage:
    """The message with its `function_call` as a tool call."""
    rest = {name: value for name, value in message.items() if name != "function_call"}
    calls = message.get("tool_calls") or [wire_call({"function": message["function_call"]})]
    return {**rest, "tool_calls": calls}


def _read_calls(message: WireMessage, position: int, taken: set[str]) -> list[_Call]:
    calls = []
    for at, call in enumerate(message.get("tool_calls") or ()):
        given = call.get("id")
        id_ = legal_call_id(given) if isinstance(given, str) and given else f"call_{position}_{at}"
        if id_ in taken:
            id_ = f"call_{position}_{at}"
        while id_ in taken:
            id_ += "_"
        taken.add(id_)
        calls.append(_Call(given, call["function"].get("name"), id_))
    return calls


def _why_renamed(call: _Call) -> _Kind:
    is_illegal = isinstance(call.given_id, str) and call.given_id and call.id == legal_call_id(call.given_id)
    return "illegal call id" if is_illegal else "missing or repeated call id"


def _with_ids(message: WireMessage, calls: Sequence[_Call]) -> WireMessage:
    content = None if is_blank(message["content"]) else message["content"]
    renamed = [
        wire if wire.get("id") == call.id else {**wire, "id": call.id}
        for wire, call in zip(message["tool_calls"], calls, strict=True)
    ]
    return {**message, "content": content, "tool_calls": renamed}


def _call_of(result: WireMessage, turn: Sequence[_Call]) -> _Call | None:
    """The call of the turn that a result answers; `None` if there is none, or only answered ones."""
    given, name = result.get("tool_call_id"), result.get("name")
    of_id = [call for call in turn if given and call.given_id == given]
    if of_id:
        named = [call for call in of_id if name and call.name == name]
        return next((call for call in named or of_id if call.result is None), None)
    awaited = [call for call in turn if call.result is None]
    without_id = [call for call in awaited if not given or not call.given_id]
    candidates = (
        [call for call in awaited if call.name and call.name == given]
        or [call for call in without_id if call.name and call.name == name]
        or [call for call in without_id if not name or not call.name]
    )
    return candidates[0] if candidates else None


def _as_result_of(call: _Call, message: WireMessage) -> WireMessage:
    if message["role"] != "tool":
        return _result_message(call.id, message["content"])
    return message if message.get("tool_call_id") == call.id else {**message, "tool_call_id": call.id}


def _result_message(tool_call_id: str, content: Any) -> WireMessage:
    return {"role": "tool", "content": content, "tool_call_id": tool_call_id}


def _as_user_message(message: WireMessage, *, is_further: bool) -> WireMessage:
    """A result that no provider takes as one, as a user message that says what it is."""
    name = message.get("tool_call_id") or message.get("name")
    of_call = f"tool call {name}" if name else "a tool call"
    note = f"A further result of {of_call}:" if is_further else f"The result of {of_call}, which is not here:"
    content = message["content"]
    if isinstance(content, list):
        content = [{"type": "text", "text": note}, *content]
    else:
        content = f"{note}\n{content}"
    return {"role": "user", "content": content}
