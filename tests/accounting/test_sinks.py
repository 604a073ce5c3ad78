"""The sink protocol: a new sink is one class and one constructor field, for both frameworks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from texapi_core import TexAPIBudgetExceededError, TexAPIServerError
from texapi_core.accounting import CallRecord, CallRefused, Observer, Sink, StartedCall
from texapi_core.adapter_base.accounting_parameters import AccountingParameters

MODEL = "gpt-5.2"
QUESTION = "What is the capital of France?"
steps: list[str] = []


class Diary(Sink, Observer):
    """A sink for tests: records each step, and refuses calls to one model."""

    def __init__(self, refused_model: str) -> None:
        self._refused_model = refused_model

    def preparation(self) -> Callable[[], None] | None:
        return lambda: steps.append("prepare")

    def begin(self, call: StartedCall) -> Observer:
        if call.model == self._refused_model:
            raise CallRefused("Not this model.")
        steps.append(f"begin {call.model}")
        return self

    def sending(self) -> AbstractContextManager[None]:
        steps.append("send")
        return nullcontext()

    def end(self, record: CallRecord) -> None:
        steps.append(f"end {record.outcome} {record.usage.total_tokens}")


class DiaryParameters(AccountingParameters):
    refused_model: str = ""

    def _sinks(self) -> tuple[Sink, ...]:
        return (*super()._sinks(), Diary(self.refused_model))


class DiaryChatTexAPI(DiaryParameters, ChatTexAPI):
    pass


class DiaryTexAPI(DiaryParameters, TexAPI):
    pass


def _models(endpoint: Endpoint, **given: Any) -> tuple[DiaryChatTexAPI, DiaryTexAPI]:
    return (
        DiaryChatTexAPI(model=MODEL, **given, **endpoint.for_langchain()),
        DiaryTexAPI(model=MODEL, **given, **endpoint.for_llama_index()),
    )


def _asks(endpoint: Endpoint, **given: Any) -> dict[str, Callable[[], Any]]:
    chat, llm = _models(endpoint, **given)

    async def astream() -> list[Any]:
        return [chunk async for chunk in chat.astream(QUESTION)]

    async def astream_complete() -> list[Any]:
        return [response async for response in await llm.astream_complete(QUESTION)]

    return {
        "invoke": lambda: chat.invoke(QUESTION),
        "ainvoke": lambda: asyncio.run(chat.ainvoke(QUESTION)),
        "stream": lambda: list(chat.stream(QUESTION)),
        "astream": lambda: asyncio.run(astream()),
        "complete": lambda: llm.complete(QUESTION),
        "acomplete": lambda: asyncio.run(llm.acomplete(QUESTION)),
        "stream_complete": lambda: list(llm.stream_complete(QUESTION)),
        "astream_complete": lambda: asyncio.run(astream_complete()),
    }


WAYS = (
    "invoke",
    "ainvoke",
    "stream",
    "astream",
    "complete",
    "acomplete",
    "stream_complete",
    "astream_complete",
)


@pytest.fixture(autouse=True)
def _no_steps() -> None:
    steps.clear()


@pytest.mark.parametrize("way", WAYS)
def test_a_sink_receives_each_step_of_a_call(gateway: Gateway, endpoint: Endpoint, way: str) -> None:
    _asks(endpoint)[way]()

    entry = gateway.ledger[0]
    total = entry.prompt_tokens + entry.completion_tokens
    assert steps == ["prepare", f"begin {MODEL}", "send", f"end ok {total}"]


@pytest.mark.parametrize("way", WAYS)
def test_a_sink_receives_failed_calls(gateway: Gateway, endpoint: Endpoint, way: str) -> None:
    gateway.misbehave(Fault(status=500, error_type="server_error"))

    with pytest.raises(TexAPIServerError):
        _asks(endpoint)[way]()

    assert steps == ["prepare", f"begin {MODEL}", "send", "end error None"]


@pytest.mark.parametrize("way", WAYS)
def test_a_sink_may_refuse_a_call(gateway: Gateway, endpoint: Endpoint, way: str) -> None:
    with pytest.raises(TexAPIBudgetExceededError, match="Not this model"):
        _asks(endpoint, refused_model=MODEL)[way]()

    assert not gateway.requests
    assert steps == ["prepare"]
