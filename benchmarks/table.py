"""Figures as text: a cell of the terminal's table, and the table of docs/performance.md."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.clients import PEERS
from benchmarks.measure import Figures

_OURS = tuple(PEERS)
_AS_THEY_ARE = frozenset({"connections", "KiB", "objects", "x"})
"""Units of figures that are shown as they are, not as a ratio."""
_TIMES = frozenset({"us", "ms", "/s"})
"""Units of the rows that are written into the page; what is counted is in other tables of it."""
_NEXT_TO_NOTHING = 5
"""Below this the SDK's figure is no basis for a ratio: it does not bind tools, for example."""


def cell(figures: Figures, client: str) -> str:
    """`1,234 x0.56 +-0.03 p0.45`: the median, the ratio to the SDK, its spread, the ratio to the peer."""
    if client not in figures.values:
        return "-"
    median = figures.median(client)
    text = f"{median:.2f}" if figures.unit == "x" else _number(median)
    if client == "sdk" or figures.unit in _AS_THEY_ARE or "sdk" not in figures.values:
        return text
    ratios = figures.ratios(client, "sdk")
    text += f" x{statistics.median(ratios):.2f}"
    if len(ratios) > 1:
        text += f" +-{_spread(ratios):.2f}"
    peer = PEERS.get(client)
    if peer in figures.values:
        text += f" p{statistics.median(figures.ratios(client, peer)):.2f}"
    return text


def as_markdown(rows: Sequence[Figures], record: Mapping[str, Any], clients: Sequence[str]) -> str:
    """Our figures next to the SDK's and the peers': ratios, or plain values where a ratio says nothing."""
    versions = ", ".join(f"{package} {number}" for package, number in record["versions"].items())
    lines = [
        f"{record['date']}, Python {record['python']}, {versions}.",
        "",
        "| CPU, unless it says otherwise | " + " | ".join(_header(client) for client in clients) + " |",
        "| --- |" + " ---: |" * len(clients),
    ]
    for figures in rows:
        if figures.unit not in _TIMES:
            continue
        cells = [_markdown_cell(figures, client) for client in clients]
        lines.append(f"| {figures.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _header(client: str) -> str:
    return "openai SDK" if client == "sdk" else client


def _markdown_cell(figures: Figures, client: str) -> str:
    if figures.unit in _AS_THEY_ARE or client not in figures.values:
        return cell(figures, client) + (" KiB" if figures.unit == "KiB" else "")
    if client == "sdk" or figures.median("sdk") < _NEXT_TO_NOTHING:
        return f"{_number(figures.median(client))} {figures.unit}"
    ratios = figures.ratios(client, "sdk")
    text = f"{statistics.median(ratios):.2f}"
    if len(ratios) > 1:
        text += f" ± {_spread(ratios):.2f}"
    return f"**{text}**" if client in _OURS else text


def _number(value: float) -> str:
    return f"{value:,.1f}" if abs(value) < 100 else f"{value:,.0f}"


def _spread(ratios: Sequence[float]) -> float:
    """Half the range of the ratios."""
    return (max(ratios) - min(ratios)) / 2


def put_between_markers(page: Path, name: str, table: str) -> None:
    """Replace the text of a page between `<!-- figures: NAME -->` and `<!-- end -->`.

    Raises:
        ValueError: the page has no such markers.
    """
    begin, end = f"<!-- figures: {name} -->\n", "<!-- end -->"
    before, found, rest = page.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    if not (found and ended):
        raise ValueError(f"{page.name} has no `{begin.strip()}` before an `{end}`.")
    page.write_text(f"{before}{begin}\n{table}\n\n{end}{after}")
