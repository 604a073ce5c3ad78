"""The work that is measured, done by each client in its own way."""

from __future__ import annotations

import asyncio
import atexit
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.clients import Client
from benchmarks.measure import (
    Figures,
    Stub,
    Work,
    aexhaust,
    cold,
    cpu_time,
    exhaust,
    function_calls,
    new_connections,
)

CHUNKS = 500
"""Chunks of a measured stream."""
_FAN_OUT = 200


@dataclass
class Workloads:
    """Each method gives the same work for every client, by the client's name."""

    clients: list[Client]
    server: Stub
    runner: asyncio.Runner

    def construction(self) -> dict[str, Work]:
        return {client.name: partial(client.model, "whole") for client in self.clients}

    def call(self, messages: int = 2) -> dict[str, Work]:
        return {
            client.name: partial(client.call, client.model("whole"), client.messages(messages))
            for client in self.clients
        }

    def call_with_ledger(self) -> dict[str, Work]:
        """As `call`, with a usage ledger where a client has one."""
        folder = tempfile.TemporaryDirectory(prefix="texapi-bench-")
        atexit.register(folder.cleanup)
        url = f"sqlite:///{folder.name}/usage.db"

        def model(client: Client) -> Any:
            made = client.model("whole")
            return made.model_copy(update={"usage_ledger": url}) if hasattr(made, "usage_ledger") else made

        return {
            client.name: partial(client.call, model(client), client.messages()) for client in self.clients
        }

    def call_with_tools(self) -> dict[str, Work]:
        return {
            client.name: partial(client.call_with_tools, client.model("whole"), client.messages())
            for client in self.clients
        }

    def call_structured(self) -> dict[str, Work]:
        return {
            client.name: partial(client.call_structured, client.model("answer"), client.messages())
            for client in self.clients
        }

    def stream(self, model_name: str, messages: int = 2) -> dict[str, Work]:
        def work(client: Client, model: Any, asked: Any) -> None:
            exhaust(client.stream(model, asked))

        return {
            client.name: partial(work, client, client.model(model_name), client.messages(messages))
            for client in self.clients
        }

    def first_item(self) -> dict[str, Work]:
        def work(client: Client, model: Any, asked: Any) -> None:
            next(iter(client.stream(model, asked)))

        return {
            client.name: partial(work, client, client.model("text-2"), client.messages())
            for client in self.clients
        }

    def acall(self) -> dict[str, Work]:
        return self._in_loop("whole", lambda client, model, asked: client.acall(model, asked))

    def astream(self, model_name: str) -> dict[str, Work]:
        return self._in_loop(model_name, lambda client, model, asked: aexhaust(client.astream(model, asked)))

    def fan_out(self) -> dict[str, Work]:
        async def work(client: Client, model: Any, asked: Any) -> None:
            gate = asyncio.Semaphore(100)

            async def one() -> None:
                async with gate:
                    await client.acall(model, asked)

            await asyncio.gather(*(one() for _ in range(_FAN_OUT)))

        return self._in_loop("whole-50ms", work)

    def _in_loop(
        self, model_name: str, work: Callable[[Client, Any, Any], Awaitable[Any]]
    ) -> dict[str, Work]:
        async def awaited(client: Client, model: Any, asked: Any) -> None:
            await work(client, model, asked)

        def run(client: Client, model: Any, asked: Any) -> None:
            self.runner.run(awaited(client, model, asked))

        return {
            client.name: partial(run, client, client.model(model_name), client.messages())
            for client in self.clients
        }


def rows_of(work: Workloads, rounds: int) -> dict[str, Callable[[], list[Figures]]]:
    """What `make bench` shows: title -> what measures it."""
    text, reasoning, tools = f"text-{CHUNKS}", f"reasoning-{CHUNKS}", f"tools-{CHUNKS}"
    timed: dict[str, tuple[Callable[[], dict[str, Work]], int]] = {
        "construction": (work.construction, 1),
        "whole call": (work.call, 1),
        "whole call, usage ledger on": (work.call_with_ledger, 1),
        "whole call, async": (work.acall, 1),
        "whole call, 200 messages": (partial(work.call, 200), 1),
        "whole call, 3 tools bound": (work.call_with_tools, 1),
        "structured output": (work.call_structured, 1),
        "first item of a stream": (work.first_item, 1),
        "streamed text, per chunk": (partial(work.stream, text), CHUNKS),
        "streamed text, async, per chunk": (partial(work.astream, text), CHUNKS),
        "streamed reasoning, per chunk": (partial(work.stream, reasoning), CHUNKS),
        "streamed tool arguments, per chunk": (partial(work.stream, tools), CHUNKS),
        "streamed text, 200 messages, per chunk": (partial(work.stream, text, 200), CHUNKS),
        "200 calls of 50 ms, 100 at once, per call": (work.fan_out, _FAN_OUT),
    }
    counted: dict[str, tuple[Callable[[], dict[str, Work]], int]] = {
        "function calls: whole call": (work.call, 1),
        "function calls: 200 messages": (partial(work.call, 200), 1),
        "function calls: text chunk": (partial(work.stream, text), CHUNKS),
        "function calls: tool arguments chunk": (partial(work.stream, tools), CHUNKS),
    }

    def time(title: str) -> list[Figures]:
        works, per = timed[title]
        return [cpu_time(title, works(), rounds=rounds, per=per)]

    def count(title: str) -> list[Figures]:
        works, per = counted[title]
        return [function_calls(title, works(), per=per)]

    def connect() -> list[Figures]:
        title = "new connections in 10 streams"
        return [new_connections(title, work.server, work.stream("text-20"), times=10)]

    def start() -> list[Figures]:
        kinds = [type(client) for client in work.clients]
        return cold(kinds, work.server.base_url, rounds=max(1, rounds // 3))

    return {
        "new process": start,
        **{title: partial(time, title) for title in timed},
        **{title: partial(count, title) for title in counted},
        "new connections": connect,
    }
