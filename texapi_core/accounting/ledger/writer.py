"""The thread that writes records to a ledger, so that calls do not wait for a database.

A record is committed, or it is in the file of rejected records. A failure is either the record's own (its
values), which costs that record alone, or the ledger's (locked, away, full, refused), which is retried.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from queue import Empty, SimpleQueue
from typing import Any

import sqlalchemy as sa
from sqlalchemy import URL, Engine
from sqlalchemy.exc import DBAPIError

from texapi_core._files import PAUSE_SECONDS
from texapi_core.accounting.ledger.rejected import append_rejected, rejected_path
from texapi_core.accounting.ledger.rollups import RollUps, hour_of
from texapi_core.accounting.ledger.schema import (
    INSERTS,
    LedgerVersionError,
    begin_writing,
    call_tags,
    calls,
    identity,
    open_ledger,
    prepare,
)
from texapi_core.accounting.record import CallRecord, bounded, log_fields

MAX_QUEUED = 10_000
"""Records that may wait for the database. Further ones go to the file of rejected records."""
_MAX_BATCH = 500
_BATCH_SECONDS = 0.1
"""How long a record waits for others to be written with it."""
_MAX_RETRY_DELAY = 5.0
"""Seconds between attempts to reach an unreachable database."""
_FORK_PATIENCE = 5.0
_MAX_COUNT = 10**12
_MAX_COST = 10**4
"""Tokens and USD of one call. More is no fact, and sums of such figures would overflow: it is unknown."""

_RECORD_S_OWN_STATES = ("21", "22", "23", "54")
"""SQLSTATE classes: cardinality, data, integrity, program limit (e.g. a text too long for an index)."""
_RECORD_S_OWN_CODES = frozenset({18, 19, 20, 25})
"""SQLite: TOOBIG, CONSTRAINT, MISMATCH, RANGE."""

logger = logging.getLogger("texapi.ledger")


class _Flush:
    def __init__(self) -> None:
        self.is_done = threading.Event()
        self.is_complete = False


class LedgerWriter:
    """Queues records without blocking, from any thread, event loop, signal handler or destructor."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._shown_url = url.render_as_string(hide_password=True)
        self._engine: Engine = open_ledger(url)
        self._prepared: object = None
        """Identity of the database whose tables are known to be there."""
        self._roll_ups = RollUps()
        self._has_uncounted = True
        # Its `put` is reentrant, for destructors and signal handlers; `Queue.put` would deadlock.
        self._queue: SimpleQueue[CallRecord | _Flush] = SimpleQueue()
        self._asked: set[_Flush] = set()
        """Flushes in the queue."""
        self._in_hand: Sequence[CallRecord] = ()
        """Records taken from the queue and not yet committed."""
        self._rejected = 0
        self._rejected_at_flush = 0
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="texapi-ledger", daemon=True)
        self._thread.start()

    def put(self, record: CallRecord) -> None:
        """Queue a record for writing."""
        if self._queue.qsize() >= MAX_QUEUED:
            self._reject(record, f"{MAX_QUEUED} records wait for the ledger")
            return
        self._queue.put(record)

    def ask_to_flush(self) -> _Flush:
        """Have the queue committed; `flush` waits for it. So several writers flush side by side."""
        asked = _Flush()
        self._asked.add(asked)
        self._queue.put(asked)
        return asked

    def flush(self, timeout: float, asked: _Flush | None = None) -> bool:
        """Wait up to `timeout` seconds until the queue is committed.

        `False` if the time was too short, or if a record has been rejected since the last flush.
        """
        flush = asked or self.ask_to_flush()
        if flush.is_done.wait(timeout):
            return flush.is_complete
        logger.error(
            "The ledger %s could not be written in time; it lacks at least %d records.",
            self._shown_url,
            len(self._in_hand) + max(self._queue.qsize() - len(self._asked), 0),
        )
        return False

    def close(self, timeout: float, asked: _Flush | None = None) -> None:
        """Write what waits, for up to `timeout` seconds; the rest goes to the file of rejected records."""
        if self.flush(timeout, asked):
            return
        waiting = list(self._in_hand)
        try:
            while True:
                item = self._queue.get_nowait()
                if isinstance(item, CallRecord):
                    waiting.append(item)
        except Empty:
            pass
        for record in waiting:
            self._reject(record, "the process ended before the ledger could be written")

    def before_fork(self) -> None:
        """Close the connections between two batches: a child must find none."""
        self._is_held = self._writing.acquire(timeout=_FORK_PATIENCE)
        if self._is_held:
            self._engine.dispose()
            self._prepared = None  # SQLite's log goes with the last connection

    def after_fork_in_parent(self) -> None:
        """Go on writing."""
        if self._is_held:
            self._writing.release()

    def _run(self) -> None:
        while True:
            batch, flushes = self._next_batch()
            if batch:
                self._write(batch)
            for flush in flushes:
                flush.is_complete = self._rejected == self._rejected_at_flush
                self._rejected_at_flush = self._rejected
                flush.is_done.set()
            if batch and self._has_uncounted and self._queue.empty():
                self._count_uncounted()

    def _next_batch(self) -> tuple[list[CallRecord], list[_Flush]]:
        batch: list[CallRecord] = []
        self._in_hand = batch
        flushes: list[_Flush] = []
        item = self._queue.get()
        until = time.monotonic() + _BATCH_SECONDS
        while True:
            if isinstance(item, _Flush):
                self._asked.discard(item)
                flushes.append(item)
            else:
                batch.append(item)
            if flushes or len(batch) >= _MAX_BATCH:
                return batch, flushes
            try:
                item = self._queue.get(timeout=max(until - time.monotonic(), 0))
            except Empty:
                return batch, flushes

    def _write(self, batch: Sequence[CallRecord]) -> None:
        """Write a batch, retrying for as long as the ledger, not a record, is at fault."""
        pause = _BATCH_SECONDS
        while True:
            try:
                self._insert(batch)
            except Exception as error:
                self._roll_ups.forget()
                if isinstance(error, LedgerVersionError):
                    for record in batch:
                        self._reject(record, str(error))
                    break
                if is_of_the_record(error):
                    self._isolate(batch, error)
                    break
                if pause == _BATCH_SECONDS:
                    reason = getattr(error, "orig", error)
                    logger.warning("The ledger %s cannot be written yet: %s", self._shown_url, reason)
                self._prepared = None  # its tables may be gone
                time.sleep(pause)
                pause = min(pause * 2, _MAX_RETRY_DELAY)
            else:
                break
        written = {record.call_id for record in batch}
        self._in_hand = [record for record in self._in_hand if record.call_id not in written]

    def _isolate(self, batch: Sequence[CallRecord], error: Exception) -> None:
        if len(batch) == 1:
            reason = getattr(error, "orig", None) or error
            self._reject(batch[0], f"{type(reason).__name__}: {reason}")
            return
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            self._write(half)

    def _reject(self, record: CallRecord, reason: str) -> None:
        """Keep a record that cannot be in the ledger. Also runs in destructors and signal handlers."""
        path = rejected_path(self._url)
        try:
            append_rejected(path, row_of(record), record.labels.tags, reason)
        except Exception as error:
            where = f"it is lost, for {path} cannot be written ({error})"
        else:
            where = f"it and later ones are kept in {path}"
        first, self._rejected = self._rejected == 0, self._rejected + 1
        if first or "is lost" in where:
            logger.warning(
                "The ledger %s does not have the record of request %s, %s: %s",
                self._shown_url,
                record.request_id,
                where,
                reason,
            )

    def _insert(self, batch: Sequence[CallRecord]) -> None:
        rows = {record.call_id: row_of(record) for record in batch}
        tags = {record.call_id: _tags_of(record) for record in batch}
        with self._writing:
            while True:
                self._prepare()
                with self._engine.begin() as connection:
                    begin_writing(connection)
                    self._insert_rows(connection, rows, tags)
                if identity(self._url) == self._prepared:  # else it went to a file that was deleted
                    return

    def _insert_rows(
        self,
        connection: sa.Connection,
        rows: Mapping[str, dict[str, Any]],
        tags: Mapping[str, Sequence[str]],
    ) -> None:
        """Insert what is not there: a commit may have succeeded although its connection broke."""
        statement, returning, into_tags = _inserts(connection.dialect.name)
        if connection.dialect.name == "sqlite":  # RETURNING needs SQLite 3.35
            found = set(connection.scalars(_FOUND, {"ids": list(rows)}))
            new = [row for call_id, row in rows.items() if call_id not in found]
            if new:
                connection.execute(statement, new)
        else:
            new = [rows[call_id] for call_id in connection.scalars(returning, list(rows.values()))]
        if not new:
            return
        new_tags = [{"call_id": row["call_id"], "tag": tag} for row in new for tag in tags[row["call_id"]]]
        if new_tags:
            connection.execute(into_tags, new_tags)
        self._roll_ups.add(connection, new, tags)

    def _count_uncounted(self) -> None:
        """Bring calls that a process on version 1 has written into the roll-ups, some at a time."""
        try:
            with self._writing:
                self._prepare()
                with self._engine.begin() as connection:
                    begin_writing(connection)
                    self._has_uncounted = self._roll_ups.count_uncounted(connection)
        except Exception:  # they are counted later: readers add them meanwhile
            self._roll_ups.forget()

    def _prepare(self) -> None:
        if self._prepared is not None and identity(self._url) == self._prepared:
            return
        self._engine.dispose()  # SQLite leaves the files of a moved database alone
        if self._prepared is not None:
            time.sleep(PAUSE_SECONDS)
        self._roll_ups.forget()
        prepare(self._engine)
        self._prepared = identity(self._url)
        self._has_uncounted = True


_FOUND = sa.select(calls.c.call_id).where(calls.c.call_id.in_(sa.bindparam("ids", expanding=True)))


@cache
def _inserts(dialect: str) -> tuple[Any, Any, Any]:
    """Into the calls, the same returning the ids of new calls, and into the tags."""
    insert = INSERTS[dialect]
    into_calls = insert(calls).on_conflict_do_nothing()
    return into_calls, into_calls.returning(calls.c.call_id), insert(call_tags)


def is_of_the_record(error: Exception) -> bool:
    """Whether a failure is one of the values written, and not of the database, by its code."""
    if not isinstance(error, DBAPIError):
        return not isinstance(error, (OSError, ImportError, sa.exc.TimeoutError))
    state = getattr(error.orig, "sqlstate", None)
    if state:
        return str(state)[:2] in _RECORD_S_OWN_STATES
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _RECORD_S_OWN_CODES
    return isinstance(error, (sa.exc.DataError, sa.exc.IntegrityError)) or (
        isinstance(error, sa.exc.ProgrammingError) and not error.connection_invalidated
    )


_COUNTS = (
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_creation_tokens",
    "reasoning_tokens",
    "attempts",
)


def row_of(record: CallRecord) -> dict[str, Any]:
    """A record as a row of the table `calls`, each value within what both databases and sums can hold."""
    row = {name: bounded(value) for name, value in log_fields(record).items() if name != "tags"}
    for name in _COUNTS:
        count = row[name]
        row[name] = count if isinstance(count, int) and 0 <= count <= _MAX_COUNT else None
    row["cost"], row["cache_savings"] = _usd(record.cost), _usd(record.cache_savings)
    row["cost_source"] = None if row["cost"] is None else row["cost_source"]
    metadata = record.labels.metadata
    return {
        **row,
        "call_id": record.call_id,
        "started_at": record.started_at,
        "day": record.started_at.date().isoformat(),
        "key_hint": bounded(record.key_hint),
        "metadata": {bounded(str(name)): bounded(value) for name, value in metadata.items()},
        "hour": hour_of({"started_at": record.started_at}),
    }


def _usd(amount: Decimal | None) -> Decimal | None:
    return None if amount is None or not amount.is_finite() or abs(amount) > _MAX_COST else amount


def _tags_of(record: CallRecord) -> list[str]:
    return list(dict.fromkeys(bounded(str(tag)) for tag in record.labels.tags))
