"""The choices of an answer or a chunk, with the message or the delta in each, in any form.

`parse_choices` reads those of a whole answer; `GrowingChoice` adds up a streamed one with the same functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from texapi_core.wire.finish_reasons import later_reason, was_cut
from texapi_core.wire.fragments import tool_call_entries
from texapi_core.wire.generated import CONTENT_PARTS, storable
from texapi_core.wire.pieces import GrowingText, ThinkTags, join_members
from texapi_core.wire.reasoning import (
    NO_REASONING,
    REASONING_FIELDS,
    TEXT_FIELDS,
    Reasoning,
    add_thought,
    join_reasoning,
    read_reasoning,
    split_content,
    whole,
)
from texapi_core.wire.scalars import NULLS, read_index, text_or_none
from texapi_core.wire.signatures import SIGNATURES, signed_members
from texapi_core.wire.tool_calls import ToolCallAssembler, ToolCallDelta, read_tool_calls
from texapi_core.wire.values import ChatChoice, ChatDelta

_KNOWN_CHOICE_FIELDS = frozenset(
    ("index", "message", "delta", "text", "finish_reason", "logprobs", "usage", "error")
)
_KNOWN_MESSAGE_FIELDS = REASONING_FIELDS.union(
    ("role", "content", "refusal", "tool_calls", "function_call", "usage")
)


def read_choices(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The choices of an answer or a chunk, `[]` when there are none."""
    choices = body.get("choices")
    if isinstance(choices, dict):
        return [choices]
    if not isinstance(choices, list):
        return []
    return [choice for choice in choices if isinstance(choice, dict)]


def message_of(choice: Mapping[str, Any]) -> dict[str, Any] | None:
    """The message of a choice; some servers send a delta, or only the text, in place of a message."""
    for name in ("message", "delta"):
        message = choice.get(name)
        if message and isinstance(message, dict):
            return message
    if isinstance(choice.get("text"), str):
        return {"content": choice["text"]}
    said_nothing = isinstance(choice.get("message", choice.get("delta")), dict) or read_finish_reason(choice)
    return {"content": None} if said_nothing else None


def choice_index(choice: Mapping[str, Any]) -> int:
    """The index of a choice, 0 by default."""
    index = choice.get("index")
    return index if isinstance(index, int) else read_index(index) or 0


def read_finish_reason(choice: Mapping[str, Any]) -> str | None:
    """Why the model stopped, `None` while it has not; some servers send null as text, `false` or 0."""
    reason = choice.get("finish_reason") or None
    if type(reason) is not str:
        reason = text_or_none(reason)
    return None if reason in NULLS else reason


def parse_choices(choices: Iterable[Mapping[str, Any]], *, think_tags: bool) -> tuple[ChatChoice, ...]:
    """The choices of a whole answer that have a message, in the order of their index."""
    parsed = (_parse_choice(choice, think_tags=think_tags) for choice in choices)
    return tuple(sorted(filter(None, parsed), key=attrgetter("index")))


def _parse_choice(choice: Mapping[str, Any], *, think_tags: bool) -> ChatChoice | None:
    members, finish_reason, index = message_of(choice), read_finish_reason(choice), choice_index(choice)
    if not members:
        return None
    message = read_message(members)
    text, reasoning = message.text, message.reasoning
    if reasoning.details:
        reasoning = whole(reasoning)
    if think_tags:
        tags = ThinkTags()
        thought, text = map("".join, zip(tags.add(text), tags.finish(), strict=True))
        reasoning = add_thought(reasoning, thought)
    entries = message.tool_call_entries
    return ChatChoice(
        index=index,
        text=text,
        reasoning=reasoning,
        refusal=message.refusal,
        tool_calls=read_tool_calls(entries, finish_reason) if entries else (),
        finish_reason=finish_reason,
        logprobs=logprobs_of(choice),
        extras=message.extras,
        metadata=choice_metadata(choice),
    )


@dataclass(slots=True)  # not frozen: that takes three times as long to make, and each chunk makes one
class Message:
    """What a message or a delta holds."""

    text: str
    reasoning: Reasoning
    refusal: str
    tool_call_entries: list[dict[str, Any]]
    """As on the wire: whole calls, or the pieces of calls that a delta adds."""
    extras: dict[str, Any]
    """Members without a field above; `content_parts` holds the parts of `content` that are no text."""


def read_message(members: Mapping[str, Any]) -> Message:
    """A message or a delta, read from its JSON. An empty tool call is none."""
    content = members.get("content")
    reasoning = NO_REASONING if REASONING_FIELDS.isdisjoint(members) else read_reasoning(members)
    has_calls = "tool_calls" in members or "function_call" in members
    extras: dict[str, Any] = {}
    if not _KNOWN_MESSAGE_FIELDS.issuperset(members):
        extras = _without_empty(members, _KNOWN_MESSAGE_FIELDS)
    if content is None or content.__class__ is str:
        text = content or ""
    else:
        text, thoughts, other_parts = split_content(content)
        if thoughts is not NO_REASONING:
            reasoning = _beside_content(reasoning, thoughts)
        if other_parts:
            extras[CONTENT_PARTS] = storable(other_parts)
        if isinstance(content, list) and SIGNATURES in (signed := signed_members(content)):
            extras.setdefault(SIGNATURES, signed[SIGNATURES])
    return Message(
        text,
        reasoning,
        _string(members["refusal"]) if "refusal" in members else "",
        tool_call_entries(members) if has_calls else [],
        extras,
    )


def _beside_content(reasoning: Reasoning, thoughts: Reasoning) -> Reasoning:
    """The reasoning of a message, of which its members say more than its content."""
    text, field = (reasoning.text, reasoning.field) if reasoning.text else (thoughts.text, None)
    if reasoning.details:
        return Reasoning(text, field, reasoning.details, reasoning.details_field)
    return Reasoning(text, field, thoughts.details, thoughts.details_field)


def choice_metadata(choice: Mapping[str, Any]) -> dict[str, Any]:
    """Members of a choice that `ChatChoice` has no field for, except empty ones."""
    return {} if _KNOWN_CHOICE_FIELDS.issuperset(choice) else _without_empty(choice, _KNOWN_CHOICE_FIELDS)


def _without_empty(members: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    return {
        name: storable(value)
        for name, value in members.items()
        if name not in known and value not in (None, "", [], {})
    }


def logprobs_of(choice: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]] | None:
    """The log probabilities of a choice, `None` when there are none."""
    logprobs = choice.get("logprobs")
    if not isinstance(logprobs, dict):
        return None
    found = {
        name: [token for token in tokens if isinstance(token, dict)]
        for name, tokens in logprobs.items()
        if isinstance(tokens, list)
    }
    return found or None


def _string(value: Any) -> str:
    """The value if it is text, else `""`."""
    return value if isinstance(value, str) else ""


class GrowingChoice:
    """A `ChatChoice` while it streams."""

    def __init__(self, *, think_tags: bool = False) -> None:
        self.texts: list[str] = []
        self.is_plain = False
        """Whether a text of a delta only has to be appended to `texts`."""
        self._text = GrowingText()
        self._think_tags = ThinkTags() if think_tags else None
        self._reasoning: list[Reasoning] = []
        self._reasoning_text = GrowingText()
        self._reasoning_length = 0
        self._refusals: list[str] = []
        self.tool_calls = ToolCallAssembler()
        self.finish_reason: str | None = None
        self._logprobs: dict[str, list[Any]] = {}
        self._extras: dict[str, list[Any]] = {}
        self._metadata: dict[str, list[Any]] = {}

    @property
    def has_content(self) -> bool:
        """Whether text, reasoning, a refusal or a tool call has come."""
        return bool(self.texts or self._reasoning or self._refusals or self.tool_calls)

    def add(
        self, message: Message, logprobs: Mapping[str, Any] | None, chunk: Mapping[str, Any]
    ) -> ChatDelta | None:
        """Add the message of a chunk. Returns what it adds, `None` when that is nothing."""
        text, reasoning = message.text, message.reasoning
        if reasoning.details:
            reasoning = self._unrepeated(reasoning)
        if reasoning is not NO_REASONING and not self._reasoning_text.is_plain:
            reasoning = replace(reasoning, text=self._reasoning_text.add(reasoning.text))
        if text and not self.is_plain:
            thought, text = self._separate(self._text.add(text))
            reasoning = add_thought(reasoning, thought)
        if text:
            self.texts.append(text)
        has_reasoning = reasoning is not NO_REASONING and bool(reasoning.text or reasoning.details)
        if has_reasoning:
            self._reasoning.append(reasoning)
            self._reasoning_length += len(reasoning.text)
        if message.refusal:
            self._refusals.append(message.refusal)
        tool_calls: tuple[ToolCallDelta, ...] = ()
        if message.tool_call_entries:
            tool_calls = self.tool_calls.feed(message.tool_call_entries)
        if message.extras:
            _add_pieces(self._extras, message.extras)
        if not (text or has_reasoning or message.refusal or tool_calls or logprobs or message.extras):
            return None
        return ChatDelta(text, reasoning, message.refusal, tool_calls, logprobs, chunk)

    def _unrepeated(self, reasoning: Reasoning) -> Reasoning:
        """Reasoning without a text that members of the message had before."""
        if reasoning.is_of_content:
            has_members = any(part.field for part in self._reasoning)
            return replace(reasoning, text="") if has_members else reasoning
        return replace(reasoning, text="", field=None) if self._repeats(reasoning) else reasoning

    def _repeats(self, reasoning: Reasoning) -> bool:
        """Whether details hold the text that came before them in another field, as LiteLLM's last ones do."""
        if reasoning.field != reasoning.details_field or self._reasoning_length != len(reasoning.text):
            return False
        known = [part.text for part in self._reasoning if part.field != reasoning.details_field]
        return "".join(known) == reasoning.text

    def _separate(self, text: str) -> tuple[str, str]:
        """The reasoning in a text, if `think_tags` are read, and the rest of the text."""
        self.is_plain = self._text.is_plain and self._think_tags is None
        return ("", text) if self._think_tags is None else self._think_tags.add(text)

    def add_logprobs(self, choice: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Add the log probabilities of a choice, and return them."""
        logprobs = logprobs_of(choice)
        for name, tokens in (logprobs or {}).items():
            self._logprobs.setdefault(name, []).extend(tokens)
        return logprobs

    def add_metadata(self, choice: Mapping[str, Any]) -> None:
        """Add the members of a choice that are no field of it."""
        _add_pieces(self._metadata, choice_metadata(choice))

    def record_end(self, choice: Mapping[str, Any]) -> None:
        """Take the finish reason of a choice."""
        self.finish_reason = later_reason(self.finish_reason, read_finish_reason(choice))

    def unseen_part(self, members: Mapping[str, Any]) -> dict[str, Any]:
        """What a whole message adds to the deltas before it, as a delta: MiniMax ends a stream with one."""
        message = read_message(members)
        # Of a list, what came before is left out by its items.
        unseen = {
            name: value
            for name, value in message.extras.items()
            if name not in self._extras or isinstance(value, list)
        }
        unseen.update({name: members[name] for name in ("error", "usage") if members.get(name)})
        self.texts = ["".join(self.texts)]
        unseen["content"] = _suffix(self.texts[0] + self._text.held, message.text)
        reasoning = whole(message.reasoning)
        if reasoning is not NO_REASONING:
            known = "".join(part.text for part in self._reasoning)
            field = reasoning.field or reasoning.details_field or TEXT_FIELDS[0]
            unseen[field] = _suffix(known, reasoning.text)
            if reasoning.details_field and not any(part.details for part in self._reasoning):
                unseen[reasoning.details_field] = list(reasoning.details)
        unseen["refusal"] = _suffix("".join(self._refusals), message.refusal)
        unseen["tool_calls"] = message.tool_call_entries[len(self.tool_calls) :]
        return unseen

    def finish(self, chunk: Mapping[str, Any]) -> ChatDelta | None:
        """What the end of the stream adds: missing ids of tool calls, and texts that were held back."""
        thought, text = self._separate(self._text.finish())
        if self._think_tags is not None:
            more_thought, more_text = self._think_tags.finish()
            thought, text = thought + more_thought, text + more_text
        thought = self._reasoning_text.finish() + thought
        if text:
            self.texts.append(text)
        if thought:
            self._reasoning.append(Reasoning(thought))
        tool_calls = self.tool_calls.finish()
        if not (text or thought or tool_calls):
            return None
        return ChatDelta(text, Reasoning(thought) if thought else NO_REASONING, "", tool_calls, None, chunk)

    def choice(self) -> ChatChoice:
        """The choice so far."""
        return ChatChoice(
            text="".join(self.texts) + self._text.held,
            reasoning=join_reasoning(self._reasoning),
            refusal="".join(self._refusals),
            tool_calls=self.tool_calls.tool_calls(is_cut=was_cut(self.finish_reason)),
            finish_reason=self.finish_reason,
            logprobs=self._logprobs or None,
            extras=_join_pieces(self._extras),
            metadata=_join_pieces(self._metadata),
        )


def _add_pieces(pieces: dict[str, list[Any]], members: Mapping[str, Any]) -> None:
    for name, value in members.items():
        pieces.setdefault(name, []).append(value)


def _join_pieces(pieces: Mapping[str, list[Any]]) -> dict[str, Any]:
    return {name: join_members(values) for name, values in pieces.items()}


def _suffix(known: str, whole: str) -> str:
    """The rest of a text after the known part, `""` when it does not begin with that part."""
    return whole[len(known) :] if whole.startswith(known) else ""
