"""The thread that writes records into a ledger, so that no call waits for a database."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from sqlalchemy import URL, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from texapi_core.accounting.ledger.schema import INSERTS, call_tags, calls, open_ledger, prepare
from texapi_core.accounting.record import CallRecord, log_fields

MAX_WAITING = 10_000
"""Records that may wait for the database. Further ones are given up, and the log says how many."""
_MAX_BATCH = 500
_LINGER = 0.1
"""Seconds that a record may wait for others to be written with it."""
_MAX_PAUSE = 5.0
"""Seconds between two attempts to reach a database that cannot be reached."""
_FORK_PATIENCE = 5.0

logger = logging.getLogger("texapi.ledger")


class LedgerWriter:
    """Takes records from any thread, event loop, signal handler or destructor, and never blocks there."""

    def __init__(self, url: URL) -> None:
        self._where = url.render_as_string(hide_password=True)
        self._engine: Engine = open_ledger(url)
        self._is_prepared = False
        # Its `put` may interrupt itself, as a destructor or a signal handler does; `Queue`'s would hang.
        self._waiting: SimpleQueue[CallRecord | threading.Event] = SimpleQueue()
        self._given_up = 0
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="texapi-ledger", daemon=True)
        self._thread.start()

    def put(self, record: CallRecord) -> None:
        """Have a record written soon."""
        if self._waiting.qsize() >= MAX_WAITING:
            self._given_up += 1
            if self._given_up == 1:
                logger.error("The ledger %s is too slow or away: records are given up.", self._where)
            return
        self._waiting.put(record)

    def flush(self, timeout: float) -> bool:
        """Wait until all that was put is written, `timeout` seconds at most; whether it is."""
        written = threading.Event()
        self._waiting.put(written)
        if written.wait(timeout):
            return True
        logger.error(
            "The ledger %s could not be written in %g seconds; %d records or more are not in it.",
            self._where,
            timeout,
            self._waiting.qsize(),
        )
        return False

    def before_fork(self) -> None:
        """Close the connections between two batches: a child must find none."""
        self._is_held = self._writing.acquire(timeout=_FORK_PATIENCE)
        if self._is_held:
            self._engine.dispose()

    def after_fork_in_parent(self) -> None:
        """Go on writing."""
        if self._is_held:
            self._writing.release()

    def _run(self) -> None:
        while True:
            batch, flushes = self._next_batch()
            if batch:
                self._write(batch)
            for written in flushes:
                written.set()

    def _next_batch(self) -> tuple[list[CallRecord], list[threading.Event]]:
        batch: list[CallRecord] = []
        flushes: list[threading.Event] = []
        item = self._waiting.get()
        until = time.monotonic() + _LINGER
        while True:
            if isinstance(item, threading.Event):
                flushes.append(item)
            else:
                batch.append(item)
            if flushes or len(batch) >= _MAX_BATCH:
                return batch, flushes
            try:
                item = self._waiting.get(timeout=max(until - time.monotonic(), 0))
            except Empty:
                return batch, flushes

    def _write(self, batch: Sequence[CallRecord]) -> None:
        """Write a batch, however long the database is away."""
        pause = _LINGER
        while True:
            try:
                self._insert(batch)
            except (OperationalError, InterfaceError) as error:
                if pause == _LINGER:
                    logger.warning("The ledger %s cannot be written yet: %s", self._where, error.orig)
                time.sleep(pause)
                pause = min(pause * 2, _MAX_PAUSE)
            except Exception as error:
                self._write_one_by_one(batch, error)
                return
            else:
                self._report_given_up()
                return

    def _write_one_by_one(self, batch: Sequence[CallRecord], error: Exception) -> None:
        """Keep a record that the database does not take from taking others with it."""
        if len(batch) > 1:
            for record in batch:
                self._write([record])
        else:
            logger.error(
                "The ledger %s does not take the record of request %s: %s",
                self._where,
                batch[0].request_id,
                error,
            )

    def _report_given_up(self) -> None:
        if self._given_up:
            logger.error("%d records were given up for the ledger %s.", self._given_up, self._where)
            self._given_up = 0

    def _insert(self, batch: Sequence[CallRecord]) -> None:
        insert = INSERTS[self._engine.dialect.name]
        rows = [row_of(record) for record in batch]
        tags = [{"call_id": one.call_id, "tag": _storable(tag)} for one in batch for tag in one.labels.tags]
        with self._writing:
            self._prepare()
            with self._engine.begin() as connection:
                # A commit may succeed although its answer is lost, and then comes again.
                connection.execute(insert(calls).on_conflict_do_nothing(), rows)
                if tags:
                    connection.execute(insert(call_tags).on_conflict_do_nothing(), tags)

    def _prepare(self) -> None:
        attempts = 0
        while not self._is_prepared:
            try:
                prepare(self._engine)
                self._is_prepared = True
            except DBAPIError:
                # Processes that start together may all make the tables; all but one are refused.
                attempts += 1
                if attempts >= 3:
                    raise


def row_of(record: CallRecord) -> dict[str, Any]:
    """A record as a row of the table `calls`."""
    fields = log_fields(record)
    del fields["tags"]
    row = {
        **fields,
        "call_id": record.call_id,
        "started_at": record.started_at,
        "day": record.started_at.date().isoformat(),
        "key_hint": record.key_hint,
        "metadata": _storable_metadata(record.labels.metadata),
    }
    return {name: _storable(value) for name, value in row.items()}


def _storable(value: Any) -> Any:
    """PostgreSQL takes no text with a NUL or half a surrogate pair in it."""
    if not isinstance(value, str):
        return value
    return value.replace("\0", "").encode("utf-8", "replace").decode()


def _storable_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {_storable(name): _storable(value) for name, value in metadata.items()}
