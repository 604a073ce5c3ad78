"""The measured operations, implemented for each client."""

from __future__ import annotations

import asyncio
import atexit
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from benchmarks.clients import Client
from benchmarks.measure import Stub, Work, aexhaust, exhaust
from texapi_core.accounting import flush_ledgers

CALLS_AT_ONCE = 100
CALLS_IN_ALL = 500

AsyncWork = Callable[[Client, Any, Any], Awaitable[Any]]


@dataclass
class Workloads:
    """Each method returns the same operation for every client, by the client's name."""

    clients: list[Client]
    server: Stub
    runner: asyncio.Runner
    fast_clients: list[Client] = field(default_factory=list)
    """The clients with the aiohttp transport, where they have one; empty where it is not installed."""
    _used: list[Any] = field(default_factory=list)
    """Models that have been used in the event loop, see `benchmarks/upstream`: a client of the SDK that is
    collected there takes the sockets of others."""

    def construction(self) -> dict[str, Work]:
        return {client.name: partial(client.model, "whole") for client in self.clients}

    def call(self, messages: int = 2) -> dict[str, Work]:
        return self.call_for("whole", messages)

    def call_for(self, model_name: str, messages: int = 2) -> dict[str, Work]:
        return {
            client.name: partial(client.call, client.model(model_name), client.messages(messages))
            for client in self.clients
        }

    def call_with_ledger(self, **more: Any) -> dict[str, Work]:
        """Like `call`, with a usage ledger, and what else is given, where a client has one."""
        folder = tempfile.TemporaryDirectory(prefix="texapi-bench-")
        atexit.register(folder.cleanup)
        atexit.register(flush_ledgers)  # runs before the folder is removed
        return self.call_with(usage_ledger=f"sqlite:///{folder.name}/usage.db", **more)

    def call_with(self, **given: Any) -> dict[str, Work]:
        """Like `call`, with settings where a client has them."""

        def model(client: Client) -> Any:
            made = client.model("whole")
            return made.model_copy(update=given) if hasattr(made, "usage_ledger") else made

        return {
            client.name: partial(client.call, model(client), client.messages()) for client in self.clients
        }

    def binding(self) -> dict[str, Work]:
        return {
            client.name: partial(client.bind, client.model("whole"), client.tools())
            for client in self.clients
        }

    def call_with_tools(self) -> dict[str, Work]:
        return {
            client.name: partial(
                client.call_with_tools,
                client.bind(client.model("whole"), client.tools()),
                client.messages(),
            )
            for client in self.clients
        }

    def call_structured(self) -> dict[str, Work]:
        return {
            client.name: partial(
                client.call_structured, client.structured(client.model("answer")), client.messages()
            )
            for client in self.clients
        }

    def stream(self, model_name: str, messages: int = 2) -> dict[str, Work]:
        def work(client: Client, model: Any, asked: Any) -> None:
            exhaust(client.stream(model, asked))

        return {
            client.name: partial(work, client, client.model(model_name), client.messages(messages))
            for client in self.clients
        }

    def stream_over_tls(self, model_name: str) -> dict[str, Work]:
        assert self.server.tls_url
        over_tls = [type(client)(self.server.tls_url) for client in self.clients]
        return Workloads(over_tls, self.server, self.runner).stream(model_name)

    def first_item(self) -> dict[str, Work]:
        """Read streams to the end and return the time to the first item."""

        def work(client: Client, model: Any, asked: Any) -> float:
            started = time.process_time()
            items = iter(client.stream(model, asked))
            next(items)
            spent = time.process_time() - started
            exhaust(items)
            return spent

        return {
            client.name: partial(work, client, client.model("text-32"), client.messages())
            for client in self.clients
        }

    def acall(self, *, fast: bool = False) -> dict[str, Work]:
        return self._in_loop("whole", lambda client, model, asked: client.acall(model, asked), fast=fast)

    def astream(self, model_name: str, *, fast: bool = False) -> dict[str, Work]:
        def stream(client: Client, model: Any, asked: Any) -> Awaitable[None]:
            return aexhaust(client.astream(model, asked))

        return self._in_loop(model_name, stream, fast=fast)

    def fan_out(self, *, fast: bool = False) -> dict[str, Work]:
        async def work(client: Client, model: Any, asked: Any) -> None:
            gate = asyncio.Semaphore(CALLS_AT_ONCE)

            async def one() -> None:
                async with gate:
                    await client.acall(model, asked)

            await asyncio.gather(*(one() for _ in range(CALLS_IN_ALL)))

        return self._in_loop("whole-50ms", work, fast=fast)

    def stall(self, model_name: str, *, streamed: bool, fast: bool) -> dict[str, Work]:
        """Return the longest time, in milliseconds, that the event loop did nothing else than this answer."""

        async def tick(gaps: list[float]) -> None:
            last = time.perf_counter()
            while True:
                await asyncio.sleep(0)
                now = time.perf_counter()
                gaps.append(now - last)
                last = now

        async def work(client: Client, model: Any, asked: Any) -> float:
            gaps: list[float] = []
            ticking = asyncio.create_task(tick(gaps))
            await (aexhaust(client.astream(model, asked)) if streamed else client.acall(model, asked))
            await asyncio.sleep(0)  # the end of the answer is the longest
            ticking.cancel()
            return max(gaps) * 1000

        return self._in_loop(model_name, work, fast=fast)

    def _in_loop(self, model_name: str, work: AsyncWork, *, fast: bool) -> dict[str, Work]:
        async def awaited(client: Client, model: Any, asked: Any) -> float | None:
            result = await work(client, model, asked)
            return result if isinstance(result, float) else None  # a runner makes the repr of what it gets

        def run(client: Client, model: Any, asked: Any) -> float | None:
            return self.runner.run(awaited(client, model, asked))

        clients = self.fast_clients if fast else self.clients
        models = {client.name: client.model(model_name) for client in clients}
        self._used += models.values()
        return {
            client.name: partial(run, client, models[client.name], client.messages()) for client in clients
        }
