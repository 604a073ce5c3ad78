"""`make bench`: what a call costs beside the openai SDK's own typed call, as ratios of CPU time.

The stub answers from its own process, so what is counted is the client's work alone. Ratios are medians of
interleaved rounds; absolute times move with the machine. Peers take part where they are installed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.clients import PEERS, installed
from benchmarks.measure import Figures, stub
from benchmarks.workloads import Workloads, rows_of

_PACKAGES = (
    "openai",
    "langchain-core",
    "llama-index-core",
    "langchain-openai",
    "llama-index-llms-openai-like",
)


def main() -> None:
    """Measure, print, and keep the figures if asked to."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each row")
    parser.add_argument("--only", default="", help="rows whose title holds this text")
    parser.add_argument("--async-transport", choices=["httpx", "aiohttp"], default="httpx", help="of ours")
    parser.add_argument("--json", type=Path, help="file for the figures of every round")
    arguments = parser.parse_args()
    clients = installed()
    versions = _versions()
    print(f"Python {sys.version.split()[0]}, " + ", ".join(f"{k} {v}" for k, v in versions.items()))
    print(_line("CPU, median", "unit", [client.name for client in clients]))
    rows: list[Figures] = []
    with stub() as server, asyncio.Runner() as runner:
        work = Workloads(
            [client(server.base_url, arguments.async_transport) for client in clients], server, runner
        )
        for title, measure in rows_of(work, arguments.rounds).items():
            for figures in measure() if arguments.only in title else ():
                rows.append(figures)
                print(
                    _line(figures.title, figures.unit, [_cell(figures, c.name) for c in clients]), flush=True
                )
    print("x: times the SDK; p: times the usual class of the framework; +-: half the range of x")
    if arguments.json:
        arguments.json.write_text(_as_json(rows, versions))


def _cell(figures: Figures, client: str) -> str:
    cell = (
        f"{figures.median(client):,.1f}" if figures.median(client) < 100 else f"{figures.median(client):,.0f}"
    )
    if client != "sdk" and figures.unit != "connections":
        ratios = figures.ratios(client, "sdk")
        cell += f" x{statistics.median(ratios):.2f}"
        if len(ratios) > 1:
            cell += f" +-{(max(ratios) - min(ratios)) / 2:.2f}"
        peer = PEERS.get(client)
        if peer in figures.values:
            cell += f" p{statistics.median(figures.ratios(client, peer)):.2f}"
    return cell


def _line(title: str, unit: str, cells: list[str]) -> str:
    return f"{title:44}{unit:>6} " + "".join(f"{cell:>27}" for cell in cells)


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _as_json(rows: list[Figures], versions: dict[str, str]) -> str:
    figures = [{"title": row.title, "unit": row.unit, "rounds": row.values} for row in rows]
    record = {"date": time.strftime("%Y-%m-%d"), "python": sys.version, "versions": versions, "rows": figures}
    return json.dumps(record, indent=1)


if __name__ == "__main__":
    main()
