"""An answer that is sent as a stream of events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.gateway.completion import Choice, Completion
from tests.gateway.logprobs import logprobs
from tests.gateway.models import CREATED
from tests.gateway.tokens import split_pieces, split_tokens
from tests.gateway.whole import call_arguments, call_head, reasoning_detail, signature_of


@dataclass(frozen=True)
class Event:
    """One event of a stream and the text of the answer that it carries."""

    data: str
    text: str = ""

    def encode(self) -> bytes:
        return f"data: {self.data}\n\n".encode()


def stream_events(completion: Completion, size: int, *, with_usage: bool) -> Iterator[Event]:
    """Yield the events of an answer, with text in pieces of ``size`` characters."""
    chunk: dict[str, Any] = {
        "id": completion.id,
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": completion.model,
        "system_fingerprint": "fp_standin",
        "service_tier": "default",
    }
    if with_usage:
        chunk["usage"] = None
    for choice in completion.choices:
        for text, delta in _deltas(choice, completion, size):
            yield _event({**chunk, "choices": [_choice(choice, completion, delta)]}, text)
        end = {"index": choice.index, "delta": {}, "finish_reason": choice.finish_reason}
        yield _event({**chunk, "choices": [{**end, "logprobs": None}]})
    if with_usage:
        yield _event({**chunk, "choices": [], "usage": completion.usage})
    yield Event("[DONE]")


def _event(chunk: dict[str, Any], text: str = "") -> Event:
    return Event(json.dumps(chunk, ensure_ascii=False), text)


def _choice(choice: Choice, completion: Completion, delta: dict[str, Any]) -> dict[str, Any]:
    text = delta.get("content")
    return {
        "index": choice.index,
        "delta": delta,
        "finish_reason": None,
        "logprobs": logprobs(text, completion.top_logprobs) if text else None,
    }


def _deltas(choice: Choice, completion: Completion, size: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the deltas of one choice, each with its text."""
    yield "", {"role": "assistant", "content": "", "refusal": None}
    if choice.reasoning is not None:
        yield from _reasoning_deltas(choice.reasoning, completion.has_details, size)
    text = choice.text or ""
    wants_tokens = completion.top_logprobs is not None
    for piece in split_tokens(text) if wants_tokens else split_pieces(text, size):
        yield piece, {"content": piece}
    for index, call in enumerate(choice.tool_calls):
        yield call.name, {"tool_calls": [{"index": index, **call_head(call, "")}]}
        for piece in split_pieces(call.arguments, size):
            kind = "custom" if call.is_custom else "function"
            yield piece, {"tool_calls": [{"index": index, kind: call_arguments(call, piece)}]}


def _reasoning_deltas(reasoning: str, has_details: bool, size: int) -> Iterator[tuple[str, dict[str, Any]]]:
    for piece in split_pieces(reasoning, size):
        delta: dict[str, Any] = {"reasoning_content": piece}
        if has_details:
            delta["reasoning_details"] = [reasoning_detail(piece, None)]
        yield piece, delta
    if has_details:
        yield "", {"reasoning_details": [reasoning_detail("", signature_of(reasoning))]}
