"""Accounts of budgets in tables: a step is one transaction, which holds the rows of its accounts.

When a call is in the ledger, the ledger's sum replaces what is kept of the call. Without a ledger the
database is in memory.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from texapi_core._files import PAUSE_SECONDS
from texapi_core.accounting.accounts import (
    KNOWN,
    OPEN,
    Balance,
    Crossing,
    LastSeen,
    Limit,
    Outcome,
    Reservation,
    Reserved,
    Settlement,
    due_warnings,
    exceeded,
    limits_of,
    pico,
)
from texapi_core.accounting.record import Spending
from texapi_core.accounting.reservation_database import (
    CONNECT_SECONDS,
    EXPIRY_SECONDS,
    WAIT_SECONDS,
    Accounts,
    Database,
)
from texapi_core.accounting.reservation_tables import (
    COLUMNS,
    CREATE,
    DELETE_CALL,
    DELETE_PASSED,
    DELETE_RECORDED,
    PUT,
    SELECT,
    SELECT_CALL,
    SUM,
    TABLES,
    UPDATE,
)

REFRESH_SECONDS = 5.0
"""Maximum age of the sum that was read from the ledger."""
_LOOK_SECONDS = 0.1
"""How often to look whether the database is still the same: looking may take as long as reserving."""


class Transactions(Accounts):
    """Accounts in a database."""

    trouble = "the ledger cannot be written"

    def __init__(self, database: Database) -> None:
        self._database = database
        self.is_shared = database.is_shared
        self._is_hurried = False
        """Whether the database waits for less than `WAIT_SECONDS`."""
        self._connection: Any = None
        self._reached: object = None
        """Identity of the database at the time of the connection."""
        self._looked = float("-inf")
        """When the identity was last compared."""
        self._is_committing = False

    @property
    def is_in_doubt(self) -> bool:
        """Whether the last step failed in its commit."""
        return self._is_committing

    def patience(self, error: Exception) -> float:
        """All of a call's time for a lock, and a moment for a server that starts again."""
        return WAIT_SECONDS if self._database.is_busy(error) else CONNECT_SECONDS

    def connect(self, until: float, seen: LastSeen) -> None:
        """Connect to the database, and to another one if the file was replaced."""
        now = time.monotonic()
        if self._database.is_postgresql:  # later than it gives up a statement by itself
            self._database.expect(max(until, now + CONNECT_SECONDS))
        if self._connection is not None and now - self._looked > _LOOK_SECONDS:
            self._looked = now
            if self._database.identity() != self._reached:
                self.close()
                time.sleep(PAUSE_SECONDS)
        left = until - now
        is_short = left < WAIT_SECONDS - CONNECT_SECONDS
        if self._connection is not None:
            if is_short or self._is_hurried:
                self._database.limit_wait(self._connection, left if is_short else WAIT_SECONDS)
                self._is_hurried = is_short
            return
        self._open(left if is_short else None, seen)

    def _open(self, wait: float | None, seen: LastSeen) -> None:
        self._connection = connection = self._database.connect()
        self._is_hurried = wait is not None
        if wait is not None:
            self._database.limit_wait(connection, wait)
        self._reached = self._database.identity()
        cursor = connection.cursor()
        for statement in TABLES:
            cursor.execute(statement)
        self._execute(cursor, CREATE, ("", "", uuid4().hex, "", "", ""))
        (store_id,) = self._execute(
            cursor, "SELECT value FROM texapi_budgets WHERE account = ?", ("",)
        ).fetchone()
        seen.found(store_id)

    def disconnect(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if self._database.is_postgresql:
            self._database.expect(None)
        with suppress(Exception):
            if connection is not None:
                connection.close()

    def close(self) -> None:
        """Close the connection, and those that read the ledger."""
        self.disconnect()
        self._database.disconnect()

    def _execute(self, cursor: Any, statement: str, values: Sequence[Any] = ()) -> Any:
        if self._database.is_postgresql:
            statement = statement.replace("?", "%s")
        return cursor.execute(statement, values)

    def step(
        self,
        settlements: Sequence[Settlement],
        reservation: Reservation | None,
        needed: Spending | None,
        seen: LastSeen,
    ) -> Outcome:
        """Settle and reserve in one transaction."""
        limits = limits_of(settlements, reservation)
        self._is_committing = False
        cursor = self._connection.cursor()
        cursor.execute("BEGIN" if self._database.is_postgresql else "BEGIN IMMEDIATE")
        balances = self._read(cursor, {limit.account.name: limit for limit in limits}, seen)
        for settlement in settlements:
            self._apply(cursor, balances, settlement)
        reserved: Reserved | None = None
        if reservation is not None and needed is not None:
            reserved = self._reserve(cursor, balances, reservation, needed)
        crossings: list[Crossing] = []
        for limit in limits:
            crossings += due_warnings(limit, balances[limit.account.name])
        for name, balance in balances.items():
            values = [getattr(balance, column) for column in COLUMNS[1:]]
            self._execute(cursor, UPDATE, (*values, name))
        self._is_committing = True
        cursor.execute("COMMIT")
        self._is_committing = False
        if self._database.is_postgresql:
            self._database.expect(None)
        seen.committed(balances)
        return Outcome(reserved, crossings)

    def _read(self, cursor: Any, limits: dict[str, Limit], seen: LastSeen) -> dict[str, Balance]:
        """The accounts' rows, locked until the end of the transaction, and read from the ledger if stale."""
        names = sorted(limits)
        statement = SELECT % ", ".join("?" * len(names))
        if self._database.is_postgresql:
            statement += " FOR UPDATE"
        rows = self._execute(cursor, statement, names).fetchall()
        if len(rows) < len(names):
            for name in names:
                account = limits[name].account
                window = account.window
                row = (name, account.scope, account.value, window.text, window.timezone, "")
                self._execute(cursor, CREATE, row)
            rows = self._execute(cursor, statement, names).fetchall()
        balances = {row[0]: Balance(*row) for row in rows}
        now = datetime.now(UTC)
        for name, balance in balances.items():
            start = limits[name].account.window.start(now)
            is_stale = abs(now.timestamp() - balance.read_at) > REFRESH_SECONDS
            is_other = limits[name].account.window.end(now) is not None and balance.since != start.timestamp()
            if is_stale or is_other or seen.is_lost(name):
                lost = seen.carried(limits[name], start)
                self._refresh(cursor, balance, limits[name], start, now.timestamp(), lost)
        return balances

    def _refresh(
        self, cursor: Any, balance: Balance, limit: Limit, start: datetime, now: float, lost: Balance | None
    ) -> None:
        name, since = balance.account, start.timestamp()
        self._execute(cursor, DELETE_PASSED, (name, since, now - EXPIRY_SECONDS))
        if self._database.is_shared:
            # Before the sum is read: a call recorded in between counts twice until the next reading.
            self._execute(cursor, DELETE_RECORDED, (name,))
        balance.settled_cost = balance.settled_tokens = balance.reserved_cost = balance.reserved_tokens = 0
        for state, cost, tokens in self._execute(cursor, SUM, (name,)).fetchall():
            balance.add(state, int(cost), int(tokens))
        found = self._database.read_ledger(limit.account, start)
        balance.ledger_cost, balance.ledger_tokens = pico(found.cost or Decimal(0)), found.tokens
        if balance.carried_at < since:
            balance.carried_cost = balance.carried_tokens = 0
        if lost is not None:
            balance.carried_cost = max(balance.carried_cost, lost.total_cost)
            balance.carried_tokens = max(balance.carried_tokens, lost.total_tokens)
            balance.carried_at = now
        balance.max_cost, balance.max_tokens = limit.max_cost, limit.max_tokens
        balance.since, balance.read_at = since, now
        balance.warned = " ".join(
            mark for mark in balance.warned.split() if float(mark.split("@")[1]) >= since
        )

    def _apply(self, cursor: Any, balances: dict[str, Balance], settlement: Settlement) -> None:
        reservation, parts = settlement.reservation, settlement.parts()
        for name in {limit.account.name for limit in reservation.limits}:
            balance = balances[name]
            found = self._execute(cursor, SELECT_CALL, (name, parts[0][0], parts[1][0])).fetchall()
            for part, state, cost, tokens in found:
                balance.add(state, -cost, -tokens)
                self._execute(cursor, DELETE_CALL, (name, part))
            if reservation.started_at < balance.since:
                continue
            is_counted = not found and self._is_in_ledger(cursor, reservation.call_id)
            for part, state, cost, tokens in parts:
                if state == KNOWN and is_counted:
                    continue  # the ledger was read between the call's record and this settlement
                if cost or tokens:
                    self._execute(cursor, PUT, (name, part, reservation.started_at, state, cost, tokens))
                    balance.add(state, cost, tokens)

    def _is_in_ledger(self, cursor: Any, call_id: str) -> bool:
        if not self._database.is_shared:
            return False
        select = "SELECT 1 FROM texapi_calls WHERE call_id = ?"
        return self._execute(cursor, select, (call_id,)).fetchone() is not None

    def _reserve(
        self, cursor: Any, balances: dict[str, Balance], reservation: Reservation, needed: Spending
    ) -> Reserved:
        cost, tokens = pico(needed.cost or Decimal(0)), needed.tokens
        if limit := exceeded(reservation.limits, balances, cost, tokens):
            return limit, balances[limit.account.name]
        for name in {limit.account.name for limit in reservation.limits}:
            self._execute(
                cursor, PUT, (name, reservation.call_id, reservation.started_at, OPEN, cost, tokens)
            )
            balances[name].add(OPEN, cost, tokens)
        return balances
