"""One record per call, in both frameworks, however the call is made and however it ends."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from uuid import UUID

import pytest
from langchain_core.callbacks import BaseCallbackHandler, CallbackManager
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.instrumentation.dispatcher import instrument_tags

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.asking import MODEL, QUESTION, WAYS, ask_langchain, both, every_way
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from tests.waiting import await_until, cancel_once
from texapi_core import TexAPIError
from texapi_core.accounting import CallRecord, add_listener, remove_listener


@both
@every_way
async def test_a_record_matches_the_gateway_ledger(
    call: Any, how: str, gateway: Gateway, endpoint: Endpoint, records: list[CallRecord]
) -> None:
    await call(how, endpoint)

    (record,), (booked,) = records, gateway.ledger
    assert (record.request_id, record.response_id) == (booked.request_id, booked.response_id)
    usage = record.usage
    assert (usage.input_tokens, usage.output_tokens) == (booked.prompt_tokens, booked.completion_tokens)
    assert (usage.cached_tokens or 0, usage.reasoning_tokens) == (
        booked.cached_tokens,
        booked.reasoning_tokens,
    )
    assert usage.reasoning_tokens
    assert (record.model, record.served_model) == (MODEL, MODEL)
    assert (record.outcome, record.finish_reason, record.attempts) == ("ok", "stop", 1)
    assert record.error is record.error_code is None
    assert record.streamed is how.endswith("stream")
    if record.streamed:
        assert record.first_token_ms is not None
        assert 0 < record.first_token_ms <= record.total_ms
    else:
        assert record.first_token_ms is None
        assert record.total_ms > 0


@both
@every_way
async def test_a_failed_call_has_its_error_and_attempts(
    call: Any, how: str, gateway: Gateway, endpoint: Endpoint, records: list[CallRecord]
) -> None:
    gateway.misbehave(Fault(status=503, code="all_routes_failed", headers={"retry-after-ms": "1"}), times=2)

    with pytest.raises(TexAPIError):
        await call(how, endpoint, max_retries=1)

    (record,) = records
    assert (record.outcome, record.error) == ("error", "TexAPIAllRoutesFailedError")
    assert (record.error_code, record.attempts) == ("all_routes_failed", 2)
    assert record.request_id == gateway.ledger[-1].request_id
    assert record.usage.total_tokens is None


@both
@every_way
async def test_retries_are_counted(
    call: Any, how: str, gateway: Gateway, endpoint: Endpoint, records: list[CallRecord]
) -> None:
    gateway.misbehave(Fault(status=503, headers={"retry-after-ms": "1"}))

    await call(how, endpoint, max_retries=1)

    assert [(record.outcome, record.attempts) for record in records] == [("ok", 2)]


@both
@pytest.mark.parametrize("how", ["stream", "astream"])
async def test_a_broken_stream_is_recorded_with_what_was_received(
    call: Any, how: str, gateway: Gateway, endpoint: Endpoint, records: list[CallRecord]
) -> None:
    gateway.misbehave(Fault(cut_after=3))

    with pytest.raises(TexAPIError):
        await call(how, endpoint)

    (record,) = records
    assert (record.outcome, record.error) == ("error", "TexAPIStreamInterruptedError")
    assert record.request_id == gateway.ledger[0].request_id
    assert record.response_id == gateway.ledger[0].response_id
    assert record.served_model == MODEL


@both
async def test_an_unreachable_gateway_is_recorded(call: Any, records: list[CallRecord]) -> None:
    with pytest.raises(TexAPIError):
        await call("whole", Endpoint("http://127.0.0.1:9/v1", "sk-tex-unreachable"))

    (record,) = records
    assert (record.outcome, record.error, record.attempts) == ("error", "TexAPIConnectionError", 0)
    assert record.request_id is None


async def test_a_call_that_is_not_sent_has_no_attempts(endpoint: Endpoint, records: list[CallRecord]) -> None:
    with pytest.raises(TexAPIError):
        await ask_langchain("whole", endpoint, extra_body={"x": object()})

    assert [(record.outcome, record.attempts) for record in records] == [("error", 0)]


def test_a_stream_closed_early_is_recorded_at_once(
    gateway: Gateway, endpoint: Endpoint, records: list[CallRecord]
) -> None:
    stream = ChatTexAPI(model=MODEL, **endpoint.for_langchain()).stream(QUESTION)
    next(stream)
    stream.close()  # type: ignore[attr-defined]

    (record,) = records
    assert (record.outcome, record.error, record.attempts) == ("closed", None, 1)
    assert record.response_id == gateway.ledger[0].response_id
    assert record.request_id == gateway.ledger[0].request_id


async def test_an_async_stream_closed_early_is_recorded(
    gateway: Gateway, endpoint: Endpoint, records: list[CallRecord]
) -> None:
    stream = await TexAPI(model=MODEL, **endpoint.for_llama_index()).astream_chat([ChatMessage(QUESTION)])
    await anext(stream)
    await stream.aclose()
    await await_until(lambda: records)

    assert [record.outcome for record in records] == ["closed"]
    assert records[0].request_id == gateway.ledger[0].request_id


def test_a_stream_closed_after_its_complete_answer_is_ok(
    endpoint: Endpoint, records: list[CallRecord]
) -> None:
    stream = ChatTexAPI(model=MODEL, **endpoint.for_langchain()).stream(QUESTION)
    for chunk in stream:
        if chunk.usage_metadata:
            break
    stream.close()  # type: ignore[attr-defined]

    assert [record.outcome for record in records] == ["ok"]


@both
@pytest.mark.parametrize("how", ["awhole", "astream"])
async def test_a_cancelled_call_is_recorded(
    call: Any, how: str, gateway: Gateway, endpoint: Endpoint, records: list[CallRecord]
) -> None:
    gateway.misbehave(Fault(delay=60))

    await cancel_once(lambda: gateway.requests, call(how, endpoint))

    assert [(record.outcome, record.error) for record in records] == [("cancelled", None)]


class _Runs(BaseCallbackHandler):
    """Collects the run ids of model calls."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def on_chat_model_start(self, *args: Any, run_id: UUID, **kwargs: Any) -> None:
        self.ids.append(str(run_id))


@pytest.mark.parametrize("in_chain", [False, True])
@pytest.mark.parametrize("how", [*WAYS, "invoke that streams", "ainvoke that streams", "astream_events"])
async def test_langchain_tags_metadata_and_run_id_are_recorded(
    how: str, in_chain: bool, endpoint: Endpoint, records: list[CallRecord]
) -> None:
    streaming = {"streaming": True} if how.endswith("streams") else {}
    model: Runnable[Any, Any] = ChatTexAPI(
        model=MODEL,
        tags=["shop"],
        metadata={"team": "a"},
        **endpoint.for_langchain(**streaming),
    )
    if in_chain:
        model = RunnableLambda(str) | model
    runs = _Runs()
    metadata: dict[Any, Any] = {"order": 12, "object": object, 7: "seven", None: "none"}
    config: RunnableConfig = {"tags": ["customer-7"], "metadata": metadata, "callbacks": [runs]}

    if how in ("whole", "invoke that streams"):
        model.invoke(QUESTION, config)
    elif how in ("awhole", "ainvoke that streams"):
        await model.ainvoke(QUESTION, config)
    elif how == "stream":
        list(model.stream(QUESTION, config))
    elif how == "astream":
        [chunk async for chunk in model.astream(QUESTION, config)]
    else:
        [event async for event in model.astream_events(QUESTION, config)]

    (record,) = records
    labels = record.labels
    assert record.streamed is ("stream" in how)
    assert set(labels.tags) == {"shop", "customer-7"}
    assert labels.metadata["team"] == "a"
    assert labels.metadata["order"] == 12
    assert (labels.metadata["7"], labels.metadata["None"]) == ("seven", "none")
    assert isinstance(labels.metadata["object"], str)
    assert not [name for name in labels.metadata if name.startswith("ls_")]
    assert [labels.run_id] == runs.ids


async def test_concurrent_streams_keep_their_own_labels(
    endpoint: Endpoint, records: list[CallRecord]
) -> None:
    model = ChatTexAPI(model=MODEL, **endpoint.for_langchain())
    streams = [model.stream(QUESTION, {"tags": [f"customer-{number}"]}) for number in range(3)]
    for chunks in zip(*streams, strict=False):
        assert len(chunks) == 3

    async def read(number: int) -> None:
        [chunk async for chunk in model.astream(QUESTION, {"tags": [f"customer-{number}"]})]

    await asyncio.gather(*map(read, range(3, 6)))

    assert sorted(tag for record in records for tag in record.labels.tags) == [
        f"customer-{number}" for number in range(6)
    ]
    assert len({record.labels.run_id for record in records}) == 6


def test_the_caller_s_callbacks_are_not_changed(endpoint: Endpoint, records: list[CallRecord]) -> None:
    model = ChatTexAPI(model=MODEL, streaming=True, **endpoint.for_langchain())
    runs = _Runs()
    handlers: list[Any] = [runs]
    manager = CallbackManager(handlers=[runs], inheritable_handlers=[runs])

    list(model.stream(QUESTION, {"callbacks": handlers}))
    model.invoke(QUESTION, {"callbacks": manager})
    messages: list[list[BaseMessage]] = [[HumanMessage("a")], [HumanMessage("b")]]
    model.generate(messages, tags=["batch"])

    assert handlers == manager.handlers == [runs]
    assert [record.labels.run_id for record in records] == [*runs.ids, None, None]
    assert [record.labels.tags for record in records[2:]] == [("batch",), ("batch",)]


@pytest.mark.parametrize("how", WAYS)
async def test_llama_index_tags_are_recorded(how: str, endpoint: Endpoint, records: list[CallRecord]) -> None:
    llm = TexAPI(model=MODEL, **endpoint.for_llama_index())
    messages = [ChatMessage(QUESTION)]

    with instrument_tags({"customer": "acme"}):
        if how == "whole":
            llm.chat(messages)
        elif how == "awhole":
            await llm.achat(messages)
        elif how == "stream":
            stream = llm.stream_chat(messages)
        else:
            astream = await llm.astream_chat(messages)
    if how == "stream":  # read outside of the tags' context
        list(stream)
    elif how == "astream":
        [response async for response in astream]

    assert records[0].labels.tags == ("customer=acme",)
    assert records[0].labels.metadata == {"customer": "acme"}


def test_a_failing_listener_does_not_fail_the_call(
    endpoint: Endpoint, records: list[CallRecord], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(record: CallRecord) -> None:
        raise RuntimeError("no")

    add_listener(fail)
    try:
        ChatTexAPI(model=MODEL, **endpoint.for_langchain()).invoke(QUESTION)
    finally:
        remove_listener(fail)

    assert len(records) == 1
    assert "listener" in caplog.text


def test_a_record_that_cannot_be_created_does_not_fail_the_call(
    endpoint: Endpoint,
    records: list[CallRecord],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("texapi_core.accounting.recorder._outcome", None)

    assert ChatTexAPI(model=MODEL, **endpoint.for_langchain()).invoke(QUESTION).text
    assert not records
    assert "could not be recorded" in caplog.text


def test_metadata_without_a_string_form_is_recorded_as_its_type(
    endpoint: Endpoint, records: list[CallRecord]
) -> None:
    class Mute:
        def __str__(self) -> str:
            raise ValueError

    ChatTexAPI(model=MODEL, **endpoint.for_langchain()).invoke(QUESTION, {"metadata": {"mute": Mute()}})

    assert records[0].labels.metadata["mute"] == "<Mute>"


# The log


def test_the_log_has_one_line_per_call_and_nothing_secret(
    gateway: Gateway, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    model = ChatTexAPI(model=MODEL, **endpoint.for_langchain())
    with caplog.at_level(logging.INFO, logger="texapi"):
        answer = model.invoke(QUESTION)

    (line,) = [one for one in caplog.records if one.name == "texapi"]
    assert line.levelno == logging.INFO
    said = vars(line)
    assert said["texapi_request_id"] == gateway.ledger[0].request_id
    assert said["texapi_input_tokens"] == gateway.ledger[0].prompt_tokens
    assert said["texapi_outcome"] == "ok"
    assert f"request_id={gateway.ledger[0].request_id}" in line.getMessage()
    whole_record = repr(said)
    assert endpoint.api_key not in whole_record
    assert QUESTION not in whole_record
    assert answer.text not in whole_record


def test_the_log_is_silent_by_default(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    ChatTexAPI(model=MODEL, **endpoint.for_langchain()).invoke(QUESTION)

    assert not [one for one in caplog.records if one.name.startswith("texapi")]
