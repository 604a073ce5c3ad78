"""The async clients and connection pools of each event loop, closed with the loop.

A connection belongs to the loop that opened it. A client that is used in another loop fails with "Event loop
is closed", or sends the request twice if a retry hides the failure.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from typing import Any

import openai

from texapi_core._fork import at_fork
from texapi_core.settings import NO_OPTIONS, CallOptions, Settings
from texapi_core.settings_checks import AsyncTransport
from texapi_core.transport.clients import ClientCache, new_async_client, new_pool

_HTTP_CLIENTS: Mapping[AsyncTransport, Callable[..., Any]] = {
    "httpx": openai.DefaultAsyncHttpxClient,
    "aiohttp": openai.DefaultAioHttpClient,
}
_MAX_CALLS: Mapping[AsyncTransport, float] = {"httpx": 16, "aiohttp": math.inf}
"""Concurrent calls in a shard before the next shard opens: httpx scans all connections of a pool for each
request, and with 100 of them that takes several times as long as the rest of a call."""
_MAX_SHARDS = 16


class PoolShard:
    """One connection pool of an event loop, with the clients that share it."""

    def __init__(self, pool: Any = None) -> None:
        self.pool = pool
        """`None` in the shard of the user's own HTTP clients."""
        self.calls = 0
        """Calls in flight."""
        self.idle_since = 0.0
        self._clients: ClientCache[openai.AsyncOpenAI] = ClientCache()

    def client(self, settings: Settings, options: CallOptions = NO_OPTIONS) -> openai.AsyncOpenAI:
        """The client for these settings, created on first use; a new one for a call with `extra_headers`."""
        http_client = self.pool if settings.http_async_client is None else settings.http_async_client
        return self._clients.get(settings, options, http_client, new_async_client)

    def release(self) -> None:
        """Count a call as ended."""
        self.calls -= 1
        if not self.calls:
            self.idle_since = time.monotonic()

    def has_been_idle(self, seconds: float) -> bool:
        """Whether the last call ended longer ago: then its connections have expired."""
        return not self.calls and time.monotonic() - self.idle_since > seconds


class LoopPools:
    """The shards of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = weakref.ref(loop)
        self._shards: dict[tuple[AsyncTransport, float], list[PoolShard]] = {}
        """By transport and `keepalive`."""
        self._custom_clients = PoolShard()
        self._until_shutdown = self._close_at_shutdown()

    @classmethod
    async def open(cls, loop: asyncio.AbstractEventLoop) -> LoopPools:
        """The pools of a loop, closed when the loop shuts down."""
        opened = cls(loop)
        with _lock:
            for key, other in list(_loops.items()):
                other_loop = other.loop()
                if other_loop is None or other_loop.is_closed():
                    del _loops[key]
            _loops[id(loop)] = opened
        # `asyncio.run` and servers call `loop.shutdown_asyncgens()`, which closes async generators, before
        # they close their loop: the only public hook for closing sockets in time.
        await anext(opened._until_shutdown)
        return opened

    def shard(self, settings: Settings) -> PoolShard:
        """The first shard with room, so that a few concurrent calls reuse a few connections."""
        if settings.http_async_client is not None:
            return self._custom_clients
        transport = settings.async_transport
        shards = self._shards.setdefault((transport, settings.keepalive), [])
        for shard in shards:
            if shard.calls < _MAX_CALLS[transport]:
                return shard
        if len(shards) == _MAX_SHARDS:
            return min(shards, key=lambda shard: shard.calls)
        shards.append(PoolShard(new_pool(_HTTP_CLIENTS[transport], settings.keepalive)))
        return shards[-1]

    async def close_idle(self) -> None:
        """Close the idle shards that a burst of calls left behind, except the first one."""
        for (_, keepalive), shards in self._shards.items():
            while len(shards) > 1 and shards[-1].has_been_idle(keepalive):
                await shards.pop().pool.aclose()

    async def _close_at_shutdown(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            with _lock:
                for key, other in list(_loops.items()):
                    if other is self:
                        del _loops[key]
            # A loop that was closed without shutting down, as LlamaIndex's sync helpers do in a notebook,
            # can close no connection: its sockets close when they are collected.
            running = _running_loop()
            is_open = running is not None and running is self.loop()
            for shards in self._shards.values():
                while shards and is_open:
                    await shards.pop().pool.aclose()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


_loops: dict[int, LoopPools] = {}
_lock = threading.Lock()


class _TwoTurns:
    """Lets the event loop turn twice, in half the function calls of two `asyncio.sleep(0)`."""

    def __await__(self) -> Generator[None, None, None]:
        yield
        yield


_TWO_TURNS = _TwoTurns()


async def acquire_shard(settings: Settings) -> PoolShard:
    """The shard for a call in the running event loop, to be released when the answer has ended."""
    running = asyncio.get_running_loop()
    loop = _loops.get(id(running))
    if loop is None or loop.loop() is not running:
        loop = await LoopPools.open(running)
    await loop.close_idle()
    if settings.async_transport == "aiohttp":
        # Unlike httpx, aiohttp does not ask the kernel about an idle connection: it knows what the loop has
        # read. After the first turn the loop knows what came while it was blocked, in the second it reads it.
        await _TWO_TURNS
    shard = loop.shard(settings)
    shard.calls += 1
    return shard


def _forget_all_loops() -> None:
    """After a fork the parent's connections are not ours to use."""
    global _lock
    _lock = threading.Lock()
    _loops.clear()


at_fork(after_in_child=_forget_all_loops)
