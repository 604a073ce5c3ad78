"""The end of a stream: its connection is returned to the pool or closed.

After `[DONE]` only the end of the HTTP body is left to read. If it is not read, the connection is closed, and
the next call needs new TCP and TLS handshakes (openai/openai-python#3440). Servers may never end a body, so
the wait for its end is short, and starts when the caller has the complete answer.
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
_TIMEOUT_FACTOR = 1.1
"""Factor on a timeout that the HTTP library should have enforced itself."""


@contextlib.contextmanager
def closing(response: Any) -> Generator[None]:
    """Close a response after the block, which is in a generator that may be dropped before its end."""
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
    """Close a response whose generator was dropped.

    A stream that is dropped in a reference cycle is closed by the garbage collector: perhaps in the middle
    of another call of the same thread, which holds the lock of the HTTP library's connection pool. Closing
    takes that lock, which is not reentrant, so another thread does it, and the wait for it is limited.
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
    """Read the rest of a body that came through our own pool. The caller closes the response.

    The read timeout is in httpx's documented `timeout` extension of the request. `response.stream` reads the
    changed value, a running `iter_bytes()` does not.
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
    """`read_to_end` for the user's own HTTP client.

    Its hooks and transports may replace or drop the request's timeout, so a thread enforces it. Starting
    the thread takes longer than reading the end of most bodies.
    """
    with contextlib.suppress(Exception), ending_after(_MAX_WAIT, response):
        for _ in response.stream:
            pass


@contextlib.contextmanager
def ending_after(seconds: float | None, response: Any) -> Generator[None]:
    """Shut down the connection of a response if the block exceeds `seconds`, never after the block."""
    connection = _socket_of(response)
    if seconds is None or connection is None:
        yield
        return
    is_done = False
    deciding = threading.Lock()

    def end() -> None:
        with deciding:
            if not (is_done or response.is_closed):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    watchdog = threading.Timer(seconds, end)
    watchdog.daemon = True
    watchdog.start()
    try:
        yield
    finally:
        with deciding:
            is_done = True
        watchdog.cancel()


class PacketReader(Protocol):
    """Reads a stream."""

    waiting_since: float | None
    """`time.monotonic()` at the start of the wait for a packet; `None` while a packet is processed."""


@contextlib.contextmanager
def aclosing_when_silent(response: Any, reader: PacketReader) -> Generator[None]:
    """Close a response whose reader has waited for longer than the request's read timeout.

    aiohttp loses that timeout when a connection ends in a broken body, and its reader never returns. One
    timer serves the whole stream: one per packet would take a quarter of the stream's time.
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

    def check() -> None:
        nonlocal timer
        since = reader.waiting_since
        left = seconds if since is None else since + _TIMEOUT_FACTOR * seconds - time.monotonic()
        if left > 0:
            timer = loop.call_later(left, check)
        else:
            closings.add(loop.create_task(close()))

    timer = loop.call_later(_TIMEOUT_FACTOR * seconds, check)
    try:
        yield
    finally:
        timer.cancel()


def read_timeout(response: Any) -> float | None:
    """The read timeout of a request in seconds, from httpx's documented `timeout` extension."""
    seconds: float | None = response.request.extensions.get("timeout", {}).get("read")
    return seconds


async def aread_to_end(packets: AsyncIterator[bytes]) -> None:
    """Read the rest of a body. Async twin of `read_to_end`."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_MAX_WAIT):
            async for _ in packets:
                pass


def _socket_of(response: Any) -> socket.socket | None:
    """The socket of a response, from httpx's documented `network_stream` extension."""
    stream = response.extensions.get("network_stream")
    connection = stream.get_extra_info("socket") if stream is not None else None
    return connection if isinstance(connection, socket.socket) else None
