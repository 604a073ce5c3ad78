"""Strategies for answers, and for every legal way to stream them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

examples = settings(
    max_examples=int(os.environ.get("EXAMPLES", "15")),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
"""The same examples in every run: a failure shows up with the change that causes it, not later.

`make combinations` runs more of them.
"""

texts = st.text(max_size=30)
some_text = st.text(min_size=1, max_size=30)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
_finite = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
arguments = st.dictionaries(some_text, _finite, max_size=3)
names = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_-]{0,20}", fullmatch=True)
_coin: Any = st.booleans()
counts = st.integers(0, 10**6)


@dataclass(frozen=True)
class Answer:
    """A message with its envelope."""

    message: dict[str, Any]
    finish_reason: str
    usage: dict[str, Any] | None

    def document(self) -> bytes:
        """The answer as one JSON document."""
        choice = {"index": 0, "message": self.message, "finish_reason": self.finish_reason}
        body = {"id": "c1", "created": 1, "model": "m-1", "choices": [choice], "usage": self.usage}
        return json.dumps(body, ensure_ascii=False).encode()


@st.composite
def usages(draw: st.DrawFn) -> dict[str, Any]:
    prompt, completion = draw(counts), draw(counts)
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if draw(st.booleans()):
        usage["prompt_tokens_details"] = {"cached_tokens": draw(st.integers(0, prompt))}
    if draw(st.booleans()):
        usage["completion_tokens_details"] = {"reasoning_tokens": draw(st.integers(0, completion))}
    return usage


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    message: dict[str, Any] = {"role": "assistant", "content": draw(texts)}
    if draw(st.booleans()):
        message[draw(st.sampled_from(["reasoning_content", "reasoning"]))] = draw(some_text)
    if draw(st.integers(0, 4)) == 0:
        message["refusal"] = draw(some_text)
    calls = [
        {
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": draw(names), "arguments": draw(_argument_texts)},
        }
        for number in range(draw(st.integers(0, 3)))
    ]
    if calls:
        message["tool_calls"] = calls
    finish_reason = draw(st.sampled_from(["stop", "length", "tool_calls", "content_filter"]))
    return Answer(message, finish_reason, draw(st.none() | usages()))


_argument_texts = st.one_of(
    arguments.map(json.dumps),
    arguments.map(lambda value: json.dumps(value, ensure_ascii=False, indent=1)),
    st.just(""),
    arguments.filter(bool).map(lambda value: json.dumps(value)[:-1]),
)


@st.composite
def cut(draw: st.DrawFn, whole: Any) -> list[Any]:
    """A text or bytes split anywhere; no pieces if it is empty."""
    if not whole:
        return []
    places = sorted(draw(st.sets(st.integers(1, len(whole) - 1), max_size=8))) if len(whole) > 1 else []
    return [whole[start:end] for start, end in zip([0, *places], [*places, len(whole)], strict=True)]


@st.composite
def streams(draw: st.DrawFn, answer: Answer) -> bytes:
    """The bytes of one legal stream of an answer."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}] if draw(st.booleans()) else []
    for name in ("reasoning_content", "reasoning", "content", "refusal"):
        deltas += [{name: piece} for piece in draw(cut(answer.message.get(name)))]
    deltas += draw(_call_deltas(answer.message.get("tool_calls", [])))
    ends: list[tuple[dict[str, Any], str | None]] = [(delta, None) for delta in deltas]
    ends.append(({}, answer.finish_reason))
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]} for delta, reason in ends
    ]
    if answer.usage is not None:
        if draw(st.booleans()):
            chunks[-1]["usage"] = answer.usage
        else:
            chunks.append({"choices": [], "usage": answer.usage})
    return draw(_encoded([{"id": "c1", "created": 1, "model": "m-1", **chunk} for chunk in chunks]))


@st.composite
def _call_deltas(draw: st.DrawFn, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pieces of tool calls: in order within a call, interleaved between parallel calls."""
    queues = []
    for index, call in enumerate(calls):
        pieces: list[str] = draw(cut(call["function"]["arguments"]))
        first = pieces.pop(0) if pieces and draw(_coin) else ""
        head: dict[str, Any] = {**call, "index": index, "function": {**call["function"], "arguments": first}}
        queues.append([head, *({"index": index, "function": {"arguments": piece}} for piece in pieces)])
    mixed: bool = draw(_coin)
    deltas: list[dict[str, Any]] = []
    while any(queues):
        waiting = [queue for queue in queues if queue]
        # Calls start in order: the order in which they start is their order in the answer.
        opened = [q for q in waiting if "id" not in q[0]] or waiting[:1]
        deltas.append((draw(st.sampled_from([*opened, waiting[0]])) if mixed else waiting[0]).pop(0))
    return [{"tool_calls": [delta]} for delta in deltas]


@st.composite
def _encoded(draw: st.DrawFn, chunks: list[dict[str, Any]]) -> bytes:
    """Chunks as events, in one of the forms that the SSE standard allows."""
    ascii_only, colon = draw(st.booleans()), draw(st.sampled_from(["data: ", "data:"]))
    comments = draw(st.booleans())
    lines = []
    for chunk in chunks:
        if comments:
            lines += [": keep-alive", ""]
        lines += [colon + json.dumps(chunk, ensure_ascii=ascii_only), ""]
    if draw(st.booleans()):
        lines += [colon + "[DONE]", ""]
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    return "".join(f"{line}{end}" for line in lines).encode()
