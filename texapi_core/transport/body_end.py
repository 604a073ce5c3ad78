"""The end of a stream: its connection is kept for the next call, or given up.

After `[DONE]` there is only the end of the HTTP body to read. Without it the connection is dropped, and
the next call pays for TCP and TLS anew (openai/openai-python#3440). Servers may keep a body open for
ever, so the wait for its end is short, and comes after the caller has everything.
"""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Generator
from typing import Any, Protocol

_MAX_WAIT = 0.1
"""Seconds to wait for the end of a body, or for another thread to close it."""
_GRACE = 1.1
"""Of a limit that the HTTP library should have held itself."""


@contextlib.contextmanager
def closing(response: Any) -> Generator[None]:
    """Close a response after the block, which belongs to a generator that may be dropped half read."""
    try:
        yield
    except GeneratorExit:
        _close_dropped(response)
        raise
    except BaseException:
        response.close()
        raise
    response.close()


def _close_dropped(response: Any) -> None:
    """Close a response from wherever its generator was dropped.

    A stream that is dropped in a reference cycle is closed by the garbage collector: perhaps in the middle
    of another call of the same thread, which holds the lock of the HTTP library's connection pool. Closing
    takes that lock, which is not reentrant, so another thread does it, and nobody waits for it for ever.
    """
    closed = threading.Event()

    def close() -> None:
        with contextlib.suppress(Exception):
            response.close()
        closed.set()

    try:
        _thread.start_new_thread(close, ())  # `threading.Thread` takes a lock that may be held, too
    except RuntimeError:  # the interpreter is ending
        response.close()
    else:
        closed.wait(_MAX_WAIT)


def read_to_end(response: Any) -> None:
    """Read what is left of a body that came by a pool of ours, or give its connection up.

    The limit of a read is in httpx's documented `timeout` extension of the request, which is this request's
    own. `response.stream` looks at it anew, the rest of `iter_bytes()` does not. The caller closes the
    response.
    """
    limits = response.request.extensions.get("timeout")
    if response.is_closed or limits is None or _socket_of(response) is None:
        return
    limits["read"] = _MAX_WAIT
    deadline = time.monotonic() + _MAX_WAIT
    with contextlib.suppress(Exception):
        for _ in response.stream:
            if time.monotonic() > deadline:
                break


def read_to_end_guarded(response: Any) -> None:
    """`read_to_end` for an HTTP client of the user's own.

    Its hooks and transports may have limits that are not the request's own, or lost on the way, so a
    thread watches the time. That takes longer than the end of most bodies.
    """
    with contextlib.suppress(Exception), ending_after(_MAX_WAIT, response):
        for _ in response.stream:
            pass


@contextlib.contextmanager
def ending_after(seconds: float | None, response: Any) -> Generator[None]:
    """Shut the connection of a response down if the block is not done with it in time, never after it."""
    connection = _socket_of(response)
    if seconds is None or connection is None:
        yield
        return
    is_done = False
    deciding = threading.Lock()

    def end() -> None:
        with deciding:
            if not (is_done or response.is_closed):
                _shut_down(connection)

    watchdog = threading.Timer(seconds, end)
    watchdog.daemon = True
    watchdog.start()
    try:
        yield
    finally:
        with deciding:
            is_done = True
        watchdog.cancel()


class Waiting(Protocol):
    """What reads a stream."""

    waiting_since: float | None
    """When it began to wait for a packet, by `time.monotonic()`; `None` while it has one."""


@contextlib.contextmanager
def aclosing_when_silent(response: Any, reader: Waiting) -> Generator[None]:
    """Close a response whose reader has waited for longer than the request allows for reading.

    The HTTP library has that limit too, but aiohttp loses it when a connection ends in a broken body, and
    its reader waits for ever. One timer for a stream: one for each packet takes a quarter of its time.
    """
    seconds = read_timeout(response)
    if seconds is None:
        yield
        return
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle
    closings: set[asyncio.Task[None]] = set()

    async def close() -> None:
        with contextlib.suppress(Exception):
            await response.aclose()

    def look() -> None:
        nonlocal timer
        since = reader.waiting_since
        left = seconds if since is None else since + _GRACE * seconds - time.monotonic()
        if left > 0:
            timer = loop.call_later(left, look)
        else:
            closings.add(loop.create_task(close()))

    timer = loop.call_later(_GRACE * seconds, look)
    try:
        yield
    finally:
        timer.cancel()


def read_timeout(response: Any) -> float | None:
    """Seconds that a request allows for reading, by httpx's documented `timeout` extension."""
    seconds: float | None = response.request.extensions.get("timeout", {}).get("read")
    return seconds


async def aread_to_end(packets: AsyncIterator[bytes]) -> None:
    """Read what is left of a body, or give its connection up. Async twin of `read_to_end`."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_MAX_WAIT):
            async for _ in packets:
                pass


def _socket_of(response: Any) -> socket.socket | None:
    """The socket under a response, by httpx's documented `network_stream` extension."""
    stream = response.extensions.get("network_stream")
    connection = stream.get_extra_info("socket") if stream is not None else None
    return connection if isinstance(connection, socket.socket) else None


def _shut_down(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
