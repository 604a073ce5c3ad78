"""Generated parts of the documentation, between two markers in a page."""

from __future__ import annotations

import re
from pathlib import Path

_DOCS = Path(__file__).parent.parent / "docs"


def part_of(page: str, part: str) -> str:
    """The text of the page between `<!-- part: ... -->` and `<!-- end of part -->`."""
    found = _marks(part).search((_DOCS / page).read_text("utf-8"))
    if found is None:
        raise ValueError(f"{page} has no part {part!r}.")
    return found[2]


def rewrite_part(page: str, part: str, text: str) -> None:
    """Put `text` between these markers, on the Vietnamese page too if it has them."""
    part_of(page, part)
    for path in (_DOCS / page, _DOCS / "vi" / page):
        if path.exists():
            content = _marks(part).sub(lambda found: f"{found[1]}{text}{found[3]}", path.read_text("utf-8"))
            path.write_text(content, "utf-8")


def _marks(part: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {part}: [^\n]*-->\n)(.*)(<!-- end of {part} -->)", re.DOTALL)
