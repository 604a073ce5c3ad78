"""Prints what the subcommands read from a ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

from texapi_core.accounting.ledger.reconciliation import Difference
from texapi_core.accounting.ledger.report import UsageLine, as_mapping
from texapi_core.accounting.ledger.upkeep import LedgerInfo
from texapi_core.cli.language import say
from texapi_core.cli.rows import plain, print_blocks, print_line, print_rows, print_table

_GROUP_COLUMNS = {"model": "model", "day": "day", "tag": "tag", "key-hint": "key"}
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
        print_rows([as_mapping(line, [by]) for line in lines], format)
        return
    if not lines:
        print_line(say("No calls {period}.", period=period))
        return
    titles, rows = usage_table(lines, total, by)
    print_table(rows, titles, str, has_total=len(lines) > 1)
    print_line(say("Calls {period}.", period=period))
    for note in usage_notes(total, by):
        print_line(note)


def usage_notes(total: UsageLine, by: str) -> list[str]:
    """What the figures of a table leave out or count twice."""
    notes = []
    if total.unpriced:
        text = "Calls of unknown cost: {calls:,}. Their model has no price, or no usage came."
        notes.append(say(text, calls=total.unpriced))
    if total.cache_savings:
        notes.append(say("saved: what prompt caches took off the price of input."))
    if by == "tag":
        notes.append(say("A call with several tags is in the line of each, and once in the last line."))
    return notes


def usage_table(
    lines: Sequence[UsageLine], total: UsageLine, by: str
) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Titles of the columns that are not all zero, and the cells of each line and, of several, the total."""
    shown = {
        name: say(text) for name, text in _USAGE_COLUMNS.items() if getattr(total, name) or name == "calls"
    }
    group = "day" if by == "day" else "group"
    titles = {group: say(_GROUP_COLUMNS.get(by, by)), **shown, "usd": "USD"}
    if total.cache_savings:
        titles["saved_usd"] = say("saved USD")
    rows = [{group: line.group[0], **_usage_cells(line)} for line in lines]
    if len(lines) > 1:
        rows.append({group: say("all calls"), **_usage_cells(total)})
    return titles, rows


def _usage_cells(line: UsageLine) -> dict[str, str]:
    counts = {name: f"{getattr(line, name):,}" for name in _USAGE_COLUMNS}
    usd = format_cost(line.cost, unpriced=line.unpriced)
    return {**counts, "usd": usd, "saved_usd": format_cost(line.cache_savings)}


def format_cost(cost: Decimal | None, *, unpriced: int = 0) -> str:
    """USD with six decimals, prefixed with `≥` if some calls have no known cost."""
    if cost is None:
        return say("unknown") if unpriced else "0"
    return f"{'≥ ' if unpriced else ''}{cost:,.6f}"


CALL_COLUMNS = {
    "started_at": "started at",
    "model": "model",
    "outcome": "outcome",
    "input_tokens": "tokens in",
    "output_tokens": "tokens out",
    "cost": "USD",
    "total_ms": "ms",
    "request_id": "request id",
    "error_code": "error code",
}


def print_calls(rows: Sequence[Mapping[str, Any]], format: str, period: str) -> None:
    """Calls, one per line."""
    if format != "table":
        print_rows([{name: plain(value) for name, value in row.items()} for row in rows], format)
        return
    if not rows:
        print_line(say("No calls {period}.", period=period))
        return
    titles = {name: say(text) for name, text in CALL_COLUMNS.items()}
    print_table(rows, titles, call_cell, below=("request_id", "error_code"))
    print_line(say("Calls {period}, the latest {count:,} first.", period=period, count=len(rows)))


def call_cell(value: Any) -> str:
    """A value of a call as tables show it."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, Decimal):
        return format_cost(value)
    return f"{value:,.0f}" if isinstance(value, float) else str(value)


BUDGET_COLUMNS = {
    "budget": "budget",
    "window": "window",
    "unit": "unit",
    "limit": "limit",
    "spent": "spent",
    "reserved": "reserved",
    "left": "left",
    "gone_at": "gone at",
}


def print_budgets(rows: Sequence[Mapping[str, Any]], format: str) -> None:
    """Limits, one per line."""
    if format != "table":
        print_rows(rows, format)
        return
    if not rows:
        print_line(say("No call has been made under a budget here."))
        return
    titles = {name: say(text) for name, text in BUDGET_COLUMNS.items()}
    print_table(rows, titles, lambda value: "-" if value is None else str(value), below=("gone_at",))
    print_line(
        say("gone at: when nothing will be left at the rate of the last 24 hours; - is not in this window.")
    )


_DIFFERENCE_COLUMNS = {
    "kind": "kind",
    "what": "what",
    "field": "field",
    "ledger": "ledger",
    "statement": "statement",
    "usd": "USD",
}


def print_differences(differences: Sequence[Difference], entries: int, format: str) -> None:
    """Differences between ledger and statement, and what they amount to."""
    rows = [
        {**{name: getattr(one, name) for name in _DIFFERENCE_COLUMNS}, "usd": plain(one.usd)}
        for one in differences
    ]
    if format != "table":
        print_rows(rows, format)
        return
    if not differences:
        print_line(say("The statement agrees with the ledger. Lines: {entries:,}.", entries=entries))
        return
    titles = {name: say(text) for name, text in _DIFFERENCE_COLUMNS.items()}
    print_table(rows, titles, lambda value: "-" if value is None else str(value))
    known = [difference.usd for difference in differences if difference.usd is not None]
    text = "Differences: {count:,}. Lines of the statement: {entries:,}."
    print_line(say(text, count=len(differences), entries=entries))
    text = "USD: what the statement charges more than the ledger, {usd:f} in all."
    print_line(say(text, usd=sum(known, Decimal(0))))


_INFO_COLUMNS = {
    "version": "version",
    "calls": "calls",
    "first": "first call",
    "last": "last call",
    "bytes": "bytes",
    "uncounted": "calls not in sums",
    "pruned_before": "deleted before",
    "unsummed": "groupings without sums",
    "rejected": "rejected records",
    "rejected_path": "file of rejected records",
}


def print_info(info: LedgerInfo, format: str) -> None:
    """What is in a ledger."""
    fields = {**asdict(info), "rejected_path": str(info.rejected_path), "unsummed": " ".join(info.unsummed)}
    row = {name: plain(value) for name, value in fields.items()}
    if format != "table":
        print_rows([row], format)
        return
    shown = {
        name: f"{value:,}" if type(value) is int else "-" if value in (None, "") else str(value)
        for name, value in row.items()
    }
    print_blocks([shown], {name: say(text) for name, text in _INFO_COLUMNS.items()})
