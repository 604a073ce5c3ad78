"""The sink protocol: a new sink is one class and one constructor field, for both frameworks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.accounting.mixed_run import read_rows
from tests.conftest import Endpoint
from tests.forked import run
from tests.gateway import Fault, Gateway
from texapi_core import TexAPIBudgetExceededError, TexAPIServerError
from texapi_core.accounting import (
    CallRecord,
    CallRefused,
    Observer,
    Sink,
    StartedCall,
    add_listener,
    remove_listener,
)
from texapi_core.accounting.record import open_calls
from texapi_core.adapter_base.accounting_parameters import AccountingParameters

MODEL = "gpt-5.2"
QUESTION = "What is the capital of France?"
steps: list[str] = []


class Diary(Sink, Observer):
    """A sink for tests: records each step, and refuses calls to one model."""

    def __init__(self, refused_model: str) -> None:
        self._refused_model = refused_model

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
    assert steps == [f"begin {MODEL}", "send", f"end ok {total}"]


@pytest.mark.parametrize("way", WAYS)
def test_a_sink_receives_failed_calls(gateway: Gateway, endpoint: Endpoint, way: str) -> None:
    gateway.misbehave(Fault(status=500, error_type="server_error"))

    with pytest.raises(TexAPIServerError):
        _asks(endpoint)[way]()

    assert steps == [f"begin {MODEL}", "send", "end error None"]


@pytest.mark.parametrize("way", WAYS)
def test_a_sink_may_refuse_a_call(gateway: Gateway, endpoint: Endpoint, way: str) -> None:
    with pytest.raises(TexAPIBudgetExceededError, match="Not this model"):
        _asks(endpoint, refused_model=MODEL)[way]()

    assert not gateway.requests
    assert not steps


class Broken(Sink, Observer):
    """Fails wherever it can, with an error that no sink should raise."""

    def __init__(self, step: str) -> None:
        self._step = step.removesuffix(" in a thread")
        self._may_block = step != self._step

    def _fail_at(self, step: str) -> None:
        if step == self._step:
            raise RuntimeError(step)

    @property
    def may_block(self) -> bool:
        return self._may_block

    def begin(self, call: StartedCall) -> Observer:
        self._fail_at("begin")
        return self

    def sending(self) -> AbstractContextManager[None]:
        self._fail_at("sending")
        return nullcontext()

    def end(self, record: CallRecord) -> None:
        self._fail_at("end")


class BrokenChatTexAPI(ChatTexAPI):
    step: str = ""

    def _sinks(self) -> tuple[Sink, ...]:
        return (Broken(self.step), Diary(""))


@pytest.mark.parametrize("step", ["begin", "begin in a thread", "sending", "end"])
@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_a_broken_sink_fails_no_call(
    endpoint: Endpoint, step: str, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = BrokenChatTexAPI(model=MODEL, step=step, **endpoint.for_langchain())

    answer = model.invoke(QUESTION) if way == "invoke" else asyncio.run(model.ainvoke(QUESTION))

    assert answer.text
    assert steps[-1].startswith("end ok")
    assert f"RuntimeError: {step.partition(' ')[0]}" in caplog.text


async def test_a_call_cancelled_while_a_sink_begins_is_ended(endpoint: Endpoint) -> None:
    """Its observers get its record, also the one that begins later, and it is not recorded again at exit."""
    reached, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    class Slow(Sink, Observer):
        @property
        def may_block(self) -> bool:
            return True

        def begin(self, call: StartedCall) -> Observer:
            reached.set()
            go_on.wait(60)
            return self

        def end(self, record: CallRecord) -> None:
            assert record.outcome == "cancelled"
            ended.set()

    class SlowChatTexAPI(ChatTexAPI):
        def _sinks(self) -> tuple[Sink, ...]:
            return (Diary(""), Slow())

    call = asyncio.create_task(SlowChatTexAPI(model=MODEL, **endpoint.for_langchain()).ainvoke(QUESTION))
    await asyncio.to_thread(reached.wait, 60)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    go_on.set()

    assert steps[-1] == "end cancelled None"
    assert not open_calls
    assert await asyncio.to_thread(ended.wait, 60)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_in_one_sink_leaves_no_other_without_its_end(
    endpoint: Endpoint, interruption: type[BaseException]
) -> None:
    steps.clear()

    def interrupted(record: CallRecord) -> None:
        raise interruption

    add_listener(interrupted)
    try:
        for ask in _asks(endpoint).values():
            with pytest.raises(interruption):
                ask()
    finally:
        remove_listener(interrupted)

    assert (
        sum(step.startswith("begin") for step in steps) == sum(step.startswith("end") for step in steps) > 0
    )
    assert not open_calls


def test_a_process_that_ends_in_its_first_call_ends_and_records_it(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/usage.db"
    code = f"""
from langchain_texapi import ChatTexAPI
model = ChatTexAPI(model={MODEL!r}, usage_ledger={url!r}, **{endpoint.for_langchain()!r})
stream = model.stream({QUESTION!r})
next(stream)
"""
    ended, _, complained = run(code)

    assert ended == 0, complained

    assert [row["outcome"] for row in read_rows(url)] == ["cancelled"]
