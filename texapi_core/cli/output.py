"""Prints reports as tables, CSV or JSON."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TextIO, get_args

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from texapi_core.accounting.ledger.reconciliation import Difference
from texapi_core.accounting.ledger.report import UsageLine, as_mapping
from texapi_core.accounting.ledger.upkeep import LedgerInfo
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


def print_usage(lines: Sequence[UsageLine], total: UsageLine, by: str, format: str, period: str) -> None:
    """Usage with a line per group; a table has a total, and no columns of zeros."""
    if format != "table":
        _print_rows([as_mapping(line, [by]) for line in lines], format)
        return
    console = _console()
    if not lines:
        console.print(f"No calls {period}.")
        return
    shown = {name: title for name, title in _USAGE_COLUMNS.items() if getattr(total, name) or name == "calls"}
    titles = {"group": by, **shown, "usd": "USD"}
    if total.cache_savings:
        titles["saved_usd"] = "saved USD"
    rows = [{"group": line.group[0], **_usage_cells(line)} for line in lines]
    if len(lines) > 1:
        rows.append({"group": "all calls", **_usage_cells(total)})
    _print_table(console, rows, titles, str, total=len(lines) > 1)
    console.print(f"Calls {period}.")
    if total.unpriced:
        console.print(
            f"The cost of {total.unpriced:,} calls is not known: their model has no price, or no usage came."
        )
    if total.cache_savings:
        console.print("saved: what prompt caches took off the price of input.")
    if by == "tag":
        console.print("A call with several tags is in the line of each, and once in the last line.")


def _usage_cells(line: UsageLine) -> dict[str, str]:
    counts = {name: f"{getattr(line, name):,}" for name in _USAGE_COLUMNS}
    usd = format_cost(line.cost, unpriced=line.unpriced)
    return {**counts, "usd": usd, "saved_usd": format_cost(line.cache_savings)}


def format_cost(cost: Decimal | None, *, unpriced: int = 0) -> str:
    """USD with six decimals, prefixed with `≥` if some calls have no known cost."""
    if cost is None:
        return "unknown" if unpriced else "0"
    return f"{'≥ ' if unpriced else ''}{cost:,.6f}"


def print_calls(rows: Sequence[Mapping[str, Any]], format: str, period: str) -> None:
    """Calls, one per line."""
    if format != "table":
        _print_rows([{name: plain(value) for name, value in row.items()} for row in rows], format)
        return
    if not rows:
        _console().print(f"No calls {period}.")
        return
    _print_table(_console(), rows, {name: name.replace("_", " ") for name in _CALL_COLUMNS}, _cell)
    _console().print(f"Calls {period}, the latest {len(rows):,} first.")


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
    "max_input_tokens": "longest prompt",
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
    _print_table(console, rows, _MODEL_COLUMNS, _model_cell)
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
    _print_table(console, rows, {name: name.replace("_", " ") for name in _BUDGET_COLUMNS}, _model_cell)
    console.print(
        "gone at: when nothing will be left at the rate of the last 24 hours; - is not in this window."
    )


def print_limits(rows: Sequence[Mapping[str, Any]], format: str) -> None:
    """Rate limits, one per line."""
    if format != "table":
        _print_rows(rows, format)
    elif not rows:
        _console().print("No call has used limits in this Redis within the last hour.")
    else:
        titles = {name: name.replace("_", " ") for name in rows[0] if not name.startswith("stated")}
        _print_table(_console(), rows, titles, _model_cell)


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
        _print_table(console, rows, _PRICE_COLUMNS, _model_cell)
        console.print("in, cached, out: USD per million tokens; - is not known.")
    _print_source(console, prices)
    for fault in faults:
        console.print(printable(fault), markup=False, soft_wrap=True)
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
    """Differences between ledger and statement, and what they amount to."""
    rows = [{name: plain(value) for name, value in asdict(difference).items()} for difference in differences]
    if format != "table":
        _print_rows(rows, format)
        return
    console = _console()
    if not differences:
        console.print(f"All {entries:,} lines of the statement agree with the ledger.")
        return
    titles = {name: "USD" if name == "usd" else name for name in rows[0]}
    _print_table(console, rows, titles, lambda value: "-" if value is None else str(value))
    known = [difference.usd for difference in differences if difference.usd is not None]
    console.print(f"{len(differences):,} differences; the statement has {entries:,} lines.")
    console.print(f"USD: what the statement charges more than the ledger, {sum(known, Decimal(0)):f} in all.")


_NUMBER_SUFFIXES = ("cost", "ms", "tokens", "usd", "window", "calls", "failed")
_WHOLE_SUFFIXES = (*_NUMBER_SUFFIXES, "id", "at", "limit", "spent", "reserved", "left", "unit", "what")
"""Names of columns whose cells are shown whole on one line: figures, times and ids."""
_MIN_FOLDED = 10


def _print_table(
    console: Console,
    rows: Sequence[Mapping[str, Any]],
    titles: Mapping[str, str],
    cell: Callable[[Any], str],
    *,
    total: bool = False,
) -> None:
    """Print rows as a table if no figure, time or id must be cut for it, else as a block for each row."""
    titles = {name: printable(title) for name, title in titles.items()}
    cells = [{name: printable(cell(row[name])) for name in titles} for row in rows]
    widths = {
        name: max(map(cell_len, [title, *(row[name] for row in cells)])) for name, title in titles.items()
    }
    is_whole = {name: name.endswith(_WHOLE_SUFFIXES) for name in titles}
    least = sum(width if is_whole[name] else min(width, _MIN_FOLDED) for name, width in widths.items())
    if least + 3 * len(titles) + 1 > console.width:
        _print_blocks(console, cells, titles)
        return
    table = Table(header_style="bold", show_footer=total)
    for name, title in titles.items():
        table.add_column(
            title,
            justify="right" if name.endswith(_NUMBER_SUFFIXES) else "left",
            footer=Text(cells[-1][name]) if total else "",
            overflow="fold",
            no_wrap=is_whole[name],
            min_width=widths[name] if is_whole[name] else min(widths[name], _MIN_FOLDED),
        )
    for row in cells[:-1] if total else cells:
        table.add_row(*(Text(row[name]) for name in titles))
    console.print(table)


def _print_blocks(console: Console, rows: Iterable[Mapping[str, str]], titles: Mapping[str, str]) -> None:
    width = max(map(cell_len, titles.values()))
    for row in rows:
        for name, title in titles.items():
            line = Text.assemble((f"{title:<{width}}", "bold"), "  ", row[name])
            console.print(line, soft_wrap=True)
        console.print()


def _console() -> Console:
    """A console as wide as the terminal, or wide enough for a file or a pipe."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def print_rows(rows: Iterable[Mapping[str, Any]], format: str, file: TextIO) -> None:
    """Rows as CSV or JSON, with control characters spelled out.

    A text that a spreadsheet would take for a formula gets a quote before it, except in `raw-csv`.
    """
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


_NOT_ASCII = re.compile(r"[^\n -~]+")
_NUMBER = re.compile(r"[+-]?[\d.,]+")


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


def _print_rows(rows: Iterable[Mapping[str, Any]], format: str) -> None:
    print_rows(rows, format, sys.stdout)


def plain(value: Any) -> Any:
    """A value of a report as CSV and JSON have it."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return f"{value:f}" if isinstance(value, Decimal) else value


def print_info(info: LedgerInfo, format: str) -> None:
    """What is in a ledger."""
    fields = {**asdict(info), "rejected_path": str(info.rejected_path), "unsummed": " ".join(info.unsummed)}
    row = {name: plain(value) for name, value in fields.items()}
    if format != "table":
        _print_rows([row], format)
        return
    shown = {
        name: f"{value:,}" if type(value) is int else "-" if value in (None, "") else value
        for name, value in row.items()
    }
    _print_blocks(_console(), [shown], {name: name.replace("_", " ") for name in row})
