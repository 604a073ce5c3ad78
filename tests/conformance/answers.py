"""Gateway answers for the stand-in, whole and streamed."""

from __future__ import annotations

import json
from typing import Any

from tests.gateway import Fault

USAGE = {"prompt_tokens": 1111, "completion_tokens": 222, "total_tokens": 1333}
Event = dict[str, Any]


def whole(message: dict[str, Any], finish_reason: str = "stop", **body: Any) -> Fault:
    """An answer to a request that was not streamed."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}
    return Fault(body={**_HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE, **body})


def stream(*events: Event) -> Fault:
    """A stream of these chunks."""
    lines = [f"data: {json.dumps(event)}\n\n" for event in events]
    return Fault(raw="".join([*lines, "data: [DONE]\n\n"]).encode(), content_type="text/event-stream")


_HEAD = {"id": "chatcmpl-1", "created": 1790000000, "model": "claude-sonnet-4-6"}


def chunk(delta: dict[str, Any] | None = None, finish_reason: str | None = None, **event: Any) -> Event:
    """One chunk of a stream; without a delta it has no choices."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
    return {**_HEAD, "object": "chat.completion.chunk", "choices": choices, **event}


_SAID = [chunk({"role": "assistant", "content": "Hà "}), chunk({"content": "Nội"})]
USAGE_PLACES = {
    "after the end": stream(*_SAID, chunk({}, "stop"), chunk(usage=USAGE)),
    "with the end": stream(*_SAID, chunk({}, "stop", usage=USAGE)),
    "before one more chunk": stream(*_SAID, chunk({}, "stop"), chunk(usage=USAGE), chunk()),
    "on every chunk": stream(*[{**each, "usage": USAGE} for each in (*_SAID, chunk({}, "stop"))]),
}


def _call(index: int | None, id_: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments} if name else {"arguments": arguments}
    call: dict[str, Any] = {"type": "function", "function": function}
    if id_:
        call["id"] = id_
    return call if index is None else {"index": index, **call}


def _calls(*chunks: list[dict[str, Any]]) -> Fault:
    deltas = [chunk({"role": "assistant", "content": None})]
    deltas += [chunk({"tool_calls": calls}) for calls in chunks]
    return stream(*deltas, chunk({}, "tool_calls"), chunk(usage=USAGE))


CALLS = [("add", {"a": 1, "b": 2}), ("multiply", {"a": 3, "b": 4})]
_A1, _A2, _B1, _B2 = '{"a": 1, ', '"b": 2}', '{"a": 3, ', '"b": 4}'
SHAPES = {
    "one after the other": _calls(
        [_call(0, "a", "add", _A1)],
        [_call(0, None, None, _A2)],
        [_call(1, "b", "multiply", _B1)],
        [_call(1, None, None, _B2)],
    ),
    "both in one chunk": _calls([_call(0, "a", "add", _A1 + _A2), _call(1, "b", "multiply", _B1 + _B2)]),
    "interleaved": _calls(
        [_call(0, "a", "add", _A1)],
        [_call(1, "b", "multiply", _B1)],
        [_call(0, None, None, _A2)],
        [_call(1, None, None, _B2)],
    ),
    "every index 0": _calls([_call(0, "a", "add", _A1 + _A2)], [_call(0, "b", "multiply", _B1 + _B2)]),
    "no index": _calls([_call(None, "a", "add", _A1 + _A2)], [_call(None, "b", "multiply", _B1 + _B2)]),
    "id and name on every chunk": _calls(
        [_call(0, "a", "add", _A1)],
        [_call(0, "a", "add", _A2)],
        [_call(1, "b", "multiply", _B1)],
        [_call(1, "b", "multiply", _B2)],
    ),
}


def tool_call(name: str, arguments: str, id_: str | None = "c") -> dict[str, Any]:
    """A message that calls one tool."""
    return {"content": None, "tool_calls": [_call(0, id_, name, arguments)]}


REASONING: dict[str, dict[str, Any]] = {
    "reasoning_content": {"reasoning_content": "Let me think."},
    "reasoning": {"reasoning": "Let me think."},
    "reasoning_details": {"reasoning_details": [{"type": "reasoning.text", "text": "Let me think."}]},
}
