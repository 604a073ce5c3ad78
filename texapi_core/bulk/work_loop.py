"""The event loop of bulk work: one per process, in a thread.

Connections belong to the loop that opened them. A loop per batch would open all of them again each time.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
from concurrent.futures import Future

from texapi_core._fork import at_fork

_EXIT_TIMEOUT = 5.0
"""Seconds that an exiting process waits for the loop to close its connections."""


class _WorkLoop:
    def __init__(self) -> None:
        started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self.thread = threading.Thread(target=_serve, args=(started,), name="texapi-bulk", daemon=True)
        self.thread.start()
        self.loop, self._stop = started.result()

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self.thread.join(_EXIT_TIMEOUT)


def _serve(started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
    async def wait_for_end() -> None:
        stop = asyncio.Event()
        started.set_result((asyncio.get_running_loop(), stop))
        await stop.wait()

    asyncio.run(wait_for_end())  # cancels what still runs, and closes the connections


_current: _WorkLoop | None = None
_lock = threading.Lock()


def work_loop() -> asyncio.AbstractEventLoop:
    """The running loop of this process, started on first use.

    Raises:
        RuntimeError: called from the loop itself, which would wait for itself.
    """
    global _current
    with _lock:
        if _current is None or not _current.thread.is_alive():
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
