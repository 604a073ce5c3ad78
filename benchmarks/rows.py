"""The rows of `make bench`: what is measured, and with which function of `benchmarks.measure`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from benchmarks.clients import PEERS
from benchmarks.measure import (
    Figures,
    Work,
    cold,
    cpu_and_throughput,
    cpu_time,
    function_calls,
    growth,
    left_behind,
    new_connections,
    peak_memory,
    returned,
)
from benchmarks.workloads import CALLS_AT_ONCE, CALLS_IN_ALL, Workloads

CHUNKS = 500
"""The number of chunks in a measured stream."""
_LARGE, _LARGE_TOOLS = "large-2000", "largetools-2000"
"""Models of the stub: 2,000 pieces of `_PIECE` bytes."""
_PIECE = 5_000
SIZE_OF_LARGE = 2_000 * _PIECE
"""Bytes of a large answer."""
COUNTED_CHUNKS, FEW_CHUNKS = 200, 50
"""The number of chunks in the counted stream, and in the shorter one that is subtracted from it."""

Row = Callable[[], Iterable[Figures]]
Works = Callable[[], dict[str, Work]]


def rows_of(work: Workloads, rounds: int) -> dict[str, Row]:
    """Title -> its measurement. Rows that need `fast_clients` or TLS are left out without them."""
    rows: dict[str, Row] = {"import": lambda: _new_processes(work, rounds)}
    for title, (works, per) in _timed(work).items():
        rows[title] = partial(_time, title, works, rounds, per)
    for title, (works, less, per) in counted(work).items():
        rows[f"function calls: {title}"] = partial(_count, f"function calls: {title}", works, less, per)
    for title, works in connected(work).items():
        rows[title] = partial(_connect, title, work, works)
    # After the counts: connections left open by these rows are closed during a later call.
    for fast in (False, True) if work.fast_clients else (False,):
        title = f"{CALLS_IN_ALL} calls of 50 ms, {CALLS_AT_ONCE} at once{_transport(fast)}"
        works = partial(work.fan_out, fast=fast)
        rows[title] = partial(_time_together, title, works, max(1, rounds // 3))
    for title, (small, large, times) in _growing(work).items():
        rows[title] = partial(_grow, title, small, large, max(1, rounds // 3), times)
    for title, works in large_answers(work).items():
        rows[title] = partial(_peak, title, works)
    for title, works in _stalling(work).items():
        rows[title] = partial(_stall, title, works, rounds)
    rows["left behind by 5,000 calls"] = partial(_leave, "left behind by 5,000 calls", work.call, 5000)
    rows["left behind by 300 streams"] = partial(
        _leave, "left behind by 300 streams", partial(work.stream, "text-100"), 300
    )
    return rows


def _timed(work: Workloads) -> dict[str, tuple[Works, int]]:
    text, reasoning, tools = f"text-{CHUNKS}", f"reasoning-{CHUNKS}", f"tools-{CHUNKS}"
    timed: dict[str, tuple[Works, int]] = {
        "construction": (work.construction, 1),
        "whole call": (work.call, 1),
        **{title: (works, 1) for title, works in _controlled(work).items()},
        "whole call, 200 messages": (partial(work.call, 200), 1),
        "binding 3 tools again": (work.binding, 1),
        "whole call, 3 tools bound": (work.call_with_tools, 1),
        "structured output, whole call": (work.call_structured, 1),
        "first item of a stream": (work.first_item, 1),
        "streamed text, per chunk": (partial(work.stream, text), CHUNKS),
        "streamed reasoning, per chunk": (partial(work.stream, reasoning), CHUNKS),
        "streamed tool arguments, per chunk": (partial(work.stream, tools), CHUNKS),
        "streamed text, 200 messages, per chunk": (partial(work.stream, text, 200), CHUNKS),
        "stream of 32 chunks over TLS": (partial(work.stream_over_tls, "text-32"), 1),
    }
    for fast in (False, True) if work.fast_clients else (False,):
        transport = _transport(fast)
        timed[f"whole call, async{transport}"] = partial(work.acall, fast=fast), 1
        timed[f"streamed text, async{transport}, per chunk"] = partial(work.astream, text, fast=fast), CHUNKS
    if work.server.tls_url is None:
        del timed["stream of 32 chunks over TLS"]
    return timed


def _controlled(work: Workloads) -> dict[str, Works]:
    """Calls with what controls their money and rate; clients that have none of it make a plain call."""
    return {
        "whole call, usage ledger on": work.call_with_ledger,
        "whole call, budget on a ledger": partial(
            work.call_with_ledger, budget_window="month", max_tokens_total=10**12
        ),
        "whole call, budget in USD on a ledger": partial(
            work.call_with_ledger, budget_window="month", max_cost=10**6, unpriced="count_tokens"
        ),
        "whole call, rate limit of the process": partial(
            work.call_with, limits="auto?requests_per_minute=6000000"
        ),
    }


def _transport(fast: bool) -> str:
    return ", aiohttp" if fast else ""


def counted(work: Workloads) -> dict[str, tuple[Works, Works | None, int]]:
    """Title -> the operation to count function calls of, the one to subtract, and the divisor."""

    def per_chunk(works: Callable[[str], dict[str, Work]], kind: str) -> tuple[Works, Works, int]:
        more = partial(works, f"{kind}-{COUNTED_CHUNKS}")
        return more, partial(works, f"{kind}-{FEW_CHUNKS}"), COUNTED_CHUNKS - FEW_CHUNKS

    over_aiohttp: dict[str, tuple[Works, Works | None, int]] = {
        "whole call, async, aiohttp": (partial(work.acall, fast=True), None, 1),
        "text chunk, async, aiohttp": per_chunk(partial(work.astream, fast=True), "text"),
        f"call, {CALLS_AT_ONCE} at once, aiohttp": (partial(work.fan_out, fast=True), None, CALLS_IN_ALL),
    }
    return {
        "whole call": (work.call, None, 1),
        "whole call, async": (work.acall, None, 1),
        **{title: (works, None, 1) for title, works in _controlled(work).items()},
        "whole call, 200 messages": (partial(work.call, 200), None, 1),
        "binding 3 tools again": (work.binding, None, 1),
        "whole call, 3 tools bound": (work.call_with_tools, None, 1),
        "structured output, whole call": (work.call_structured, None, 1),
        "text chunk": per_chunk(work.stream, "text"),
        "text chunk, async": per_chunk(work.astream, "text"),
        "reasoning chunk": per_chunk(work.stream, "reasoning"),
        "tool arguments chunk": per_chunk(work.stream, "tools"),
        **(over_aiohttp if work.fast_clients else {}),
    }


def connected(work: Workloads) -> dict[str, Works]:
    """Title -> streams; ten in a row should open no new connection."""
    return {
        "new connections in 10 streams": partial(work.stream, "text-20"),
        "new connections in 10 async streams": partial(work.astream, "text-20"),
    }


def _growing(work: Workloads) -> dict[str, tuple[Works, Works, int]]:
    without_peers = Workloads(
        [client for client in work.clients if client.name not in PEERS.values()], work.server, work.runner
    )
    return {
        "10,000 chunks, times 5 streams of 2,000": (
            partial(work.stream, "text-2000"),
            partial(work.stream, "text-10000"),
            5,
        ),
        # Without the peers: one of them takes many minutes.
        "180 kB of streamed tool arguments, times 5 of 36 kB": (
            partial(without_peers.stream, "tools-8000"),
            partial(without_peers.stream, "tools-40000"),
            5,
        ),
    }


def large_answers(work: Workloads) -> dict[str, Works]:
    """Title -> the operation whose peak memory is measured."""
    return {
        "peak memory of a 10 MB answer, times its size": partial(work.call_for, _LARGE),
        "peak memory of a streamed 10 MB answer, times its size": partial(work.stream, _LARGE),
        "peak memory of 10 MB of arguments, times its size": partial(work.call_for, _LARGE_TOOLS),
        "peak memory of 10 MB of streamed arguments, times its size": partial(work.stream, _LARGE_TOOLS),
    }


def _stalling(work: Workloads) -> dict[str, Works]:
    answers = {
        "text, whole": ("large-1000", False),
        "text, streamed": ("large-1000", True),
        "a tool's argument, whole": ("largetools-1000", False),
        "a tool's argument, streamed": ("largetools-1000", True),
        "objects as a tool's argument, whole": ("rowtools-100000", False),
    }
    return {
        f"longest stall of an event loop by 5 MB of {title}{_transport(fast)}": partial(
            work.stall, model, streamed=streamed, fast=fast
        )
        for fast in ((False, True) if work.fast_clients else (False,))
        for title, (model, streamed) in answers.items()
    }


def _stall(title: str, works: Works, rounds: int) -> list[Figures]:
    return [returned(title, works(), rounds=rounds)]


def _time(title: str, works: Works, rounds: int, per: int) -> list[Figures]:
    return [cpu_time(title, works(), rounds=rounds, per=per)]


def _time_together(title: str, works: Works, rounds: int) -> tuple[Figures, Figures]:
    return cpu_and_throughput(title, works(), rounds=rounds, times=CALLS_IN_ALL)


def _count(title: str, works: Works, less: Works | None, per: int) -> list[Figures]:
    return [function_calls(title, works(), less() if less else {}, per=per)]


def _connect(title: str, work: Workloads, works: Works) -> list[Figures]:
    return [new_connections(title, work.server, works(), times=10)]


def _grow(title: str, small: Works, large: Works, rounds: int, times: int) -> list[Figures]:
    return [growth(title, small(), large(), rounds=rounds, times=times)]


def _peak(title: str, works: Works) -> list[Figures]:
    return [peak_memory(title, works(), size=SIZE_OF_LARGE)]


def _leave(title: str, works: Works, times: int) -> list[Figures]:
    return left_behind(title, works(), times=times, warm_up=max(30, times // 10))


def _new_processes(work: Workloads, rounds: int) -> list[Figures]:
    kinds = [type(client) for client in work.clients]
    return cold(kinds, work.server.base_url, rounds=max(3, rounds // 3))
