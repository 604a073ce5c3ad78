"""Ended calls of unknown tokens count for the whole window: at an exit, after a flush, and after a prune."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from pathlib import Path

import pytest

from tests.accounting.filled import call, fill
from tests.conftest import Endpoint
from tests.forked import run
from tests.gateway import Fault, Gateway
from texapi_core.accounting import LedgerSink, budget, flush_ledgers, ledger, open_for_reading
from texapi_core.accounting.accounts import Account, Limit, Reservation, Settlement
from texapi_core.accounting.ledger.budgets import budget_lines, read_budgets
from texapi_core.accounting.ledger.upkeep import prune
from texapi_core.accounting.record import Spending
from texapi_core.accounting.reservation_stores import stores
from texapi_core.accounting.windows import Window

CALLS = """
import asyncio, os, sys
from langchain_texapi import ChatTexAPI, TexAPIError
from texapi_core.accounting import flush_ledgers
base_url, api_key, url = sys.argv[1:]
model = ChatTexAPI(
    model="claude-sonnet-4-6", base_url=base_url, api_key=api_key, max_retries=0, timeout=1,
    usage_ledger=url, max_cost=5, max_tokens=50, budget_window="month",
)
async def close():
    stream = model.astream("Hello")
    await anext(stream)
    await stream.aclose()
async def time_out():
    try:
        await model.ainvoke("Hello")
    except TexAPIError:
        pass
"""
WAYS = {
    "aclose": "asyncio.run(close())",
    "ainvoke": "asyncio.run(time_out())",
    "invoke": "model.invoke('Hello')",
}
ENDS = {"a normal exit": "", "flush_ledgers": "assert flush_ledgers(); os._exit(0)"}


def forget_stores() -> None:
    """Close the connections of this process, as if the next call were in another."""
    for store in stores.values():
        store._accounts.close()
    stores.clear()


@pytest.fixture(autouse=True)
def _fresh_stores() -> Iterator[None]:
    forget_stores()
    ledger._writers.clear()
    yield
    forget_stores()
    ledger._writers.clear()


@pytest.mark.parametrize(
    ("way", "end"),
    [
        pytest.param(way, end, marks=[pytest.mark.combination] * (way == "ainvoke" or number % 2 == 0))
        for number, (way, end) in enumerate(product(WAYS, ENDS))
    ],
)
def test_a_call_of_unknown_tokens_is_settled_before_the_process_ends(
    gateway: Gateway, endpoint: Endpoint, tmp_path: Path, way: str, end: str
) -> None:
    """Only a reservation that was never settled is dropped after 24 hours."""
    if way != "aclose":
        gateway.misbehave(Fault(delay=30))
    code = CALLS + f"try:\n    {WAYS[way]}\nexcept TexAPIError:\n    pass\n{ENDS[end]}\n"
    ended, _, complained = run(code, endpoint.base_url, endpoint.api_key, f"sqlite:///{tmp_path}/usage.db")
    assert ended == 0, complained

    with sqlite3.connect(tmp_path / "usage.db") as connection:
        rows = connection.execute("SELECT state, cost > 0 FROM texapi_reservations").fetchall()
    connection.close()
    assert rows == [(2, 1)]


def test_a_stuck_ledger_accuses_no_other_and_counts_only_records(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stuck, well = (f"sqlite:///{tmp_path}/{name}.db" for name in ("stuck", "well"))
    ledger.write_record(stuck, call(1))
    assert flush_ledgers(60)
    lock = sqlite3.connect(tmp_path / "stuck.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    for number in (2, 3):
        ledger.write_record(stuck, call(number))
        ledger.write_record(well, call(number))

    for _ in range(3):
        assert not flush_ledgers(0.5)

    said = [entry.getMessage() for entry in caplog.records if entry.levelname == "ERROR"]
    assert len(said) == 3
    assert all("stuck.db" in line and "at least 2 records" in line for line in said), said
    lock.execute("ROLLBACK")
    lock.close()
    assert flush_ledgers(60)


def test_a_signal_in_the_middle_of_a_reservation_waits_for_nothing(tmp_path: Path) -> None:
    store = budget._store(LedgerSink(f"sqlite:///{tmp_path}/usage.db"), "")
    store._owner = threading.get_ident()
    with store._lock:
        started = time.monotonic()
        assert not store.flush(started + 60)
        assert time.monotonic() < started + 6


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_pruned_call_counts_once(request: pytest.FixtureRequest, tmp_path: Path, database: str) -> None:
    """Its reservation stays until the next call under its budget, if the ledger was idle since."""
    url = f"sqlite:///{tmp_path}/usage.db"
    if database == "postgresql":
        url = request.getfixturevalue("postgresql_url")
    limits = (Limit(Account("all", "", Window("30d")), 10**12, None),)
    started = datetime.now(UTC) - timedelta(days=3)
    store = budget._store(LedgerSink(url), "")
    for number in (1, 2):
        reservation = Reservation(f"{number:032d}", started.timestamp(), limits)
        store.reserve(reservation, Spending(Decimal("0.2"), 10))
        store.settle(Settlement(reservation, Spending(Decimal("0.1"), 10), Spending(Decimal(0), 0)))
    assert store.flush(time.monotonic() + 60)
    record = call(1, cost="0.1")
    object.__setattr__(record, "started_at", started)
    fill(url, [record])

    assert prune(url, datetime.now(UTC) - timedelta(days=2)) == 1

    with open_for_reading(url) as engine:
        (line,) = read_budgets(engine, datetime.now(UTC))
    assert line.spent == Decimal("0.2")
    forget_stores()
    found = budget._store(LedgerSink(url), "").reserve(
        Reservation("3" * 32, datetime.now(UTC).timestamp(), limits), Spending(Decimal("0.1"), 0)
    )
    assert isinstance(found, dict)
    assert [balance.spent_cost for balance in found.values()] == [2 * 10**11]
    forget_stores()


@pytest.mark.parametrize(
    ("window", "limit", "hours"),
    [
        ("24h", 3, None),
        ("24h", 1.5, 12),
        ("30d", 3, 48),
        ("30d", 40, None),
        ("day", 1.5, 12),
        ("day", 3, None),
    ],
)
def test_when_a_budget_will_be_gone_is_within_one_window(
    window: str, limit: float, hours: int | None
) -> None:
    """Of one USD a day, of which one is spent: a budget of the last 24 hours never has two days to count."""
    now = datetime(2026, 11, 28, 6, tzinfo=UTC)
    account = Account("all", "", Window(window))
    caps = (int(limit * 10**12), None)
    (line,) = budget_lines(account, caps, spent=(10**12, 0), reserved=(0, 0), of_day=(10**12, 0), now=now)

    assert line.gone_at == (None if hours is None else now + timedelta(hours=hours))
