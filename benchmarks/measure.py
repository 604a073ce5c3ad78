"""What is measured, and how: CPU time by interleaved rounds, and counts that no machine's load moves."""

from __future__ import annotations

import contextlib
import cProfile
import gc
import json
import pstats
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.clients import KEY, Client

_BUDGET = 0.06
"""Seconds of CPU for one client in one round."""

Work = Callable[[], Any]
"""Something to measure, done once per call."""


@dataclass
class Stub:
    """The stub server in its own process."""

    base_url: str

    def connections(self) -> int:
        """Connections that it has seen."""
        with urllib.request.urlopen(f"{self.base_url}/count") as response:
            seen: int = json.load(response)["connections"]
        return seen


@contextlib.contextmanager
def stub() -> Generator[Stub]:
    """A stub server for as long as the block takes."""
    command = [sys.executable, "-m", "benchmarks.stub"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        yield Stub(f"http://127.0.0.1:{int(process.stdout.readline())}/v1")
        process.stdin.close()


@dataclass
class Figures:
    """One row: a figure of each client, by name."""

    title: str
    unit: str
    values: dict[str, list[float]] = field(default_factory=dict)
    """By round; the rounds of all clients stand side by side."""

    def median(self, client: str) -> float:
        """The middle round."""
        return statistics.median(self.values[client])

    def ratios(self, client: str, reference: str) -> list[float]:
        """By round, how many times the reference's cost it took."""
        pairs = zip(self.values[client], self.values[reference], strict=True)
        return [mine / theirs if theirs else float(mine > 0) for mine, theirs in pairs]


def cpu_time(title: str, works: dict[str, Work], *, rounds: int, per: int = 1) -> Figures:
    """CPU microseconds of each work, in rounds that take all of them in turn."""
    figures = Figures(title, "us", {name: [] for name in works})
    repeats = {}
    for name, work in works.items():
        work()  # connections, caches, lazy imports
        with _no_collection():
            started = time.process_time()
            work()
        repeats[name] = max(1, int(_BUDGET / max(time.process_time() - started, 1e-6)))
    order = list(works)
    for turn in range(rounds):
        for name in order[turn % len(order) :] + order[: turn % len(order)]:
            with _no_collection():
                started = time.process_time()
                for _ in range(repeats[name]):
                    works[name]()
                spent = time.process_time() - started
            figures.values[name].append(spent / repeats[name] / per * 1e6)
    return figures


@contextlib.contextmanager
def _no_collection() -> Generator[None]:
    """Garbage is collected between batches.

    A collection would count for whoever happens to run, and on openai 2 a peer's stream that is collected in
    the middle of a call waits for ever for the lock of the connection pool.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def function_calls(title: str, works: dict[str, Work], *, per: int = 1) -> Figures:
    """Function calls of each work: the same on any machine."""
    figures = Figures(title, "calls")
    for name, work in works.items():
        for _ in range(3):
            work()
        with cProfile.Profile() as profile:
            work()
        total: int = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]  # not in its stub
        figures.values[name] = [total / per]
    return figures


def new_connections(title: str, server: Stub, works: dict[str, Work], *, times: int) -> Figures:
    """Connections that are opened anew while the work is done so many times, the first one aside."""
    figures = Figures(title, "connections")
    for name, work in works.items():
        work()
        before = server.connections()
        for _ in range(times):
            work()
        figures.values[name] = [float(server.connections() - before - 1)]  # counting takes one itself
    return figures


def cold(clients: Sequence[type[Client]], base_url: str, *, rounds: int) -> list[Figures]:
    """CPU of new processes: the import alone, and the import, a model and its first answer."""
    imports = Figures("import, new process", "ms", {client.name: [] for client in clients})
    answers = Figures("import, model and first answer, new process", "ms", {c.name: [] for c in clients})
    for _ in range(rounds):
        for client in clients:
            construction = client.construction.format(base_url=base_url, key=KEY)
            imports.values[client.name].append(_process_milliseconds(client.import_statement))
            answers.values[client.name].append(
                _process_milliseconds(client.import_statement, construction, client.first_call.format())
            )
    return [imports, answers]


def _process_milliseconds(*statements: str) -> float:
    program = "\n".join(["import time", *statements, "print(time.process_time() * 1000)"])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def exhaust(items: Any) -> None:
    """Take all of a stream."""
    for _ in items:
        pass


async def aexhaust(items: Any) -> None:
    """Take all of a stream."""
    async for _ in items:
        pass
