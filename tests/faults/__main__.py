"""`python -m tests.faults`: run the fault table on this project's classes and their peers, as Markdown.

The table of what applications hold (`outgoing.py`) runs too; with `--outgoing` it runs alone. Verdicts are
kept in `build/faults`: a run that was stopped goes on where it was.

The peers are `ChatOpenAI` and `OpenAILike`, if installed: `make compare-faults`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tests.faults import outgoing
from tests.faults.children import NotStartedError, outcomes, preload
from tests.faults.peers import MAX_SECONDS, SUBJECTS, Row, judging, rows_of
from tests.faults.table import GROUPS
from tests.faults.verdicts import Verdicts
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


_TABLES: dict[str, tuple[Mapping[str, Mapping[str, Any]], str]] = {
    "outgoing": (outgoing.GROUPS, "###"),
    "faults": (GROUPS, "##"),
}
"""The parts of the page: the groups of each, and the level of its headings."""
_OURS = ("ChatTexAPI", "TexAPI")
_AT_ONCE = 8
_LIMITED_AT_ONCE = 2
"""Most rows wait, so several run at once; few of those whose outcome a limit of time decides."""


def main() -> int:
    """Print the tables; return 1 if a class of this project fails a row."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("subjects", nargs="*", help=f"some of {', '.join(SUBJECTS)}; default all installed")
    parser.add_argument("--outgoing", action="store_true", help="run the table of what is sent alone")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/faults.md")
    parser.add_argument("--fresh", action="store_true", help="forget the verdicts of earlier runs")
    parser.add_argument("--at-once", type=int, default=_AT_ONCE, help="rows judged at once (%(default)s)")
    arguments = parser.parse_args()
    named = arguments.subjects or [name for name in SUBJECTS if _is_installed(SUBJECTS[name][2])]
    chosen = [name for name in SUBJECTS if name in named]
    tables = ["outgoing"] if arguments.outgoing else [*_TABLES]
    if arguments.write and (len(tables) < len(_TABLES) or len(chosen) < len(SUBJECTS)):
        parser.error(f"--write needs both tables of {', '.join(SUBJECTS)}")
    kept = {name: Verdicts(name, _versions(), ours=name in _OURS) for name in chosen}
    if arguments.fresh:
        for verdicts in kept.values():
            verdicts.forget()
    not_started = _judge(kept, tables, at_once=arguments.at_once)
    if not_started:
        print(f"The rows that are left count as failed: a process {not_started}.", file=sys.stderr)
    wrong = bool(not_started)
    for table in tables:
        results = {
            name: verdicts.of(rows_of(name, table), missing=not_started) for name, verdicts in kept.items()
        }
        wrong |= any(any(results[name].values()) for name in results if name in _OURS)
        markdown = _table(results, *_TABLES[table], max(verdicts.day for verdicts in kept.values()))
        if arguments.write and not not_started:
            rewrite_part("faults.md", table, markdown)
        else:
            sys.stdout.write(markdown)
    return 1 if wrong else 0


def _judge(kept: Mapping[str, Verdicts], tables: Sequence[str], *, at_once: int) -> str:
    """Judge the rows that have no verdict; return why some still have none, or `""`."""
    rows = [
        row
        for name, verdicts in kept.items()
        for table in tables
        for row in verdicts.missing(rows_of(name, table))
    ]
    # In another order, so that the classes that wait most do not wait together at the end.
    random.Random(0).shuffle(rows)
    preload(["tests.faults.peers", *(SUBJECTS[name][2] for name in kept)])
    started = time.monotonic()
    judged = 0
    rounds = [
        ([row for row in rows if not row.needs_limits], at_once),
        ([row for row in rows if row.needs_limits], min(at_once, _LIMITED_AT_ONCE)),
    ]
    try:
        for some, together in rounds:
            for row, wrong in outcomes(some, judging, at_once=together, max_seconds=MAX_SECONDS):
                kept[row.subject].add(row, wrong)
                judged += 1
                if judged % 100 == 0 or judged == len(rows):
                    seconds = time.monotonic() - started
                    print(f"{judged} of {len(rows)} rows, {seconds:.0f} s", file=sys.stderr, flush=True)
    except NotStartedError as error:
        return str(error)
    return ""


def _is_installed(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def _table(
    results: Mapping[str, Mapping[Row, str]], groups: Mapping[str, Mapping[str, Any]], level: str, day: str
) -> str:
    lines = [
        f"Run on {day} with {', '.join(_versions())}.\n",
        f"| Group | Rows | {' | '.join(results)} |",
        f"| --- | --- |{' --- |' * len(results)}",
    ]
    for group in groups:
        cells = [
            _share(wrong for row, wrong in wrongs.items() if row.group == group)
            for wrongs in results.values()
        ]
        lines.append(f"| {group} | {len(groups[group])} | {' | '.join(cells)} |")
    shares = [_share(wrongs.values()) for wrongs in results.values()]
    lines.append(f"| all | {sum(map(len, groups.values()))} | {' | '.join(shares)} |")
    for name, wrongs in results.items():
        lines += _failures(name, wrongs, level)
    return "\n".join(lines) + "\n"


def _share(outcomes: Any) -> str:
    wrongs = list(outcomes)
    right = sum(not wrong for wrong in wrongs)
    return f"{right} of {len(wrongs)} ({100 * right // len(wrongs)} %)"


def _failures(name: str, wrongs: Mapping[Row, str], level: str) -> list[str]:
    places: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row, wrong in wrongs.items():
        if wrong:
            places[wrong][row.row].append(row.way)
    counts = Counter(wrong for wrong in wrongs.values() if wrong)
    lines = [f"\n{level} What `{name}` does differently\n"] if counts else []
    for wrong, count in counts.most_common():
        listed = ", ".join(
            name if len(ways) == 4 else f"{name} ({', '.join(ways)})" for name, ways in places[wrong].items()
        )
        lines.append(f"- **{wrong}** ({count}): {listed}.")
    return lines


def _versions() -> list[str]:
    found = []
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return found


if __name__ == "__main__":
    sys.exit(main())
