"""Reservations: what calls may cost, kept in one database by all processes under the same budgets.

A call is reserved before it is sent, in one transaction that holds the rows of its accounts, and settled
when it has ended. Its process commits the settlement with its next reservation, or 0.05 seconds later. When
the call is in the ledger, the ledger's sum replaces it. Without a ledger the database is in memory.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from queue import Empty, SimpleQueue
from typing import Any, cast
from uuid import uuid4

from texapi_core.accounting.accounts import (
    KNOWN,
    OPEN,
    UNCERTAIN,
    Balance,
    Crossing,
    Limit,
    Reservation,
    Settlement,
    due_warnings,
    pico,
)
from texapi_core.accounting.record import Spending
from texapi_core.accounting.reservation_database import Database, MemoryDatabase
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
EXPIRY_SECONDS = 24 * 3600.0
"""A reservation that was never settled, because its process died, is dropped after this time."""
WAIT_SECONDS = 5.0
"""How long a call waits for the database before the budget is closed to it."""
_SETTLE_SECONDS = 0.05
_CONNECT_SECONDS = 1.0
_LOOK_SECONDS = 0.1
"""How often to look whether the database is still the same: looking may take as long as reserving."""
_MAX_PENDING = 10_000
_NO_FAILURE = ("", float("-inf"))
_UNCERTAIN_PART = "?"
"""Suffix of the call id under which the part of a call that may have been charged is kept."""


class StoreError(Exception):
    """The database of the reservations cannot be reached or written."""


Reserved = dict[str, Balance] | tuple[Limit, Balance]
"""The balances with the call reserved, or the limit that it would exceed with its balance."""


class ReservationStore:
    """Reserves and settles calls, from any thread. One per process and database."""

    def __init__(self, database: Database, report: Callable[[Crossing], None]) -> None:
        self._database = database
        self._report = report
        self._lock = threading.Lock()
        self._owner = 0
        """The thread that has the lock."""
        self._is_hurried = False
        """Whether the database waits for less than `WAIT_SECONDS`."""
        self._connection: Any = None
        self._reached: object = None
        """Identity of the database at the time of the connection."""
        self._looked = float("-inf")
        """When the identity was last compared."""
        self._store_id = ""
        self._failure = _NO_FAILURE
        """Why the last attempt failed, and when."""
        # `put` is reentrant, for generators that the garbage collector closes.
        self._ended: SimpleQueue[Settlement] = SimpleQueue()
        self._pending: list[Settlement] = []
        """Ended calls whose settlement is not committed."""
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._seen: dict[str, Balance] = {}
        """Accounts at the last commit of this process."""
        self._to_carry: dict[str, Balance] = {}
        """Accounts of a database that has been deleted or replaced since."""
        self._alone: ReservationStore | None = None
        self._alone_lock = threading.Lock()

    def reserve(self, reservation: Reservation, needed: Spending) -> Reserved:
        """The balances with the call reserved, or the limit that it would exceed with its balance.

        It waits at most `WAIT_SECONDS` from the start of the call, which may have waited for a thread.

        Raises:
            StoreError: the database cannot be reached or written.
        """
        now = time.monotonic()
        asked = now - min(max(time.time() - reservation.started_at, 0.0), WAIT_SECONDS)
        until = max(asked + WAIT_SECONDS, now + _CONNECT_SECONDS)
        return cast("Reserved", self._transact(reservation, needed, asked, until))

    def alone(self) -> ReservationStore:
        """What goes on in memory while the database is away, from what this process last saw in it."""
        with self._alone_lock:
            if self._alone is None:
                self._alone = ReservationStore(MemoryDatabase(), self._report)
                self._alone._to_carry = dict(self._seen)
            return self._alone

    def settle(self, settlement: Settlement) -> None:
        """Queue the end of a call. Never blocks and never fails."""
        self._ended.put(settlement)
        if self._database.is_shared:
            self._wake.put(None)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="texapi-budget", daemon=True)
                self._thread.start()

    def flush(self, until: float) -> bool:
        """Commit the settlements of all ended calls; `False` if that fails until a time of the clock."""
        while self._owner != threading.get_ident():  # else a signal has interrupted this very work
            now = time.monotonic()
            with suppress(StoreError):
                self._transact(None, None, now, max(until, now + _SETTLE_SECONDS))
                return True
            if time.monotonic() >= until:
                break
            time.sleep(_SETTLE_SECONDS)
        return False

    def before_fork(self) -> None:
        """Close the connection to a file or server between two transactions: a child must find none."""
        self._is_held = self._lock.acquire(timeout=WAIT_SECONDS)
        if self._is_held and self._database.is_shared:
            self._disconnect()
            self._database.disconnect()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._is_held:
            self._lock.release()

    def _run(self) -> None:
        pause = _SETTLE_SECONDS
        while True:
            self._wake.get()
            time.sleep(pause)
            with suppress(Empty):
                while True:
                    self._wake.get_nowait()
            try:
                self._transact(None, None, now := time.monotonic(), now + WAIT_SECONDS)
                pause = _SETTLE_SECONDS
            except StoreError:
                pause = min(pause * 2, WAIT_SECONDS)
                self._wake.put(None)

    def _transact(
        self, reservation: Reservation | None, needed: Spending | None, asked: float, until: float
    ) -> Any:
        if not self._lock.acquire(timeout=max(until - time.monotonic(), 0)):
            raise StoreError("other calls of this process wait for it")
        self._owner = threading.get_ident()
        crossings: list[Crossing] = []
        try:
            reason, failed = self._failure
            if failed > asked:  # it failed while this call waited for its turn
                raise StoreError(reason)
            self._take_ended()
            if reservation is None and not self._pending:
                return None
            return self._attempt(reservation, needed, crossings, until)
        finally:
            self._owner = 0
            self._lock.release()
            for crossing in crossings:
                self._report(crossing)

    def _attempt(
        self,
        reservation: Reservation | None,
        needed: Spending | None,
        crossings: list[Crossing],
        until: float,
    ) -> Any:
        was_connected = self._connection is not None
        while True:
            try:
                self._connect(until)
                found: list[Crossing] = []
                outcome = self._in_transaction(reservation, needed, found)
            except Exception as error:
                is_broken = bool(getattr(self._connection, "closed", False))
                self._disconnect()
                if was_connected and is_broken:  # the server restarted since the last call
                    was_connected = False
                    continue
                reason = " ".join(str(error).split()) or type(error).__name__
                self._failure = (reason, time.monotonic())
                raise StoreError(reason) from error
            self._pending.clear()
            self._failure = _NO_FAILURE
            self._alone = None
            crossings += found
            return outcome

    def _take_ended(self) -> None:
        with suppress(Empty):
            while True:
                self._pending.append(self._ended.get_nowait())
        del self._pending[:-_MAX_PENDING]  # their reservations stay, at their estimates

    def _connect(self, until: float) -> None:
        now = time.monotonic()
        if self._connection is not None and now - self._looked > _LOOK_SECONDS:
            self._looked = now
            if self._database.identity() != self._reached:
                self._disconnect()
        left = until - now
        is_short = left < WAIT_SECONDS - _CONNECT_SECONDS
        if self._connection is not None:
            if is_short or self._is_hurried:
                self._database.limit_wait(self._connection, left if is_short else WAIT_SECONDS)
                self._is_hurried = is_short
            return
        until = now + min(_CONNECT_SECONDS, left)
        while True:
            try:
                self._open(left if is_short else None)
            except Exception:  # processes that start together may all try to create the tables
                self._disconnect()
                if time.monotonic() > until:
                    raise
                time.sleep(_SETTLE_SECONDS)
            else:
                return

    def _open(self, wait: float | None) -> None:
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
        if self._store_id and store_id != self._store_id:
            self._to_carry = dict(self._seen)
        self._store_id = store_id

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        with suppress(Exception):
            if connection is not None:
                connection.close()

    def _execute(self, cursor: Any, statement: str, values: Sequence[Any] = ()) -> Any:
        if self._database.is_postgresql:
            statement = statement.replace("?", "%s")
        return cursor.execute(statement, values)

    def _in_transaction(
        self, reservation: Reservation | None, needed: Spending | None, crossings: list[Crossing]
    ) -> Any:
        limits = [limit for one in self._pending for limit in one.reservation.limits]
        limits += reservation.limits if reservation else ()
        cursor = self._connection.cursor()
        cursor.execute("BEGIN" if self._database.is_postgresql else "BEGIN IMMEDIATE")
        balances = self._read(cursor, {limit.account.name: limit for limit in limits})
        for settlement in self._pending:
            self._apply(cursor, balances, settlement)
        outcome: Any = None
        if reservation is not None and needed is not None:
            outcome = self._reserve(cursor, balances, reservation, needed)
        for limit in limits:
            crossings += due_warnings(limit, balances[limit.account.name])
        for name, balance in balances.items():
            values = [getattr(balance, column) for column in COLUMNS[1:]]
            self._execute(cursor, UPDATE, (*values, name))
        cursor.execute("COMMIT")
        self._seen.update(balances)
        for name in balances:
            self._to_carry.pop(name, None)
        return outcome

    def _read(self, cursor: Any, limits: dict[str, Limit]) -> dict[str, Balance]:
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
            if is_stale or is_other or name in self._to_carry:
                self._refresh(cursor, balance, limits[name], start, now.timestamp())
        return balances

    def _refresh(self, cursor: Any, balance: Balance, limit: Limit, start: datetime, now: float) -> None:
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
        lost = self._to_carry.get(name)
        if lost is not None and (limit.account.window.end(start) is None or lost.since == since):
            balance.carried_cost = max(balance.carried_cost, lost.total_cost)
            balance.carried_tokens = max(balance.carried_tokens, lost.total_tokens)
            balance.carried_at = now
        balance.max_cost, balance.max_tokens = limit.max_cost, limit.max_tokens
        balance.since, balance.read_at = since, now
        balance.warned = " ".join(
            mark for mark in balance.warned.split() if float(mark.split("@")[1]) >= since
        )

    def _apply(self, cursor: Any, balances: dict[str, Balance], settlement: Settlement) -> None:
        reservation = settlement.reservation
        call_id = reservation.call_id
        parts = (
            (call_id, KNOWN, settlement.known),
            (call_id + _UNCERTAIN_PART, UNCERTAIN, settlement.uncertain),
        )
        for name in {limit.account.name for limit in reservation.limits}:
            balance = balances[name]
            found = self._execute(cursor, SELECT_CALL, (name, parts[0][0], parts[1][0])).fetchall()
            for part, state, cost, tokens in found:
                balance.add(state, -cost, -tokens)
                self._execute(cursor, DELETE_CALL, (name, part))
            if reservation.started_at < balance.since:
                continue
            is_counted = not found and self._is_in_ledger(cursor, call_id)
            for part, state, spending in parts:
                if state == KNOWN and is_counted:
                    continue  # the ledger was read between the call's record and this settlement
                cost, tokens = pico(spending.cost or Decimal(0)), spending.tokens
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
        for limit in reservation.limits:
            balance = balances[limit.account.name]
            if limit.max_cost is not None and balance.total_cost + cost > limit.max_cost:
                return limit, balance
            if limit.max_tokens is not None and balance.total_tokens + tokens > limit.max_tokens:
                return limit, balance
        for name in {limit.account.name for limit in reservation.limits}:
            self._execute(
                cursor, PUT, (name, reservation.call_id, reservation.started_at, OPEN, cost, tokens)
            )
            balances[name].add(OPEN, cost, tokens)
        return balances
