"""Whatever JSON stands where the usage is: the counts are sound, and every handler reads the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from langchain_core.callbacks import UsageMetadataCallbackHandler
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler

from llama_index_texapi import UsageCounter
from tests.properties.line import Line
from tests.properties.strategies import examples, json_values
from texapi_core.accounting import CallRecord, add_listener, remove_listener
from texapi_core.wire.usage import TokenUsage

_ODD_TEXTS = st.sampled_from(["NaN", "Infinity", "-1", "1_0", "٣", "7", "1e400", ""])
_ODD = _ODD_TEXTS | st.sampled_from([-5, -0.5, 2.5, 3.0, 2**53, 2**63, 10**400, True, []])
_VALUES = st.integers(0, 300) | _ODD | json_values
_DETAILS = st.dictionaries(
    st.sampled_from(
        ["cached_tokens", "cache_write_tokens", "reasoning_tokens", "audio_tokens", "total_cost"]
    ),
    _VALUES,
    max_size=3,
)
_NAMES = [
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "input_tokens",
    "output_tokens",
    "prompt_token_count",
    "candidates_token_count",
    "thoughts_token_count",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "prompt_cache_hit_tokens",
    "reasoning_tokens",
    "cost",
    "total_cost",
    "cost_in_usd_ticks",
    "currency",
    "cost_details",
    "prompt_tokens_details",
    "completion_tokens_details",
    "input_tokens_details",
]
_USAGES = st.dictionaries(st.sampled_from(_NAMES), _VALUES | _DETAILS, max_size=7) | json_values
_PLACES = st.sampled_from(["usage", "usage_metadata", "choice", "delta", "x_groq"])


@contextmanager
def _recorded() -> Iterator[list[CallRecord]]:
    records: list[CallRecord] = []
    add_listener(records.append)
    try:
        yield records
    finally:
        remove_listener(records.append)


def _body(kind: str, usage: Any, place: str, content: str, finish_reason: str | None) -> bytes:
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, kind: message, "finish_reason": finish_reason}
    body: dict[str, Any] = {"id": "c1", "created": 1, "model": "m-1", "choices": [choice]}
    holders = {"choice": choice, "delta": message, "x_groq": body.setdefault("x_groq", {})}
    holders.get(place, body)[place if place.startswith("usage") else "usage"] = usage
    return json.dumps(body).encode()


def raw_usage(response: Any) -> Any:
    return response.raw.get("usage")


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _langchain(line: Line, streamed: bool) -> Any:
    handler = UsageMetadataCallbackHandler()
    config: Any = {"callbacks": [handler]}
    if streamed:
        first, *rest = line.chat_texapi.stream("Hello", config)
        message: Any = sum(rest, first)
    else:
        message = line.chat_texapi.invoke("Hello", config)
    line.chat_texapi.invoke("Hello", config)  # so that the handler adds
    return message.usage_metadata


def _llama_index(line: Line, streamed: bool) -> tuple[TokenUsage, TokenCountingHandler]:
    handler = TokenCountingHandler(tokenizer=str.split)
    line.texapi.callback_manager = CallbackManager([handler])
    try:
        with UsageCounter() as counter:
            if streamed:
                for response in line.texapi.stream_chat([ChatMessage("Hello")]):
                    numbers = [value for value in (raw_usage(response) or {}).values() if is_number(value)]
                    assert all(0 <= number < 2**63 for number in numbers)
            else:
                line.texapi.chat([ChatMessage("Hello")])
    finally:
        line.texapi.callback_manager = CallbackManager()
    return counter.total, handler


def _check(line: Line, streamed: bool) -> TokenUsage:
    with _recorded() as records:
        langchain = _langchain(line, streamed)
        counter, handler = _llama_index(line, streamed)
    usages = {record.usage for record in records}
    assert len(usages) == 1, usages
    (usage,) = usages
    counts = (usage.input_tokens, usage.output_tokens, usage.total_tokens)
    assert all(count is None or 0 <= count < 2**53 for count in counts)
    known = [count for count in counts[:2] if count is not None]
    assert usage.total_tokens is None or usage.total_tokens >= sum(known)
    if known:
        assert (usage.cached_tokens or 0) + (usage.cache_creation_tokens or 0) <= (usage.input_tokens or 0)
        assert (usage.reasoning_tokens or 0) <= (usage.output_tokens or 0)
        assert langchain["input_tokens"] == (usage.input_tokens or 0)
        assert langchain["output_tokens"] == (usage.output_tokens or 0)
        assert langchain["total_tokens"] >= langchain["input_tokens"] + langchain["output_tokens"]
        details = langchain.get("input_token_details", {}), langchain.get("output_token_details", {})
        assert details[0].get("cache_read") == usage.cached_tokens
        assert details[1].get("reasoning") == usage.reasoning_tokens
    else:
        assert langchain is None
    assert counter == usage
    # LlamaIndex's handler estimates where a count is missing or 0.
    assert handler.prompt_llm_token_count == usage.input_tokens or not usage.input_tokens
    assert handler.completion_llm_token_count == usage.output_tokens or not usage.output_tokens
    return usage


@examples
@given(usage=_USAGES, place=_PLACES)
@example(usage={"prompt_tokens": "1_0", "completion_tokens": -3, "total_tokens": "NaN"}, place="usage")
@example(usage={"candidates_token_count": "many", "prompt_tokens": 3}, place="usage")
@example(usage={"cost": 0.5}, place="usage")
@example(usage={"input_tokens": 200, "cache_read_input_tokens": 100, "output_tokens": 5}, place="usage")
def test_of_an_answer(line: Line, usage: Any, place: str) -> None:
    line.send(_body("message", usage, place, "x", "stop"))
    whole = _check(line, streamed=False)
    line.send(b"data: %s\n\n" % _body("delta", usage, place, "x", "stop"))

    assert _check(line, streamed=True) == whole


@examples
@given(reports=st.lists(st.tuples(_USAGES, _PLACES), min_size=1, max_size=4))
@example(reports=[({"cost": 0.5}, "usage"), ({"currency": "CNY"}, "usage"), ({"total_cost": 0.25}, "usage")])
def test_of_a_stream_with_several_reports(line: Line, reports: list[tuple[Any, str]]) -> None:
    chunks = [
        _body("delta", usage, place, "x", "stop" if number == len(reports) else None)
        for number, (usage, place) in enumerate(reports, 1)
    ]
    line.send(*(b"data: %s\n\n" % chunk for chunk in chunks))

    _check(line, streamed=True)


@pytest.mark.parametrize("close_after", [1, 2])
def test_of_a_stream_that_is_closed_early(line: Line, close_after: int) -> None:
    """The last response before the end holds what a handler can read, too."""
    usage = {"prompt_tokens": "many", "completion_tokens": -1, "total_tokens": 9}
    line.send(*(b"data: %s\n\n" % _body("delta", usage, "usage", "x", None) for _ in range(3)))
    ask: Callable[..., Any] = line.texapi.stream_chat
    responses = ask([ChatMessage("Hello")])

    seen = [next(responses) for _ in range(close_after)]
    responses.close()

    assert seen[-1].raw["usage"] == {"total_tokens": 9}
