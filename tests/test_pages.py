"""What pages say beyond the blocks that `test_examples` runs: figures, both languages, the cookbook."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from tests.conformance.__main__ import behaviour_of
from tests.conftest import Endpoint
from tests.gateway import Gateway
from tests.gateway.fault import Fault
from tests.generated import part_of
from tests.waiting import wait_until
from texapi_core.accounting import CallRecord

CORE = Path(__file__).parent.parent / "texapi_core"
ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
GLOSSARY = DOCS / "vi" / "glossary.md"
PAGE = DOCS / "cookbook" / "fastapi.md"
MIRRORED = (
    "cookbook/index.md",
    "errors.md",
    "langchain.md",
    "limits.md",
    "llama_index.md",
    "migration.md",
    "quickstart.md",
    "rag.md",
    "scale.md",
    "spend-control.md",
    "tools.md",
    "usage.md",
)
"""Pages that are in both languages."""
_SAME = (
    r"^```\w+\n.*?^```$",  # blocks of code
    r"^<!-- (?:\w+): .*?^<!-- end of \w+ -->$",  # tables that a command has made
)
_SAME_SHAPE = (r"^(#+) ", r"^(\|)", r"^([-*]) ", r"^!\[")
"""Headings, rows of tables, points of lists, pictures."""
_FIGURE = re.compile(r"\d+(?:[.,]\d+)*")


@pytest.fixture
def served(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the page's application."""
    monkeypatch.setenv("TEXAPI_API_KEY", endpoint.api_key)
    monkeypatch.setenv("TEXAPI_BASE_URL", endpoint.base_url)
    code = PAGE.read_text("utf-8").split("```python\n")[1].split("with TestClient")[0]
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec", dont_inherit=True), names)
    server = uvicorn.Server(uvicorn.Config(names["app"], port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    yield f"http://{host}:{port}"
    server.should_exit = True
    thread.join()


def test_a_reader_who_leaves_ends_the_call(served: str, gateway: Gateway, records: list[CallRecord]) -> None:
    gateway.misbehave(Fault(stall_after=3, stall_seconds=600))
    began = time.monotonic()
    address = f"{served}/answer?question=Count from one to nine"
    with httpx.stream("GET", address, timeout=60) as answer:
        assert next(answer.iter_lines()).startswith("data: ")

    wait_until(lambda: records)

    assert records[0].outcome in ("cancelled", "closed")
    assert time.monotonic() - began < 300


def _without_code(text: str) -> str:
    return re.sub(
        r"```.*?```|^    .*?$|`[^`\n]*`|\]\([^)]*\)|<!--.*?-->", "", text, flags=re.DOTALL | re.MULTILINE
    )


def test_every_page_that_has_a_twin_is_compared_with_it() -> None:
    """A page of one language alone is the glossary, or English only."""
    pages = (DOCS / "vi").rglob("*.md")
    vietnamese = {path.relative_to(DOCS / "vi").as_posix() for path in pages} - {GLOSSARY.name}

    assert vietnamese == {*MIRRORED}


@pytest.mark.parametrize("page", MIRRORED)
def test_both_languages_say_the_same(page: str) -> None:
    first, second = (path.read_text("utf-8") for path in (DOCS / page, DOCS / "vi" / page))

    for pattern in (*_SAME, *_SAME_SHAPE):
        found = [re.findall(pattern, text, re.MULTILINE | re.DOTALL) for text in (first, second)]
        assert found[0] == found[1], pattern
    figures = [_FIGURE.findall(_without_code(text)) for text in (first, second)]
    assert sorted(map(_plain, figures[0])) == sorted(map(_plain, figures[1]))


def test_the_page_of_retrieval_has_the_figures_of_the_notebook() -> None:
    cells = json.loads((ROOT / "notebooks" / "06_rag_moved.ipynb").read_text("utf-8"))["cells"]
    shown = "".join(str(cell.get("outputs", "")) for cell in cells)
    rows = re.findall(
        r"^\| ([\w, ]+) ((?:\| [\d.]+ ){4})\|$", (DOCS / "rag.md").read_text("utf-8"), re.MULTILINE
    )
    assert len(rows) == 5

    for step, figures in rows:
        values = re.findall(r"[\d.]+", figures)
        names = ("recall@1", "recall@3", "recall@10", "MRR")
        assert f"{step}: " + " ".join(f"{n} {v}" for n, v in zip(names, values, strict=True)) in shown


def test_the_table_of_conformance_has_every_test_of_the_suite() -> None:
    """The page of comparisons has its totals."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "", "tests/conformance"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    suite = Counter(behaviour_of(test) for test in re.findall(r"^\S+::(\S.*)$", listed, re.MULTILINE))
    row = re.compile(r"^\| (.+) \| \**(\d+) of (\d+)\** \| \**(\d+) of (\d+)\** \|$", re.MULTILINE)
    *rows, total = row.findall(part_of("llama_index.md", "conformance"))

    assert {name: int(cases) for name, _, cases, _, _ in rows} == suite
    assert all(ours == cases == others for _, ours, cases, _, others in rows)
    sums = [sum(int(each[at]) for each in rows) for at in range(1, 5)]
    assert [int(count) for count in total[1:]] == sums
    point = (DOCS / "comparison.md").read_text("utf-8").split("\n4. ")[1].partition("\n")[0]
    assert f"passes {sums[0]} of {sums[1]}, `OpenAILike` {sums[2]} " in point


def _plain(figure: str) -> str:
    """Without the signs between thousands and before decimals, which are each other's in Vietnamese."""
    return re.sub(r"[.,]", "", figure)


def _vietnamese() -> Iterator[tuple[str, str]]:
    """What Vietnamese readers see: the pages, the texts of the command and of the demo, the notebooks."""
    for path in (*sorted((DOCS / "vi").rglob("*.md")), ROOT / "README.vi.md"):
        yield path.name, _prose(path.read_text("utf-8"))
    for path in sorted((CORE / "cli").rglob("vi.toml")):
        yield path.name, "\n".join(_texts(tomllib.loads(path.read_text("utf-8"))))
    for path in sorted((ROOT / "notebooks" / "vi").glob("*.ipynb")):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        prose = ("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        yield path.name, _prose("\n".join(prose))


def _texts(table: dict[str, Any]) -> Iterator[str]:
    for value in table.values():
        if isinstance(value, dict):
            yield from _texts(value)
        else:
            yield value


def _prose(text: str) -> str:
    return _without_code(re.sub(_SAME[1], "", text, flags=re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize(("name", "text"), list(_vietnamese()), ids=lambda value: value[:24])
def test_one_word_for_one_thing(name: str, text: str) -> None:
    """The words that the glossary does not use are on no page but the glossary."""
    if name == GLOSSARY.name:
        text = ""
    rows = re.findall(r"^\|(.*)\|$", GLOSSARY.read_text("utf-8"), re.MULTILINE)[2:]
    avoided = [word.strip() for row in rows for word in row.split("|")[3].split(",") if word.strip()]
    assert len(avoided) > 15

    assert [word for word in avoided if re.search(rf"(?i)\b{word}\b", text)] == []


@pytest.mark.parametrize("language", ["en", "vi"])
def test_the_page_of_programs_says_what_doctor_says(language: str) -> None:
    page = (DOCS / ("vi" if language == "vi" else "") / "tools.md").read_text("utf-8")
    rows = page.rpartition("| --- | --- | --- |\n")[2].splitlines()
    texts = tomllib.loads((CORE / "cli" / "doctor" / f"{language}.toml").read_text("utf-8"))["texts"]

    said = [row.strip("| ").split(" | ")[2] for row in rows]
    assert len(said) > 4
    assert set(said) <= {text.get("way_out") for text in texts.values()}
