"""Pages of evidence open with ten lines, whose figures are those of the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.test_costs import TIMES_THE_SDK
from tests.test_readme import FAULTS, cells, figures_of_the_pages, passed_off_as_whole

DOCS = Path(__file__).parent.parent / "docs"
INCOMING = FAULTS.split("<!-- faults:")[1]
PERFORMANCE = (DOCS / "performance.md").read_text("utf-8")


def ten_lines(page: str) -> list[str]:
    """The points before the first heading."""
    opening = re.split(r"^## ", page, maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^\d+\. (.+)$", opening, re.MULTILINE)


def figures_of(line: str) -> list[str]:
    """The numbers of a line, without the sign between thousands; no part of a name or an address."""
    said = re.sub(r"`[^`]*`|\]\([^)]*\)", "", line)
    return [figure.replace(",", "") for figure in re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?", said)]


@pytest.mark.parametrize("page", ["comparison", "faults", "guarantees", "limits", "performance"])
def test_a_page_of_evidence_opens_with_ten_lines(page: str) -> None:
    assert len(ten_lines((DOCS / f"{page}.md").read_text("utf-8"))) == 10


def right(group: str) -> list[str]:
    """How many there are of a group, and how many ChatOpenAI and OpenAILike have right; ours have all."""
    ours, openai, llama, like = (re.findall(r"\d+", cell)[:2] for cell in cells(INCOMING, f"{group} |")[2:])
    assert ours == llama == [openai[1]] * 2
    return [openai[1], openai[0], like[0]]


def test_the_ten_lines_of_faults_have_the_figures_of_the_tables() -> None:
    lines = [figures_of(line) for line in ten_lines(FAULTS)]
    incoming, _, outgoing, balance, _ = figures_of_the_pages()
    percent = [re.findall(r"\((\d+) %\)", cells(INCOMING, "all |")[column])[0] for column in (3, 5)]
    none, *none_right = right("no answers")

    assert lines[:8] == [
        [incoming[0][0], incoming[2][0], percent[0], incoming[3][0], percent[1]],
        [outgoing[0][0], outgoing[1][0], *outgoing[2], *outgoing[3]],
        [none, "200", *none_right],
        right("broken streams"),
        passed_off_as_whole(),
        [str(sum(map(int, each))) for each in zip(right("odd answers"), right("odd streams"), strict=True)],
        right("failures"),
        ["429", *balance[2], *balance[3]],
    ]


def counts() -> dict[str, list[str]]:
    """The table of function calls: the row's name, and its cells from the first."""
    table = PERFORMANCE.split("## Function calls")[1].split("## ")[0]
    rows = re.findall(r"^\| (\w[^|]*) \| (.+) \|$", table, re.MULTILINE)
    return {name: [cell.strip("* ") for cell in row.split("|")] for name, row in rows}


def test_the_table_of_function_calls_has_the_figures_that_the_tests_hold() -> None:
    for title, ratios in TIMES_THE_SDK.items():
        row = counts()[title]
        for client, columns in (("ChatTexAPI", (1, 6)), ("TexAPI", (3, 7))):
            assert [row[column] for column in columns] == [f"{ratio:.3f}" for ratio in ratios[client]], title


def test_the_ten_lines_of_performance_have_the_figures_of_its_table() -> None:
    lines = [re.findall(r"\d+(?= %)", line) for line in ten_lines(PERFORMANCE)[:3]]
    call, chunk, tool = (counts()[name] for name in ("whole call", "text chunk", "tool arguments chunk"))
    fast, long = counts()["text chunk, async, aiohttp"], counts()["whole call, 200 messages"]
    ours = [row[column] for row in (chunk, fast, tool) for column in (6, 7)]

    for said, ratios in zip(lines, ([*call[6:8], call[2], call[4]], ours, [long[6]]), strict=True):
        for percent, ratio in zip(said, ratios, strict=True):
            assert abs(int(percent) / 100 - float(ratio)) < 0.0051, (percent, ratio)
