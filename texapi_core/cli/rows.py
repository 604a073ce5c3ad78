"""Prints rows: as a table that fits the terminal, as CSV or as JSON."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TextIO

from texapi_core.cli.table import block_lines, table_lines
from texapi_core.cli.terminal import width
from texapi_core.wire.text import printable

_NOT_ASCII = re.compile(r"[^\n -~]+")
_NUMBER = re.compile(r"[+-]?[\d.,]+")


def print_line(text: str = "") -> None:
    """One line of the output, without control characters."""
    sys.stdout.write(f"{printable(text)}\n")


def print_table(
    rows: Sequence[Mapping[str, Any]],
    titles: Mapping[str, str],
    cell: Callable[[Any], str],
    *,
    has_total: bool = False,
    below: Sequence[str] = (),
) -> None:
    """Print rows as a table; see `table_lines`."""
    for line in table_lines(rows, titles, cell, width(), has_total=has_total, below=below):
        sys.stdout.write(f"{line}\n")


def print_blocks(rows: Sequence[Mapping[str, str]], titles: Mapping[str, str]) -> None:
    """Print each row as a block of lines."""
    shown = [{name: printable(row[name]) for name in titles} for row in rows]
    for line in block_lines(shown, titles):
        sys.stdout.write(f"{line}\n")


def print_rows(rows: Iterable[Mapping[str, Any]], format: str, file: TextIO | None = None) -> None:
    """Rows as CSV or JSON, with control characters spelled out.

    A text that a spreadsheet would take for a formula gets a quote before it, except in `raw-csv`.
    """
    file = file or sys.stdout
    if format == "json":
        text = json.dumps(list(rows), ensure_ascii=False, indent=1)
        file.write(_NOT_ASCII.sub(_escaped, text) + "\n")
        return
    quote = _as_it_is if format == "raw-csv" else _without_formula
    writer = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(file, fieldnames=list(row), lineterminator="\n")
            writer.writerow({name: printable(name) for name in row})
        writer.writerow({name: quote(value) for name, value in row.items()})


def _escaped(found: re.Match[str]) -> str:
    """What cannot be printed, as JSON spells it: `json.dumps` leaves all but ASCII's control characters."""
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in found[0])


def _as_it_is(value: Any) -> Any:
    return printable(value) if isinstance(value, str) else value


def _without_formula(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = printable(value)
    is_formula = text.lstrip()[:1] in ("=", "+", "-", "@") and text and not _NUMBER.fullmatch(text)
    return f"'{text}" if is_formula and text != "-" else text


def plain(value: Any) -> Any:
    """A value of a report as CSV and JSON have it."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return f"{value:f}" if isinstance(value, Decimal) else value
