"""The pictures of terminals in the docs: `make screenshots` draws them."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PICTURES = sorted(
    path for path in ROOT.glob("docs/images/*.svg") if "rich-terminal" in path.read_text("utf-8")
)
_TEXT = re.compile(
    r'<text class="[^"]*" x="([\d.]+)" y="([\d.]+)" textLength="([\d.]+)"[^>]*>(.*?)</text>', re.DOTALL
)
_LEFT, _RIGHT = "┏┡┠├└│┃╭╰┌", "┓┩┨┤┘│┃╮╯┐"


def lines_of(picture: str) -> dict[float, list[tuple[float, float, str]]]:
    """Line's place from the top -> its pieces: left and right end, text."""
    lines: dict[float, list[tuple[float, float, str]]] = {}
    for left, top, width, text in _TEXT.findall(picture):
        if not text.strip():
            continue
        lines.setdefault(float(top), []).append(
            (float(left), float(left) + float(width), html.unescape(text))
        )
    return {top: sorted(pieces) for top, pieces in lines.items()}


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_no_line_leaves_its_frame(path: Path) -> None:
    picture = path.read_text("utf-8")
    frame = re.search(r'clip-terminal">\s*<rect[^>]*width="([\d.]+)"', picture)
    assert frame
    lines = lines_of(picture)
    assert len(lines) > 2
    for pieces in lines.values():
        assert pieces[-1][1] <= float(frame[1]) + 2  # rich's own frame is a pixel short


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_no_line_of_a_table_is_broken(path: Path) -> None:
    """Of a line that was too wide, the first part has a left border and no right one."""
    for pieces in lines_of(path.read_text("utf-8")).values():
        text = "".join(text for *_, text in pieces).replace("\N{NO-BREAK SPACE}", " ").strip()
        assert not text or (text[0] in _LEFT) == (text[-1] in _RIGHT), text


def test_each_picture_is_shown_on_a_page_and_each_page_has_its_pictures() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    shown = {
        (page.parent / link).resolve()
        for page in pages
        for link in re.findall(r"!\[[^\]]*\]\(([^)]+)\)|<img[^>]*src=\"([^\"]+)\"", page.read_text("utf-8"))
        for link in link
        if link and not link.startswith("https://")
    }
    assert shown == set((ROOT / "docs/images").iterdir())
