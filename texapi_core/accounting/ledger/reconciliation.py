"""Compares the ledger with a statement of the gateway."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from texapi_core.accounting.ledger.statement import FIGURES, Entry
from texapi_core.accounting.prices import PriceList
from texapi_core.wire.usage import TokenUsage

_COST_TOLERANCE = Decimal("0.000001")
"""USD. Statements round, so smaller differences are ignored."""


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


def reconcile(
    entries: Sequence[Entry], rows: Iterable[Mapping[str, Any]], prices: PriceList | None = None
) -> list[Difference]:
    """How `entries` of a statement differ: by request id where they have one, else by day and model.

    `rows` need `request_id`, `day`, `model`, `served_model`, `outcome`, the tokens and `cost`. Rows of days
    that the statement does not have are left out, unless it has their request. Calls without a complete
    answer may be free of charge, so the statement may lack them. `prices` gives wrong counts an amount
    where the statement has no costs.
    """
    wanted = wanted_by(entries)
    by_id: dict[str, list[Entry]] = defaultdict(list)
    rest = []
    for entry in entries:
        by_id[entry.request_id].append(entry) if entry.request_id else rest.append(entry)
    ours: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    others = []
    for row in rows:
        if row["request_id"] in by_id:
            ours[row["request_id"]].append(row)
        elif wanted.has(row["day"], row["outcome"]):
            others.append(row)
    comparison = _Comparison(prices)
    for request_id, lines in by_id.items():
        comparison.request(request_id, lines, ours.get(request_id, []))
    if rest or not by_id:
        comparison.days(rest, others)
    else:
        for row in others:
            comparison.missing(row["request_id"] or f"{row['day']} {_model_of(row)}", [row])
    return comparison.found


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which calls are compared with a statement: those of its requests, and these."""

    request_ids: Set[str]
    first: str
    last: str
    """The first and the last day."""
    only_complete: bool

    def has(self, day: str, outcome: str) -> bool:
        """Whether a call of another request is compared."""
        return self.first <= day <= self.last and (outcome == "ok" or not self.only_complete)


def wanted_by(entries: Sequence[Entry]) -> Wanted:
    """Which calls are compared with a statement."""
    ids = {entry.request_id for entry in entries if entry.request_id}
    days = [entry.day for entry in entries if entry.day]
    first, last = (min(days), max(days)) if days else ("", "9")
    return Wanted(ids, first, last, bool(ids) and all(entry.request_id for entry in entries))


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
        for name in FIGURES:
            our, their = getattr(ours, name), getattr(theirs, name)
            is_cost = name == "cost"
            if our == their or their is None or (our is None and (is_cost or their == 0)):
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
    if len(rows) == 1:
        counts = (first["input_tokens"], first["output_tokens"])
        return Entry(first["request_id"], first["day"], _model_of(first), *counts, first["cost"])
    figures = (_known_sum(row[name] for row in rows) for name in FIGURES)
    return Entry(first["request_id"], first["day"], _model_of(first), *figures)


def _sum_entries(entries: Sequence[Entry]) -> Entry:
    first = entries[0]
    if len(entries) == 1:
        return first
    figures = (_known_sum(getattr(entry, name) for entry in entries) for name in FIGURES)
    return Entry(first.request_id, first.day, first.model, *figures)


def _known_sum(values: Iterable[Any]) -> Any:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def format_figure(value: Any) -> str:
    """A figure as exact text."""
    return "unknown" if value is None else f"{value:f}" if isinstance(value, Decimal) else str(value)


def _format_entry(entry: Entry) -> str:
    figures = (entry.input_tokens, entry.output_tokens, entry.cost)
    texts = [
        f"{name}={value:f}" if name == "cost" else f"{name}={value}"
        for name, value in zip(FIGURES, figures, strict=True)
        if value is not None
    ]
    return " ".join(texts) or "an entry without figures"
