"""`python -m tests.conformance SUBJECT...`: run the suite for each class and print one table.

A subject is a name of `SUBJECTS` or `module:Class`. `make conformance` also passes `--write`, which runs all
of `SUBJECTS` and puts the table into docs/llama_index.md.
"""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

from tests.conformance.subject import SUBJECTS, VARIABLE, subject_named
from tests.generated import rewrite_part

_HERE = Path(__file__).parent
_PASSED, _ALL = 0, 1
Results = dict[str, list[int]]
"""Behaviour -> how many of its cases passed, and how many there are."""


def run(subject: str) -> Results:
    """Run the suite for one class."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        options = [
            "-q",
            "--tb=no",
            "-m",
            "",  # all of them, those too that `make test` leaves out
            "-p",
            "no:cacheprovider",
            "-o",
            "filterwarnings=ignore",
            f"--junitxml={report}",
        ]
        subprocess.run(
            [sys.executable, "-m", "pytest", str(_HERE), *options],
            env={**os.environ, VARIABLE: subject},
            stdout=sys.stderr,
            check=False,
        )
        cases = ElementTree.parse(report).getroot().iter("testcase")
        results: Results = defaultdict(lambda: [0, 0])
        for case in cases:
            failed = any(case.find(kind) is not None for kind in ("failure", "error", "skipped"))
            results[behaviour_of(case.attrib["name"])][_PASSED] += not failed
            results[behaviour_of(case.attrib["name"])][_ALL] += 1
    return results


def table(results: dict[str, Results]) -> str:
    """The results as a Markdown table, one line per behaviour."""
    names = [subject_named(subject).name for subject in results]
    lines = [
        f"| | {' | '.join(names)} |",
        f"| --- |{' ---: |' * len(names)}",
    ]
    for behaviour in next(iter(results.values())):
        counts = [results[subject][behaviour] for subject in results]
        lines.append(f"| {behaviour} | {' | '.join(_of(count) for count in counts)} |")
    totals = [
        [sum(count[at] for count in each.values()) for at in (_PASSED, _ALL)] for each in results.values()
    ]
    lines.append(f"| **all** | {' | '.join(f'**{_of(total)}**' for total in totals)} |")
    return "\n".join(lines)


def behaviour_of(test: str) -> str:
    """What a test checks, in the words of its name."""
    area, _, words = test.partition("[")[0].removeprefix("test_").partition("_")
    return f"{area}: {re.sub(r'_s_', chr(39) + 's ', words).replace('_', ' ')}"


def _of(count: list[int]) -> str:
    return f"{count[_PASSED]} of {count[_ALL]}"


def versions(subjects: list[str]) -> str:
    """The date, the Python version and the compared packages."""
    distributions = [subject_named(subject).distribution for subject in subjects]
    distributions += ["llama-index-core", "openai"]
    packages = [f"{name} {version(name)}" for name in distributions if name]
    today = datetime.datetime.now(tz=datetime.UTC).date()
    return f"{today}, Python {platform.python_version()}, {', '.join(packages)}"


def main() -> None:
    """Run the suite and print the table, or write it into the page."""
    subjects = [name for name in sys.argv[1:] if name != "--write"]
    write = len(subjects) < len(sys.argv[1:])
    if write and subjects:
        sys.exit("--write runs every class of the page; leave the names out.")
    results = {subject: run(subject) for subject in subjects or (SUBJECTS if write else ["texapi"])}
    text = f"Run on {versions([*results])}.\n\n{table(results)}\n"
    if write:
        rewrite_part("llama_index.md", "conformance", text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
