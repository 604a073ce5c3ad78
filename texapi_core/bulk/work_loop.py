"""The event loop of bulk work: one per process, in a thread.

Connections belong to the loop that opened them. A loop per batch would open all of them again each time.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
from concurrent.futures import Future
from contextlib import suppress

from texapi_core._fork import at_fork

_EXIT_TIMEOUT = 5.0
"""Seconds that an exiting process waits for the loop to close its connections."""


class _WorkLoop:
    def __init__(self) -> None:
        started: Future[asyncio.AbstractEventLoop] = Future()
        self._stopped = threading.Event()
        self.thread = threading.Thread(
            target=_serve, args=(started, self._stopped), name="texapi-bulk", daemon=True
        )
        self.thread.start()
        self.loop = started.result()

    def close(self) -> None:
        self._stopped.set()
        with suppress(RuntimeError):  # closed before
            self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(_EXIT_TIMEOUT)


def _serve(started: Future[asyncio.AbstractEventLoop], stopped: threading.Event) -> None:
    """Run a loop until it is to stop: what one task raises to end the program ends no other's call."""
    with asyncio.Runner() as runner:  # cancels what still runs, and closes the connections
        loop = runner.get_loop()
        started.set_result(loop)
        while not stopped.is_set():
            with suppress(KeyboardInterrupt, SystemExit):  # the task has it too, for who awaits it
                loop.run_forever()


_current: _WorkLoop | None = None
_lock = threading.Lock()


def work_loop() -> asyncio.AbstractEventLoop:
    """The running loop of this process, started on first use.

    Raises:
        RuntimeError: called from the loop itself, which would wait for itself.
    """
    global _current
    with _lock:
        if _current is None or _current.loop.is_closed():
            _current = _WorkLoop()
        if _current.thread is threading.current_thread():
            raise RuntimeError(
                "`run` or `Worker` is used within a call of bulk work, and would wait for itself: use `arun`."
            )
        return _current.loop


def close_work_loop() -> None:
    """End the loop, its calls and its connections; the next use starts another."""
    global _current
    with _lock:
        ended, _current = _current, None
    if ended is not None:
        ended.close()


def _forget() -> None:
    """A forked child has no such thread."""
    global _current, _lock
    _current, _lock = None, threading.Lock()


atexit.register(close_work_loop)
at_fork(after_in_child=_forget)
