"""Reads a statement of the gateway, a CSV export."""

from __future__ import annotations

import csv
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from texapi_core.accounting.record import bounded

_COLUMNS: dict[str, tuple[str, ...]] = {
    "request_id": ("request_id", "x_request_id", "requestid", "id"),
    "day": ("day", "date", "time", "timestamp", "created_at", "created", "started_at", "datetime"),
    "model": ("model", "model_name", "model_id"),
    "calls": ("calls", "requests", "request_count", "num_requests", "count"),
    "input_tokens": ("input_tokens", "prompt_tokens", "tokens_in", "input"),
    "output_tokens": ("output_tokens", "completion_tokens", "tokens_out", "output"),
    "cost": ("cost", "cost_usd", "amount", "amount_usd", "charge", "charged", "total_cost", "price", "usd"),
    "currency": ("currency", "currency_code"),
}
"""Field -> accepted column names, in lower case with `_` between words."""
_COUNTS = ("input_tokens", "output_tokens")
FIGURES = (*_COUNTS, "cost")
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
    """The gateway's `x-request-id`."""
    day: str | None
    """ISO 8601."""
    model: str | None
    """The model that was billed."""
    input_tokens: int | None
    """Tokens of the prompt."""
    output_tokens: int | None
    """Tokens of the answer."""
    cost: Decimal | None
    """USD."""
    calls: int | None = None
    """Calls that the line is for, if the statement says so."""


@dataclass(frozen=True, slots=True)
class StatementFormat:
    """How a statement is written, where that is not found by itself."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """Field -> column."""
    day: str = ""
    """`strptime` format of the day, default ISO 8601."""
    decimal: str = "."
    """Sign before the decimals of a number."""
    thousands: str = ""
    """Sign between thousands; `""` for none."""
    delimiter: str = ","
    """Sign between the columns."""


def read_format(path: Path) -> StatementFormat:
    """A format from the TOML file at `path`: `columns`, `day`, `decimal`, `thousands` and `delimiter`.

    Raises:
        StatementError: the file cannot be read, or has other keys.
    """
    try:
        known = tomllib.loads(path.read_text("utf-8-sig"))
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
    """The lines of a statement, from the CSV file at `path` with a header, written as `format` says.

    Raises:
        StatementError: the file cannot be read, lacks required columns or has a figure that is not one.
    """
    written = format or StatementFormat()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=written.delimiter, strict=True)
            return list(_entries(reader, written))
    except OSError as error:
        raise StatementError(f"{path} cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        raise StatementError(f"{path} is not in UTF-8: save it as CSV in UTF-8.") from error
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
            f"A statement needs a column `request_id`, or `day` and `model`; this has {', '.join(header)}. "
            "Describe one with other names or another delimiter than a comma in a file for `--columns`."
        )
    if not columns.keys() & set(FIGURES):
        raise StatementError("A statement needs a column of tokens or of cost to compare.")
    if "cost" not in columns:
        columns.pop("currency", None)
    places = list(columns.values())
    if twice := [name for name, place in columns.items() if places.count(place) > 1]:
        column = header[columns[twice[0]]]
        raise StatementError(f"The column `{column}` is taken for {' and for '.join(twice)}: describe one.")
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
        mark = re.escape(format.thousands)
        # Elsewhere the mark is none of thousands: 0.02 may be written for 0,02 and is not 2.
        self._grouped = (
            re.compile(rf"\A[+-]?[1-9]\d{{0,2}}(?:{mark}\d{{2,3}})*{mark}\d{{3}}(?!\d)") if mark else None
        )

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
        del found["currency"]
        return Entry(**found)

    def _value(self, name: str, text: str) -> Any:
        if name == "day":
            return self._day(text)
        if name in ("request_id", "model"):
            return bounded(text)  # as the ledger has it
        if name == "currency":
            if text.upper() != "USD":
                raise ValueError("USD")
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
        if self._grouped:
            plain = self._grouped.sub(lambda found: found[0].replace(self._format.thousands, ""), plain, 1)
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
