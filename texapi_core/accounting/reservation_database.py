"""The databases that hold reservations: what they must offer, and the one in memory."""

from __future__ import annotations

import os
import sqlite3
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from texapi_core.accounting.accounts import Account
from texapi_core.accounting.record import Spending


class Database(Protocol):
    """Where reservations are kept."""

    is_shared: bool
    is_postgresql: bool

    def connect(self) -> Any:
        """A DB-API connection in autocommit mode."""
        ...

    def limit_wait(self, connection: Any, seconds: float) -> None:
        """Let a connection wait for others at most this long."""

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

    def limit_wait(self, connection: Any, seconds: float) -> None:
        """There are no others."""

    def disconnect(self) -> None:
        """Nothing else is open."""

    def identity(self) -> object:
        """Never changes."""
        return os.getpid()

    def read_ledger(self, account: Account, since: datetime) -> Spending:
        """Nothing: there is no ledger."""
        return Spending(Decimal(0), 0)
