"""The READMEs: their figures are those of the pages, and an index shows no dead link."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parent.parent
FAULTS = (ROOT / "docs/faults.md").read_text("utf-8")
SPEED = (ROOT / "docs/performance.md").read_text("utf-8").split("<!-- figures: openai 3 -->")[0]
READMES = ("README.md", "README.vi.md")


def cells(page: str, start: str) -> list[str]:
    """The cells of the row of a table that begins with this text."""
    row = re.findall(rf"^\| {re.escape(start)}.*$", page, re.MULTILINE)[0]
    return [cell.strip(" *") for cell in row.strip("| ").split("|")]


def requests_for_an_empty_balance(peer: str) -> list[str]:
    """How many requests a class sends for a 429 of `insufficient_quota`, in its various methods."""
    section = FAULTS.split(f"## What `{peer}` does differently")[-1].split("\n## ")[0]
    return re.findall(
        r"^- \*\*(\d+) requests instead of 1\*\*.*429 insufficient_quota as code", section, re.MULTILINE
    )


def passed_off_as_whole() -> list[str]:
    """How often ChatOpenAI and OpenAILike pass a broken answer off as whole; the table has ours at none."""
    return re.findall(r"^- \*\*a broken answer passed off as whole\*\* \((\d+)\)", FAULTS, re.MULTILINE)


def figures_of_the_pages() -> list[list[list[str]]]:
    """Row by row, the figures of ChatTexAPI, TexAPI, ChatOpenAI and OpenAILike."""
    outgoing, incoming = FAULTS.split("## What comes in")
    rows = []
    for page in (incoming, outgoing):
        ours, openai, llama, like = cells(page, "all |")[2:]
        rows.append([re.findall(r"\d+", cell)[:2] for cell in (ours, llama, openai, like)])
    rows.insert(1, [["0"], ["0"], *([times] for times in passed_off_as_whole())])
    peers = [requests_for_an_empty_balance(peer) for peer in ("ChatOpenAI", "OpenAILike")]
    rows.append([["1"], ["1"], *peers])
    ours, openai, llama, like = cells(SPEED, "streamed text, per chunk")[2:]
    rows.append([re.findall(r"\d+\.\d\d", cell)[:1] for cell in (ours, llama, openai, like)])
    return rows


@pytest.mark.parametrize("readme", [*READMES, "docs/index.md"])
def test_the_figures_are_those_of_the_pages(readme: str) -> None:
    rows = re.findall(r"^\| \[.*$", (ROOT / readme).read_text("utf-8"), re.MULTILINE)
    figures = [
        [re.findall(r"[\d.]+", cell.replace(",", ".")) for cell in row.strip("| ").split(" | ")[1:]]
        for row in rows
    ]

    assert figures == figures_of_the_pages()


def test_the_figures_of_the_comparison_are_those_of_the_pages() -> None:
    """The first lines of the page: answers handled, histories accepted, requests for an empty balance."""
    incoming, _, outgoing, balance, _ = figures_of_the_pages()
    points = re.findall(r"^[123]\. (.+)$", (ROOT / "docs/comparison.md").read_text("utf-8"), re.MULTILINE)
    handled, accepted, asked = (
        [figure.replace(",", "") for figure in re.findall(r"[\d,]*\d", point)] for point in points[:3]
    )

    ours, llama, openai, like = incoming
    assert ours == llama == [handled[0]] * 2
    assert handled[1:] == [openai[0], like[0]]
    ours, llama, openai, like = outgoing
    assert accepted == [ours[0], llama[0], *openai, *like]
    assert [ours[1], llama[1]] == [ours[0], llama[0]]
    assert asked == ["429", balance[2][0], balance[3][-1]]


@pytest.mark.parametrize("readme", READMES)
def test_every_link_leads_to_a_file_and_to_one_of_its_headings(readme: str) -> None:
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / readme).read_text("utf-8"))
    assert len(links) > 20
    for link in links:
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        assert (ROOT / path).exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text("utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w-]", "", one.lower().replace(" ", "-")) for one in headings}, link


def long_description() -> str:
    """What the build makes of the README for an index, by the rules in pyproject.toml."""
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    hook = rules["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    first, second = hook["fragments"]
    text = (ROOT / first["path"]).read_text("utf-8")
    assert first["end-before"] in text
    description: str = text.split(first["end-before"])[0] + second["text"]
    for rule in hook["substitutions"]:
        description = re.sub(rule["pattern"], rule["replacement"], description)
    return description


def test_an_index_shows_no_dead_link_and_nothing_that_only_a_clone_has() -> None:
    description = long_description()
    page = MarkdownIt("commonmark").enable("table").render(description)

    addresses = re.findall(r'(?:href|src)="([^"]+)"', page)
    assert addresses
    assert all(address.startswith("https://") for address in addresses), addresses
    assert "<table>" in page
    assert "](" not in page
    assert "README.vi.md" not in page
    assert 'pip install "texapi-integrations[langchain]"' in description
    assert "clone" not in description


def test_every_address_of_the_project_is_absolute() -> None:
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]

    assert all(url.startswith("https://") for url in urls.values())
