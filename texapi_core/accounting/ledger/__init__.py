"""The usage ledger: a database with a row per call, written by one thread per process and database.

Queued records and the settlements of budgets are written before the interpreter exits, before a
`multiprocessing` worker exits, and before SIGTERM ends a process without a SIGTERM handler.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from functools import cache
from typing import Any

from texapi_core._fork import at_fork
from texapi_core.accounting.ledger.schema import LedgerURLError, open_ledger, parse_url
from texapi_core.accounting.ledger.spending import LedgerDatabase
from texapi_core.accounting.ledger.writer import LedgerWriter
from texapi_core.accounting.record import CallRecord, record_open_calls
from texapi_core.accounting.reservation_stores import settle_all

__all__ = [
    "LedgerDatabase",
    "LedgerURLError",
    "check_ledger",
    "flush_ledgers",
    "watch_sigterm",
    "write_record",
]

_EXIT_TIMEOUT = 10.0
"""Maximum seconds that an exiting process waits for its ledgers."""

_writers: dict[str, LedgerWriter] = {}
_inherited: list[LedgerWriter] = []
"""Writers of a parent process, kept so that nothing of theirs is closed here."""
_lock = threading.RLock()


def check_ledger(url: str) -> None:
    """Check the `url` of a ledger, without connecting.

    Raises:
        ImportError: the database's driver is not installed.
        LedgerURLError: the URL is malformed or not of SQLite or PostgreSQL.
    """
    open_ledger(parse_url(url))


def write_record(url: str, record: CallRecord) -> None:
    """Queue a record for the ledger at `url`."""
    (_writers.get(url) or _new_writer(url)).put(record)


def writer_of(url: str) -> LedgerWriter:
    """The writer of the ledger at `url`, started on first use; it is closed when the process exits."""
    return _writers.get(url) or _new_writer(url)


def flush_ledgers(timeout: float = _EXIT_TIMEOUT) -> bool:
    """Wait up to `timeout` seconds until all ended calls are committed, also to their budgets.

    `False` if the time was too short, or if a record was rejected since the last flush; the log names the
    file that keeps it. Ledgers are written side by side: one that is stuck costs the others nothing.
    """
    until = time.monotonic() + timeout
    asked = [(writer, writer.ask_to_flush()) for writer in list(_writers.values())]
    is_settled = settle_all(until)
    written = [writer.flush(max(until - time.monotonic(), 0), flush) for writer, flush in asked]
    return is_settled and all(written)


def watch_sigterm() -> None:
    """Flush before SIGTERM ends the process, unless the program handles SIGTERM itself.

    Only the main thread can install a handler, so constructors call this as well.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)


def _new_writer(url: str) -> LedgerWriter:
    with _lock:
        writer = _writers.get(url)
        if writer is None:
            _watch_exit()
            watch_sigterm()
            writer = _writers[url] = LedgerWriter(parse_url(url))
        return writer


@cache
def _watch_exit() -> None:
    atexit.register(_at_exit)
    processes = sys.modules.get("multiprocessing")
    if processes is not None and processes.parent_process() is not None:
        # Forked workers end without `atexit`. The module is there: such a process has imported it.
        sys.modules["multiprocessing.util"].Finalize(None, _at_exit, exitpriority=0)


def _at_exit() -> None:
    record_open_calls()
    until = time.monotonic() + _EXIT_TIMEOUT
    asked = [(writer, writer.ask_to_flush()) for writer in list(_writers.values())]
    settle_all(until)
    for writer, flush in asked:
        writer.close(max(until - time.monotonic(), 0), flush)


def _on_sigterm(number: int, frame: Any) -> None:
    _at_exit()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def _before_fork() -> None:
    for writer in _writers.values():
        writer.before_fork()


def _after_fork_in_parent() -> None:
    for writer in _writers.values():
        writer.after_fork_in_parent()


def _after_fork_in_child() -> None:
    """What waits in the parent is the parent's to write."""
    global _lock
    _lock = threading.RLock()
    _watch_exit.cache_clear()
    _inherited.extend(_writers.values())
    _writers.clear()


at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
