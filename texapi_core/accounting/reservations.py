"""Reservations: what calls may cost, kept in one place by all processes under the same budgets.

A call is reserved before it is sent, in one atomic step on its accounts, and settled when it has ended. Its
process commits the settlement with its next reservation, or 0.05 seconds later. The accounts are in the
ledger's database or in memory (`reservation_transactions`), or in Redis (`redis_accounts`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from queue import Empty, SimpleQueue
from typing import cast

from texapi_core.accounting.accounts import Crossing, LastSeen, Reservation, Reserved, Settlement
from texapi_core.accounting.record import Spending
from texapi_core.accounting.reservation_database import (
    CONNECT_SECONDS,
    WAIT_SECONDS,
    Accounts,
    MemoryDatabase,
)
from texapi_core.accounting.reservation_transactions import Transactions

_SETTLE_SECONDS = 0.05
_MAX_PENDING = 10_000
_RETRY_SECONDS = 0.05
_NO_FAILURE = ("", float("-inf"), 0.0)
_NOTHING = Spending(Decimal(0), 0)


class StoreError(Exception):
    """The place of the reservations cannot be reached or written."""


class ReservationStore:
    """Reserves and settles calls, from any thread. One per process and place of accounts."""

    def __init__(
        self, accounts: Accounts, report: Callable[[Crossing], None], seen: LastSeen | None = None
    ) -> None:
        self._accounts = accounts
        self._report = report
        self._lock = threading.Lock()
        self._owner = 0
        """The thread that has the lock."""
        self._failure = _NO_FAILURE
        """Why the last attempt failed, when, and in how many seconds it is tried again."""
        # `put` is reentrant, for generators that the garbage collector closes.
        self._ended: SimpleQueue[Settlement] = SimpleQueue()
        self._pending: list[Settlement] = []
        """Ended calls whose settlement is not committed."""
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._seen = seen or LastSeen()
        self._alone: ReservationStore | None = None
        self._alone_lock = threading.Lock()

    @property
    def trouble(self) -> str:
        """What an error calls it that this store fails, e.g. `the ledger cannot be written`."""
        return self._accounts.trouble

    def reserve(self, reservation: Reservation, needed: Spending) -> Reserved:
        """The balances with the call reserved, or the limit that it would exceed with its balance.

        It waits at most `WAIT_SECONDS` from the start of the call, which may have waited for a thread.

        Raises:
            StoreError: the accounts cannot be reached or written.
        """
        now = time.monotonic()
        asked = now - min(max(time.time() - reservation.started_at, 0.0), WAIT_SECONDS)
        until = max(asked + WAIT_SECONDS, now + CONNECT_SECONDS)
        return cast("Reserved", self._step(reservation, needed, asked, until))

    def alone(self) -> ReservationStore:
        """What goes on in memory while the place is away, from what this process last saw in it."""
        with self._alone_lock:
            if self._alone is None:
                seen = LastSeen(self._seen.balances)
                self._alone = ReservationStore(Transactions(MemoryDatabase()), self._report, seen)
            return self._alone

    def settle(self, settlement: Settlement) -> None:
        """Queue the end of a call. Never blocks and never fails."""
        self._ended.put(settlement)
        if self._accounts.is_shared:
            self._wake.put(None)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="texapi-budget", daemon=True)
                self._thread.start()

    def flush(self, until: float) -> bool:
        """Commit the settlements of all ended calls; `False` if that fails until a time of the clock."""
        while self._owner != threading.get_ident():  # else a signal has interrupted this very work
            now = time.monotonic()
            with suppress(StoreError):
                self._step(None, None, now, max(until, now + _SETTLE_SECONDS))
                return True
            if time.monotonic() >= until:
                break
            time.sleep(_SETTLE_SECONDS)
        return False

    def before_fork(self) -> None:
        """Close the connections to a file or server between two steps: a child must find none."""
        self._is_held = self._lock.acquire(timeout=WAIT_SECONDS)
        if self._is_held and self._accounts.is_shared:
            self._accounts.close()

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
                self._step(None, None, now := time.monotonic(), now + WAIT_SECONDS)
                pause = _SETTLE_SECONDS
            except StoreError:
                pause = min(pause * 2, WAIT_SECONDS)
                self._wake.put(None)

    def _step(
        self, reservation: Reservation | None, needed: Spending | None, asked: float, until: float
    ) -> Reserved | None:
        if not self._lock.acquire(timeout=max(until - time.monotonic(), 0)):
            raise StoreError("other calls of this process wait for it")
        self._owner = threading.get_ident()
        crossings: list[Crossing] = []
        try:
            reason, failed, patience = self._failure
            if failed > asked and time.monotonic() >= asked + patience:  # while this call waited for its turn
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
    ) -> Reserved | None:
        accounts, started = self._accounts, time.monotonic()
        while True:
            try:
                accounts.connect(until, self._seen)
                outcome = accounts.step(self._pending, reservation, needed, self._seen)
            except Exception as error:
                accounts.disconnect()
                if reservation is not None and accounts.is_in_doubt:
                    self.settle(Settlement(reservation, _NOTHING, _NOTHING))
                patience = accounts.patience(error)
                if time.monotonic() + _RETRY_SECONDS < min(started + patience, until):
                    time.sleep(_RETRY_SECONDS)
                    self._take_ended()
                    continue
                plain = getattr(error, "orig", None) or error  # without SQLAlchemy's statement and link
                reason = " ".join(str(plain).split()) or type(error).__name__
                self._failure = (reason, time.monotonic(), patience)
                raise StoreError(reason) from error
            self._pending.clear()
            self._failure = _NO_FAILURE
            self._alone = None
            crossings += outcome.crossings
            return outcome.reserved

    def _take_ended(self) -> None:
        with suppress(Empty):
            while True:
                self._pending.append(self._ended.get_nowait())
        del self._pending[:-_MAX_PENDING]  # their reservations stay, at their estimates
