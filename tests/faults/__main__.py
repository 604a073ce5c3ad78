"""`python -m tests.faults`: run the fault table on this project's classes and their peers, as Markdown.

The table of what applications hold (`outgoing.py`) runs too; with `--outgoing` it runs alone.

The peers are `ChatOpenAI` and `OpenAILike`, if installed: `make compare-faults`.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tests.faults import outgoing
from tests.faults.peers import SUBJECTS, quiet, run
from tests.faults.table import GROUPS
from tests.faults.ways import langchain_ways, one_loop
from tests.gateway import Gateway
from tests.generated import rewrite_part

_PACKAGES = (
    "texapi-integrations",
    "langchain-openai",
    "llama-index-llms-openai-like",
    "llama-index-llms-openai",
    "openai",
    "langchain-core",
    "llama-index-core",
)


def main() -> int:
    """Print the table; return 1 if a class of this project fails a row."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("subjects", nargs="*", help=f"some of {', '.join(SUBJECTS)}; default all installed")
    parser.add_argument("--outgoing", action="store_true", help="run the table of what is sent alone")
    parser.add_argument("--write", action="store_true", help="put the table into docs/faults.md")
    arguments = parser.parse_args()
    chosen = arguments.subjects or [name for name in SUBJECTS if _is_installed(SUBJECTS[name][2])]
    results: dict[str, dict[tuple[str, str, str], str]] = {}
    sent: dict[str, dict[tuple[str, str, str], str]] = {}
    with Gateway() as gateway, one_loop() as runner, quiet():
        for name in chosen:
            number = 0 if SUBJECTS[name][0] is langchain_ways else 1
            sent[name] = outgoing.run(SUBJECTS[name][1], gateway, runner, number=number)
    if not arguments.outgoing:
        with ThreadPoolExecutor() as pool:
            results = dict(zip(chosen, pool.map(run, chosen), strict=True))
    tables = {"outgoing": _table(sent, outgoing.GROUPS, "###")}
    if not arguments.outgoing:
        tables["faults"] = _table(results, GROUPS, "##")
    for part, table in tables.items():
        if arguments.write:
            rewrite_part("faults.md", part, table)
        else:
            sys.stdout.write(table)
    ours = [found.get(name, {}).values() for name in ("ChatTexAPI", "TexAPI") for found in (sent, results)]
    return 1 if any(wrong for wrongs in ours for wrong in wrongs) else 0


def _is_installed(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def _table(
    results: dict[str, dict[tuple[str, str, str], str]], groups: Mapping[str, Mapping[str, Any]], level: str
) -> str:
    lines = [
        f"Run on {datetime.date.today().isoformat()} with {_versions()}.\n",
        f"| Group | Rows | {' | '.join(results)} |",
        f"| --- | --- |{' --- |' * len(results)}",
    ]
    for group in groups:
        cells = [
            _share(wrong for key, wrong in outcomes.items() if key[0] == group)
            for outcomes in results.values()
        ]
        lines.append(f"| {group} | {len(groups[group])} | {' | '.join(cells)} |")
    shares = [_share(outcomes.values()) for outcomes in results.values()]
    lines.append(f"| all | {sum(map(len, groups.values()))} | {' | '.join(shares)} |")
    for name, outcomes in results.items():
        lines += _failures(name, outcomes, level)
    return "\n".join(lines) + "\n"


def _share(outcomes: Any) -> str:
    wrongs = list(outcomes)
    right = sum(not wrong for wrong in wrongs)
    return f"{right} of {len(wrongs)} ({100 * right // len(wrongs)} %)"


def _failures(name: str, outcomes: dict[tuple[str, str, str], str], level: str) -> list[str]:
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for (_, row, way), wrong in outcomes.items():
        if wrong:
            rows[wrong][f"{row} ({way})"] += 1
    if not rows:
        return []
    lines = [f"\n{level} What `{name}` does differently\n"]
    for wrong, where in sorted(rows.items(), key=lambda item: -len(item[1])):
        by_row: dict[str, list[str]] = defaultdict(list)
        for place in where:
            row, _, way = place.rpartition(" (")
            by_row[row].append(way.rstrip(")"))
        listed = ", ".join(
            row if len(ways) == 4 else f"{row} ({', '.join(ways)})" for row, ways in by_row.items()
        )
        lines.append(f"- **{wrong}** ({len(where)}): {listed}.")
    return lines


def _versions() -> str:
    found = []
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return ", ".join(found)


if __name__ == "__main__":
    sys.exit(main())
