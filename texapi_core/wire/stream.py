"""A streamed answer put together, without I/O: `StreamState.feed(chunk)` turns one chunk into one delta."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from texapi_core.wire.choices import GrowingChoice, choice_index, message_of, read_choices, read_message
from texapi_core.wire.error_answers import is_error, other_protocol, raise_for_error, raise_for_failed_choice
from texapi_core.wire.json import parse_json_object
from texapi_core.wire.reasoning import TEXT_FIELDS
from texapi_core.wire.reply import GrowingReply, unwrap
from texapi_core.wire.sse import ServerSentEvent
from texapi_core.wire.surrogates import (
    join_split_surrogates,
    may_hold_lone_surrogates,
    replace_lone_surrogates,
)
from texapi_core.wire.usage import TokenUsage
from texapi_core.wire.values import ChatDelta, ChatReply, CutStream, ErrorAnswer, MalformedAnswer

_DONE = b"[DONE]"
_BARE_CHOICE_FIELDS = frozenset({"index", "delta", "finish_reason", "logprobs"})
_TEXT_FIELDS = frozenset({"content", "refusal", *TEXT_FIELDS})
"""Members of a delta whose texts are joined."""
_PLAIN_DELTA_FIELDS = frozenset({"role", "content"})


class StreamState:
    """The state of a streamed answer."""

    def __init__(self, *, think_tags: bool = False) -> None:
        self.done = False
        """Whether `[DONE]` came."""
        self._reply = GrowingReply()
        self._choice = GrowingChoice(think_tags=think_tags)
        self._has_choice = False
        self._index = 0
        """Index of the choice that is read."""
        self._deferred_chunks: list[dict[str, Any]] = []
        """Chunks with other choices only, from before the first chunk of choice 0."""
        self._message_is_delta = False
        """Whether the stream calls its deltas messages."""
        self._pending_surrogates: dict[str, str] = {}
        """Field of a delta -> the high surrogate that its text ended in."""

    @property
    def usage(self) -> TokenUsage | None:
        """The usage as far as the gateway has reported it."""
        return self._reply.usage

    @property
    def has_finished(self) -> bool:
        """Whether the model has given its finish reason."""
        return self._choice.finish_reason is not None

    def feed_event(self, event: ServerSentEvent) -> ChatDelta | None:
        """What one event adds, `None` when that is nothing.

        Raises `ErrorAnswer` for an error in the stream, `MalformedAnswer` for data that is no JSON.
        """
        name, data = event
        if name == "error":
            raise ErrorAnswer(parse_error(data.strip()))
        if data[:1] == b"{":
            return self.feed(self._parse_chunk(data))
        data = data.strip()
        if data.startswith(_DONE):
            self.done = True
            return None
        return self.feed(self._parse_chunk(data)) if data else None

    def _parse_chunk(self, data: bytes) -> dict[str, Any]:
        """The chunk, its texts completed where the chunk before ended inside a character."""
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
                join_split_surrogates(delta, _TEXT_FIELDS, self._pending_surrogates)
        whole: dict[str, Any] = replace_lone_surrogates(chunk)
        return whole

    def feed(self, chunk: dict[str, Any]) -> ChatDelta | None:
        """What one chunk adds, `None` when that is nothing."""
        delta = self._bare_delta(chunk)
        if delta is not None:
            self._reply.raw = chunk
            self._has_choice = True
            content = delta["content"] if "content" in delta else None
            if (
                content
                and self._choice.is_plain
                and type(content) is str
                and _PLAIN_DELTA_FIELDS.issuperset(delta)
            ):
                self._choice.texts.append(content)
                return ChatDelta(content, raw=chunk)
            return self._feed_delta(delta, None, chunk)
        if "choices" not in chunk:
            chunk = dict(unwrap(chunk))
        if not self._reply.seen_fields.issuperset(chunk) or chunk.get("object") == "error":
            self._reply.record_envelope(chunk, has_content=self._choice.has_content)
        if chunk.get("usage") or "usage_metadata" in chunk:
            chunk = self._reply.record_usage(chunk)
        self._reply.raw = chunk
        return self._feed_choices(read_choices(chunk), chunk)

    def _bare_delta(self, chunk: dict[str, Any]) -> dict[str, Any] | None:
        """The delta of a chunk in which nothing else is new, as in nearly every one, else `None`.

        Written with `in` and `type`, since `get` and `isinstance` would be ten function calls for each chunk.
        """
        choices = chunk["choices"] if "choices" in chunk else None
        if type(choices) is not list or len(choices) != 1 or not self._reply.seen_fields.issuperset(chunk):
            return None
        if ("usage" in chunk and chunk["usage"]) or ("object" in chunk and chunk["object"] == "error"):
            return None
        choice = choices[0]
        if type(choice) is not dict or not _BARE_CHOICE_FIELDS.issuperset(choice):
            return None
        if "index" not in choice or choice["index"] != self._index:
            return None
        if ("finish_reason" in choice and choice["finish_reason"]) or (
            "logprobs" in choice and choice["logprobs"]
        ):
            return None
        delta = choice["delta"] if "delta" in choice else None
        return delta if type(delta) is dict and delta and "usage" not in delta else None

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
        """The deltas of a stream that has ended without a choice 0: its lowest choice is the answer."""
        if self._has_choice or not self._deferred_chunks:
            return
        chunks, self._deferred_chunks, last = self._deferred_chunks, [], self._reply.raw
        self._index = min(choice_index(choice) for chunk in chunks for choice in read_choices(chunk))
        for chunk in chunks:
            if (delta := self.feed(chunk)) is not None:
                yield delta
        self._reply.raw = last

    def _feed_choice(self, choice: dict[str, Any], chunk: dict[str, Any]) -> ChatDelta | None:
        self._has_choice = self._has_choice or message_of(choice) is not None
        if choice.get("finish_reason") or choice.get("error"):
            raise_for_error(chunk, read_choices(chunk), has_content=self._choice.has_content)
            self._choice.record_end(choice)
        if not _BARE_CHOICE_FIELDS.issuperset(choice):
            self._choice.add_metadata(choice)
        if "usage" in choice and not chunk.get("usage"):
            self._reply.record_usage(chunk)
        delta = self._delta_of(choice)
        if "usage" in delta and not chunk.get("usage"):
            self._reply.record_usage(chunk)
        logprobs = self._choice.add_logprobs(choice) if choice.get("logprobs") else None
        return self._feed_delta(delta, logprobs, chunk)

    def _delta_of(self, choice: dict[str, Any]) -> dict[str, Any]:
        """The delta of a choice, or what its message stands for: a delta, or all of them repeated."""
        delta, message = choice.get("delta"), choice.get("message")
        has_content = self._choice.has_content
        if isinstance(delta, dict) and delta and (has_content or not message):
            return delta
        if not message or not isinstance(message, dict):
            return message_of({**choice, "message": None}) or {}
        if self._message_is_delta or not has_content:
            self._message_is_delta = not delta
            return message
        return self._choice.unseen_part(message)

    def _feed_delta(
        self, delta: Mapping[str, Any], logprobs: Mapping[str, Any] | None, chunk: Mapping[str, Any]
    ) -> ChatDelta | None:
        if (error := delta.get("error")) and is_error(error) and not self.has_finished:
            raise ErrorAnswer(error)
        return self._choice.add(read_message(delta), logprobs, chunk)

    def read_half_characters(self) -> ChatDelta | None:
        """The delta of characters whose second half has not come by the end of the stream."""
        pending, self._pending_surrogates = self._pending_surrogates, {}
        if not pending:
            return None
        return self._feed_delta(dict.fromkeys(pending, "�"), None, self._reply.raw)

    def finish(self) -> ChatDelta | None:
        """What the end of the stream adds, see `GrowingChoice.finish`.

        Raises `MalformedAnswer` when the stream ended before the answer did.
        """
        raw = self._reply.raw
        if not self._has_choice:
            what = f"a stream {other_protocol(raw) or 'without an answer'}"
            raise MalformedAnswer(what, json.dumps(dict(raw)), self.usage)
        if not self.done and not self.has_finished:
            raise CutStream("a stream cut before its end", usage=self.usage)
        return self._choice.finish(raw)

    def reply(self, *, request_id: str | None, headers: Mapping[str, str]) -> ChatReply:
        """The answer so far, in the form of a whole one."""
        return self._reply.reply(self._choice.choice(), request_id=request_id, headers=headers)


def parse_error(data: bytes) -> Any:
    """The error object in the data of an error event, or its text."""
    try:
        body = parse_json_object(data)
    except MalformedAnswer:
        return data.decode("utf-8", "replace")
    return body.get("error") or body
