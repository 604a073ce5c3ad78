"""Where accounts and reservations are kept: what it must offer, and the database in memory."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from texapi_core.accounting.accounts import Account, LastSeen, Outcome, Reservation, Settlement
from texapi_core.accounting.record import Spending

WAIT_SECONDS = 5.0
"""How long a call waits before the budget is closed to it."""
CONNECT_SECONDS = 1.0
EXPIRY_SECONDS = 24 * 3600.0
"""A reservation that was never settled, because its process died, is dropped after this time."""


class Accounts(Protocol):
    """Accounts of budgets and the calls under them, kept in a database or in Redis.

    A process uses them from one thread at a time. Any exception means that they cannot be reached or written.
    """

    trouble: str
    """What an error calls it when that fails, e.g. `the ledger cannot be written`."""
    is_shared: bool

    @property
    def is_in_doubt(self) -> bool:
        """Whether the last step may have been done although it failed."""
        ...

    def patience(self, error: Exception) -> float:
        """Seconds in which to try again what failed so: `WAIT_SECONDS` where others had it locked."""
        ...

    def connect(self, until: float, seen: LastSeen) -> None:
        """Connect, or see whether the connection still leads there; wait until a monotonic time at most."""

    def step(
        self,
        settlements: Sequence[Settlement],
        reservation: Reservation | None,
        needed: Spending | None,
        seen: LastSeen,
    ) -> Outcome:
        """Settle ended calls and reserve another, at once: all of it is done, or nothing."""
        ...

    def disconnect(self) -> None:
        """Close the connection. `connect` makes another."""

    def close(self) -> None:
        """Close all that is open, so that a forked process finds nothing of it."""


class Database(Protocol):
    """Where reservations are kept."""

    is_shared: bool
    is_postgresql: bool

    def connect(self) -> Any:
        """A DB-API connection in autocommit mode."""
        ...

    def expect(self, until: float | None) -> None:
        """PostgreSQL: break off what is not done until a monotonic time; `None` for nothing any more."""

    def limit_wait(self, connection: Any, seconds: float) -> None:
        """Let a connection wait for others at most this long."""

    def is_busy(self, error: Exception) -> bool:
        """Whether a failure is that others had it locked."""
        ...

    def disconnect(self) -> None:
        """Close what was opened beside the connection."""

    def identity(self) -> object:
        """Changes when the connection no longer leads to the database, e.g. since its file was replaced."""
        ...

    def read_ledger(self, account: Account, since: datetime) -> Spending:
        """Spending of the calls that are in the ledger."""
        ...


class MemoryDatabase:
    """Reservations of this process alone."""

    is_shared = False
    is_postgresql = False

    def connect(self) -> Any:
        """A database in memory."""
        return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)

    def expect(self, until: float | None) -> None:
        """Nothing hangs here."""

    def limit_wait(self, connection: Any, seconds: float) -> None:
        """There are no others."""

    def is_busy(self, error: Exception) -> bool:
        """There are no others."""
        return False

    def disconnect(self) -> None:
        """Nothing else is open."""

    def identity(self) -> object:
        """Never changes."""
        return os.getpid()

    def read_ledger(self, account: Account, since: datetime) -> Spending:
        """Nothing: there is no ledger."""
        return Spending(Decimal(0), 0)
