"""Reports as tables for people, and as CSV and JSON for programs."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from texapi_core.ledger.report import UsageLine, as_mapping
from texapi_core.ledger.statement import Difference

_CALL_COLUMNS = (
    "started_at",
    "request_id",
    "model",
    "outcome",
    "input_tokens",
    "output_tokens",
    "cost",
    "total_ms",
    "error_code",
)


def print_usage(lines: Sequence[UsageLine], total: UsageLine, by: str, format: str) -> None:
    """What was spent, a line for each group; in a table with the sum of all calls."""
    if format != "table":
        _print_rows([as_mapping(line, [by]) for line in lines], format)
        return
    table = Table(title=None, header_style="bold", show_footer=len(lines) > 1)
    whole = _usage_cells(total)
    table.add_column(by, footer="all calls", no_wrap=True)
    names = ("calls", "failed", "tokens in", "cached", "tokens out", "reasoning", "USD")
    for name, footer in zip(names, whole, strict=True):
        table.add_column(name, footer=footer, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(Text(line.group[0]), *_usage_cells(line))
    console = _console()
    console.print(table)
    if total.unpriced:
        console.print(
            f"The cost of {total.unpriced:,} calls is not known: their model has no price, or no usage came."
        )
    if by == "tag":
        console.print("A call with several tags is in the line of each, and once in the last line.")


def _usage_cells(line: UsageLine) -> list[str]:
    counts = (
        line.calls,
        line.failed,
        line.input_tokens,
        line.cached_tokens,
        line.output_tokens,
        line.reasoning_tokens,
    )
    return [*(f"{count:,}" for count in counts), shown_cost(line.cost, unpriced=line.unpriced)]


def shown_cost(cost: Decimal | None, *, unpriced: int = 0) -> str:
    """USD to a millionth; `≥` where calls of unknown cost are among them."""
    if cost is None:
        return "unknown" if unpriced else "0"
    return f"{'≥ ' if unpriced else ''}{cost:,.6f}"


def print_calls(rows: Sequence[Mapping[str, Any]], format: str) -> None:
    """The calls, one in a line."""
    if format != "table":
        _print_rows([{name: _plain(value) for name, value in row.items()} for row in rows], format)
        return
    table = Table(header_style="bold")
    for name in _CALL_COLUMNS:
        is_number = name in ("input_tokens", "output_tokens", "cost", "total_ms")
        table.add_column(name.replace("_", " "), justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row[name])) for name in _CALL_COLUMNS))
    _console().print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, Decimal):
        return shown_cost(value)
    return f"{value:,.0f}" if isinstance(value, float) else str(value)


def print_differences(differences: Sequence[Difference], entries: int, format: str) -> None:
    """Where statement and ledger differ, and how much was compared."""
    if format != "table":
        _print_rows([asdict(difference) for difference in differences], format)
        return
    console = _console()
    if not differences:
        console.print(f"All {entries:,} lines of the statement agree with the ledger.")
        return
    table = Table(header_style="bold")
    for name in ("what", "field", "ledger", "statement"):
        table.add_column(name, overflow="fold")
    for difference in differences:
        table.add_row(*(Text(said) for said in asdict(difference).values()))
    console.print(table)
    console.print(f"{len(differences):,} differences; the statement has {entries:,} lines.")


def _console() -> Console:
    """As wide as the terminal; what goes into a file or a pipe is never cut."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def _print_rows(rows: Sequence[Mapping[str, Any]], format: str) -> None:
    if format == "json":
        json.dump(list(rows), sys.stdout, ensure_ascii=False, indent=1)
        sys.stdout.write("\n")
    elif rows:
        writer = csv.DictWriter(sys.stdout, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return f"{value:f}" if isinstance(value, Decimal) else value
