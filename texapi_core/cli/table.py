"""Tables that fit the terminal without cutting a figure, a day or an id."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from texapi_core.cli.terminal import cell_width, styled, wrapped
from texapi_core.wire.text import printable

_NUMBERS = ("cost", "ms", "tokens", "usd", "window", "calls", "failed", "limit", "spent", "reserved", "left")
_WHOLE = (*_NUMBERS, "id", "at", "day", "unit", "what", "outcome", "code")
"""Endings of names of columns whose cells are never folded: figures, times and ids."""
_NOTHING = {"0", "-", "0.000000", ""}
_MIN_FOLDED = 12
_GAP = 2

Rows = Sequence[Mapping[str, str]]
_Adjust = Callable[[str, int], str]


def table_lines(
    rows: Sequence[Mapping[str, Any]],
    titles: Mapping[str, str],
    cell: Callable[[Any], str],
    columns: int,
    *,
    has_total: bool = False,
    below: Sequence[str] = (),
) -> list[str]:
    """Lines of a table with at most so many columns.

    What does not fit loses columns that are zero in every row, then has the cells of `below` in a line
    under each row, then folded texts, and else is a block for each row.
    """
    titles = {name: printable(title) for name, title in titles.items()}
    cells = [{name: printable(cell(row[name])) for name in titles} for row in rows]
    longest = {name: max((cell_width(row[name]) for row in cells), default=0) for name in titles}
    used = [name for name in titles if any(row[name] not in _NOTHING for row in cells)]
    above = [name for name in used if name not in below]
    tries = [(list(titles), False), (used, False), (used, True)]
    if len(above) < len(used):
        tries += [(above, False), (above, True)]
    for folds in (False, True):
        for shown, splits_titles in tries:
            headings = {name: _heading(titles[name], name, splits_titles) for name in shown}
            if shown and (widths := _widths(longest, headings, columns, folds=folds)):
                rest = {name: titles[name] for name in used if name not in shown}
                folded = {name for name in shown if longest[name] > widths[name]}
                return list(_lines(cells, headings, widths, folded, rest, has_total=has_total))
    return list(block_lines(cells, titles))


def _heading(title: str, name: str, splits_titles: bool) -> list[str]:
    """A title, in several lines where it is wider than the figures below it may be."""
    return title.split() if splits_titles and name.endswith(_NUMBERS) else [title]


def _widths(
    longest: Mapping[str, int], headings: Mapping[str, list[str]], columns: int, *, folds: bool
) -> dict[str, int]:
    """Column -> its width, texts folded or not; empty if the table is too wide."""
    room = columns - _GAP * (len(headings) - 1)
    wanted = {name: max(longest[name], *map(cell_width, heading)) for name, heading in headings.items()}
    least = {
        name: min(n, _MIN_FOLDED) if folds and not name.endswith(_WHOLE) else n for name, n in wanted.items()
    }
    spare = room - sum(least.values())
    if spare < 0:
        return {}
    for name in headings:
        more = min(spare, wanted[name] - least[name])
        least[name] += more
        spare -= more
    return least


def _lines(
    cells: Rows,
    headings: Mapping[str, list[str]],
    widths: Mapping[str, int],
    folded: Collection[str],
    rest: Mapping[str, str],
    *,
    has_total: bool,
) -> Iterator[str]:
    adjust = {name: str.rjust if name.endswith(_NUMBERS) else str.ljust for name in widths}
    height = max(map(len, headings.values()))
    for number in range(height):
        words = {name: [*[""] * (height - len(one)), *one][number] for name, one in headings.items()}
        yield styled(_line(words, widths, adjust), "bold")
    rule = "─" * (sum(widths.values()) + _GAP * (len(widths) - 1))
    yield rule
    for row in cells:
        if has_total and row is cells[-1]:
            yield rule
        lines = {name: wrapped(row[name], widths[name]) for name in folded}
        yield _line({**row, **{name: one[0] for name, one in lines.items()}}, widths, adjust)
        for number in range(1, max(map(len, lines.values()), default=1)):
            further = {name: "".join(lines.get(name, [])[number : number + 1]) for name in widths}
            yield _line(further, widths, adjust)
        if rest:
            said = "  ".join(
                f"{title}: {row[name]}" for name, title in rest.items() if row[name] not in _NOTHING
            )
            if said:
                yield styled(f"  {said}", "dim")


def _line(cells: Mapping[str, str], widths: Mapping[str, int], adjust: Mapping[str, _Adjust]) -> str:
    padded = []
    for name, columns in widths.items():
        text = cells[name]
        padded.append(adjust[name](text, columns + len(text) - cell_width(text)))
    return (" " * _GAP).join(padded).rstrip()


def block_lines(cells: Rows, titles: Mapping[str, str]) -> Iterator[str]:
    """A block of lines for each row: title and cell."""
    columns = max(map(cell_width, titles.values()))
    for row in cells:
        for name, title in titles.items():
            yield f"{styled(title + ' ' * (columns - cell_width(title)), 'bold')}  {row[name]}"
        yield ""
