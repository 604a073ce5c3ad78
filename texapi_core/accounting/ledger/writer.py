"""The thread that writes records to a ledger, so that calls do not wait for a database."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Any

from sqlalchemy import URL, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from texapi_core.accounting.ledger.schema import INSERTS, call_tags, calls, open_ledger, prepare
from texapi_core.accounting.record import CallRecord, log_fields

MAX_QUEUED = 10_000
"""Records that may wait for the database. Further records are dropped, and the log says how many."""
_MAX_BATCH = 500
_BATCH_SECONDS = 0.1
"""How long a record waits for others to be written with it."""
_MAX_RETRY_DELAY = 5.0
"""Seconds between attempts to reach an unreachable database."""
_FORK_PATIENCE = 5.0

logger = logging.getLogger("texapi.ledger")


class LedgerWriter:
    """Queues records without blocking, from any thread, event loop, signal handler or destructor."""

    def __init__(self, url: URL) -> None:
        self._shown_url = url.render_as_string(hide_password=True)
        self._engine: Engine = open_ledger(url)
        self._is_prepared = False
        # Its `put` is reentrant, for destructors and signal handlers; `Queue.put` would deadlock.
        self._queue: SimpleQueue[CallRecord | threading.Event] = SimpleQueue()
        self._dropped = 0
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="texapi-ledger", daemon=True)
        self._thread.start()

    def put(self, record: CallRecord) -> None:
        """Queue a record for writing."""
        if self._queue.qsize() >= MAX_QUEUED:
            self._dropped += 1
            if self._dropped == 1:
                logger.error("The ledger %s is slow or unreachable: dropping records.", self._shown_url)
            return
        self._queue.put(record)

    def flush(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until the queue is written; `False` if the time was too short."""
        written = threading.Event()
        self._queue.put(written)
        if written.wait(timeout):
            return True
        logger.error(
            "The ledger %s could not be written within %g seconds; it lacks at least %d records.",
            self._shown_url,
            timeout,
            self._queue.qsize(),
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
        item = self._queue.get()
        until = time.monotonic() + _BATCH_SECONDS
        while True:
            if isinstance(item, threading.Event):
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
        """Write a batch, retrying for as long as the database is unreachable."""
        pause = _BATCH_SECONDS
        while True:
            try:
                self._insert(batch)
            except (OperationalError, InterfaceError) as error:
                if pause == _BATCH_SECONDS:
                    logger.warning("The ledger %s cannot be written yet: %s", self._shown_url, error.orig)
                time.sleep(pause)
                pause = min(pause * 2, _MAX_RETRY_DELAY)
            except Exception as error:
                if len(batch) == 1:
                    refused = batch[0].request_id
                    logger.error(
                        "The ledger %s rejects the record of request %s: %s", self._shown_url, refused, error
                    )
                else:  # one record that the database rejects must not lose the others
                    for record in batch:
                        self._write([record])
                return
            else:
                self._report_dropped()
                return

    def _report_dropped(self) -> None:
        if self._dropped:
            logger.error("%d records for the ledger %s were dropped.", self._dropped, self._shown_url)
            self._dropped = 0

    def _insert(self, batch: Sequence[CallRecord]) -> None:
        insert = INSERTS[self._engine.dialect.name]
        rows = [row_of(record) for record in batch]
        tags = [{"call_id": one.call_id, "tag": _storable(tag)} for one in batch for tag in one.labels.tags]
        with self._writing:
            self._prepare()
            with self._engine.begin() as connection:
                # A commit may succeed although the connection breaks, and is then retried.
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
                # Processes that start together may all try to create the tables; all but one fail.
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
        "metadata": {_storable(name): _storable(value) for name, value in record.labels.metadata.items()},
    }
    return {name: _storable(value) for name, value in row.items()}


def _storable(value: Any) -> Any:
    """PostgreSQL rejects text with a NUL or a lone surrogate."""
    if not isinstance(value, str):
        return value
    return value.replace("\0", "").encode("utf-8", "replace").decode()
