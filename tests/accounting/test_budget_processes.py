"""Budgets over processes: what the stand-in counts is never more than the cap."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.accounting import postgresql
from tests.accounting.budget_run import MODEL, Processes, spent
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from texapi_core import TexAPIBudgetExceededError, TexAPIBudgetUnavailableError, TexAPITimeoutError
from texapi_core.accounting import flush_budgets, flush_ledgers, reservation_transactions, reservations
from texapi_core.accounting.reservation_stores import stores

QUESTION = "What is the capital of Vietnam?"
CAP = Decimal("0.004")
"""USD; one call takes at most 0.001."""
BUDGET = {"max_cost": str(CAP), "window": "month"}


def patience(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let calls wait for a locked ledger that long, and at least a second."""
    for module in (reservations, reservation_transactions):
        monkeypatch.setattr(module, "WAIT_SECONDS", seconds)


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.combination),
        pytest.param("redis", marks=pytest.mark.combination),
    ]
)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/usage.db"
        return
    if request.param == "redis":
        yield request.getfixturevalue("redis_url")
        return
    if reason := postgresql.why_not():
        pytest.skip(reason)
    with postgresql.server() as url:
        yield url


def test_the_calls_of_four_processes_at_once_stay_within_the_cap(gateway: Gateway, ledger_url: str) -> None:
    gateway.misbehave(Fault(delay=0.2), times=80)
    processes = Processes(gateway, ledger_url, BUDGET)

    processes.start()
    outcomes = processes.outcomes()

    usd, _ = spent(gateway)
    assert 0 < usd <= CAP
    assert outcomes["ok"] == len(gateway.requests) >= 3
    assert outcomes["ok"] + outcomes["TexAPIBudgetExceededError"] == 80, outcomes


def test_calls_of_a_killed_process_stay_reserved(gateway: Gateway, ledger_url: str) -> None:
    """The gateway may have charged them. The others use what is left, and not more."""
    gateway.misbehave(Fault(delay=0.5), times=80)
    processes = Processes(gateway, ledger_url, BUDGET, processes=1, at_once=3)
    processes.start()
    while len(gateway.requests) < 3:
        time.sleep(0.01)
    processes.workers[0].kill()
    processes.outcomes()
    left = Processes(gateway, ledger_url, BUDGET, processes=1, rounds=2)
    left.start()

    outcomes = left.outcomes()

    usd, _ = spent(gateway)
    assert usd <= CAP
    assert outcomes["TexAPIBudgetExceededError"] > 0


@pytest.mark.parametrize("times_out", [False, True])
def test_an_open_budget_goes_on_with_what_the_process_last_saw(
    gateway: Gateway, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, times_out: bool
) -> None:
    """What it sent meanwhile counts in the ledger when that is back. A call is 22 tokens, at most 51."""
    patience(monkeypatch, 0.1)
    stores.clear()
    url = f"sqlite:///{tmp_path}/usage.db"
    shared: dict[str, Any] = {"usage_ledger": url, "max_tokens_total": 83, "on_ledger_error": "open"}
    shared["timeout"] = 1
    spent = f"{22 + (51 if times_out else 22)} tokens are spent"
    model = ChatTexAPI(model=MODEL, **endpoint.for_langchain(**shared))
    llm = TexAPI(model=MODEL, **endpoint.for_llama_index(**shared))
    model.invoke(QUESTION)
    assert flush_ledgers()
    for _ in range(2):
        lock = sqlite3.connect(tmp_path / "usage.db", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        if len(gateway.requests) < 2 and times_out:
            gateway.misbehave(Fault(delay=30))
            with pytest.raises(TexAPITimeoutError):
                model.invoke(QUESTION)
        elif len(gateway.requests) < 2:
            model.invoke(QUESTION)
        for ask in (model.invoke, llm.complete):
            with pytest.raises(TexAPIBudgetExceededError, match=f"{spent}.*last saw"):
                ask(QUESTION)
        lock.execute("ROLLBACK")
        lock.close()
        assert flush_ledgers()

    stores.clear()
    with pytest.raises(TexAPIBudgetExceededError, match=spent):
        model.invoke(QUESTION)
    assert len(gateway.requests) == 2


async def test_calls_at_once_on_a_locked_ledger_wait_as_long_as_one(
    gateway: Gateway, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few threads async calls have: those that waited for a thread are refused with those in one."""
    patience(monkeypatch, 1.5)
    stores.clear()
    arguments = endpoint.for_langchain(usage_ledger=f"sqlite:///{tmp_path}/usage.db", max_cost=1)
    model = ChatTexAPI(model=MODEL, **arguments)
    await model.ainvoke(QUESTION)
    assert flush_ledgers()
    lock = sqlite3.connect(tmp_path / "usage.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))

    started = time.monotonic()
    outcomes = await asyncio.gather(*(model.ainvoke(QUESTION) for _ in range(100)), return_exceptions=True)
    took = time.monotonic() - started

    assert all(isinstance(outcome, TexAPIBudgetUnavailableError) for outcome in outcomes)
    assert took < 30  # one after the other: 75 seconds
    lock.execute("ROLLBACK")
    lock.close()
    await model.ainvoke(QUESTION)


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
async def test_a_budget_on_a_locked_ledger_is_closed(
    gateway: Gateway, endpoint: Endpoint, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience(monkeypatch, 0.1)
    arguments = endpoint.for_langchain(usage_ledger=f"sqlite:///{tmp_path}/usage.db", max_cost=1)
    model = ChatTexAPI(model=MODEL, **arguments)
    model.invoke("Hello")
    assert flush_ledgers()
    assert flush_budgets()
    lock = sqlite3.connect(tmp_path / "usage.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")

    ask = {
        "invoke": lambda: asyncio.to_thread(model.invoke, "Hello"),
        "ainvoke": lambda: model.ainvoke("Hello"),
    }
    with pytest.raises(TexAPIBudgetUnavailableError, match=r"locked.*Nothing was sent") as raised:
        await ask[way]()
    assert raised.value.is_retryable
    assert len(gateway.requests) == 1

    ChatTexAPI(model=MODEL, on_ledger_error="open", **arguments).invoke("Hello")
    assert len(gateway.requests) == 2
    lock.execute("ROLLBACK")
    lock.close()
    model.invoke("Hello")


@pytest.mark.parametrize("is_new", [True, False])
def test_a_lock_that_goes_in_time_refuses_no_call(
    endpoint: Endpoint, tmp_path: Path, *, is_new: bool
) -> None:
    """SQLite does not wait by itself where a file is not one with a log yet."""
    path = tmp_path / "usage.db"
    arguments = endpoint.for_langchain(usage_ledger=f"sqlite:///{path}", max_cost=1)
    model = ChatTexAPI(model=MODEL, **arguments)
    if not is_new:
        model.invoke(QUESTION)
        assert flush_ledgers(60)
    lock = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    lock.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(2.5, lambda: lock.execute("ROLLBACK"))
    timer.start()

    model.invoke(QUESTION)

    timer.join()
    lock.close()


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_a_file_beside_the_ledger_that_is_deleted_is_noticed(
    gateway: Gateway, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / "usage.db"
    processes = Processes(
        gateway, f"sqlite:///{path}", {"max_cost": "5", "window": "month"}, processes=1, at_once=4, rounds=30
    )
    gateway.misbehave(Fault(delay=0.05), times=1_000)
    processes.start()
    while len(gateway.requests) < 40:
        time.sleep(0.01)
    Path(f"{path}{suffix}").unlink()

    outcomes = processes.outcomes()

    assert outcomes == {"ok": 120}
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM texapi_calls").fetchone() == (120,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_tables_that_were_dropped_are_made_again_by_the_call_that_needs_them(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    path = tmp_path / "usage.db"
    model = ChatTexAPI(model=MODEL, max_cost=1, **endpoint.for_langchain(usage_ledger=f"sqlite:///{path}"))
    model.invoke(QUESTION)
    assert flush_ledgers(60)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in tables:
            connection.execute(f"DROP TABLE {name}")

    model.invoke(QUESTION)

    assert flush_ledgers(60)
