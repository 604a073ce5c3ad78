"""What tracers receive: one span and one pair of events per call, for streams and errors too."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.llm import (
    LLMChatEndEvent,
    LLMChatInProgressEvent,
    LLMCompletionEndEvent,
    LLMStructuredPredictEndEvent,
)

from llama_index_texapi import TexAPIBadRequestError, TexAPIStreamInterruptedError
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from tests.llama_index import test_structured_output as structured
from tests.llama_index.instrumentation import watching
from tests.llama_index.test_chat import STREAMS, WAYS, Way, astream_chat, llm, stream_chat, text_of
from tests.llama_index.test_tools import MULTIPLY

PREDICTED = ["LLMStructuredPredictStart", "LLMChatStart", "LLMChatEnd", "LLMStructuredPredictEnd"]
PREPARED = "TexAPI._prepare_chat_with_tools"
"""LlamaIndex creates this span for every function-calling LLM."""


def response_of(event: BaseEvent) -> ChatResponse | CompletionResponse | None:
    assert isinstance(event, (LLMChatEndEvent, LLMCompletionEndEvent))
    return event.response


@pytest.mark.parametrize("way", WAYS)
def test_one_call_is_one_start_one_end_and_one_span(endpoint: Endpoint, way: Way) -> None:
    with watching() as (events, spans):
        response = way(llm(endpoint))

    kind = "Completion" if "complete" in way.__name__ else "Chat"
    assert events.names == [f"LLM{kind}Start", f"LLM{kind}End"]
    assert spans.methods == [f"TexAPI.{way.__name__}"]
    assert {event.span_id for event in events.seen} == set(spans.entered)
    assert response_of(events.seen[-1]) == response
    assert not spans.open_spans


@pytest.mark.parametrize("way", STREAMS)
def test_a_stream_emits_progress_events_and_then_its_end(endpoint: Endpoint, way: Way) -> None:
    with watching() as (events, _):
        response = way(llm(endpoint))

    _, *progress, end = events.seen
    assert len(progress) > 3
    assert text_of(response) == "".join(
        event.response.delta or "" for event in progress if hasattr(event, "response")
    )
    assert response_of(end) == response


def test_the_end_of_a_stream_comes_with_its_last_response(endpoint: Endpoint) -> None:
    with watching() as (events, _):
        stream = llm(endpoint).stream_chat([ChatMessage("Count from 1 to 9")])
        assert events.names == ["LLMChatStart"]
        next(stream)
        assert isinstance(events.seen[-1], LLMChatInProgressEvent)
        list(stream)

    assert events.names == ["LLMChatStart", "LLMChatEnd"]


@pytest.mark.parametrize("way", WAYS)
def test_a_refused_request_has_no_end_event(gateway: Gateway, endpoint: Endpoint, way: Way) -> None:
    """A failed call drops its span; a stream, with its span already closed, emits an exception event."""
    gateway.misbehave(Fault(status=400))

    with watching() as (events, spans), pytest.raises(TexAPIBadRequestError) as caught:
        way(llm(endpoint))

    start, last = events.names
    assert start.endswith("Start")
    assert last == ("Exception" if way in STREAMS else "SpanDrop")
    assert spans.dropped == ([] if way in STREAMS else spans.methods)
    assert {event.span_id for event in events.seen} == set(spans.entered)
    if isinstance(events.seen[-1], ExceptionEvent):
        assert events.seen[-1].exception is caught.value


@pytest.mark.parametrize("way", [stream_chat, astream_chat])
def test_a_broken_stream_emits_an_exception_event(gateway: Gateway, endpoint: Endpoint, way: Way) -> None:
    gateway.misbehave(Fault(cut_after=4))

    with watching() as (events, _), pytest.raises(TexAPIStreamInterruptedError):
        way(llm(endpoint))

    assert events.names == ["LLMChatStart", "Exception"]


def test_a_stream_closed_early_emits_an_exception_event_and_disconnects(
    gateway: Gateway, endpoint: Endpoint
) -> None:
    gateway.misbehave(Fault(stall_after=3, stall_seconds=20))

    with watching() as (events, _):
        stream: Any = llm(endpoint).stream_chat([ChatMessage("Count from 1 to 9")])
        next(stream)
        stream.close()

    assert events.names == ["LLMChatStart", "Exception"]
    assert not gateway.ledger[-1].completed


async def test_an_async_stream_closed_early_disconnects(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.misbehave(Fault(stall_after=3, stall_seconds=20))

    with watching() as (events, _):
        stream: Any = await llm(endpoint).astream_chat([ChatMessage("Count from 1 to 9")])
        await anext(stream)
        await stream.aclose()

    assert events.names == ["LLMChatStart", "Exception"]
    assert not gateway.ledger[-1].completed


SPANS_OF_PREDICTIONS = {
    ("predict", False): ["TexAPI.structured_predict", PREPARED, "TexAPI.chat"],
    ("apredict", False): ["TexAPI.astructured_predict", PREPARED, "TexAPI.achat"],
    ("stream", False): ["TexAPI.stream_structured_predict", PREPARED, "TexAPI.stream_chat"],
    ("astream", False): ["TexAPI.astream_structured_predict", PREPARED, "TexAPI.astream_chat"],
    ("predict", True): ["TexAPI.structured_predict", "TexAPI.chat"],
    ("apredict", True): ["TexAPI.astructured_predict", "TexAPI.achat"],
    ("stream", True): ["TexAPI.stream_structured_predict", "TexAPI.stream_chat"],
    ("astream", True): ["TexAPI.astream_structured_predict", "TexAPI.astream_chat"],
}


@pytest.mark.parametrize("way", structured.WAYS)
@pytest.mark.parametrize("by_schema", [False, True])
def test_one_prediction_is_one_pair_of_events_and_one_span(
    endpoint: Endpoint, way: structured.Way, by_schema: bool
) -> None:
    with watching() as (events, spans):
        predicted = way(llm(endpoint, should_use_structured_outputs=by_schema))

    assert events.names == PREDICTED
    assert isinstance(events.seen[-1], LLMStructuredPredictEndEvent)
    assert events.seen[-1].output == predicted
    methods = [name for name in spans.methods if not name.startswith("FunctionTool")]
    assert methods == SPANS_OF_PREDICTIONS[way.__name__, by_schema]


@pytest.mark.parametrize("way", structured.WAYS)
@pytest.mark.parametrize("by_schema", [False, True])
def test_a_failed_prediction_has_no_end_event(
    gateway: Gateway, endpoint: Endpoint, way: structured.Way, by_schema: bool
) -> None:
    gateway.misbehave(structured.answer("I would rather not."))

    with watching() as (events, _), pytest.raises(ValueError, match="I would rather not"):
        way(llm(endpoint, should_use_structured_outputs=by_schema))

    assert events.names[0] == "LLMStructuredPredictStart"
    assert "LLMStructuredPredictEnd" not in events.names


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_structured_llm_predicts_once(endpoint: Endpoint, asynchronous: bool) -> None:
    """The outer pair belongs to the structured LLM, which wraps the LLM."""
    wrapped = llm(endpoint).as_structured_llm(structured.Person)
    message = ChatMessage(structured.PROMPT.format(name="Lan"))

    with watching() as (events, spans):
        asyncio.run(wrapped.achat([message])) if asynchronous else wrapped.chat([message])

    assert events.names == ["LLMChatStart", *PREDICTED, "LLMChatEnd"]
    assert spans.methods[:2] == [
        f"StructuredLLM.{'achat' if asynchronous else 'chat'}",
        f"TexAPI.{'astructured_predict' if asynchronous else 'structured_predict'}",
    ]
    assert len([name for name in spans.methods if name.startswith("TexAPI.") and "structured" in name]) == 1


def test_spans_are_nested_as_they_were_called(endpoint: Endpoint) -> None:
    with watching() as (_, spans):
        llm(endpoint).predict_and_call([MULTIPLY], "Multiply 12 by 7")

    outer, prepared, chat, *_ = spans.entered
    assert [spans.parents[id_] for id_ in (outer, prepared, chat)] == [None, outer, outer]
