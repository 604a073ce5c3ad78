"""Whole answers of the gateway, in or without an envelope, and what a stream adds up to beside its choice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from texapi_core.wire.choices import parse_choices, read_choices
from texapi_core.wire.error_answers import (
    is_error,
    is_message,
    other_protocol,
    raise_for_error,
    raise_for_error_object,
    raise_for_groq_error,
)
from texapi_core.wire.generated import storable
from texapi_core.wire.json import parse_json_object
from texapi_core.wire.scalars import text_or_none, timestamp
from texapi_core.wire.usage import USAGE_FIELDS, TokenUsage, find_usage, merge_usage, with_usage
from texapi_core.wire.values import ChatChoice, ChatReply, MalformedAnswer

_KNOWN_REPLY_FIELDS = frozenset(("id", "object", "created", "model", "choices", *USAGE_FIELDS, "x_groq"))
_CHUNK_FIELDS = frozenset({"choices", "object", "usage"})
"""Members of a chunk that `StreamState.feed` reads from each one."""
_REPEATED_FIELDS = frozenset({"error", "type", "usage_metadata", "x_groq"})
"""Members that can bring something new in a later chunk."""
_MAX_ENVELOPES = 3
"""Nested envelopes around an answer."""


def parse_reply(
    body: Mapping[str, Any],
    *,
    request_id: str | None,
    headers: Mapping[str, str],
    think_tags: bool = False,
) -> ChatReply:
    """A whole answer as a `ChatReply`. Raises `ErrorAnswer` or `MalformedAnswer`."""
    body = unwrap(body)
    found = read_choices(body)
    raise_for_error(body, found)
    choices = parse_choices(found, think_tags=think_tags)
    usage, reported = find_usage(body, found)
    if not choices:
        raise MalformedAnswer(
            f"an answer {other_protocol(body) or 'without choices'}", json.dumps(body), usage
        )
    return ChatReply(
        choices=choices,
        usage=usage,
        raw=with_usage(body, reported, usage),
        model=text_or_none(body.get("model")),
        id=text_or_none(body.get("id")),
        created=timestamp(body.get("created")),
        request_id=request_id,
        headers=headers,
        extras=reply_extras(body),
    )


def unwrap(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The chat completion in an envelope, such as `{"code": 200, "data": {...}}`, or `body` itself.

    Any member may hold it, also as JSON text: of relays `data`, of DashScope `output`, of API gateways
    `body`. Workers AI of Cloudflare has a text in place of choices, in `result` or, streamed, at the top;
    Ollama has a message.
    """
    if "choices" in body or is_error(body.get("error")):
        return body
    level: list[Mapping[str, Any]] = [body]
    for _ in range(_MAX_ENVELOPES):
        values = (value for holder in level for value in holder.values())
        level = [inner for value in values if (inner := _object_in(value)) is not None]
        for inner in level:
            if "choices" in inner:
                return {**_origin(body), **inner}
    answer = body.get("result", body)
    if isinstance(answer, dict) and isinstance(answer.get("response"), str):
        answer = {**_origin(body), **answer}
        return {"choices": [{"index": 0, "message": {"content": answer.pop("response")}}], **answer}
    return _ollama_completion(body) if is_message(body.get("message")) and "done" in body else body


def _object_in(value: Any) -> Mapping[str, Any] | None:
    """The object that a member of an envelope is, or holds in a list or as JSON text."""
    if isinstance(value, str) and '"choices"' in value:
        try:
            return parse_json_object(value.encode())
        except MalformedAnswer:
            return None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, dict) else None


def _ollama_completion(body: Mapping[str, Any]) -> dict[str, Any]:
    # https://github.com/ollama/ollama/blob/main/docs/api.md#generate-a-chat-completion
    reason = body.get("done_reason") or ("stop" if body["done"] else None)
    counts = {name: body[name] for name in ("prompt_eval_count", "eval_count") if name in body}
    others = {name: value for name, value in body.items() if name not in ("message", *counts)}
    choice = {"index": 0, "message": body["message"], "finish_reason": reason}
    return {**others, "choices": [choice], "usage": counts or None}


def _origin(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in ("id", "model", "created", "usage") if name in body}


def reply_extras(body: Mapping[str, Any]) -> dict[str, Any]:
    """Members of an answer that `ChatReply` has no field for."""
    return {
        name: value if type(value) is str else storable(value)
        for name, value in body.items()
        if name not in _KNOWN_REPLY_FIELDS and value is not None and (name != "error" or is_error(value))
    }


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
