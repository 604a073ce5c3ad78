"""The async clients of an event loop, closed with it, and which of its pools of connections a call takes.

A connection belongs to the loop that opened it. A client kept over two loops fails with "Event loop is
closed", or sends the request twice when a retry hides that.
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import openai

from texapi_core.client import ClientCache, new_async_client
from texapi_core.pools import new_pool
from texapi_core.settings import NO_OPTIONS, AsyncTransport, CallOptions, Settings

_HTTP_CLIENTS: Mapping[AsyncTransport, Callable[..., Any]] = {
    "httpx": openai.DefaultAsyncHttpxClient,
    "aiohttp": openai.DefaultAioHttpClient,
}
_MOST_CALLS: Mapping[AsyncTransport, float] = {"httpx": 16, "aiohttp": math.inf}
"""Calls at once in a lane before the next one opens: httpx looks at all connections of a pool for each
request, and with 100 of them that takes several times as long as all the rest of a call."""
_MOST_LANES = 16
_LONGEST_IDLE = 5.0
"""Seconds until an empty lane is closed, as httpx closes a connection."""


class Lane:
    """One pool of connections of an event loop, with the clients that share it."""

    def __init__(self, pool: Any = None) -> None:
        self.pool = pool
        """`None` in the lane of HTTP clients of the user's own."""
        self.calls = 0
        """Calls that are under way in it."""
        self.idle_since = 0.0
        self._clients: ClientCache[openai.AsyncOpenAI] = ClientCache()

    def client(self, settings: Settings, options: CallOptions = NO_OPTIONS) -> openai.AsyncOpenAI:
        """The client for these settings, made on first use; for a call with headers of its own a new one."""
        http_client = self.pool if settings.http_async_client is None else settings.http_async_client
        return self._clients.get(settings, options, http_client, new_async_client)

    def leave(self) -> None:
        """A call has ended."""
        self.calls -= 1
        if not self.calls:
            self.idle_since = time.monotonic()


class _Loop:
    """The lanes of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = weakref.ref(loop)
        self._lanes: dict[AsyncTransport, list[Lane]] = {"httpx": [], "aiohttp": []}
        self._of_the_users_own = Lane()
        self._until_shutdown = self._close_at_shutdown()

    @classmethod
    async def open(cls, loop: asyncio.AbstractEventLoop) -> _Loop:
        opened = cls(loop)
        with _lock:
            for key, other in list(_loops.items()):
                other_loop = other.loop()
                if other_loop is None or other_loop.is_closed():
                    del _loops[key]
            _loops[id(loop)] = opened
        # `loop.shutdown_asyncgens()`, which `asyncio.run` and every server call before they close
        # their loop, closes async generators: the public way to be told in time to close sockets.
        await anext(opened._until_shutdown)
        return opened

    def lane(self, settings: Settings) -> Lane:
        """The first lane with room, so that few calls at once use few connections again and again."""
        if settings.http_async_client is not None:
            return self._of_the_users_own
        transport = settings.async_transport
        lanes = self._lanes[transport]
        for lane in lanes:
            if lane.calls < _MOST_CALLS[transport]:
                return lane
        if len(lanes) == _MOST_LANES:
            return min(lanes, key=lambda lane: lane.calls)
        lanes.append(Lane(new_pool(_HTTP_CLIENTS[transport])))
        return lanes[-1]

    async def close_idle(self) -> None:
        """Close what a burst of calls has left behind. The first lane stays, as a pool would."""
        for lanes in self._lanes.values():
            while len(lanes) > 1 and _is_idle(lanes[-1]):
                await lanes.pop().pool.aclose()

    async def _close_at_shutdown(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            with _lock:
                for key, other in list(_loops.items()):
                    if other is self:
                        del _loops[key]
            for lanes in self._lanes.values():
                while lanes:
                    await lanes.pop().pool.aclose()


def _is_idle(lane: Lane) -> bool:
    return not lane.calls and time.monotonic() - lane.idle_since > _LONGEST_IDLE


_loops: dict[int, _Loop] = {}
_lock = threading.Lock()


async def enter_lane(settings: Settings) -> Lane:
    """Where a call of the running event loop goes; it leaves the lane when its answer has ended."""
    running = asyncio.get_running_loop()
    loop = _loops.get(id(running))
    if loop is None or loop.loop() is not running:
        loop = await _Loop.open(running)
    await loop.close_idle()
    lane = loop.lane(settings)
    lane.calls += 1
    return lane


def _forget_all_loops() -> None:
    """After a fork the parent's connections are not ours to use."""
    global _lock
    _lock = threading.Lock()
    _loops.clear()


os.register_at_fork(after_in_child=_forget_all_loops)
