"""Whatever several processes do with one budget, what was charged is never more than the cap."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.accounting.filled import call, fill
from tests.limits import redis_server
from tests.properties.strategies import examples
from texapi_core.accounting import reservation_transactions
from texapi_core.accounting.accounts import Account, Balance, Limit, Reservation, Settlement
from texapi_core.accounting.budget import RedisPlace
from texapi_core.accounting.ledger.spending import LedgerDatabase
from texapi_core.accounting.record import Spending
from texapi_core.accounting.reservation_database import MemoryDatabase
from texapi_core.accounting.reservation_transactions import Transactions
from texapi_core.accounting.reservations import ReservationStore
from texapi_core.accounting.windows import Window

CAP = 1_000
USD = Decimal("0.000001")
"""Of a token."""
NOTHING = Spending(Decimal(0), 0)
LIMITS = (Limit(Account("all", "", Window("month")), 10**18, CAP, (0.5, 0.9)),)


_open = contextlib.ExitStack()


@cache
def redis_url() -> str:
    """A Redis for this module."""
    return _open.enter_context(redis_server.server())


def teardown_module() -> None:
    redis_url.cache_clear()
    _open.close()


class Run:
    """Calls of several processes on one database, and what the gateway charged for them."""

    def __init__(self, stores: list[ReservationStore], url: str = "") -> None:
        self.stores = stores
        self.url = url
        self.open: list[tuple[Reservation, int]] = []
        self.settled: list[tuple[Reservation, int]] = []
        self.charged = 0
        self.number = 0
        self.total = 0
        self.balance: tuple[int, ...] = ()

    def reserve(self, store: ReservationStore, tokens: int) -> None:
        self.number += 1
        reservation = Reservation(f"{self.number:032d}", datetime.now(UTC).timestamp(), LIMITS)
        found = store.reserve(reservation, Spending(tokens * USD, tokens))
        if isinstance(found, dict):
            self.open.append((reservation, tokens))
            self.see(next(iter(found.values())))
        else:
            assert self.total + tokens > CAP or self.charged + tokens > CAP
            self.see(found[1])

    def see(self, balance: Balance) -> None:
        self.total = balance.total_tokens
        self.balance = (balance.spent_tokens, balance.reserved_tokens, balance.total_cost)
        assert self.charged <= balance.total_tokens <= CAP
        assert min(balance.spent_tokens, balance.reserved_tokens, balance.ledger_tokens) >= 0

    def settle(self, store: ReservationStore, share: int, *, known: bool) -> None:
        """The end of the oldest call: the gateway charges at most what was reserved."""
        if not self.open:
            return
        reservation, tokens = self.open.pop(0)
        actual = tokens * share // 100
        spent = Spending(actual * USD, actual)
        estimate = Spending(tokens * USD, tokens)
        settlement = (
            Settlement(reservation, spent, NOTHING) if known else Settlement(reservation, NOTHING, estimate)
        )
        store.settle(settlement)
        store.settle(settlement)  # a repetition changes nothing
        self.charged += actual
        if known:
            self.settled.append((reservation, actual))

    def record(self) -> None:
        """The oldest ended call arrives in the ledger."""
        if self.settled and self.url:
            reservation, tokens = self.settled.pop(0)
            record = call(int(reservation.call_id), tokens=(tokens, 0), cost=str(tokens * USD))
            fill(self.url, [replace(record, started_at=datetime.now(UTC))])

    def die(self) -> None:
        """The process of the oldest call is killed, and the gateway charges all of it."""
        if self.open:
            self.charged += self.open.pop(0)[1]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.integers(0, 2), st.integers(1, 400)),
        st.tuples(st.sampled_from(["known", "unknown"]), st.integers(0, 2), st.integers(0, 100)),
        st.tuples(st.sampled_from(["record", "die", "refresh", "restart"]), st.integers(0, 2), st.just(0)),
    ),
    max_size=40,
)


def run(steps: list[tuple[str, int, int]], this: Run, another: Callable[[], ReservationStore]) -> None:
    for step, process, amount in steps:
        store = this.stores[process % len(this.stores)]
        if step == "reserve":
            this.reserve(store, amount)
        elif step in ("known", "unknown"):
            this.settle(store, amount, known=step == "known")
        elif step == "record":
            this.record()
        elif step == "die":
            this.die()
        elif step == "restart":
            assert store.flush(time.monotonic() + 5)
            this.stores[process % len(this.stores)] = another()
        else:
            reservation_transactions.REFRESH_SECONDS = -1.0  # the next reservation reads the ledger
            this.reserve(store, 1)
            reservation_transactions.REFRESH_SECONDS = 5.0
    for store in this.stores:
        assert store.flush(time.monotonic() + 5)


@given(STEPS)
@examples
def test_processes_with_a_ledger_stay_within_the_cap(steps: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder)}/usage.db"

        def store() -> ReservationStore:
            return ReservationStore(Transactions(LedgerDatabase(url)), lambda crossing: None)

        run(steps, Run([store(), store(), store()], url), store)


@pytest.mark.skipif(bool(redis_server.why_not()), reason=redis_server.why_not() or "there is a Redis")
@given(STEPS)
@examples
def test_processes_with_redis_stay_within_the_cap(steps: list[tuple[str, int, int]]) -> None:
    name = uuid4().hex

    def store() -> ReservationStore:
        return ReservationStore(RedisPlace(redis_url(), name).accounts(None), lambda crossing: None)

    run(steps, Run([store(), store(), store()]), store)


@pytest.mark.skipif(bool(redis_server.why_not()), reason=redis_server.why_not() or "there is a Redis")
@given(STEPS)
@examples
def test_redis_and_a_database_do_the_same(steps: list[tuple[str, int, int]]) -> None:
    """After each step of the same calls both say the same of the account, and refuse the same."""
    both = [
        Run([ReservationStore(accounts, lambda crossing: None)])
        for accounts in (Transactions(MemoryDatabase()), RedisPlace(redis_url(), uuid4().hex).accounts(None))
    ]
    for step in steps:
        if step[0] in ("reserve", "known", "unknown", "die"):
            for one in both:
                run([step], one, one.stores[0].alone)
        first, second = (one.balance for one in both)
        assert first == second
        assert len({len(one.open) for one in both}) == 1


@given(STEPS)
@examples
def test_a_process_without_a_ledger_stays_within_the_cap(steps: list[tuple[str, int, int]]) -> None:
    store = ReservationStore(Transactions(MemoryDatabase()), lambda crossing: None)

    run(steps, Run([store]), lambda: store)
