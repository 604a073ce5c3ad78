"""The ledger: every call in a database. One writer per process and database, flushed at the end.

What is put is written before the interpreter exits, before a process of `multiprocessing` ends, and
before SIGTERM ends a process that has no handler of its own for it.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from datetime import datetime
from decimal import Decimal
from typing import Any

from texapi_core.accounting.ledger.report import LedgerUnreadableError, open_for_reading, read_usage
from texapi_core.accounting.ledger.schema import LedgerURLError, open_ledger, parse_url
from texapi_core.accounting.ledger.writer import LedgerWriter, logger
from texapi_core.accounting.record import CallRecord, Spending, record_open_calls

__all__ = [
    "LedgerURLError",
    "check_ledger",
    "flush_ledgers",
    "read_spending",
    "watch_sigterm",
    "write_record",
]

EXIT_PATIENCE = 10.0
"""Seconds that the end of a process waits for a ledger at most."""
_SPENDING_PATIENCE = 2.0

_writers: dict[str, LedgerWriter] = {}
_inherited: list[LedgerWriter] = []
"""Writers of a parent process, kept so that nothing of theirs is closed here."""
_lock = threading.RLock()
_is_watching_exit = False


def check_ledger(url: str) -> None:
    """Raise an error if no ledger can be at `url`. Connects to nothing.

    Raises:
        ImportError: the database's driver is not installed.
        LedgerURLError: see there.
    """
    open_ledger(parse_url(url))


def write_record(url: str, record: CallRecord) -> None:
    """Have a record written into the ledger at `url`, soon, without waiting for it."""
    writer = _writers.get(url) or _new_writer(url)
    writer.put(record)


def flush_ledgers(timeout: float = EXIT_PATIENCE) -> bool:
    """Wait until all finished calls are in their ledgers; whether they are within `timeout` seconds."""
    until = time.monotonic() + timeout
    written = [writer.flush(max(until - time.monotonic(), 0)) for writer in list(_writers.values())]
    return all(written)


def read_spending(url: str, since: datetime) -> Spending | None:
    """What is spent since a moment by all who write to a ledger, `None` when it cannot be read."""
    if (writer := _writers.get(url)) is not None:
        writer.flush(_SPENDING_PATIENCE)
    try:
        with open_for_reading(url) as engine:
            (line,) = read_usage(engine, (), since=since)
    except LedgerUnreadableError as error:
        if writer is not None:
            logger.warning("The budget could not be read from the ledger: %s", error)
        return None
    return Spending(line.cost or Decimal(0), line.input_tokens + line.output_tokens)


def watch_sigterm() -> None:
    """Flush before SIGTERM ends the process, unless the program handles SIGTERM itself.

    Only the main thread can do it, so constructors call this too.
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


def _watch_exit() -> None:
    global _is_watching_exit
    if _is_watching_exit:
        return
    _is_watching_exit = True
    atexit.register(_at_exit)
    processes = sys.modules.get("multiprocessing")
    if processes is not None and processes.parent_process() is not None:
        # Forked workers end without `atexit`. The module is there: such a process has imported it.
        from multiprocessing.util import Finalize

        Finalize(None, _at_exit, exitpriority=0)


def _at_exit() -> None:
    record_open_calls()
    flush_ledgers()


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
    global _lock, _is_watching_exit
    _lock = threading.RLock()
    _is_watching_exit = False
    _inherited.extend(_writers.values())
    _writers.clear()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
