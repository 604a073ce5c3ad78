"""Bytes of answers, whole and streamed, and `texapi_core.wire` reading them."""

from __future__ import annotations

import json
from typing import Any

from texapi_core import ChatReply
from texapi_core.wire.json import parse_json_object
from texapi_core.wire.reader import StreamReader
from texapi_core.wire.reply import parse_reply
from texapi_core.wire.values import ChatDelta

COMPLETION = {
    "id": "c1",
    "choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}
STOP = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def events(*chunks: Any) -> bytes:
    return b"".join(b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"


def delta_events(*deltas: dict[str, Any], end: str | None = "stop") -> bytes:
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": end}]}
    return events(*({"choices": [{"index": 0, "delta": delta}]} for delta in deltas), last)


def _read(body: bytes, *, think_tags: bool = False) -> tuple[list[ChatDelta], ChatReply]:
    reader = StreamReader(think_tags=think_tags)
    deltas = [*reader.feed(body), *reader.finish()]
    return deltas, reader.state.reply(request_id=None, headers={})


def read_stream(body: bytes, *, think_tags: bool = False) -> ChatReply:
    """The reply, after a check that its deltas add up to it."""
    deltas, reply = _read(body, think_tags=think_tags)
    assert "".join(delta.text for delta in deltas) == reply.choice.text
    assert "".join(delta.reasoning.text for delta in deltas) == reply.choice.reasoning.text
    for index, call in enumerate(reply.choice.tool_calls):
        pieces = [piece for delta in deltas for piece in delta.tool_calls if piece.index == index]
        assert "".join(piece.arguments for piece in pieces) == call.arguments
    return reply


def read_whole(body: Any, *, think_tags: bool = False) -> ChatReply:
    document = parse_json_object(json.dumps(body).encode())
    return parse_reply(document, request_id=None, headers={}, think_tags=think_tags)
