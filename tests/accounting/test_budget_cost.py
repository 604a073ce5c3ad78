"""What a budget costs each call, counted: SQL statements, and function calls of its thread."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest

from benchmarks.measure import count_calls
from texapi_core.accounting.accounts import Account, Limit, Reservation, Settlement
from texapi_core.accounting.ledger.spending import LedgerDatabase
from texapi_core.accounting.record import Spending
from texapi_core.accounting.reservation_transactions import Transactions
from texapi_core.accounting.reservations import ReservationStore
from texapi_core.accounting.windows import Window

LIMITS = (Limit(Account("all", "", Window("month")), 10**18, None),)
STATEMENTS = 8
"""Of one call and the end of the one before: begin, read, find, take off, put twice, write, end."""
FUNCTION_CALLS = 180


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReservationStore]:
    """A store whose thread settles nothing by itself, so that each step has one call and one end."""
    monkeypatch.setattr("texapi_core.accounting.reservations._SETTLE_SECONDS", 3600.0)
    monkeypatch.setattr("texapi_core.accounting.reservation_transactions.REFRESH_SECONDS", 3600.0)
    monkeypatch.setattr("texapi_core.accounting.reservation_transactions._LOOK_SECONDS", 3600.0)
    found = ReservationStore(Transactions(LedgerDatabase(f"sqlite:///{tmp_path}/usage.db")), lambda due: None)
    for _ in range(3):
        one_call(found)
    yield found
    found._accounts.close()


def one_call(store: ReservationStore) -> None:
    reservation = Reservation(uuid4().hex, datetime.now(UTC).timestamp(), LIMITS)
    assert isinstance(store.reserve(reservation, Spending(Decimal("0.001"), 100)), dict)
    store.settle(Settlement(reservation, Spending(Decimal("0.0005"), 50), Spending(Decimal(0), 0)))


def test_a_call_takes_few_statements(store: ReservationStore) -> None:
    statements: list[str] = []
    store._accounts._connection.set_trace_callback(statements.append)  # type: ignore[attr-defined]
    for _ in range(10):
        one_call(store)

    assert len(statements) == 10 * STATEMENTS, statements[:STATEMENTS]


def test_a_call_takes_few_function_calls(store: ReservationStore) -> None:
    counted = count_calls(lambda: one_call(store))

    assert counted <= FUNCTION_CALLS
