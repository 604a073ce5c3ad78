"""`bulk.run` and `arun`: every input has one result, calls are bounded, and nothing that came is lost."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import signal
import sqlite3
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from tests.properties.strategies import examples
from tests.waiting import wait_until
from texapi_core import (
    TexAPIAuthenticationError,
    TexAPIBadRequestError,
    TexAPIInsufficientCreditsError,
    TexAPISettingsError,
)
from texapi_core.bulk import STOP_ERRORS, Result, Worker, arun, run


def run_async(*arguments: Any, **options: Any) -> Iterator[Result[Any, Any]]:
    """`arun` as a synchronous iterator: all of its results, then what it raised."""

    async def collect() -> None:
        async for result in arun(*arguments, **options):
            results.append(result)

    results: list[Result[Any, Any]] = []
    try:
        asyncio.run(collect())
    finally:
        yield from results


either = pytest.mark.parametrize("run", [run, run_async])


class Calls:
    """An async function that counts its calls; even inputs fail if `fails`."""

    def __init__(self, *, fails: type[Exception] | None = None, seconds: float = 0.0) -> None:
        self.fails = fails
        self.seconds = seconds
        self.made = self.at_once = self.most = 0

    async def __call__(self, value: int) -> int:
        self.made += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await asyncio.sleep(self.seconds)
            if self.fails and value % 2 == 0:
                raise self.fails(f"no {value}")
            return value * 10
        finally:
            self.at_once -= 1


@either
@given(count=st.integers(0, 50), concurrency=st.integers(1, 60))
@examples
def test_every_input_has_one_result(run: Any, count: int, concurrency: int) -> None:
    calls = Calls(fails=ValueError)

    results = list(run(calls, range(count), concurrency=concurrency))

    assert sorted(result.index for result in results) == list(range(count))
    assert all(result.input == result.index for result in results)
    assert all((result.error is None) == bool(result.input % 2) for result in results)
    assert all(result.answer == (result.input * 10 if result.input % 2 else None) for result in results)
    assert calls.most <= concurrency


@either
def test_calls_are_concurrent_and_bounded(run: Any) -> None:
    calls = Calls(seconds=0.01)

    assert len(list(run(calls, range(40), concurrency=8))) == 40

    assert calls.most == 8


@either
def test_results_come_before_the_inputs_end(run: Any) -> None:
    read = 0

    def endless() -> Iterator[int]:
        nonlocal read
        while True:
            read += 1
            yield read

    if run is run_async:

        async def first() -> Result[int, int]:
            results = arun(Calls(), endless(), concurrency=4)
            try:
                return await anext(results)
            finally:
                await results.aclose()

        assert asyncio.run(first()).error is None
    else:
        results = run(Calls(), endless(), concurrency=4)
        assert next(results).error is None
        results.close()

    assert read <= 5


async def test_inputs_may_be_asynchronous_and_slow() -> None:
    """A result is yielded while the next input is awaited."""
    more = asyncio.Event()

    async def source() -> AsyncIterator[int]:
        yield 1
        await more.wait()
        yield 2

    results = arun(Calls(), source())
    assert (await anext(results)).input == 1
    more.set()
    assert (await anext(results)).input == 2
    await results.aclose()


@either
def test_an_error_of_the_account_ends_the_work(run: Any) -> None:
    """Calls under way end and are yielded; then the error is raised."""
    made: list[int] = []
    refusal = TexAPIInsufficientCreditsError.__new__(TexAPIInsufficientCreditsError)

    async def call(value: int) -> int:
        made.append(value)
        await asyncio.sleep(0.05 if value < 3 else 0)
        if value == 3:
            raise refusal
        return value

    results: list[Any] = []
    with pytest.raises(TexAPIInsufficientCreditsError):
        results.extend(run(call, range(100), concurrency=4))

    assert made == [0, 1, 2, 3]
    assert sorted(result.index for result in results) == made


@either
def test_an_error_of_the_inputs_is_raised_after_the_answers(run: Any) -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("the disk is gone")

    results: list[Any] = []
    with pytest.raises(OSError, match="the disk is gone"):
        results.extend(run(Calls(seconds=0.01), source()))

    assert sorted(result.answer for result in results) == [10, 20]


@either
@pytest.mark.parametrize("concurrency", [0, -1, True, 1.5, "4"])
def test_concurrency_is_checked(run: Any, concurrency: Any) -> None:
    with pytest.raises(TexAPISettingsError, match="`concurrency` must be"):
        list(run(Calls(), [1], concurrency=concurrency))


@either
def test_a_call_that_is_not_async_is_refused(run: Any) -> None:
    with pytest.raises(TexAPISettingsError, match=r"pass `model\.ainvoke`"):
        list(run(object(), [1]))
    with pytest.raises(TypeError, match="`call` must be async"):
        list(run(lambda value: value, range(100)))


@either
@pytest.mark.parametrize("cause", [asyncio.CancelledError, GeneratorExit])
def test_a_call_that_ends_by_itself_has_a_result(run: Any, cause: type[BaseException]) -> None:
    async def call(value: int) -> int:
        if value % 2:
            raise cause
        return value

    results = sorted(run(call, range(6), concurrency=2), key=lambda result: result.index)

    assert [result.answer for result in results] == [0, None, 2, None, 4, None]
    assert all(isinstance(result.error.__cause__, cause) for result in results[1::2])
    assert str(results[1].error) == f"The call raised {cause.__name__}, and has no answer."


def test_a_cancelled_call_is_a_row_of_a_worker() -> None:
    async def call(value: int) -> int:
        if value == 1:
            raise asyncio.CancelledError
        return value

    answers, errors = Worker(call).map(range(3))

    assert answers == [0, None, 2]
    assert errors == [None, "CallEndedError: The call raised CancelledError, and has no answer.", None]


@pytest.mark.parametrize("cause", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize(("run", "is_in_a_task"), [(run, False), (run_async, False), (run, True)])
def test_what_ends_the_program_reaches_the_caller(
    run: Any, cause: type[BaseException], is_in_a_task: bool
) -> None:
    """What came before is yielded, calls under way are ended, and the next run works."""
    calls = Calls(seconds=60)

    async def exit_() -> None:
        raise cause(7)

    async def call(value: int) -> int:
        if value < 3:
            return value
        if value > 3:
            return await calls(value)
        await asyncio.sleep(0.05)
        await (asyncio.create_task(exit_()) if is_in_a_task else exit_())
        return value

    results: list[Any] = []
    with pytest.raises(cause) as caught:
        results.extend(run(call, range(100), concurrency=6))

    assert caught.value.args == (7,)
    assert sorted(result.index for result in results) == [0, 1, 2, 3]
    assert calls.at_once == 0
    assert [result.answer for result in run(Calls(), range(3))] == [0, 10, 20]


def test_an_exit_that_nobody_awaits_ends_no_run() -> None:
    tasks: list[Any] = []

    async def exit_() -> None:
        raise SystemExit

    async def call(value: int) -> int:
        tasks.append(asyncio.create_task(exit_()))
        await asyncio.sleep(0.01)
        return value

    assert {result.answer for result in run(call, range(9), concurrency=3)} == set(range(9))
    assert all(isinstance(task.exception(), SystemExit) for task in tasks)


def test_run_within_a_call_would_wait_for_itself() -> None:
    async def call(value: int) -> int:
        return len(list(run(Calls(), [value])))

    (result,) = run(call, [1])
    assert isinstance(result.error, RuntimeError)
    assert "use `arun`" in str(result.error)


def test_closing_ends_the_calls_under_way() -> None:
    calls = Calls(seconds=60)

    async def first_is_quick(value: int) -> int:
        return 0 if value == 0 else await calls(value)

    results = run(first_is_quick, range(9), concurrency=3)
    assert next(results).answer == 0
    wait_until(lambda: calls.at_once == 2)

    results.close()
    assert calls.at_once == 0


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C as in a terminal: a shell starts what runs in the background without it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_calls_and_keeps_what_came() -> None:
    calls = Calls(seconds=60)
    quick = threading.Event()

    async def call(value: int) -> int:
        if value % 2:
            return await calls(value)
        await asyncio.sleep(0.2)
        quick.set()
        return value

    results: list[Any] = []

    def interrupt() -> None:
        quick.wait(60)
        wait_until(lambda: calls.at_once == 4)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        results.extend(run(call, range(8), concurrency=8))

    assert sorted(result.answer for result in results) == [0, 2, 4, 6]
    assert calls.at_once == 0


@either
def test_memory_does_not_grow_with_the_inputs(run: Any) -> None:
    async def call(value: int) -> bytes:
        return bytes(10_000)

    def consume() -> None:
        async def consume_async() -> None:
            async for _ in arun(call, range(5_000), concurrency=4):
                pass

        if run is run_async:
            asyncio.run(consume_async())
        else:
            for _ in run(call, range(5_000), concurrency=4):
                pass

    gc.collect()
    tracemalloc.start()
    try:
        consume()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 3_000_000  # 50 MB of answers came


def ways(endpoint: Endpoint, **options: Any) -> dict[str, Callable[[Any], Any]]:
    chat = ChatTexAPI(**endpoint.for_langchain(model="gpt-5.2", **options))
    llm = TexAPI(**endpoint.for_llama_index(model="gpt-5.2", **options))
    return {"langchain": chat.ainvoke, "llama_index": llm.acomplete}


@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
@pytest.mark.parametrize("run", [run, run_async])
def test_both_frameworks_answer_in_bulk(
    gateway: Gateway, endpoint: Endpoint, framework: str, run: Any
) -> None:
    questions = [f"What is {number} + 1000?" for number in range(60)]

    results = list(run(ways(endpoint)[framework], questions, concurrency=10))

    texts = {result.index: result.answer.text for result in results}
    assert all(str(number + 1000) in texts[number] for number in range(60))
    assert len(gateway.requests) == 60
    assert len(gateway.connections) <= 10


@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
def test_one_bad_document_costs_no_other(gateway: Gateway, endpoint: Endpoint, framework: str) -> None:
    gateway.misbehave(Fault(status=400))

    results = list(run(ways(endpoint)[framework], ["a", "b", "c", "d"], concurrency=1))

    assert [type(result.error) for result in results[1:]] == [type(None)] * 3
    assert isinstance(results[0].error, TexAPIBadRequestError)


@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
def test_a_wrong_key_is_asked_with_few_times(gateway: Gateway, endpoint: Endpoint, framework: str) -> None:
    call = ways(Endpoint(endpoint.base_url, "sk-tex-wrong"))[framework]

    with pytest.raises(TexAPIAuthenticationError):
        list(run(call, ["Hello"] * 500, concurrency=4))

    assert len(gateway.requests) <= 8


@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
def test_eight_batches_open_no_more_connections_than_calls_at_once(
    gateway: Gateway, endpoint: Endpoint, framework: str
) -> None:
    worker: Worker[str, Any] = Worker(ways(endpoint)[framework], concurrency=6)

    batches = [worker.map([f"What is {number} + 1000?" for number in range(20)]) for _ in range(8)]

    assert all(errors == [None] * 20 for _, errors in batches)
    assert all(
        str(number + 1000) in getattr(answer, "text", "")
        for answers, _ in batches
        for number, answer in enumerate(answers)
    )
    assert len(gateway.connections) <= 6


@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
def test_a_worker_can_be_pickled(endpoint: Endpoint, framework: str) -> None:
    worker: Worker[str, Any] = Worker(ways(endpoint)[framework], concurrency=6)
    for dump in (pickle.dumps, cloudpickle.dumps):
        there = pickle.loads(dump(worker))
        assert there.concurrency == 6
        assert there.map(["What is 1 + 1000?"]).answers[0].text == "1 + 1000 = 1001"


def test_the_ledger_has_the_batch_when_map_returns(endpoint: Endpoint, tmp_path: Path) -> None:
    call = ways(endpoint, usage_ledger=f"sqlite:///{tmp_path}/usage.db")["langchain"]

    Worker(call).map(["a", "b", "c"])

    with closing(sqlite3.connect(tmp_path / "usage.db")) as ledger:
        assert ledger.execute("select count(*) from texapi_calls").fetchone() == (3,)


def test_errors_of_a_batch_are_a_column() -> None:
    columns = Worker(Calls(fails=ValueError)).map(range(4))

    assert columns.answers == [None, 10, None, 30]
    assert columns.errors == ["ValueError: no 0", None, "ValueError: no 2", None]


def test_after_an_error_of_the_account_the_rest_of_a_batch_says_so(
    gateway: Gateway, endpoint: Endpoint
) -> None:
    gateway.misbehave(Fault(status=402))
    worker = Worker(ways(endpoint)["langchain"], concurrency=1)

    answers, errors = worker.map(["a", "b", "c"])

    assert answers == [None] * 3
    assert str(errors[0]).startswith("TexAPIInsufficientCreditsError: ")
    assert errors[1] == errors[2] == f"Not asked after {errors[0]}"
    assert len(gateway.requests) == 1


def test_stop_errors_are_those_of_every_call() -> None:
    assert not [error for error in STOP_ERRORS if issubclass(TexAPIBadRequestError, error)]
