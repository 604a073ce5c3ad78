"""The changelog is a page that a user reads to its end."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
LINES = (ROOT / "CHANGELOG.md").read_text("utf-8").splitlines()
_MAX_LINES = 40
_MAX_LINE = 260


def test_it_has_forty_lines_at_most() -> None:
    assert len(LINES) <= _MAX_LINES, "Put what belongs together into one line; the details are on its page."


def test_each_thing_is_one_short_line_that_begins_with_its_name() -> None:
    for line in LINES:
        assert len(line) <= _MAX_LINE, f"{len(line)} characters: {line}"
        assert not line.startswith("-") or line.startswith("- **"), line


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", "\n".join(LINES))
    assert links
    for link in links:
        assert link.startswith("https://") or (ROOT / link).is_file(), link
