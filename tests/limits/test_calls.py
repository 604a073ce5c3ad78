"""Calls of both frameworks at the gate: whole and streamed, sync and async, retried, failed and cancelled."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import pytest
from langchain_core.rate_limiters import InMemoryRateLimiter
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.rate_limiter import TokenBucketRateLimiter

import texapi_core
from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.asking import ask_langchain, ask_llama_index, both, every_way
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from tests.waiting import await_until, wait_until
from texapi_core.accounting import CallRecord, flush_ledgers
from texapi_core.accounting.ledger.report import open_for_reading, read_calls
from texapi_core.limits import permit
from texapi_core.limits.gate import Gate

LIMIT_HEADERS = {
    "x-ratelimit-limit-requests": "6000",
    "x-ratelimit-remaining-requests": "100",
    "x-ratelimit-limit-tokens": "600000",
}


def the_gate() -> Gate:
    (gate,) = permit._gates.values()
    return gate


@both
@every_way
async def test_a_call_passes_and_holds_nothing_afterwards(
    call: Any, how: str, endpoint: Endpoint, records: list[CallRecord], tmp_path: Path
) -> None:
    ledger = f"sqlite:///{tmp_path}/usage.db"
    await call(how, endpoint, limits="auto", usage_ledger=ledger)

    (record,) = records
    assert record.outcome == "ok"
    assert record.waited_ms is not None
    assert 0 <= record.waited_ms <= record.total_ms
    assert the_gate()._held == 0
    assert flush_ledgers()
    with open_for_reading(ledger) as engine:
        assert [row["waited_ms"] for row in read_calls(engine)] == [record.waited_ms]


@both
@every_way
async def test_the_limits_of_the_gateway_are_learned_and_its_429_is_waited_out(
    call: Any, how: str, gateway: Gateway, endpoint: Endpoint, records: list[CallRecord]
) -> None:
    gateway.misbehave(Fault(status=429, headers={**LIMIT_HEADERS, "retry-after-ms": "300"}))
    start = time.monotonic()

    await call(how, endpoint, limits="auto", max_retries=1)

    assert time.monotonic() - start >= 0.3
    assert (records[0].attempts, records[0].outcome) == (2, "ok")
    assert (records[0].waited_ms or 0) > 200
    grant = the_gate().grant
    assert grant is not None
    assert 0 < grant.requests_per_second < 97  # of a process that does not know how many it shares them with
    assert grant.seen.tokens == 600_000


@both
@every_way
async def test_a_failed_call_holds_nothing(call: Any, how: str, gateway: Gateway, endpoint: Endpoint) -> None:
    for status in (400, 402, 429, 500):
        gateway.misbehave(Fault(status=status, headers={"retry-after-ms": "1"}))
        with pytest.raises(texapi_core.TexAPIError):
            await call(how, endpoint, limits="auto")

        assert the_gate()._held == 0
        permit._gates.clear()


@both
@every_way
async def test_a_refusal_in_place_of_an_answer_makes_the_others_wait(
    call: Any, how: str, gateway: Gateway, endpoint: Endpoint
) -> None:
    refusal = {"error": {"type": "rate_limited", "message": "slow down"}}
    gateway.misbehave(Fault(status=200, body=refusal, headers={"retry-after-ms": "500"}))
    with pytest.raises(texapi_core.TexAPIRateLimitError):
        await call(how, endpoint, limits="auto")
    start = time.monotonic()

    await call(how, endpoint, limits="auto")

    assert time.monotonic() - start > 0.2


def test_a_stream_that_is_closed_early_holds_nothing(endpoint: Endpoint) -> None:
    chunks = ChatTexAPI(model="gpt-5.2", **endpoint.for_langchain(limits="auto")).stream("Say one")
    next(chunks)
    assert the_gate()._held == 1

    chunks.close()  # type: ignore[attr-defined] # a generator

    assert the_gate()._held == 0


async def test_a_cancelled_call_holds_nothing_and_is_not_sent(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.misbehave(Fault(delay=30))
    limits = "auto?max_concurrency=1"
    model = ChatTexAPI(model="gpt-5.2", **endpoint.for_langchain(limits=limits))
    first = asyncio.create_task(model.ainvoke("one"))
    await await_until(lambda: gateway.requests)
    second = asyncio.create_task(model.ainvoke("two"))
    await await_until(lambda: the_gate()._queue)

    second.cancel()
    first.cancel()
    await asyncio.gather(first, second, return_exceptions=True)

    assert the_gate()._held == 0
    assert (await model.ainvoke("three")).content
    assert len(gateway.requests) == 2


async def test_both_frameworks_and_all_call_styles_share_one_limit(
    gateway: Gateway, endpoint: Endpoint
) -> None:
    limits = {"requests_per_minute": 600}
    start = time.monotonic()

    for ask in (ask_langchain, ask_llama_index):
        for how in ("whole", "awhole", "stream", "astream"):
            await ask(how, endpoint, limits=limits)

    assert len(permit._gates) == 1
    assert time.monotonic() - start > 0.5  # of 0.7 for eight calls


async def test_calls_at_once_are_no_more_than_max_concurrency(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.misbehave(Fault(delay=0.05), times=6)
    limits = "auto?max_concurrency=2&requests_per_minute=60000"
    model = ChatTexAPI(model="gpt-5.2", **endpoint.for_langchain(limits=limits))
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, the_gate()._held if permit._gates else 0)
            await asyncio.sleep(0.001)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(model.ainvoke("one") for _ in range(6)))
    watching.cancel()

    assert most == 2


def test_a_long_wait_is_logged(
    gateway: Gateway, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.misbehave(Fault(status=429, headers={"retry-after": "2"}))
    with caplog.at_level(logging.INFO, "texapi"):
        TexAPI(model="gpt-5.2", **endpoint.for_llama_index(limits="auto", max_retries=1)).chat(
            [ChatMessage("one")]
        )

    (line,) = [message for message in caplog.messages if "rate limit" in message]
    assert line.startswith("a request waited 2.")
    (line,) = [message for message in caplog.messages if message.startswith("call ")]
    assert " waited_ms=2" in line


def test_without_limits_nothing_is_made(endpoint: Endpoint, records: list[CallRecord]) -> None:
    ChatTexAPI(model="gpt-5.2", **endpoint.for_langchain()).invoke("one")

    assert permit._gates == {}
    assert records[0].waited_ms is None


def test_a_list_of_models_passes_no_gate(endpoint: Endpoint) -> None:
    model = ChatTexAPI(model="gpt-5.2", **endpoint.for_langchain(limits="auto"))

    assert texapi_core.list_models(model._settings())
    assert permit._gates == {}


def test_the_usage_settles_the_reservation(endpoint: Endpoint) -> None:
    limits = {"tokens_per_minute": 6_000_000}
    model = ChatTexAPI(model="gpt-5.2", max_tokens=50_000, **endpoint.for_langchain(limits=limits))
    model.invoke("one")
    wait_until(lambda: not the_gate()._has_report)

    assert the_gate()._demand._ratio < 0.1
    local = the_gate()._place._local
    assert local.tokens_at < time.monotonic() + 0.1  # 50,000 tokens are half a second


@pytest.mark.parametrize("kind", ["langchain", "llama_index"])
def test_the_frameworks_own_limiters_are_used_as_well(kind: str, endpoint: Endpoint) -> None:
    used = []

    class Counting(InMemoryRateLimiter):
        def acquire(self, *, blocking: bool = True) -> bool:
            used.append(blocking)
            return super().acquire(blocking=blocking)

    if kind == "langchain":
        limiter: Any = Counting(requests_per_second=1000)
        ChatTexAPI(model="gpt-5.2", rate_limiter=limiter, **endpoint.for_langchain(limits="auto")).invoke(
            "one"
        )
    else:
        limiter = TokenBucketRateLimiter(requests_per_minute=1000)
        acquire = limiter.acquire

        def counted() -> None:
            used.append(True)
            acquire()

        object.__setattr__(limiter, "acquire", counted)
        TexAPI(model="gpt-5.2", rate_limiter=limiter, **endpoint.for_llama_index(limits="auto")).complete(
            "one"
        )

    assert used == [True]
    assert the_gate().grant is not None
