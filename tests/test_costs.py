"""The client-side cost of a call, in counts that do not depend on the machine's load.

Each count may rise by 3 % over what was measured; `make bench` measures the times. The clients and
operations are those of the benchmark. A count far below what was measured fails too: lower the figure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import openai
import pytest

from benchmarks.clients import ChatTexAPIClient, Client, Sdk, TexAPIClient
from benchmarks.measure import count_calls, files_of_functions, new_connections, peak_memory, stub
from benchmarks.rows import SIZE_OF_LARGE, connected, counted, large_answers
from benchmarks.workloads import Workloads
from texapi_core.transport import clients

TIMES_THE_SDK = {
    "whole call": {"ChatTexAPI": (0.421, 0.426), "TexAPI": (0.404, 0.410)},
    "whole call, async": {"ChatTexAPI": (0.548, 0.539), "TexAPI": (0.502, 0.491)},
    "whole call, 200 messages": {"ChatTexAPI": (0.0306, 0.0310), "TexAPI": (0.0292, 0.0296)},
    "whole call, 3 tools bound": {"ChatTexAPI": (0.376, 0.382), "TexAPI": (0.396, 0.401)},
    "structured output, whole call": {"ChatTexAPI": (0.299, 0.302), "TexAPI": (0.402, 0.403)},
    "text chunk": {"ChatTexAPI": (0.193, 0.185), "TexAPI": (0.153, 0.146)},
    "text chunk, async": {"ChatTexAPI": (0.193, 0.185), "TexAPI": (0.153, 0.146)},
    "reasoning chunk": {"ChatTexAPI": (0.227, 0.216), "TexAPI": (0.193, 0.185)},
    "tool arguments chunk": {"ChatTexAPI": (0.271, 0.260), "TexAPI": (0.216, 0.207)},
    "whole call, usage ledger on": {"ChatTexAPI": (0.495, 0.498), "TexAPI": (0.462, 0.466)},
    "whole call, budget on a ledger": {"ChatTexAPI": (0.537, 0.539), "TexAPI": (0.503, 0.506)},
    "whole call, budget in USD on a ledger": {"ChatTexAPI": (0.541, 0.54), "TexAPI": (0.507, 0.506)},
    "whole call, rate limit of the process": {"ChatTexAPI": (0.495, 0.498), "TexAPI": (0.477, 0.481)},
    "whole call, async, aiohttp": {"ChatTexAPI": (0.374, 0.389), "TexAPI": (0.326, 0.342)},
    "text chunk, async, aiohttp": {"ChatTexAPI": (0.144, 0.14), "TexAPI": (0.106, 0.103)},
}
"""Python and C function calls per call or chunk, relative to the SDK's typed call, as measured with openai 2
and with openai 3."""
MAX_RISE = 1.03
"""Times what was measured."""
OLDEST_MEASURED = (2, 54)
"""The SDK's version; with older ones, and older frameworks, the counts are others."""
MAX_WALK = {"ChatTexAPI": (170, 30, 48), "TexAPI": (154, 31, 46)}
"""Functions of these packages that a plain call runs, their files, and how often the next one is in another
file: what a reader who follows a call has to open."""
CALLS_AT_ONCE = {"ChatTexAPI": (2840, 2972), "TexAPI": (2537, 2676)}
"""Function calls of one call of 500, 100 at once over aiohttp, as measured with openai 2 and with openai 3.
The SDK's are 12,000 to 14,000, with the connections that its pool happens to hold, so no ratio is bounded."""
AT_ONCE = "call, 100 at once, aiohttp"
MAX_CALLS_OF_BINDING = {"ChatTexAPI": 199, "TexAPI": 4}
"""Function calls to bind the same three tools again; the SDK has no equivalent."""
BINDING = "binding 3 tools again"
PEAK_MEMORY = {
    "peak memory of a 10 MB answer, times its size": {"ChatTexAPI": 2.01, "TexAPI": 2.01},
    "peak memory of a streamed 10 MB answer, times its size": {"ChatTexAPI": 3.41, "TexAPI": 3.02},
    "peak memory of 10 MB of arguments, times its size": {"ChatTexAPI": 2.43, "TexAPI": 2.01},
    "peak memory of 10 MB of streamed arguments, times its size": {"ChatTexAPI": 3.52, "TexAPI": 4.02},
}
"""As measured, with either major of the SDK."""


class ClosedSdk(Sdk):
    """The SDK with its async clients closed at the end: it does not close them itself."""

    def __init__(self, base_url: str) -> None:
        super().__init__(base_url)
        self.models: list[Any] = []

    def model(self, name: str) -> Any:
        self.models.append(super().model(name))
        return self.models[-1]

    async def close(self) -> None:
        for _, _, client in self.models:
            await client.close()


@pytest.fixture(scope="module")
def workloads() -> Iterator[Workloads]:
    # Idle connections of earlier tests would be counted: the pool looks at each of them.
    with pytest.MonkeyPatch.context() as patch, stub() as server, asyncio.Runner() as runner:
        patch.setattr(clients, "_pools", {})
        patch.setattr(clients, "_clients", clients._clients.__class__())
        sdk = ClosedSdk(server.base_url)
        measured: list[Client] = [sdk, ChatTexAPIClient(server.base_url), TexAPIClient(server.base_url)]
        fast: list[Client] = [
            sdk,
            *(kind(server.base_url, "aiohttp") for kind in (ChatTexAPIClient, TexAPIClient)),
        ]
        yield Workloads(measured, server, runner, fast)
        runner.run(sdk.close())
        for pool in clients._pools.values():
            pool.close()


def count(workloads: Workloads, title: str, client: str) -> float:
    works, less, per = counted(workloads)[title]
    calls = count_calls(works()[client])
    if less:
        calls -= count_calls(less()[client])
    return calls / per


IN_TEST = {"whole call", "text chunk, async"}
"""`make combinations` counts the others."""


MAJOR, MINOR = map(int, openai.__version__.split(".")[:2])
measured = pytest.mark.skipif(
    (MAJOR, MINOR) < OLDEST_MEASURED,
    reason=f"the counts with openai {openai.__version__} are not known",
)


@measured
@pytest.mark.parametrize(
    "title",
    [
        pytest.param(title, marks=[pytest.mark.combination] * (title not in IN_TEST))
        for title in TIMES_THE_SDK
    ],
)
def test_function_calls(workloads: Workloads, title: str) -> None:
    the_sdks = count(workloads, title, Sdk.name)

    for client, measured_ratios in TIMES_THE_SDK[title].items():
        was = measured_ratios[MAJOR >= 3]
        times_the_sdk = count(workloads, title, client) / the_sdks
        assert 0.9 * was < times_the_sdk < MAX_RISE * was, client


@measured
@pytest.mark.combination
@pytest.mark.parametrize("client", CALLS_AT_ONCE)
def test_function_calls_of_many_at_once(workloads: Workloads, client: str) -> None:
    assert count(workloads, AT_ONCE, client) < MAX_RISE * CALLS_AT_ONCE[client][MAJOR >= 3]


@measured
@pytest.mark.parametrize("client", MAX_WALK)
def test_a_plain_call_passes_few_files(workloads: Workloads, client: str) -> None:
    """It asks one question at the door of each feature that it does not use."""
    work = workloads.call()[client]
    work()
    files = files_of_functions(work)

    changes = sum(one != other for one, other in pairwise(files))
    for walked, most in zip((len(files), len(set(files)), changes), MAX_WALK[client], strict=True):
        assert walked <= most


@measured
@pytest.mark.parametrize("client", ["ChatTexAPI", "TexAPI"])
def test_binding_the_same_tools_again_makes_few_calls(workloads: Workloads, client: str) -> None:
    assert count(workloads, BINDING, client) < MAX_CALLS_OF_BINDING[client]


def test_every_counted_row_of_the_benchmark_has_a_bound(workloads: Workloads) -> None:
    assert {*TIMES_THE_SDK, AT_ONCE, BINDING} == counted(workloads).keys()


@pytest.mark.combination
@pytest.mark.parametrize("title", PEAK_MEMORY)
def test_peak_memory_of_a_large_answer(workloads: Workloads, title: str) -> None:
    works = large_answers(workloads)[title]()
    works = {client: works[client] for client in PEAK_MEMORY[title]}

    for client, (peak,) in peak_memory(title, works, size=SIZE_OF_LARGE).values.items():
        assert peak < MAX_RISE * PEAK_MEMORY[title][client], client


def test_every_row_of_peak_memory_has_a_bound(workloads: Workloads) -> None:
    assert PEAK_MEMORY.keys() == large_answers(workloads).keys()


@pytest.mark.parametrize("title", ["new connections in 10 streams", "new connections in 10 async streams"])
@pytest.mark.parametrize("client", ["ChatTexAPI", "TexAPI"])
def test_streams_read_to_the_end_keep_their_connection(workloads: Workloads, title: str, client: str) -> None:
    work = {client: connected(workloads)[title]()[client]}

    assert new_connections(title, workloads.server, work, times=10).values == {client: [0.0]}


@pytest.mark.parametrize(
    ("client", "kind"),
    [
        ("ChatTexAPI", "text"),
        ("TexAPI", "tools"),
        pytest.param("TexAPI", "reasoning", marks=pytest.mark.combination),
        pytest.param("TexAPI", "text", marks=pytest.mark.combination),
        pytest.param("ChatTexAPI", "reasoning", marks=pytest.mark.combination),
        pytest.param("ChatTexAPI", "tools", marks=pytest.mark.combination),
    ],
)
def test_function_calls_grow_linearly_with_the_chunks(workloads: Workloads, kind: str, client: str) -> None:
    """The 500th chunk takes as many function calls as the 100th."""
    chunks = (100, 300, 500)
    few, some, many = (count_calls(workloads.stream(f"{kind}-{count}")[client]) for count in chunks)

    assert many - some == pytest.approx(some - few, rel=0.02)
