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

from texapi_core.settings import NO_OPTIONS, CallOptions, Settings
from texapi_core.settings_checks import AsyncTransport
from texapi_core.transport.clients import ClientCache, new_async_client
from texapi_core.transport.pools import new_pool

_HTTP_CLIENTS: Mapping[AsyncTransport, Callable[..., Any]] = {
    "httpx": openai.DefaultAsyncHttpxClient,
    "aiohttp": openai.DefaultAioHttpClient,
}
_MAX_CALLS: Mapping[AsyncTransport, float] = {"httpx": 16, "aiohttp": math.inf}
"""Calls at once in a shard before the next one opens: httpx looks at all connections of a pool for each
request, and with 100 of them that takes several times as long as all the rest of a call."""
_MAX_SHARDS = 16
_MAX_IDLE = 5.0
"""Seconds until an empty shard is closed, as httpx closes a connection."""


class PoolShard:
    """One pool of connections of an event loop, with the clients that share it."""

    def __init__(self, pool: Any = None) -> None:
        self.pool = pool
        """`None` in the shard of HTTP clients of the user's own."""
        self.calls = 0
        """Calls that are under way in it."""
        self.idle_since = 0.0
        self._clients: ClientCache[openai.AsyncOpenAI] = ClientCache()

    def client(self, settings: Settings, options: CallOptions = NO_OPTIONS) -> openai.AsyncOpenAI:
        """The client for these settings, made on first use; for a call with headers of its own a new one."""
        http_client = self.pool if settings.http_async_client is None else settings.http_async_client
        return self._clients.get(settings, options, http_client, new_async_client)

    def release(self) -> None:
        """A call has ended."""
        self.calls -= 1
        if not self.calls:
            self.idle_since = time.monotonic()


class LoopPools:
    """The shards of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = weakref.ref(loop)
        self._shards: dict[AsyncTransport, list[PoolShard]] = {"httpx": [], "aiohttp": []}
        self._users_own = PoolShard()
        self._until_shutdown = self._close_at_shutdown()

    @classmethod
    async def open(cls, loop: asyncio.AbstractEventLoop) -> LoopPools:
        """The pools of a loop, told in time when it closes."""
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

    def shard(self, settings: Settings) -> PoolShard:
        """The first shard with room, so that few calls at once use few connections again and again."""
        if settings.http_async_client is not None:
            return self._users_own
        transport = settings.async_transport
        shards = self._shards[transport]
        for shard in shards:
            if shard.calls < _MAX_CALLS[transport]:
                return shard
        if len(shards) == _MAX_SHARDS:
            return min(shards, key=lambda shard: shard.calls)
        shards.append(PoolShard(new_pool(_HTTP_CLIENTS[transport])))
        return shards[-1]

    async def close_idle(self) -> None:
        """Close what a burst of calls has left behind. The first shard stays, as a pool would."""
        for shards in self._shards.values():
            while len(shards) > 1 and _is_idle(shards[-1]):
                await shards.pop().pool.aclose()

    async def _close_at_shutdown(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            with _lock:
                for key, other in list(_loops.items()):
                    if other is self:
                        del _loops[key]
            for shards in self._shards.values():
                while shards:
                    await shards.pop().pool.aclose()


def _is_idle(shard: PoolShard) -> bool:
    return not shard.calls and time.monotonic() - shard.idle_since > _MAX_IDLE


_loops: dict[int, LoopPools] = {}
_lock = threading.Lock()


async def acquire_shard(settings: Settings) -> PoolShard:
    """Where a call of the running event loop goes; it leaves the shard when its answer has ended."""
    running = asyncio.get_running_loop()
    loop = _loops.get(id(running))
    if loop is None or loop.loop() is not running:
        loop = await LoopPools.open(running)
    await loop.close_idle()
    shard = loop.shard(settings)
    shard.calls += 1
    return shard


def _forget_all_loops() -> None:
    """After a fork the parent's connections are not ours to use."""
    global _lock
    _lock = threading.Lock()
    _loops.clear()


os.register_at_fork(after_in_child=_forget_all_loops)
