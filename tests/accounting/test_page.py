"""The page of `texapi usage --html`: the figures of the command, names as text, one file."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import sys
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests import texapi_command
from tests.accounting.filled import RECORDS, call, fill
from texapi_core.accounting import open_for_reading
from texapi_core.accounting.ledger.budgets import BudgetLine
from texapi_core.accounting.ledger.latency import LatencyLine, read_latency
from texapi_core.accounting.record import CallRecord
from texapi_core.cli import page

HAS_LIBRARY = find_spec("itables") is not None
HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "\" onmouseover='alert(1)",
    "</title></style></textarea><!--",
    "\x1b[31mred\u202eleft\u2028line",
    "{time} %s &lt;b&gt; &amp;",
)
ELEMENTS = (
    "body dd div dl dt figcaption figure h1 h2 head html li meta p rect script span style svg table tbody td "
    "tfoot th thead title tr ul"
)
"""Of a page without budgets."""


@pytest.fixture(autouse=True)
def _library(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page says does not depend on the library, which is half of its reading time."""
    monkeypatch.setattr(page, "read_library", lambda: ("const DataTable = Object;\n", ""))


@pytest.fixture
def url(tmp_path: Path) -> str:
    first, *others = RECORDS
    return filled(tmp_path, [replace(first, first_token_ms=400.5), *others])


def filled(folder: Path, records: Iterable[CallRecord]) -> str:
    url = f"sqlite:///{folder}/usage.db"
    fill(url, records)
    return url


def rows(*arguments: str) -> list[dict[str, Any]]:
    result = texapi_command.run([*arguments, "--json"])
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def page_of(url: str, *arguments: str) -> Page:
    path = Path(url.removeprefix("sqlite:///")).with_name("page.html")
    result = texapi_command.run(["usage", "--ledger", url, "--html", path, *arguments])
    assert result.exit_code == 0, result.output
    assert str(path) in result.stderr
    return Page(path.read_text("utf-8"))


class Page(HTMLParser):
    """The headings of a page, the table below each, and what its elements are."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[tuple[str, str | None]]]] = {}
        """Heading -> rows of cells: text, and what it is sorted by."""
        self.text = ""
        self._heading = ""
        self._place = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._place = tag
        table = self.tables.setdefault(self._heading, [])
        if tag == "tr":
            table.append([])
        if tag in ("td", "th"):
            table[-1].append(("", dict(attrs).get("data-order")))
        if tag == "h2":
            self._heading = ""

    def handle_endtag(self, tag: str) -> None:
        self._place = ""

    def handle_data(self, text: str) -> None:
        if self._place not in ("script", "style"):
            self.text += text
        if self._place == "h2":
            self._heading += text
        if self._place in ("td", "th", "meter") or (self._place == "" and text.strip() and self._in_cell()):
            table = self.tables[self._heading]
            before, order = table[-1][-1]
            table[-1][-1] = (before + text.strip(), order)

    def _in_cell(self) -> bool:
        return self.elements[-1][0] == "meter"


# The figures


@pytest.mark.parametrize(
    ("heading", "by"),
    [
        ("By day", "day"),
        ("By model", "model"),
        ("By tag", "tag"),
        ("By key", "key-hint"),
        ("metadata:customer", "metadata:customer"),
    ],
)
def test_figures_are_those_of_the_command(url: str, heading: str, by: str) -> None:
    found = page_of(url, "--by", by)
    titles, *lines = found.tables[heading]
    expected = {row[by]: row for row in rows("usage", "--ledger", url, "--by", by)}
    names = {"USD": "cost_usd", "tokens in": "input_tokens", "tokens out": "output_tokens"}

    if len(expected) > 1:
        assert lines[-1][0][0] == "all calls"
        assert dict(zip((title for title, _ in titles), lines.pop(), strict=True))["calls"][1] == "6"
    assert {line[0][0] for line in lines} == expected.keys()
    assert len(titles) == 6
    for line in lines:
        for (title, _), (_, exact) in list(zip(titles, line, strict=True))[1:]:
            wanted = expected[line[0][0]][names.get(title, title)]
            assert exact == ("" if wanted is None else str(wanted)), (line, title)


def test_the_period_is_that_of_the_command(url: str) -> None:
    found = page_of(url, "--since", "2026-11-19", "--until", "2026-11-21")

    assert [row[0][0] for row in found.tables["By day"][1:]] == ["2026-11-20"]
    assert "Calls from 2026-11-19 00:00 until 2026-11-21 00:00 (UTC)." in found.text


def test_failures_have_their_request_ids_and_are_bounded(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = [row["request_id"] for row in rows("calls", "--ledger", url, "--failed")]
    column = [title for title, _ in page_of(url).tables["Failures"][0]].index("request id")

    assert [row[column][0] for row in page_of(url).tables["Failures"][1:]] == failed == ["req_6", "req_5"]
    monkeypatch.setattr(page, "MAX_FAILURES", 1)
    bounded = page_of(url)
    assert [row[column][0] for row in bounded.tables["Failures"][1:]] == ["req_6"]
    assert "The latest 1 of 2 calls without a complete answer." in bounded.text


def test_of_many_groups_those_that_cost_most_are_shown(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "_MAX_ROWS", 2)
    found = page_of(url)

    assert [row[0][0] for row in found.tables["By model"]] == [
        "model",
        "claude-sonnet-4-6",
        "gpt-5-mini",
        "all calls",
    ]
    assert "The first 2 of 3 rows; `texapi usage --by model` has all." in found.text


def test_budgets_are_those_of_the_command(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    line = BudgetLine(
        scope="tag:team",
        value="team=<b>",
        window="month",
        timezone="UTC",
        unit="USD",
        limit=Decimal(50),
        spent=Decimal("41.2500000001"),
        reserved=Decimal("0.5"),
        left=Decimal("8.2499999999"),
        gone_at=datetime(2026, 11, 30, 9, tzinfo=UTC),
        resets_at=None,
    )
    monkeypatch.setattr("texapi_core.cli.reports.read_budgets", lambda *_: [line])
    (row,) = rows("budget", "--ledger", url)
    titles, cells = page_of(url).tables["Budgets"]
    shown = dict(zip((title for title, _ in titles), (text for text, _ in cells), strict=True))

    assert shown.pop("used") == "84%"
    assert shown == {title: row[title.replace(" ", "_")] for title in shown}
    assert shown["spent"] == "41.2500000001"


def _nearest_rank(values: list[float], percent: int) -> float:
    return sorted(values)[-(-len(values) * percent // 100) - 1]


@pytest.mark.parametrize("database", ["url", "postgresql_url"])
def test_times_are_ranked_by_model(request: pytest.FixtureRequest, tmp_path: Path, database: str) -> None:
    chance = random.Random(11)
    times = {"gpt-5-mini": 41, "claude-sonnet-4-6": 20, "qwen3": 1}
    all_ms = {model: [chance.uniform(5, 9000) for _ in range(count)] for model, count in times.items()}
    first_ms = {model: [chance.uniform(1, 900) for _ in range(count // 2)] for model, count in times.items()}
    records = [
        call(1000 * place + number, model=model, total_ms=ms, first_token_ms=first)
        for place, model in enumerate(times)
        for number, ms in enumerate(all_ms[model])
        for first in [first_ms[model][number] if number < len(first_ms[model]) else None]
    ]
    failed = call(9999, outcome="error", total_ms=10.0**6, first_token_ms=10.0**6)
    address = f"sqlite:///{tmp_path}/times.db" if database == "url" else request.getfixturevalue(database)
    fill(address, [*records, failed])

    with open_for_reading(address) as engine:
        found = read_latency(engine)
        none = read_latency(engine, since=datetime(2027, 1, 1, tzinfo=UTC))
    assert none == []
    assert found == [
        LatencyLine(
            model,
            count,
            _nearest_rank(all_ms[model], 50),
            _nearest_rank(all_ms[model], 95),
            _nearest_rank(first_ms[model], 50) if first_ms[model] else None,
            _nearest_rank(first_ms[model], 95) if first_ms[model] else None,
        )
        for model, count in times.items()
    ]


def test_a_model_whose_answers_were_not_streamed_has_no_first_token(url: str) -> None:
    titles, *lines = page_of(url).tables["Time to an answer, by model"]
    shown = {line[0][0]: [text for text, _ in line[1:]] for line in lines}

    assert [title for title, _ in titles[2:4]] == ["first token p50 ms", "first token p95 ms"]
    assert shown["claude-sonnet-4-6"] == ["2", "400", "400", "1,001", "1,003"]
    assert shown["gpt-5-mini"] == ["1", "-", "-", "1,002", "1,002"]


def test_an_empty_ledger_is_a_page_that_says_so(tmp_path: Path) -> None:
    found = page_of(filled(tmp_path, []))

    assert "No calls from the beginning until now (UTC)." in found.text
    assert "No call has been made under a budget here." in found.text
    assert [tag for tag, _ in found.elements if tag == "table"] == []


# What others wrote


def test_names_are_text_and_nothing_else(tmp_path: Path) -> None:
    records = [
        call(number, model=name, tags=(name,), metadata={"customer": name}, key_hint=name)
        for number, name in enumerate(HOSTILE[:4])
    ]
    texts: dict[str, Any] = {"request_id": HOSTILE[0], "error_code": HOSTILE[1], "error": HOSTILE[2]}
    records.append(
        call(8, outcome="error", model=HOSTILE[4].replace("\ud800", "").replace("\0", ""), **texts)
    )
    records.append(call(9, model=HOSTILE[5], outcome="error", error=HOSTILE[3], error_code=HOSTILE[3]))
    found = page_of(filled(tmp_path, records), "--by", "metadata:customer")

    assert [name for name in HOSTILE[:4] if name not in found.text] == []
    assert r"\x1b[31mred\u202eleft" in found.text
    assert HOSTILE[5] in found.text
    assert all(one.isprintable() or one == "\n" for one in found.source)
    assert {tag for tag, _ in found.elements} == set(ELEMENTS.split())
    assert [tag for tag, _ in found.elements].count("script") == 2
    assert [name for _, attributes in found.elements for name in attributes if name.startswith("on")] == []


def test_a_grouping_by_a_hostile_name(url: str) -> None:
    found = page_of(url, "--by", "metadata:<img src=x onerror=alert(1)>")

    assert "metadata:<img src=x onerror=alert(1)>" in found.tables
    assert "img" not in {tag for tag, _ in found.elements}


# One file


def test_the_page_runs_its_own_script_alone_and_loads_nothing(url: str) -> None:
    found = page_of(url)
    (policy,) = (attributes["content"] for tag, attributes in found.elements if "http-equiv" in attributes)
    (script,) = re.findall(r'<script type="module">(.*?)</script>', found.source, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

    assert policy is not None
    assert policy.split("; ")[:2] == ["default-src 'none'", f"script-src 'sha256-{digest}'"]
    assert [name for _, attributes in found.elements for name in attributes if name in ("src", "href")] == []


@pytest.mark.skipif(not HAS_LIBRARY, reason='itables is missing: pip install "texapi-integrations[html]"')
def test_the_library_is_whole_and_from_its_package(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.undo()
    script, style = page.read_library()
    source = page_of(url).source

    assert re.search(r"^const DataTable = [\w$]+;$", script, re.MULTILINE)
    assert "datatables.net" in script
    assert re.findall(r"<(?:/script|!--)", script, re.IGNORECASE) == []
    assert re.findall(r"@import|url\((?!data:)", style) == []
    assert script in source
    assert source.count("</script>") == 2


def test_without_its_extra_it_says_what_to_install(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "itables", None)
    path = tmp_path / "page.html"
    result = texapi_command.run(["usage", "--ledger", url, "--html", path])

    assert (result.exit_code, result.stdout) == (2, "")
    assert 'pip install "texapi-integrations[html]"' in result.stderr
    assert not path.exists()


def test_the_page_is_in_the_language_of_the_reader(url: str) -> None:
    found = page_of(url, "--language", "vi")

    assert ("html", {"lang": "vi"}) in found.elements
    assert list(found.tables) == [
        "",
        "Theo ngày",
        "Theo model",
        "Theo tag",
        "Theo key",
        "Thời gian trả lời, theo model",
        "Các lần gọi lỗi",
        "Ngân sách",
    ]
    assert json.loads(re.findall(r'id="texts">(.*?)</script>', found.source)[0])["search"] == "Lọc:"


@pytest.mark.parametrize("name", ["page.txt", "nowhere/page.html", "folder.html"])
def test_a_page_that_cannot_be_written_is_an_error(tmp_path: Path, url: str, name: str) -> None:
    (tmp_path / "folder.html").mkdir()
    result = texapi_command.run(["usage", "--ledger", url, "--html", tmp_path / name])

    assert result.exit_code == 2
    assert name in result.stderr
