"""`make bench`: the cost of a call compared with the openai SDK's typed call, as ratios of CPU time.

The stub answers from its own process, so only the client's work is measured. Ratios are medians of
interleaved rounds; absolute times depend on the machine. Peers are included where they are installed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.clients import Client, installed
from benchmarks.measure import Figures, stub
from benchmarks.rows import rows_of
from benchmarks.table import as_markdown, cell, put_between_markers
from benchmarks.workloads import Workloads

_PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
_PACKAGES = (
    "openai",
    "langchain-core",
    "llama-index-core",
    "langchain-openai",
    "llama-index-llms-openai-like",
)


def main() -> None:
    """Measure, print the table, and save the figures if requested."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each row")
    parser.add_argument("--only", default="", help="only rows with this text in the title")
    parser.add_argument("--json", type=Path, help="file to write the figures of every round to")
    parser.add_argument(
        "--write",
        action="store_true",
        help="write the table for this openai version into docs/performance.md",
    )
    arguments = parser.parse_args()
    kinds = installed()
    record: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "versions": _versions(),
    }
    print(f"Python {record['python']}, " + ", ".join(f"{k} {v}" for k, v in record["versions"].items()))
    print(_line("CPU, median", "unit", [kind.name for kind in kinds]))
    rows: list[Figures] = []
    with stub(tls=True) as server, asyncio.Runner() as runner:
        clients = [kind(server.base_url) for kind in kinds]
        work = Workloads(clients, server, runner, _with_aiohttp(kinds, server.base_url))
        for title, measure in rows_of(work, arguments.rounds).items():
            for figures in measure() if arguments.only in title else ():
                rows.append(figures)
                cells = [cell(figures, client.name) for client in clients]
                print(_line(figures.title, figures.unit, cells), flush=True)
                if arguments.json:  # after each row: the last ones take minutes
                    arguments.json.write_text(_as_json(record, rows))
    print("x: times the SDK; p: times the usual class of the framework; +-: half the range of x")
    if arguments.write:
        name = f"openai {record['versions']['openai'].partition('.')[0]}"
        put_between_markers(_PAGE, name, as_markdown(rows, record, [client.name for client in clients]))


def _with_aiohttp(kinds: list[type[Client]], base_url: str) -> list[Client]:
    clients = [kind(base_url, "aiohttp") for kind in kinds]
    try:
        for client in clients:
            client.model("whole")
    except ValueError as error:
        print(f"Without the rows of aiohttp: {error}", file=sys.stderr)
        return []
    return clients


def _as_json(record: dict[str, Any], rows: list[Figures]) -> str:
    figures = [{"title": row.title, "unit": row.unit, "rounds": row.values} for row in rows]
    return json.dumps({**record, "rows": figures}, indent=1)


def _line(title: str, unit: str, cells: list[str]) -> str:
    return f"{title:54}{unit:>12} " + "".join(f"{text:>27}" for text in cells)


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    main()
