"""Reconciles the ledger with a statement of the gateway, a CSV export."""

from __future__ import annotations

import csv
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from texapi_core.accounting.prices import PriceList
from texapi_core.wire.usage import TokenUsage

_COLUMNS: dict[str, tuple[str, ...]] = {
    "request_id": ("request_id", "x_request_id", "requestid", "id"),
    "day": ("day", "date", "time", "timestamp", "created_at", "created", "started_at", "datetime"),
    "model": ("model", "model_name", "model_id"),
    "calls": ("calls", "requests", "request_count", "num_requests", "count"),
    "input_tokens": ("input_tokens", "prompt_tokens", "tokens_in", "input"),
    "output_tokens": ("output_tokens", "completion_tokens", "tokens_out", "output"),
    "cost": ("cost", "cost_usd", "amount", "amount_usd", "charge", "charged", "total_cost", "price", "usd"),
}
"""Field -> accepted column names, in lower case with `_` between words."""
_COUNTS = ("input_tokens", "output_tokens")
_FIELDS = (*_COUNTS, "cost")
_COST_TOLERANCE = Decimal("0.000001")
"""USD. Statements round, so smaller differences are ignored."""
_MAX_COUNT = 10**15
_MAX_COST = 10**12
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?", re.ASCII)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)([T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)? ?(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?)?", re.ASCII
)
_DAY = timedelta(days=1)


class StatementError(Exception):
    """The file is not a statement that can be reconciled."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a statement, or a sum of lines. Cost in USD."""

    request_id: str | None
    day: str | None
    model: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost: Decimal | None
    calls: int | None = None
    """Calls that the line is for, if the statement says so."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference between ledger and statement."""

    kind: str
    """`double`: charged more often than called; `foreign`: not in the ledger; `missing`: not in the
    statement; `count` and `cost`: another figure."""
    what: str
    """A request id, or a day and a model."""
    field: str
    """The field that differs, or `entry` if one side has no entry."""
    ledger: str
    statement: str
    usd: Decimal | None
    """What the statement charges more than the ledger, `None` if unknown or in the difference in cost."""


@dataclass(frozen=True, slots=True)
class StatementFormat:
    """How a statement is written, where that is not found by itself."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """Field -> column."""
    day: str = ""
    """`strptime` format of the day, default ISO 8601."""
    decimal: str = "."
    thousands: str = ""
    delimiter: str = ","


def read_format(path: Path) -> StatementFormat:
    """A format from a TOML file: the table `columns`, and `day`, `decimal`, `thousands` and `delimiter`.

    Raises:
        StatementError: the file cannot be read, or has other keys.
    """
    try:
        known = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise StatementError(f"{path} does not describe a statement: {error}") from None
    keys = [one.name for one in fields(StatementFormat)]
    if other := [key for key in known if key not in keys]:
        raise StatementError(f"{path} has a key `{other[0]}`; it may have {', '.join(keys)}.")
    found = StatementFormat(**known)
    if not isinstance(found.columns, dict) or found.columns.keys() - _COLUMNS.keys():
        raise StatementError(f"{path}: `columns` may have {', '.join(_COLUMNS)}.")
    texts = [found.day, found.decimal, found.thousands, found.delimiter, *found.columns.values()]
    if not all(isinstance(text, str) for text in texts):
        raise StatementError(f"{path}: every value is a text.")
    if len(found.delimiter) != 1 or found.delimiter in '"\r\n':
        raise StatementError(f"{path}: `delimiter` is one character such as ; and no quote or line end.")
    marks = found.decimal + found.thousands
    if len(found.decimal) != 1 or len(set(marks)) < len(marks) or re.search(r"[\w+-]", marks):
        raise StatementError(f"{path}: `decimal` is one character such as , and `thousands` another or none.")
    return found


def read_statement(path: Path, format: StatementFormat | None = None) -> list[Entry]:
    """The lines of a statement, from a CSV file with a header.

    Raises:
        StatementError: the file cannot be read, lacks required columns or has a figure that is not one.
    """
    written = format or StatementFormat()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=written.delimiter, strict=True)
            return list(_entries(reader, written))
    except (OSError, UnicodeDecodeError) as error:
        raise StatementError(f"{path} cannot be read: {error}") from error
    except csv.Error as error:
        raise StatementError(f"{path} cannot be read: line {reader.line_num}: {error}") from error


def _entries(reader: Any, written: StatementFormat) -> Iterator[Entry]:
    header = next(reader, None)
    if header is None:
        raise StatementError("The statement is empty.")
    read = _Reader(written, header, _find_columns(header, written))
    for row in reader:
        if any(map(str.strip, row)):
            yield read.entry(row, reader.line_num)


def _find_columns(header: Sequence[str], format: StatementFormat) -> dict[str, int]:
    normal = [re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") for name in header]
    columns: dict[str, int] = {}
    for name, candidates in _COLUMNS.items():
        if name in format.columns:
            columns[name] = _place(format.columns[name], header)
        elif known := [candidate for candidate in candidates if candidate in normal]:
            columns[name] = _place(known[0], normal)
    if "request_id" not in columns and not {"day", "model"} <= columns.keys():
        raise StatementError(
            f"A statement needs a column `request_id`, or `day` and `model`; this has {', '.join(header)}."
        )
    if not columns.keys() & set(_FIELDS):
        raise StatementError("A statement needs a column of tokens or of cost to compare.")
    return columns


def _place(column: str, header: Sequence[str]) -> int:
    found = [number for number, name in enumerate(header) if name == column]
    if not found:
        raise StatementError(f"The statement has no column `{column}`; it has {', '.join(header)}.")
    if len(found) > 1:
        raise StatementError(f"The statement has {len(found)} columns `{column}`: rename all but one.")
    return found[0]


def period_of(entries: Iterable[Entry]) -> tuple[datetime | None, datetime | None]:
    """When the calls of a statement were made, from and until, `None` for no bound.

    A day more than the statement's at each end: a call around midnight may be charged on another day.
    """
    days = {entry.day for entry in entries if entry.day}
    if not days:
        return None, None
    first, last = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (min(days), max(days)))
    start = first - _DAY if first - datetime.min.replace(tzinfo=UTC) >= _DAY else None
    return start, last + 2 * _DAY if datetime.max.replace(tzinfo=UTC) - last >= 2 * _DAY else None


class _Reader:
    def __init__(self, format: StatementFormat, header: Sequence[str], columns: Mapping[str, int]) -> None:
        self._format = format
        self._header = header
        self._columns = columns

    def entry(self, row: Sequence[str], line: int) -> Entry:
        if len(row) != len(self._header):
            raise StatementError(
                f"The statement's line {line} has {len(row)} cells, and its first line {len(self._header)}."
            )
        found: dict[str, Any] = dict.fromkeys(_COLUMNS)
        for name, number in self._columns.items():
            text = row[number].strip()
            if text:
                try:
                    found[name] = self._value(name, text)
                except ValueError as error:
                    where = f"line {line}, column {number + 1} (`{self._header[number]}`)"
                    raise StatementError(f"The statement's {where} is not {error}: {text[:40]!r}.") from None
        if not (found["request_id"] or (found["day"] and found["model"])):
            raise StatementError(
                f"The statement's line {line} has neither a request id nor a day and a model."
            )
        return Entry(**found)

    def _value(self, name: str, text: str) -> Any:
        if name == "day":
            return self._day(text)
        if name in ("request_id", "model"):
            return text
        return self._number(text, is_cost=name == "cost")

    def _day(self, text: str) -> str:
        """The day in UTC, which a time without an offset is taken for."""
        example = self._format.day or "2026-11-18 or 2026-11-18T09:30:00+07:00"
        try:
            moment = datetime.strptime(text, self._format.day) if self._format.day else _parse_time(text)
            return (moment.astimezone(UTC) if moment.tzinfo else moment).date().isoformat()
        except (ValueError, OverflowError, re.error):  # re.error: a directive twice
            raise ValueError(f"a date or time like {example}") from None

    def _number(self, text: str, *, is_cost: bool) -> Any:
        plain = text.replace("$", "", 1).removesuffix("USD").strip() if is_cost else text
        if self._format.thousands:
            plain = plain.replace(self._format.thousands, "")
        if self._format.decimal != ".":
            plain = plain.replace(".", "x").replace(self._format.decimal, ".")
        number = Decimal(plain) if _NUMBER.fullmatch(plain) and len(plain) < 100 else None
        if is_cost:
            if number is None or abs(number) > _MAX_COST:
                raise ValueError("an amount")
            return number
        if number is None or not 0 <= number <= _MAX_COUNT or number != int(number):
            raise ValueError("a count")
        return int(number)


def _parse_time(text: str) -> datetime:
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError
    if found[2] is None:
        return datetime.fromisoformat(text)
    zone = found[3] or ""
    clock = text.removesuffix(zone).rstrip().replace(",", ".")
    return datetime.fromisoformat(clock + zone.replace("UTC", "Z").replace("GMT", "Z"))


def reconcile(
    entries: Sequence[Entry], rows: Iterable[Mapping[str, Any]], prices: PriceList | None = None
) -> list[Difference]:
    """The differences: by request id for lines that have one, by day and model for the others.

    `rows` need `request_id`, `day`, `model`, `served_model`, `outcome`, the tokens and `cost`. Rows of days
    that the statement does not have are left out, unless it has their request. Calls without a complete
    answer may be free of charge, so the statement may lack them. `prices` gives wrong counts an amount
    where the statement has no costs.
    """
    days = [entry.day for entry in entries if entry.day]
    first, last = (min(days), max(days)) if days else ("", "9")
    by_id: dict[str, list[Entry]] = defaultdict(list)
    rest = []
    for entry in entries:
        by_id[entry.request_id].append(entry) if entry.request_id else rest.append(entry)
    ours: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    others = []
    for row in rows:
        if row["request_id"] in by_id:
            ours[row["request_id"]].append(row)
        elif first <= row["day"] <= last:
            others.append(row)
    comparison = _Comparison(prices)
    for request_id, lines in by_id.items():
        comparison.request(request_id, lines, ours.get(request_id, []))
    if rest or not by_id:
        comparison.days(rest, others)
    else:
        for row in others:
            if row["outcome"] == "ok":
                comparison.missing(row["request_id"] or f"{row['day']} {_model_of(row)}", [row])
    return comparison.found


class _Comparison:
    def __init__(self, prices: PriceList | None) -> None:
        self._prices = prices
        self.found: list[Difference] = []

    def request(self, request_id: str, lines: Sequence[Entry], rows: Sequence[Mapping[str, Any]]) -> None:
        """Compare the lines of one request with its calls: as many of them as there are calls."""
        if not rows:
            self._foreign("foreign", request_id, lines)
            return
        if len(lines) > len(rows):
            self._foreign("double", request_id, lines[len(rows) :])
        if len(rows) > len(lines):
            self.missing(request_id, rows[len(lines) :])
        paired = min(len(lines), len(rows))
        self._figures(request_id, _sum_rows(rows[:paired]), _sum_entries(lines[:paired]))

    def days(self, entries: Sequence[Entry], rows: Sequence[Mapping[str, Any]]) -> None:
        """Compare sums by day and model."""
        theirs: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        for entry in entries:
            theirs[entry.day or "", entry.model or ""].append(entry)
        ours: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
        for row in rows:
            ours[row["day"], _model_of(row)].append(row)
        for key in sorted({*theirs, *ours}):
            what = " ".join(key)
            if key not in ours:
                self._foreign("foreign", what, theirs[key])
            elif key in theirs:
                self._calls(what, ours[key], theirs[key])
                self._figures(what, _sum_rows(ours[key]), _sum_entries(theirs[key]))
            elif any(row["outcome"] == "ok" for row in ours[key]):
                self.missing(what, ours[key])

    def missing(self, what: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Calls that the statement lacks."""
        ours = _sum_rows(rows)
        usd = None if ours.cost is None else -ours.cost
        self.found.append(Difference("missing", what, "entry", _format_entry(ours), "none", usd))

    def _foreign(self, kind: str, what: str, entries: Sequence[Entry]) -> None:
        theirs = _sum_entries(entries)
        usd = theirs.cost
        if usd is None:
            usd = self._price(theirs, theirs.input_tokens, theirs.output_tokens)
        ledger = "none" if kind == "foreign" else "no further call"
        self.found.append(Difference(kind, what, "entry", ledger, _format_entry(theirs), usd))

    def _calls(self, what: str, rows: Sequence[Mapping[str, Any]], entries: Sequence[Entry]) -> None:
        """Calls without a complete answer may or may not be in the statement."""
        counted = [entry.calls for entry in entries if entry.calls is not None]
        complete = sum(row["outcome"] == "ok" for row in rows)
        if counted and not complete <= sum(counted) <= len(rows):
            ours = str(complete) if complete == len(rows) else f"{complete} to {len(rows)}"
            self.found.append(Difference("count", what, "calls", ours, str(sum(counted)), None))

    def _figures(self, what: str, ours: Entry, theirs: Entry) -> None:
        """The figures that differ or that only the statement has."""
        for name in _FIELDS:
            our, their = getattr(ours, name), getattr(theirs, name)
            is_cost = name == "cost"
            if their is None or (our is None and (is_cost or their == 0)):
                continue
            if our is not None and abs(our - their) <= (_COST_TOLERANCE if is_cost else 0):
                continue
            usd = None
            if is_cost:
                usd = their - our
            elif theirs.cost is None or ours.cost is None:
                more = {name: their - (our or 0)}
                usd = self._price(ours, more.get("input_tokens"), more.get("output_tokens"))
            kind = "cost" if is_cost else "count"
            self.found.append(Difference(kind, what, name, format_figure(our), format_figure(their), usd))

    def _price(self, entry: Entry, input_tokens: int | None, output_tokens: int | None) -> Decimal | None:
        if self._prices is None or (input_tokens is None and output_tokens is None):
            return None
        counts = (input_tokens or 0, output_tokens or 0)
        usage = TokenUsage(input_tokens=abs(counts[0]), output_tokens=abs(counts[1]))
        cost = self._prices.cost(usage, entry.model)
        return cost if cost is None or sum(counts) >= 0 else -cost


def _model_of(row: Mapping[str, Any]) -> str:
    return row["served_model"] or row["model"] or ""


def _sum_rows(rows: Sequence[Mapping[str, Any]]) -> Entry:
    """Rows of the ledger as one `Entry`."""
    first = rows[0]
    figures = (_known_sum(row[name] for row in rows) for name in _FIELDS)
    return Entry(first["request_id"], first["day"], _model_of(first), *figures)


def _sum_entries(entries: Sequence[Entry]) -> Entry:
    first = entries[0]
    figures = (_known_sum(getattr(entry, name) for entry in entries) for name in _FIELDS)
    return Entry(first.request_id, first.day, first.model, *figures)


def _known_sum(values: Iterable[Any]) -> Any:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def format_figure(value: Any) -> str:
    """A figure as exact text."""
    return "unknown" if value is None else f"{value:f}" if isinstance(value, Decimal) else str(value)


def _format_entry(entry: Entry) -> str:
    known = {name: value for name in _FIELDS if (value := getattr(entry, name)) is not None}
    figures = " ".join(f"{name}={format_figure(value)}" for name, value in known.items())
    return figures or "an entry without figures"
