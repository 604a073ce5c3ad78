"""What a stream adds up to, field by field: `GrowingReply` and `GrowingChoice` mirror whole ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from texapi_core.wire.choices import (
    Message,
    choice_metadata,
    logprobs_of,
    read_choices,
    read_finish_reason,
    read_message,
)
from texapi_core.wire.error_answers import raise_for_error_object, raise_for_groq_error
from texapi_core.wire.finish_reasons import later_reason, was_cut
from texapi_core.wire.pieces import GrowingText, ThinkTags, join_members
from texapi_core.wire.reasoning import (
    NO_REASONING,
    TEXT_FIELDS,
    Reasoning,
    add_thought,
    join_reasoning,
    whole,
)
from texapi_core.wire.reply import reply_extras
from texapi_core.wire.scalars import text_or_none, timestamp
from texapi_core.wire.tool_calls import ToolCallAssembler, ToolCallDelta
from texapi_core.wire.usage import TokenUsage, find_usage, merge_usage, with_usage
from texapi_core.wire.values import ChatChoice, ChatDelta, ChatReply

_CHUNK_FIELDS = frozenset({"choices", "object", "usage"})
"""Members of a chunk that `StreamState.feed` reads from each one."""
_REPEATED_FIELDS = frozenset({"error", "type", "usage_metadata", "x_groq"})
"""Members that can bring something new in a later chunk."""


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


class GrowingReply:
    """A `ChatReply` while it streams, without its choice."""

    def __init__(self) -> None:
        self.usage: TokenUsage | None = None
        self._reported_usage: dict[str, Any] = {}
        self._model: str | None = None
        self._id: str | None = None
        self._created: int | None = None
        self._extras: dict[str, Any] = {}
        self.raw: Mapping[str, Any] = {}
        """The last chunk."""
        self.seen_fields = set(_CHUNK_FIELDS)
        """Members that a later chunk can only repeat."""

    def record_envelope(self, chunk: Mapping[str, Any], *, has_content: bool) -> None:
        """Take the members of a chunk beside its `choices`. Raises `ErrorAnswer` for an error."""
        raise_for_error_object(chunk, has_content=has_content)
        for name, value in chunk.items():
            if value is None or name in _CHUNK_FIELDS:
                continue
            if value and name not in _REPEATED_FIELDS:
                self.seen_fields.add(name)
            if name == "x_groq":
                raise_for_groq_error(chunk)
                self.record_usage(chunk)
            elif name == "id":
                self._id = self._id or text_or_none(value)
            elif name == "model":
                self._model = self._model or text_or_none(value)
            elif name == "created":
                self._created = self._created or timestamp(value)
            else:
                self._extras[name] = value

    def record_usage(self, chunk: Mapping[str, Any]) -> dict[str, Any]:
        """Merge the usage that a chunk reports. Returns the chunk with the usage so far."""
        usage, reported = find_usage(chunk, read_choices(chunk))
        if usage is not None:
            self.usage = merge_usage(self.usage, usage)
            self._reported_usage.update(reported)
        return with_usage(chunk, reported, self.usage)

    def reply(self, choice: ChatChoice, *, request_id: str | None, headers: Mapping[str, str]) -> ChatReply:
        """The reply so far, with its one choice."""
        # LlamaIndex's handlers recognise an answer by its list of choices.
        has_choices = isinstance(self.raw.get("choices"), list)
        raw = self.raw if has_choices else {**self.raw, "choices": []}
        return ChatReply(
            choices=(choice,),
            usage=self.usage,
            model=self._model,
            id=self._id,
            created=self._created,
            request_id=request_id,
            headers=headers,
            extras={**reply_extras(self._extras), **reply_extras(self.raw)},
            raw=with_usage(raw, self._reported_usage, self.usage),
        )


def _add_pieces(pieces: dict[str, list[Any]], members: Mapping[str, Any]) -> None:
    for name, value in members.items():
        pieces.setdefault(name, []).append(value)


def _join_pieces(pieces: Mapping[str, list[Any]]) -> dict[str, Any]:
    return {name: join_members(values) for name, values in pieces.items()}


def _suffix(known: str, whole: str) -> str:
    """The rest of a text after the known part, `""` when it does not begin with that part."""
    return whole[len(known) :] if whole.startswith(known) else ""
