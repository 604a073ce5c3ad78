"""Whatever several processes do with one budget, what was charged is never more than the cap."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.accounting.filled import call, fill
from tests.properties.strategies import examples
from texapi_core.accounting import reservations
from texapi_core.accounting.accounts import Account, Balance, Limit, Reservation, Settlement
from texapi_core.accounting.ledger.spending import LedgerDatabase
from texapi_core.accounting.record import Spending
from texapi_core.accounting.reservation_database import MemoryDatabase
from texapi_core.accounting.reservations import ReservationStore
from texapi_core.accounting.windows import Window

CAP = 1_000
NOTHING = Spending(Decimal(0), 0)
LIMITS = (Limit(Account("all", "", Window("month")), 10**18, CAP, (0.5, 0.9)),)


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

    def reserve(self, store: ReservationStore, tokens: int) -> None:
        self.number += 1
        reservation = Reservation(f"{self.number:032d}", datetime.now(UTC).timestamp(), LIMITS)
        found = store.reserve(reservation, Spending(Decimal(0), tokens))
        if isinstance(found, dict):
            self.open.append((reservation, tokens))
            self.see(next(iter(found.values())))
        else:
            assert self.total + tokens > CAP or self.charged + tokens > CAP
            self.see(found[1])

    def see(self, balance: Balance) -> None:
        self.total = balance.total_tokens
        assert self.charged <= balance.total_tokens <= CAP
        assert min(balance.spent_tokens, balance.reserved_tokens, balance.ledger_tokens) >= 0

    def settle(self, store: ReservationStore, share: int, *, known: bool) -> None:
        """The end of the oldest call: the gateway charges at most what was reserved."""
        if not self.open:
            return
        reservation, tokens = self.open.pop(0)
        actual = tokens * share // 100
        spent = Spending(Decimal(0), actual)
        estimate = Spending(Decimal(0), tokens)
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
            record = call(int(reservation.call_id), tokens=(tokens, 0), cost="0")
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
            reservations.REFRESH_SECONDS = -1.0  # the next reservation reads the ledger
            this.reserve(store, 1)
            reservations.REFRESH_SECONDS = 5.0
    for store in this.stores:
        assert store.flush(time.monotonic() + 5)


@given(STEPS)
@examples
def test_processes_with_a_ledger_stay_within_the_cap(steps: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder)}/usage.db"

        def store() -> ReservationStore:
            return ReservationStore(LedgerDatabase(url), lambda crossing: None)

        run(steps, Run([store(), store(), store()], url), store)


@given(STEPS)
@examples
def test_a_process_without_a_ledger_stays_within_the_cap(steps: list[tuple[str, int, int]]) -> None:
    store = ReservationStore(MemoryDatabase(), lambda crossing: None)

    run(steps, Run([store]), lambda: store)
