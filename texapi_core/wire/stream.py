"""A streamed answer put together, without I/O: `StreamState.feed(chunk)` makes one chunk into one delta."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from texapi_core.wire.error_answers import (
    raise_for_error,
    raise_for_error_object,
    raise_for_failed_choice,
    raise_for_groq_error,
)
from texapi_core.wire.json import parse_json_object
from texapi_core.wire.message import (
    KNOWN_MESSAGE_FIELDS,
    choice_index,
    choice_metadata,
    logprobs_of,
    message_extras,
    read_choices,
    read_finish_reason,
)
from texapi_core.wire.reasoning import (
    NO_CONTENT,
    NO_REASONING,
    TEXT_FIELDS,
    Reasoning,
    merge_details,
    read_reasoning,
    split_content,
)
from texapi_core.wire.reply import find_usage, reply_extras, with_usage
from texapi_core.wire.scalars import string, text_or_none, timestamp
from texapi_core.wire.sse import ServerSentEvent
from texapi_core.wire.surrogates import (
    join_split_surrogates,
    may_hold_lone_surrogates,
    replace_lone_surrogates,
)
from texapi_core.wire.tool_calls import ToolCallAssembler, ToolCallDelta, tool_call_entries
from texapi_core.wire.usage import TokenUsage, merge_usage
from texapi_core.wire.values import ChatChoice, ChatDelta, ChatReply, CutStream, ErrorAnswer, MalformedAnswer

_DONE = b"[DONE]"
_CHUNK_FIELDS = frozenset({"choices", "object", "usage"})
"""Members of a chunk that are read from each one in their own way."""
_ALWAYS_READ = frozenset({"error", "type", "x_groq"})
"""Members that may say something new in a later chunk."""
_BARE_CHOICE_FIELDS = frozenset({"index", "delta", "finish_reason", "logprobs"})
_PLAIN_DELTA_FIELDS = frozenset({"role", "content"})


class StreamState:
    """What is known of a streamed answer so far."""

    def __init__(self) -> None:
        self.done = False
        """Whether `[DONE]` came."""
        self._texts: list[str] = []
        self._reasoning_texts: list[str] = []
        self._reasoning_field: str | None = None
        self._details: list[Mapping[str, Any]] = []
        self._details_field: str | None = None
        self._refusals: list[str] = []
        self._tool_calls = ToolCallAssembler()
        self._finish_reason: str | None = None
        self._logprobs: dict[str, list[Any]] = {}
        self._message_extras: dict[str, Any] = {}
        self._choice_metadata: dict[str, Any] = {}
        self._usage: TokenUsage | None = None
        self._raw_usage: dict[str, Any] = {}
        self._model: str | None = None
        self._id: str | None = None
        self._created: int | None = None
        self._extras: dict[str, Any] = {}
        self._seen_fields = set(_CHUNK_FIELDS)
        self._raw: Mapping[str, Any] = {}
        self._has_choice = False
        self._index = 0
        """Index of the choice that is read."""
        self._deferred_chunks: list[dict[str, Any]] = []
        """Chunks of other choices alone, from before the first chunk of choice 0."""
        self._message_is_delta = False
        """Whether the stream calls its deltas messages."""
        self._pending_surrogates: dict[str, str] = {}
        """Field of a delta -> the high surrogate that its text ended in."""

    @property
    def text(self) -> str:
        """The text so far."""
        if len(self._texts) > 1:
            self._texts = ["".join(self._texts)]
        return self._texts[0] if self._texts else ""

    @property
    def usage(self) -> TokenUsage | None:
        """The usage as far as the gateway has reported it."""
        return self._usage

    def feed_event(self, event: ServerSentEvent) -> ChatDelta | None:
        """What one event adds, `None` when it adds nothing to see.

        Raises `ErrorAnswer` for an error in the stream, `MalformedAnswer` for data that is no JSON.
        """
        name, data = event
        if name == "error":
            raise ErrorAnswer(_error_of(data.strip()))
        if data.startswith(b"{"):
            return self.feed(self._chunk_of(data))
        data = data.strip()
        if data.startswith(_DONE):
            self.done = True
            return None
        return self.feed(self._chunk_of(data)) if data else None

    def _chunk_of(self, data: bytes) -> dict[str, Any]:
        """The chunk, with characters whole that were torn between it and the one before."""
        if not self._pending_surrogates and not (b"\\u" in data and may_hold_lone_surrogates(data)):
            try:
                return parse_json_object(data)
            except MalformedAnswer:
                whole_characters = data.decode("utf-8", "replace").encode()
                if whole_characters == data:
                    raise
                return parse_json_object(whole_characters)  # one bad byte is no reason to end a stream
        chunk = parse_json_object(data, keep_surrogates=True)
        for choice in read_choices(chunk):
            if choice_index(choice) == 0 and isinstance(delta := choice.get("delta"), dict):
                join_split_surrogates(delta, self._pending_surrogates)
        whole: dict[str, Any] = replace_lone_surrogates(chunk)
        return whole

    def feed(self, chunk: dict[str, Any]) -> ChatDelta | None:
        """What one chunk adds, `None` when it adds nothing to see."""
        delta = self._bare_delta(chunk)
        if delta is not None:
            self._raw = chunk
            self._has_choice = True
            content = delta.get("content")
            if content and isinstance(content, str) and _PLAIN_DELTA_FIELDS.issuperset(delta):
                self._texts.append(content)
                return ChatDelta(content, raw=chunk)
            return self._full_delta(delta, None, chunk)
        if not self._seen_fields.issuperset(chunk) or chunk.get("object") == "error":
            self._record_envelope(chunk)
        self._raw = chunk
        if chunk.get("usage"):
            self._record_usage(chunk)
        return self._feed_choices(read_choices(chunk), chunk)

    def _bare_delta(self, chunk: dict[str, Any]) -> dict[str, Any] | None:
        """The delta of a chunk in which nothing else is new, as in nearly every one, else `None`."""
        choices = chunk.get("choices")
        if not (isinstance(choices, list) and len(choices) == 1 and self._seen_fields.issuperset(chunk)):
            return None
        choice = choices[0]
        if chunk.get("usage") or chunk.get("object") == "error" or not isinstance(choice, dict):
            return None
        if not _BARE_CHOICE_FIELDS.issuperset(choice) or choice.get("index") != self._index:
            return None
        delta = choice.get("delta")
        if choice.get("finish_reason") or choice.get("logprobs") or not isinstance(delta, dict):
            return None
        return delta if delta and "usage" not in delta else None

    def _feed_choices(self, choices: list[dict[str, Any]], chunk: dict[str, Any]) -> ChatDelta | None:
        mine = None
        for choice in choices:
            if choice_index(choice) != self._index:
                raise_for_failed_choice(choice)
            elif mine is None:
                mine = choice
        if mine is not None:
            return self._feed_choice(mine, chunk)
        if choices and not self._has_choice:
            self._deferred_chunks.append(chunk)
        return None

    def read_deferred_chunks(self) -> Iterator[ChatDelta]:
        """The deltas of a stream that has ended and has no choice 0: its lowest choice is the answer."""
        if self._has_choice or not self._deferred_chunks:
            return
        chunks, self._deferred_chunks, last = self._deferred_chunks, [], self._raw
        self._index = min(choice_index(choice) for chunk in chunks for choice in read_choices(chunk))
        for chunk in chunks:
            if (delta := self.feed(chunk)) is not None:
                yield delta
        self._raw = last

    def _record_envelope(self, chunk: Mapping[str, Any]) -> None:
        """Members outside of `choices`. Most chunks repeat those of the first, and are not looked at."""
        raise_for_error_object(chunk)
        for name, value in chunk.items():
            if value is None or name in _CHUNK_FIELDS:
                continue
            if value and name not in _ALWAYS_READ:
                self._seen_fields.add(name)
            if name == "x_groq":
                raise_for_groq_error(chunk)
                self._record_usage(chunk)
            elif name == "id":
                self._id = self._id or text_or_none(value)
            elif name == "model":
                self._model = self._model or text_or_none(value)
            elif name == "created":
                self._created = self._created or timestamp(value)
            else:
                self._extras[name] = value

    def _record_usage(self, chunk: Mapping[str, Any]) -> None:
        self._usage = merge_usage(self._usage, find_usage(chunk))
        reported = chunk.get("usage")
        if isinstance(reported, dict):
            self._raw_usage.update(reported)

    def _feed_choice(self, choice: dict[str, Any], chunk: dict[str, Any]) -> ChatDelta | None:
        self._has_choice = True
        finish_reason = choice.get("finish_reason")
        if finish_reason or choice.get("error"):
            raise_for_error(chunk)
            self._finish_reason = read_finish_reason(choice) or self._finish_reason
            self._choice_metadata = choice_metadata(choice)
        if "usage" in choice and not chunk.get("usage"):
            self._usage = merge_usage(self._usage, find_usage(chunk))
        delta = choice.get("delta")
        if not delta or not isinstance(delta, dict):
            delta = choice.get("message")
            delta = self._unseen_part(delta) if isinstance(delta, dict) else {"content": choice.get("text")}
        logprobs = logprobs_of(choice) if choice.get("logprobs") else None
        if logprobs:
            self._record_logprobs(logprobs)
        if "usage" in delta and not chunk.get("usage"):
            self._usage = merge_usage(self._usage, find_usage(chunk))
        return self._full_delta(delta, logprobs, chunk)

    def _unseen_part(self, message: dict[str, Any]) -> dict[str, Any]:
        """What a message adds to the deltas before it: MiniMax ends a stream with the whole one."""
        known = self.text or self._reasoning_texts or self._details or self._refusals or self._tool_calls
        if self._message_is_delta or not known:
            self._message_is_delta = True
            return message
        text, part_reasoning, _ = split_content(message.get("content"))
        reasoning = read_reasoning(message)
        news = {name: value for name, value in message.items() if name == "error"}
        news["content"] = _suffix(self.text, text)
        news[reasoning.field or TEXT_FIELDS[0]] = _suffix(
            "".join(self._reasoning_texts), reasoning.text or part_reasoning
        )
        news["refusal"] = _suffix("".join(self._refusals), string(message.get("refusal")))
        news["tool_calls"] = tool_call_entries(message)[len(self._tool_calls) :]
        if reasoning.details_field and not self._details:
            news[reasoning.details_field] = list(reasoning.details)
        extras = message_extras(message).items()
        news.update((name, value) for name, value in extras if name not in self._message_extras)
        return news

    def _full_delta(
        self,
        delta: Mapping[str, Any],
        logprobs: Mapping[str, Any] | None,
        chunk: Mapping[str, Any],
    ) -> ChatDelta | None:
        if delta.get("error"):
            raise ErrorAnswer(delta["error"])
        content = delta.get("content")
        is_empty = content is None or content == ""
        text, part_reasoning, other_parts = NO_CONTENT if is_empty else split_content(content)
        reasoning = read_reasoning(delta)
        if part_reasoning and not reasoning.text:
            reasoning = Reasoning(part_reasoning, None, reasoning.details, reasoning.details_field)
        refusal = string(delta.get("refusal"))
        tool_calls: tuple[ToolCallDelta, ...] = ()
        if delta.get("tool_calls") or delta.get("function_call"):
            tool_calls = self._tool_calls.feed(tool_call_entries(delta))
        extras = {} if KNOWN_MESSAGE_FIELDS.issuperset(delta) else message_extras(delta)
        self._record_message(text, reasoning, refusal, other_parts, extras)
        new = text or reasoning is not NO_REASONING or refusal or tool_calls or logprobs
        if not (new or other_parts or extras):
            return None
        return ChatDelta(text, reasoning, refusal, tool_calls, logprobs, chunk)

    def _record_message(
        self,
        text: str,
        reasoning: Reasoning,
        refusal: str,
        other_parts: tuple[Mapping[str, Any], ...],
        extras: Mapping[str, Any],
    ) -> None:
        if text:
            self._texts.append(text)
        if reasoning.text:
            self._reasoning_texts.append(reasoning.text)
            self._reasoning_field = self._reasoning_field or reasoning.field
        if reasoning.details:
            self._details.extend(reasoning.details)
            self._details_field = reasoning.details_field
        if refusal:
            self._refusals.append(refusal)
        if other_parts:
            self._message_extras.setdefault("content_parts", []).extend(other_parts)
        for name, value in extras.items():
            self._message_extras[name] = _joined(self._message_extras.get(name), value)

    def _record_logprobs(self, logprobs: Mapping[str, Any]) -> None:
        for name, tokens in logprobs.items():
            if isinstance(tokens, list):
                self._logprobs.setdefault(name, []).extend(tokens)

    @property
    def has_finished(self) -> bool:
        """Whether the model has said why it stopped."""
        return self._finish_reason is not None

    def finish(self, *, stray_lines: Sequence[bytes] = ()) -> ChatDelta | None:
        """What the end of the stream adds: ids for tool calls that came without one.

        Raises `MalformedAnswer` when the stream ended before the answer did, or when something else,
        `stray_lines`, stood where the rest of the answer should be.
        """
        if stray_lines and not self.has_finished:
            _raise_for_stray_error(stray_lines)
            stray = b"\n".join(stray_lines)
            raise MalformedAnswer("a stream broken by other text", stray, self._usage)
        if not self._has_choice:
            raise MalformedAnswer("a stream without an answer", json.dumps(dict(self._raw)), self._usage)
        if not self.done and self._finish_reason is None:
            raise CutStream("a stream cut before its end", usage=self._usage)
        tool_calls = self._tool_calls.finish()
        return ChatDelta(tool_calls=tool_calls, raw=self._raw) if tool_calls else None

    def reply(self, *, request_id: str | None, headers: Mapping[str, str]) -> ChatReply:
        """The answer so far, in the form of a whole one."""
        reasoning = NO_REASONING
        if self._reasoning_texts or self._details:
            reasoning = Reasoning(
                "".join(self._reasoning_texts),
                self._reasoning_field,
                merge_details(self._details),
                self._details_field,
            )
        choice = ChatChoice(
            text=self.text,
            reasoning=reasoning,
            refusal="".join(self._refusals),
            tool_calls=self._tool_calls.tool_calls(),
            finish_reason=self._finish_reason,
            logprobs=self._logprobs or None,
            extras=self._message_extras,
            metadata=self._choice_metadata,
        )
        return ChatReply(
            choices=(choice,),
            usage=self._usage,
            model=self._model,
            id=self._id,
            created=self._created,
            request_id=request_id,
            headers=headers,
            extras={**reply_extras(self._extras), **reply_extras(self._raw)},
            raw=with_usage(self._last_chunk(), self._raw_usage, self._usage),
        )

    def _last_chunk(self) -> Mapping[str, Any]:
        """The last chunk, with a list of choices: by it LlamaIndex's handlers know an answer."""
        return self._raw if isinstance(self._raw.get("choices"), list) else {**self._raw, "choices": []}


def _joined(old: Any, new: Any) -> Any:
    """A member of a message that comes in pieces, such as `audio`: lists and base64 data grow."""
    if isinstance(old, list) and isinstance(new, list):
        return [*old, *new]
    if isinstance(old, dict) and isinstance(new, dict):
        grown = {
            name: old[name] + new[name]
            for name in ("data", "transcript")
            if isinstance(old.get(name), str) and isinstance(new.get(name), str)
        }
        return {**old, **new, **grown}
    return new


def _suffix(known: str, whole: str) -> str:
    """What a whole text adds to the part that is known of it, nothing when it is another text."""
    return whole[len(known) :] if whole.startswith(known) else ""


def _error_of(data: bytes) -> Any:
    try:
        body = parse_json_object(data)
    except MalformedAnswer:
        return data.decode("utf-8", "replace")
    return body.get("error") or body


def _raise_for_stray_error(lines: Sequence[bytes]) -> None:
    """Raise `ErrorAnswer` when lines that are no events are an error: over many of them, or in the first."""
    with contextlib.suppress(MalformedAnswer):
        raise_for_error_object(parse_json_object(b"\n".join(lines)))
    if b"error" in lines[0]:
        raise ErrorAnswer(_error_of(lines[0]))
