"""Prints reports as tables, CSV or JSON."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, get_args

from rich.console import Console
from rich.table import Table
from rich.text import Text

from texapi_core.accounting.ledger.report import UsageLine, as_mapping
from texapi_core.accounting.ledger.statement import Difference
from texapi_core.accounting.prices import PriceList
from texapi_core.cli.doctor.texts import TEXTS, WORDS, Check, Language, Verdict
from texapi_core.wire.text import printable

if TYPE_CHECKING:
    from texapi_core.cli.doctor.examination import Finding

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
_USAGE_COLUMNS = {
    "calls": "calls",
    "failed": "failed",
    "input_tokens": "tokens in",
    "cached_tokens": "cached",
    "output_tokens": "tokens out",
    "reasoning_tokens": "reasoning",
}


def print_usage(lines: Sequence[UsageLine], total: UsageLine, by: str, format: str) -> None:
    """Usage with a line per group; a table has a total."""
    if format != "table":
        _print_rows([as_mapping(line, [by]) for line in lines], format)
        return
    table = Table(title=None, header_style="bold", show_footer=len(lines) > 1)
    table.add_column(by, footer="all calls", no_wrap=True)
    for name, footer in zip((*_USAGE_COLUMNS.values(), "USD"), _usage_cells(total), strict=True):
        table.add_column(name, footer=footer, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(Text(printable(str(line.group[0]))), *_usage_cells(line))
    console = _console()
    console.print(table)
    if total.unpriced:
        console.print(
            f"The cost of {total.unpriced:,} calls is not known: their model has no price, or no usage came."
        )
    if by == "tag":
        console.print("A call with several tags is in the line of each, and once in the last line.")


def _usage_cells(line: UsageLine) -> list[str]:
    counts = [f"{getattr(line, name):,}" for name in _USAGE_COLUMNS]
    return [*counts, format_cost(line.cost, unpriced=line.unpriced)]


def format_cost(cost: Decimal | None, *, unpriced: int = 0) -> str:
    """USD with six decimals, prefixed with `≥` if some calls have no known cost."""
    if cost is None:
        return "unknown" if unpriced else "0"
    return f"{'≥ ' if unpriced else ''}{cost:,.6f}"


def print_calls(rows: Sequence[Mapping[str, Any]], format: str) -> None:
    """Calls, one per line."""
    if format != "table":
        _print_rows([{name: _plain(value) for name, value in row.items()} for row in rows], format)
        return
    titles = {name: name.replace("_", " ") for name in _CALL_COLUMNS}
    _console().print(_table(rows, titles, _cell))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, Decimal):
        return format_cost(value)
    return f"{value:,.0f}" if isinstance(value, float) else str(value)


_MODEL_COLUMNS = {
    "model": "model",
    "context_window": "context",
    "max_output_tokens": "longest answer",
    "inputs": "reads",
    "tool_calling": "tools",
    "structured_output": "objects",
    "reasoning": "reasons",
    "input_usd": "in",
    "cached_input_usd": "cached",
    "output_usd": "out",
}


def print_models(rows: Sequence[Mapping[str, Any]], prices: PriceList, format: str) -> None:
    """Models, one per line, and the source of their prices."""
    if format != "table":
        _print_rows(rows, format)
        return
    console = _console()
    console.print(_table(rows, _MODEL_COLUMNS, _model_cell))
    console.print("in, cached, out: USD per million tokens; - is not known.")
    _print_source(console, prices)


def _model_cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


_BUDGET_COLUMNS = ("budget", "window", "unit", "limit", "spent", "reserved", "left", "gone_at")


def print_budgets(rows: Sequence[Mapping[str, Any]], format: str) -> None:
    """Limits, one per line."""
    if format != "table":
        _print_rows(rows, format)
        return
    console = _console()
    if not rows:
        console.print("No call has been made under a budget on this ledger.")
        return
    console.print(_table(rows, {name: name.replace("_", " ") for name in _BUDGET_COLUMNS}, _model_cell))
    console.print(
        "gone at: when nothing will be left at the rate of the last 24 hours; - is not in this window."
    )


_PRICE_COLUMNS = {
    "model": "model",
    "input_usd": "in",
    "cached_input_usd": "cached",
    "output_usd": "out",
    "no_price_because": "no price because",
}


def print_prices(
    rows: Sequence[Mapping[str, Any]],
    prices: PriceList,
    faults: Sequence[str],
    format: str,
    *,
    only_faults: bool,
) -> None:
    """A price list with its source, and what is wrong with it."""
    if format != "table":
        _print_rows([{"fault": fault} for fault in faults] if only_faults else rows, format)
        return
    console = _console()
    if not only_faults:
        console.print(_table(rows, _PRICE_COLUMNS, _model_cell))
        console.print("in, cached, out: USD per million tokens; - is not known.")
    _print_source(console, prices)
    for fault in faults:
        console.print(fault, markup=False, soft_wrap=True)
    if not faults:
        console.print("Nothing is wrong with the list.")


def _print_source(console: Console, prices: PriceList) -> None:
    source = f"{prices.source or 'the file of TEXAPI_PRICES'}{', ' if prices.date else ''}{prices.date}"
    console.print(f"Prices: {source}.", markup=False, soft_wrap=True)
    if prices.listed:
        console.print(f"{len(prices.listed):,} prices are the gateway's own.")


_COLORS = {"ok": "green", "warning": "yellow", "fault": "bold red", "skipped": "dim"}


def print_findings(
    findings: Iterable[Finding], language: Language, format: str, *, progress: Console
) -> list[Finding]:
    """Findings of the doctor, each as soon as it is available in a table. Returns them."""
    words, printed, remaining = WORDS[language], [], iter(findings)
    console = _console()
    while True:
        with progress.status(words["progress"]):  # must end before anything is printed
            finding = next(remaining, None)
        if finding is None:
            break
        printed.append(finding)
        if format == "table":
            console.print(_finding_lines(finding, language))
    if format != "table":
        _print_rows([_finding_row(finding, language) for finding in printed], format)
        return printed
    verdicts = {finding.verdict for finding in printed}
    summary = "ill" if "fault" in verdicts else "warned" if "warning" in verdicts else "well"
    console.print(words[summary], style="bold")
    return printed


def _finding_row(finding: Finding, language: Language) -> dict[str, str]:
    what, way_out = (sentence.format_map(finding.values) for sentence in TEXTS[language][finding.text])
    return {"check": finding.check, "verdict": finding.verdict, "what": what, "way_out": way_out}


def _finding_lines(finding: Finding, language: Language) -> Table:
    words, row = WORDS[language], _finding_row(finding, language)
    lines = Table.grid(padding=(0, 2))
    for names in (get_args(Verdict), get_args(Check)):
        lines.add_column(min_width=max(len(words[name]) for name in names), no_wrap=True)
    lines.add_column(overflow="fold")
    verdict = Text(words[finding.verdict], style=_COLORS[finding.verdict])
    lines.add_row(verdict, Text(words[finding.check]), Text(row["what"]))
    if row["way_out"]:
        lines.add_row("", "", Text(f"→ {row['way_out']}", style="italic"))
    return lines


def print_differences(differences: Sequence[Difference], entries: int, format: str) -> None:
    """Differences between ledger and statement."""
    rows = [asdict(difference) for difference in differences]
    if format != "table":
        _print_rows(rows, format)
        return
    console = _console()
    if not differences:
        console.print(f"All {entries:,} lines of the statement agree with the ledger.")
        return
    console.print(_table(rows, {name: name for name in Difference.__slots__}, str))
    console.print(f"{len(differences):,} differences; the statement has {entries:,} lines.")


_NUMBER_SUFFIXES = ("cost", "ms", "tokens", "usd", "window")


def _table(rows: Iterable[Mapping[str, Any]], titles: Mapping[str, str], cell: Callable[[Any], str]) -> Table:
    table = Table(header_style="bold")
    for name, title in titles.items():
        is_number = name.endswith(_NUMBER_SUFFIXES)
        table.add_column(title, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell(row[name]))) for name in titles))
    return table


def _console() -> Console:
    """A console as wide as the terminal, or wide enough for a file or a pipe."""
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
