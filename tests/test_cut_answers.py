"""An answer that its token limit cuts says so: by one warning per call, and in the message."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from llama_index.core import Document, SummaryIndex
from llama_index.core.llms import ChatMessage

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.asking import CALLERS, WAYS
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from tests.gateway.request import Call

QUESTION = "Count from 1 to 20"
TOOL: Any = {
    "name": "note",
    "description": "Note a text.",
    "parameters": {"type": "object", "properties": {"text": {"type": "string"}}},
}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("call", CALLERS)
@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
async def test_one_warning_names_limit_and_request(
    gateway: Gateway,
    endpoint: Endpoint,
    caplog: pytest.LogCaptureFixture,
    call: Any,
    how: str,
    limit: str,
) -> None:
    gateway.answer("one two three four five six")
    await call(how, endpoint, QUESTION, model="gpt-5.2", **{limit: 3})

    (warning,) = warnings(caplog)
    assert warning == (
        f"The answer was cut at `{limit}=3` (finish reason `length`). "
        f"Request id: {gateway.ledger[0].request_id}. Raise the limit, or ask for a shorter answer."
    )


@pytest.mark.parametrize("call", CALLERS)
@pytest.mark.parametrize("how", WAYS)
async def test_a_whole_answer_is_silent(
    gateway: Gateway, endpoint: Endpoint, caplog: pytest.LogCaptureFixture, call: Any, how: str
) -> None:
    gateway.answer("one two three")
    await call(how, endpoint, QUESTION, model="gpt-5.2", max_tokens=3)

    assert warnings(caplog) == []


def in_langchain(endpoint: Endpoint, streamed: bool, **kwargs: Any) -> dict[str, Any]:
    model: Any = ChatTexAPI(**endpoint.for_langchain(model="gpt-5.2", **kwargs))
    model = model.bind_tools([TOOL])
    if not streamed:
        return dict(model.invoke(QUESTION).response_metadata)
    whole: Any = AIMessageChunk(content="")
    for chunk in model.stream(QUESTION):
        whole += chunk
    return dict(whole.response_metadata)


def in_llama_index(endpoint: Endpoint, streamed: bool, **kwargs: Any) -> dict[str, Any]:
    llm = TexAPI(**endpoint.for_llama_index(model="gpt-5.2", **kwargs))
    tools = [{"type": "function", "function": TOOL}]
    if not streamed:
        return llm.chat([ChatMessage(QUESTION)], tools=tools).additional_kwargs
    *_, last = llm.stream_chat([ChatMessage(QUESTION)], tools=tools)
    return last.additional_kwargs


@pytest.mark.parametrize("ask", [in_langchain, in_llama_index])
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    "answer",
    ["one two three four five six", [Call("note", {"text": "one two three four five six"})]],
    ids=["text", "arguments"],
)
def test_the_message_says_so(
    gateway: Gateway, endpoint: Endpoint, ask: Callable[..., dict[str, Any]], streamed: bool, answer: Any
) -> None:
    gateway.answer(answer)
    cut = ask(endpoint, streamed, max_tokens=4)
    whole = ask(endpoint, streamed, max_tokens=400)

    assert (cut["finish_reason"], cut["truncated"], cut["token_limit"]) == ("length", True, 4)
    assert {"truncated", "token_limit"}.isdisjoint(whole)


@pytest.mark.parametrize("ask", [in_langchain, in_llama_index])
def test_without_a_limit_it_is_the_model_s(
    gateway: Gateway, endpoint: Endpoint, caplog: pytest.LogCaptureFixture, ask: Callable[..., dict[str, Any]]
) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Once"}, "finish_reason": "length"}
    gateway.misbehave(Fault(body={"id": "c1", "model": "m", "choices": [choice]}))

    fields = ask(endpoint, False)

    assert fields["truncated"] is True
    assert "token_limit" not in fields
    assert "cut at the limit of the model, for `max_tokens` is not set" in warnings(caplog)[0]


_WORDS = ("length", "LENGTH", "max_tokens", "MAX_TOKENS", "model_length", "max_output_tokens", "Max_Tokens")
_MORE_WORDS = ("model_context_window_exceeded", "FINISH_REASON_MAX_TOKENS", "max-tokens")


@pytest.mark.parametrize("ask", [in_langchain, in_llama_index])
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("word", [*_WORDS, *_MORE_WORDS])
def test_it_is_recognised_in_every_provider_s_words(
    gateway: Gateway,
    endpoint: Endpoint,
    caplog: pytest.LogCaptureFixture,
    ask: Callable[..., dict[str, Any]],
    streamed: bool,
    word: str,
) -> None:
    said = {"role": "assistant", "content": "Once"}
    choice = {"index": 0, "delta" if streamed else "message": said, "finish_reason": word}
    body = {"id": "c1", "model": "m", "choices": [choice]}
    events = f"data: {json.dumps(body)}\n\ndata: [DONE]\n\n".encode()
    gateway.misbehave(Fault(raw=events, content_type="text/event-stream") if streamed else Fault(body=body))

    fields = ask(endpoint, streamed)

    assert (fields["finish_reason"], fields["truncated"]) == (word, True)
    assert [f"(finish reason `{word}`)" in warning for warning in warnings(caplog)] == [True]


@pytest.mark.parametrize("ask", [in_langchain, in_llama_index])
def test_a_stream_that_is_ended_twice_stays_cut(
    gateway: Gateway, endpoint: Endpoint, caplog: pytest.LogCaptureFixture, ask: Callable[..., dict[str, Any]]
) -> None:
    deltas = [({"content": "Once"}, None), ({}, "length"), ({}, "stop")]
    chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": end}]} for delta, end in deltas]
    events = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    gateway.misbehave(Fault(raw=events.encode(), content_type="text/event-stream"))

    fields = ask(endpoint, True)

    assert (fields["finish_reason"], fields["truncated"]) == ("length", True)
    assert len(warnings(caplog)) == 1


def test_a_query_engine_does_not_return_a_cut_text_in_silence(
    gateway: Gateway, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.answer("one two three four five six")
    llm = TexAPI(**endpoint.for_llama_index(model="gpt-5.2", max_tokens=3))
    index = SummaryIndex.from_documents([Document(text="Some text.")])

    response = index.as_query_engine(llm=llm).query(QUESTION)

    assert str(response) == "one two three"
    assert ["`max_tokens=3`" in warning for warning in warnings(caplog)] == [True]
