"""One model object under load: nothing is sent twice and no connection stays open, counted at the server."""

from __future__ import annotations

import asyncio
import copy
import gc
import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cloudpickle
import pytest
from llama_index.core.base.llms.types import ChatMessage

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from tests.waiting import await_until, wait_until


class Subject:
    """A model object of either framework behind one interface."""

    def __init__(self, model: ChatTexAPI | TexAPI) -> None:
        self.model = model

    def ask(self, number: int) -> str:
        if isinstance(self.model, TexAPI):
            return self.model.chat([ChatMessage(_prompt(number))]).message.content or ""
        return self.model.invoke(_prompt(number)).text

    def stream(self, number: int) -> str:
        if isinstance(self.model, TexAPI):
            *_, last = self.model.stream_chat([ChatMessage(_prompt(number))])
            return last.message.content or ""
        return "".join(chunk.text for chunk in self.model.stream(_prompt(number)))

    async def aask(self, number: int) -> str:
        if isinstance(self.model, TexAPI):
            return (await self.model.achat([ChatMessage(_prompt(number))])).message.content or ""
        return (await self.model.ainvoke(_prompt(number))).text

    async def astream(self, number: int) -> str:
        if isinstance(self.model, TexAPI):
            text = ""
            async for response in await self.model.astream_chat([ChatMessage(_prompt(number))]):
                text = response.message.content or ""
            return text
        return "".join([chunk.text async for chunk in self.model.astream(_prompt(number))])


def _prompt(number: int) -> str:
    return f"What is {number} + 1000?"


def _answered(texts: list[str]) -> list[bool]:
    """Whether each call got its own answer and not that of another call."""
    return [str(number + 1000) in text for number, text in enumerate(texts)]


@pytest.fixture(params=["langchain", "llama_index"])
def subject(request: pytest.FixtureRequest, endpoint: Endpoint) -> Subject:
    if request.param == "langchain":
        return Subject(ChatTexAPI(**endpoint.for_langchain(model="gpt-5.2", timeout=300)))
    return Subject(TexAPI(**endpoint.for_llama_index(model="gpt-5.2", timeout=300)))


@pytest.fixture(autouse=True)
def _nothing_left(gateway: Gateway) -> Iterator[None]:
    """Assert that every call completed once; unclosed resources would warn here, and warnings are errors."""
    yield
    gc.collect()


def _sent_once(gateway: Gateway, calls: int) -> None:
    asked = [request.body["messages"][-1]["content"] for request in gateway.requests]
    assert sorted(asked) == sorted(set(asked))
    assert len(asked) == calls
    assert [entry.completed for entry in gateway.ledger] == [True] * calls


@pytest.mark.parametrize(
    ("subject", "streamed"),
    [
        ("langchain", True),
        pytest.param("llama_index", False, marks=pytest.mark.combination),
        pytest.param("langchain", False, marks=pytest.mark.combination),
        pytest.param("llama_index", True, marks=pytest.mark.combination),
    ],
    indirect=["subject"],
)
def test_200_calls_at_once(gateway: Gateway, subject: Subject, streamed: bool) -> None:
    call = subject.astream if streamed else subject.aask
    before = gateway.open_connections

    async def all_at_once() -> list[str]:
        return await asyncio.gather(*(call(number) for number in range(200)))

    assert all(_answered(asyncio.run(all_at_once())))
    _sent_once(gateway, 200)
    wait_until(lambda: gateway.open_connections <= before)


@pytest.mark.parametrize(
    ("subject", "streamed"),
    [
        pytest.param("langchain", False, marks=pytest.mark.combination),
        ("llama_index", True),
        pytest.param("langchain", True, marks=pytest.mark.combination),
        pytest.param("llama_index", False, marks=pytest.mark.combination),
    ],
    indirect=["subject"],
)
def test_64_threads(gateway: Gateway, subject: Subject, streamed: bool) -> None:
    start = threading.Barrier(64)

    def call(number: int) -> str:
        start.wait(60)
        return subject.stream(number) if streamed else subject.ask(number)

    with ThreadPoolExecutor(64) as threads:
        assert all(_answered(list(threads.map(call, range(64)))))
    _sent_once(gateway, 64)


def test_three_consecutive_event_loops(gateway: Gateway, subject: Subject) -> None:
    texts: list[str] = []
    before = gateway.open_connections
    for number in range(0, 6, 2):
        texts += [asyncio.run(subject.aask(number)), asyncio.run(subject.astream(number + 1))]
        wait_until(lambda: gateway.open_connections <= before)

    assert all(_answered(texts))
    _sent_once(gateway, 6)


def test_event_loops_in_threads(gateway: Gateway, subject: Subject) -> None:
    async def several(first: int) -> list[str]:
        return await asyncio.gather(*(subject.astream(first + each) for each in range(4)))

    before = gateway.open_connections
    with ThreadPoolExecutor(8) as threads:
        batches = list(threads.map(lambda first: asyncio.run(several(first)), range(0, 64, 4)))

    assert all(_answered([text for batch in batches for text in batch]))
    _sent_once(gateway, 64)
    wait_until(lambda: gateway.open_connections <= before)


def _in_child(subject: Subject, texts: Any) -> None:
    texts.put(subject.ask(1))
    texts.put(asyncio.run(subject.astream(2)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_fork_after_use(gateway: Gateway, subject: Subject) -> None:
    here = [subject.ask(0)]
    context = multiprocessing.get_context("fork")
    texts = context.Queue()
    child = context.Process(target=_in_child, args=(subject, texts))
    child.start()
    here += [texts.get(timeout=60), texts.get(timeout=60)]
    child.join(60)
    here.append(subject.ask(3))

    assert all(_answered(here))
    _sent_once(gateway, 4)
    assert child.exitcode == 0


async def test_cancelling_streams_closes_their_connections(gateway: Gateway, subject: Subject) -> None:
    """Half of the streams are cancelled in the middle; the others are not affected."""
    gateway.misbehave(Fault(stall_after=4), times=10)
    stalled = [asyncio.create_task(subject.astream(number)) for number in range(10)]
    await await_until(lambda: len(gateway.requests) == 10)
    others = [asyncio.create_task(subject.astream(number)) for number in range(10, 20)]
    texts = await asyncio.gather(*others)
    before = gateway.open_connections
    for task in stalled:
        task.cancel()
    outcomes = await asyncio.gather(*stalled, return_exceptions=True)
    await await_until(lambda: gateway.open_connections <= before - 10)

    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
    assert all(str(number + 1010) in text for number, text in enumerate(texts))
    assert gateway.open_connections == before - 10
    assert len(gateway.requests) == 20
    assert str(1020) in await subject.aask(20)


_COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "cloudpickle": lambda model: cloudpickle.loads(cloudpickle.dumps(model)),
}


@pytest.mark.parametrize(
    ("subject", "copied"),
    [
        ("langchain", "deepcopy"),
        ("llama_index", "pickle"),
        pytest.param("langchain", "cloudpickle", marks=pytest.mark.combination),
        pytest.param("llama_index", "deepcopy", marks=pytest.mark.combination),
        pytest.param("langchain", "pickle", marks=pytest.mark.combination),
        pytest.param("llama_index", "cloudpickle", marks=pytest.mark.combination),
    ],
    indirect=["subject"],
)
def test_copies_in_use_at_once(gateway: Gateway, subject: Subject, copied: str) -> None:
    """Copies share the pool of the process, so 32 of them need no more connections than one."""
    subject.ask(100)
    copies = [Subject(_COPIES[copied](subject.model)) for _ in range(32)]

    for number, one in enumerate(copies):
        assert str(number + 1000) in one.ask(number)
    assert len(gateway.connections) == 1
    with ThreadPoolExecutor(32) as threads:
        texts = list(threads.map(lambda number: copies[number].stream(number + 200), range(32)))

    assert [str(number + 1200) in text for number, text in enumerate(texts)] == [True] * 32
    _sent_once(gateway, 65)


def test_a_stream_started_in_one_thread_and_closed_in_another(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.misbehave(Fault(stall_after=3))
    stream: Any = ChatTexAPI(**endpoint.for_langchain(model="gpt-5.2")).stream("Hello")
    next(stream)
    closing = threading.Thread(target=stream.close)
    closing.start()
    closing.join(60)

    assert not closing.is_alive()
    wait_until(lambda: gateway.ledger[0].completion_tokens > 0)
