"""What a stream adds up to, field by field: `GrowingReply` and `GrowingChoice` mirror whole ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from texapi_core.wire.generated import merged
from texapi_core.wire.reasoning import NO_REASONING, TEXT_FIELDS, Reasoning, join_reasoning
from texapi_core.wire.reply import (
    Message,
    choice_metadata,
    find_usage,
    logprobs_of,
    message_extras,
    raise_for_error_object,
    raise_for_groq_error,
    read_finish_reason,
    read_message,
    reply_extras,
    text_or_none,
    timestamp,
    with_usage,
)
from texapi_core.wire.tool_calls import ToolCallAssembler, ToolCallDelta
from texapi_core.wire.usage import TokenUsage, merge_usage
from texapi_core.wire.values import ChatChoice, ChatDelta, ChatReply

_CHUNK_FIELDS = frozenset({"choices", "object", "usage"})
"""Members of a chunk that `StreamState.feed` reads from each one."""
_REPEATED_FIELDS = frozenset({"error", "type", "usage_metadata", "x_groq"})
"""Members that can bring something new in a later chunk."""


class GrowingChoice:
    """A `ChatChoice` while it streams."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._reasoning: list[Reasoning] = []
        self._refusals: list[str] = []
        self.tool_calls = ToolCallAssembler()
        self.finish_reason: str | None = None
        self._logprobs: dict[str, list[Any]] = {}
        self._extras: dict[str, Any] = {}
        self._metadata: dict[str, Any] = {}

    @property
    def has_content(self) -> bool:
        """Whether text, reasoning, a refusal or a tool call has come."""
        return bool(self.texts or self._reasoning or self._refusals or self.tool_calls)

    def add(
        self, message: Message, logprobs: Mapping[str, Any] | None, chunk: Mapping[str, Any]
    ) -> ChatDelta | None:
        """Add the message of a chunk. Returns what it adds, `None` when that is nothing."""
        if message.text:
            self.texts.append(message.text)
        if message.reasoning is not NO_REASONING:
            self._reasoning.append(message.reasoning)
        if message.refusal:
            self._refusals.append(message.refusal)
        tool_calls: tuple[ToolCallDelta, ...] = ()
        if message.tool_call_entries:
            tool_calls = self.tool_calls.feed(message.tool_call_entries)
        if message.extras:
            for name, value in message.extras.items():
                self._extras[name] = merged(self._extras.get(name), value)
        is_new = message.text or message.reasoning is not NO_REASONING or message.refusal or tool_calls
        if not (is_new or logprobs or message.extras):
            return None
        return ChatDelta(message.text, message.reasoning, message.refusal, tool_calls, logprobs, chunk)

    def add_logprobs(self, choice: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Add the log probabilities of a choice, and return them."""
        logprobs = logprobs_of(choice)
        for name, tokens in (logprobs or {}).items():
            self._logprobs.setdefault(name, []).extend(tokens)
        return logprobs

    def record_end(self, choice: Mapping[str, Any]) -> None:
        """Take the finish reason of a choice, and its metadata."""
        self.finish_reason = read_finish_reason(choice) or self.finish_reason
        self._metadata = choice_metadata(choice)

    def unseen_part(self, members: Mapping[str, Any]) -> dict[str, Any]:
        """What a whole message adds to the deltas before it, as a delta: MiniMax ends a stream with one."""
        message, extras = read_message(members), message_extras(members)
        unseen = {name: value for name, value in extras.items() if name not in self._extras}
        unseen["error"] = members.get("error")
        unseen["content"] = _suffix("".join(self.texts), message.text)
        known, reasoning = join_reasoning(self._reasoning), message.reasoning
        field = reasoning.field or reasoning.details_field or TEXT_FIELDS[0]
        unseen[field] = _suffix(known.text, reasoning.text)
        if reasoning.details_field and not known.details:
            unseen[reasoning.details_field] = list(reasoning.details)
        unseen["refusal"] = _suffix("".join(self._refusals), message.refusal)
        unseen["tool_calls"] = message.tool_call_entries[len(self.tool_calls) :]
        return unseen

    def choice(self) -> ChatChoice:
        """The choice so far."""
        return ChatChoice(
            text="".join(self.texts),
            reasoning=join_reasoning(self._reasoning),
            refusal="".join(self._refusals),
            tool_calls=self.tool_calls.tool_calls(),
            finish_reason=self.finish_reason,
            logprobs=self._logprobs or None,
            extras=self._extras,
            metadata=self._metadata,
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

    def record_envelope(self, chunk: Mapping[str, Any]) -> None:
        """Take the members of a chunk beside its `choices`. Raises `ErrorAnswer` for an error."""
        raise_for_error_object(chunk)
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
        usage, reported = find_usage(chunk)
        if usage is not None:
            self.usage = merge_usage(self.usage, usage)
            self._reported_usage.update(reported)
        return with_usage(chunk, self._reported_usage, self.usage)

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


def _suffix(known: str, whole: str) -> str:
    """The rest of a text after the known part, `""` when it does not begin with that part."""
    return whole[len(known) :] if whole.startswith(known) else ""
