"""What a call costs on this side of the wire, in counts that no load of the machine moves.

Each bound is a little above what is counted with openai 2 and 3 and the newest frameworks; `make bench`
tells the times. The clients and the work are the benchmark's own. A count far below its bound
fails too: the bound is to be lowered.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from importlib.metadata import version

import pytest

from benchmarks.clients import ChatTexAPIClient, Client, TexAPIClient
from benchmarks.measure import count_calls, new_connections, stub
from benchmarks.rows import connected, counted
from benchmarks.workloads import Workloads

MEASURED_WITH = {"langchain-core": (1, 7, 2), "llama-index-core": (0, 14, 25), "pydantic": (2, 14, 3)}
"""Bounds are for these versions and later ones of the same minor: others make other numbers of calls."""

MOST_CALLS = {
    "whole call": {"ChatTexAPI": 4_250, "TexAPI": 4_050},
    "whole call, async": {"ChatTexAPI": 5_600, "TexAPI": 5_150},
    "whole call, 200 messages": {"ChatTexAPI": 12_700, "TexAPI": 11_600},
    "binding 3 tools again": {"ChatTexAPI": 400, "TexAPI": 10},
    "whole call, 3 tools bound": {"ChatTexAPI": 4_500, "TexAPI": 4_900},
    "structured output, whole call": {"ChatTexAPI": 5_200, "TexAPI": 7_200},
    "text chunk": {"ChatTexAPI": 186, "TexAPI": 142},
    "text chunk, async": {"ChatTexAPI": 186, "TexAPI": 142},
    "reasoning chunk": {"ChatTexAPI": 210, "TexAPI": 172},
    "tool arguments chunk": {"ChatTexAPI": 296, "TexAPI": 252},
}
"""Calls of functions, Python's and C's: of a call, of a chunk."""


@pytest.fixture(scope="module")
def workloads() -> Iterator[Workloads]:
    with stub() as server, asyncio.Runner() as runner:
        clients: list[Client] = [ChatTexAPIClient(server.base_url), TexAPIClient(server.base_url)]
        yield Workloads(clients, server, runner)


def _as_measured() -> bool:
    """On other Pythons comprehensions are calls, or none."""
    installed = {name: tuple(map(int, re.findall(r"\d+", version(name))[:3])) for name in MEASURED_WITH}
    return sys.version_info[:2] == (3, 11) and all(
        installed[name][:2] == measured[:2] and installed[name] >= measured
        for name, measured in MEASURED_WITH.items()
    )


@pytest.mark.skipif(not _as_measured(), reason="other versions make other numbers of calls")
@pytest.mark.parametrize("title", MOST_CALLS)
@pytest.mark.parametrize("client", ["ChatTexAPI", "TexAPI"])
def test_function_calls(workloads: Workloads, title: str, client: str) -> None:
    works, less, per = counted(workloads)[title]
    calls = count_calls(works()[client])
    if less:
        calls -= count_calls(less()[client])

    most = MOST_CALLS[title][client]
    assert most - max(10, 0.15 * most) < calls / per < most


def test_every_counted_row_of_the_benchmark_has_a_bound(workloads: Workloads) -> None:
    assert MOST_CALLS.keys() == counted(workloads).keys()


@pytest.mark.parametrize("title", ["new connections in 10 streams", "new connections in 10 async streams"])
@pytest.mark.parametrize("client", ["ChatTexAPI", "TexAPI"])
def test_streams_read_to_the_end_keep_their_connection(workloads: Workloads, title: str, client: str) -> None:
    work = {client: connected(workloads)[title]()[client]}

    assert new_connections(title, workloads.server, work, times=10).values == {client: [0.0]}


@pytest.mark.parametrize("kind", ["text", "reasoning", "tools"])
@pytest.mark.parametrize("client", ["ChatTexAPI", "TexAPI"])
def test_function_calls_grow_with_the_chunks(workloads: Workloads, kind: str, client: str) -> None:
    """The 900th chunk makes as many calls as the 100th."""
    chunks = (100, 500, 900)
    few, some, many = (count_calls(workloads.stream(f"{kind}-{count}")[client]) for count in chunks)

    assert many - some == pytest.approx(some - few, rel=0.02)
