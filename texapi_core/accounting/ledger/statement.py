"""Reconciles the ledger with a statement of the gateway, a CSV export."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

_COLUMNS: dict[str, tuple[str, ...]] = {
    "request_id": ("request_id", "x_request_id", "requestid", "id"),
    "day": ("day", "date", "time", "timestamp", "created_at", "created", "started_at", "datetime"),
    "model": ("model", "model_name", "model_id"),
    "input_tokens": ("input_tokens", "prompt_tokens", "tokens_in", "input"),
    "output_tokens": ("output_tokens", "completion_tokens", "tokens_out", "output"),
    "cost": ("cost", "cost_usd", "amount", "amount_usd", "charge", "charged", "total_cost", "price", "usd"),
}
"""Field -> accepted column names, in lower case with `_` between words."""
_FIELDS = ("input_tokens", "output_tokens", "cost")
_COST_TOLERANCE = Decimal("0.000001")
"""USD. Statements round, so smaller differences are ignored."""


class StatementError(Exception):
    """The file is not a statement that can be reconciled."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a statement, or the sum of the lines of a day and a model. Cost in USD."""

    request_id: str | None
    day: str | None
    model: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost: Decimal | None


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference between ledger and statement."""

    what: str
    """A request id, or a day and a model."""
    field: str
    """The field that differs, or `entry` if one side has no entry."""
    ledger: str
    statement: str


def read_statement(path: Path) -> list[Entry]:
    """The lines of a statement, from a CSV file with a header.

    Raises:
        StatementError: the file cannot be read or lacks required columns.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = _find_columns(reader.fieldnames or ())
            return [_entry(row, columns, number) for number, row in enumerate(reader, 2)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StatementError(f"{path} cannot be read: {error}") from error


def _find_columns(names: Sequence[str]) -> dict[str, str]:
    normal = {re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_"): name for name in names}
    columns = {
        field: normal[candidate]
        for field, candidates in _COLUMNS.items()
        for candidate in reversed(candidates)
        if candidate in normal
    }
    if "request_id" not in columns and not {"day", "model"} <= columns.keys():
        raise StatementError(
            f"A statement needs a column `request_id`, or `day` and `model`; this has {', '.join(names)}."
        )
    if not columns.keys() & set(_FIELDS):
        raise StatementError("A statement needs a column of tokens or of cost to compare.")
    return columns


def _entry(row: Mapping[str, str], columns: Mapping[str, str], line: int) -> Entry:
    def text(field: str) -> str | None:
        return (row.get(columns[field]) or "").strip() or None if field in columns else None

    def number(field: str) -> Decimal | None:
        value = text(field)
        try:
            return Decimal(value.replace("$", "").replace(",", "")) if value else None
        except InvalidOperation:
            raise StatementError(f"Line {line}: {field} is not a number: {value!r}.") from None

    def count(field: str) -> int | None:
        return None if (tokens := number(field)) is None else int(tokens)

    return Entry(
        request_id=text("request_id"),
        day=(text("day") or "")[:10] or None,
        model=text("model"),
        input_tokens=count("input_tokens"),
        output_tokens=count("output_tokens"),
        cost=number("cost"),
    )


def reconcile(entries: Sequence[Entry], rows: Sequence[Mapping[str, Any]]) -> list[Difference]:
    """The differences, by request id if the statement has request ids, else by day and model.

    Calls without a complete answer may be free of charge, so the statement may lack them.
    """
    days = [entry.day for entry in entries if entry.day]
    if days:
        rows = [row for row in rows if min(days) <= row["day"] <= max(days)]
    if any(entry.request_id for entry in entries):
        return _by_request_id(entries, rows)
    return _by_day_and_model(entries, rows)


def _by_request_id(entries: Sequence[Entry], rows: Sequence[Mapping[str, Any]]) -> list[Difference]:
    ours = {row["request_id"]: row for row in rows if row["request_id"]}
    theirs = {entry.request_id for entry in entries}
    differences = []
    for entry in entries:
        what = entry.request_id or "a line without a request id"
        row = ours.get(entry.request_id)
        if row is None:
            differences.append(Difference(what, "entry", "none", _format_entry(entry)))
        else:
            differences += _compare_figures(what, _sum_rows([row]), entry)
    differences += [
        Difference(request_id, "entry", _format_entry(_sum_rows([row])), "none")
        for request_id, row in ours.items()
        if request_id not in theirs and row["outcome"] == "ok"
    ]
    return differences


def _by_day_and_model(entries: Sequence[Entry], rows: Sequence[Mapping[str, Any]]) -> list[Difference]:
    theirs: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        theirs[entry.day or "", entry.model or ""].append(entry)
    ours: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        ours[row["day"], row["served_model"] or row["model"] or ""].append(row)
    differences = []
    for key in sorted({*theirs, *ours}):
        what = " ".join(key)
        if key not in ours:
            differences.append(Difference(what, "entry", "none", _format_entry(_sum_entries(theirs[key]))))
        elif key in theirs:
            differences += _compare_figures(what, _sum_rows(ours[key]), _sum_entries(theirs[key]))
        elif any(row["outcome"] == "ok" for row in ours[key]):
            differences.append(Difference(what, "entry", _format_entry(_sum_rows(ours[key])), "none"))
    return differences


def _compare_figures(what: str, ours: Entry, theirs: Entry) -> list[Difference]:
    """The figures that differ or that only the statement has."""
    found = []
    for field in _FIELDS:
        our, their = getattr(ours, field), getattr(theirs, field)
        if their is None or (our is None and (field == "cost" or their == 0)):
            continue
        tolerance = _COST_TOLERANCE if field == "cost" else 0
        if our is None or abs(our - their) > tolerance:
            found.append(Difference(what, field, _format_figure(our), _format_figure(their)))
    return found


def _sum_rows(rows: Sequence[Mapping[str, Any]]) -> Entry:
    """Rows of the ledger as one `Entry`."""
    names = ("request_id", "day", "model", *_FIELDS)
    return _sum_entries([Entry(**{name: row[name] for name in names}) for row in rows])


def _sum_entries(entries: Sequence[Entry]) -> Entry:
    totals: dict[str, Any] = {}
    for field in _FIELDS:
        known = [value for entry in entries if (value := getattr(entry, field)) is not None]
        totals[field] = sum(known) if known else None
    return replace(entries[0], **totals)


def _format_figure(value: Any) -> str:
    return "unknown" if value is None else f"{value:f}" if isinstance(value, Decimal) else str(value)


def _format_entry(entry: Entry) -> str:
    known = {field: value for field in _FIELDS if (value := getattr(entry, field)) is not None}
    figures = " ".join(f"{field}={_format_figure(value)}" for field, value in known.items())
    return figures or "an entry without figures"
