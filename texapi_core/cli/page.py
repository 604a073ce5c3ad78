"""The page of `texapi usage --html`: one file with its scripts and styles, which needs no network.

Its tables are sorted and filtered by DataTables, out of the package `itables`. Everything that a gateway or
a user wrote is escaped, and the policy of the page lets a browser run its one script and load nothing.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from html import escape
from importlib import resources
from typing import Any, NamedTuple

from texapi_core._version import __version__
from texapi_core.accounting.ledger.budgets import BudgetLine, share
from texapi_core.accounting.ledger.latency import LatencyLine
from texapi_core.accounting.ledger.report import UsageLine, as_mapping
from texapi_core.cli.language import language, say
from texapi_core.cli.output import (
    BUDGET_COLUMNS,
    CALL_COLUMNS,
    call_cell,
    format_cost,
    usage_notes,
    usage_table,
)
from texapi_core.cli.series import COLORS, amount_of, every_day, is_cost_known, series_of_days
from texapi_core.cli.spending import budget_rows
from texapi_core.wire.text import printable

MAX_FAILURES = 500
"""Failed calls on a page, the latest."""
_MAX_ROWS = 2_000
_MAX_CHART_DAYS = 366
_HEIGHT = 100
_EXACT = {"usd": "cost_usd", "saved_usd": "cache_savings_usd"}
"""Column of a table of usage -> its exact figure in JSON, where the names differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What the page shows, as the functions read it that `usage`, `calls` and `budget` use."""

    period: str
    made_at: datetime
    total: UsageLine
    usage: Mapping[str, Sequence[UsageLine]]
    """Grouping -> its lines."""
    days: Sequence[UsageLine]
    """By day and model."""
    latency: Sequence[LatencyLine]
    failures: Sequence[Mapping[str, Any]]
    """The latest calls without a complete answer, at most `MAX_FAILURES`."""
    budgets: Sequence[BudgetLine]


class _Cell(NamedTuple):
    text: str
    exact: Any = None
    """What it is sorted by, if not the text."""
    share: float | None = None
    """A bar before the text, from 0 to 1."""


class _Column(NamedTuple):
    title: str
    kind: str
    """`number`, `id` or `name`: a class of the style."""


def read_library() -> tuple[str, str]:
    """DataTables as a module that defines `DataTable`, and its style.

    Raises:
        ModuleNotFoundError: the extra `html` is not installed.
    """
    folder = resources.files("itables").joinpath("html")
    bundle = folder.joinpath("dt_bundle.js").read_text("utf-8")
    exported = re.search(r"export\s*\{[^}]*?([\w$]+) as default\b", bundle)
    if exported is None:
        raise ImportError("the scripts of this version of itables have another form")
    module = re.sub(r"<(?=/script|!--)", r"\\x3c", bundle, flags=re.IGNORECASE)
    return f"{module}\nconst DataTable = {exported[1]};\n", folder.joinpath("dt_bundle.css").read_text(
        "utf-8"
    )


def make_page(figures: Figures) -> str:
    """The page as HTML. Raises `ModuleNotFoundError` if the extra `html` is not installed."""
    library, style = read_library()
    ours = resources.files("texapi_core.cli")
    script = library + ours.joinpath("page.js").read_text("utf-8")
    digest = b64encode(sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    title = say("TexAPI usage")
    texts = json.dumps(_texts_of_tables()).replace("<", "\\u003c")
    return "\n".join(
        (
            f'<!DOCTYPE html>\n<html lang="{language()}">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_text(title)}</title>",
            f"<style>\n{style}\n{ours.joinpath('page.css').read_text('utf-8')}</style>\n</head>\n<body>",
            f"<h1>{_text(title)}</h1>",
            *_body(figures),
            f'<script type="application/json" id="texts">{texts}</script>',
            f'<script type="module">{script}</script>\n</body>\n</html>\n',
        )
    )


def _texts_of_tables() -> dict[str, Any]:
    """What DataTables says; it fills in `_START_` and its like."""
    return {
        "search": say("Filter:"),
        "info": say("_START_ to _END_ of _TOTAL_"),
        "infoEmpty": "",
        "infoFiltered": say("(filtered from _MAX_)"),
        "lengthMenu": say("_MENU_ rows"),
        "zeroRecords": say("Nothing matches."),
        "aria": {
            "orderable": say(": sort"),
            "orderableReverse": say(": sort the other way"),
            "orderableRemove": say(": as it was"),
            "paginate": {
                "first": say("first page"),
                "previous": say("previous page"),
                "next": say("next page"),
                "last": say("last page"),
            },
        },
    }


def _body(figures: Figures) -> Iterator[str]:
    total = figures.total
    text = "Calls {period}." if total.calls else "No calls {period}."
    yield _note(say(text, period=figures.period))
    text = "Made at {time:%Y-%m-%d %H:%M} (UTC) by texapi {version}."
    yield _note(say(text, time=figures.made_at, version=__version__))
    yield _tiles(total)
    notes = usage_notes(total, by="")
    yield from map(_note, notes)
    if total.calls:
        yield from _chart(figures.days)
        yield from _sections(figures, notes)
    yield _heading(say("Budgets"))
    yield from _budgets(figures.budgets)


def _sections(figures: Figures, notes: Sequence[str]) -> Iterator[str]:
    total = figures.total
    titles = {
        "day": say("By day"),
        "model": say("By model"),
        "tag": say("By tag"),
        "key-hint": say("By key"),
    }
    for by, lines in figures.usage.items():
        yield _heading(titles.get(by, by))
        yield from (_note(note) for note in usage_notes(total, by) if note not in notes)
        yield from _usage(lines, total, by)
    yield _heading(say("Time to an answer, by model"))
    yield from _latency(figures.latency)
    yield _heading(say("Failures"))
    yield from _failures(figures.failures, total.failed)


def _tiles(total: UsageLine) -> str:
    shown = {
        "USD": format_cost(total.cost, unpriced=total.unpriced),
        say("calls"): f"{total.calls:,}",
        say("failed"): f"{total.failed:,}",
        say("tokens in"): f"{total.input_tokens:,}",
        say("cached"): f"{total.cached_tokens:,}",
        say("tokens out"): f"{total.output_tokens:,}",
    }
    if total.cache_savings:
        shown[say("saved USD")] = format_cost(total.cache_savings)
    tiles = (f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in shown.items())
    return f'<dl class="tiles">{"".join(tiles)}</dl>'


def _chart(lines: Sequence[UsageLine]) -> Iterator[str]:
    """Days as stacked bars by model, the latest year."""
    is_cost = is_cost_known(lines)
    series = series_of_days({line.group: amount_of(line, is_cost=is_cost) for line in lines})
    days = every_day([line.group[0] for line in lines])[-_MAX_CHART_DAYS:]
    sums = [sum(of_day.get(day, 0.0) for of_day in series.values()) for day in days]
    if not any(sums):
        return
    unit = "USD" if is_cost else say("tokens")
    highest = max(sums)
    text = "{unit} a day, by model; the highest day has {amount}"
    heading = _text(say(text, unit=unit, amount=f"{highest:,.{6 if is_cost else 0}f}"))
    legend = (
        f'<li><svg viewBox="0 0 1 1" aria-hidden="true"><rect width="1" height="1" fill="{color}"/></svg>'
        f"{_text(model)}</li>"
        for model, color in zip(series, COLORS, strict=False)
    )
    yield f'<figure><figcaption class="note">{heading}</figcaption>'
    yield f'<svg viewBox="0 0 {len(days)} {_HEIGHT}" preserveAspectRatio="none" role="img">'
    yield f"<title>{heading}</title>"
    for number, day in enumerate(days):
        yield from _bar(number, day, series, highest)
    yield f'</svg><div class="axis"><span>{days[0]}</span><span>{days[-1]}</span></div>'
    yield f'<ul class="legend">{"".join(legend)}</ul></figure>'


def _bar(number: int, day: str, series: Mapping[str, Mapping[str, float]], highest: float) -> Iterator[str]:
    top = float(_HEIGHT)
    for (model, of_day), color in zip(series.items(), COLORS, strict=False):
        if amount := of_day.get(day):
            height = amount / highest * _HEIGHT
            top -= height
            place = f'x="{number + 0.1:.1f}" y="{top:.3f}" width="0.8" height="{height:.3f}"'
            said = _text(f"{day} {model}: {amount:,.6g}")
            yield f'<rect {place} fill="{color}"><title>{said}</title></rect>'


def _usage(lines: Sequence[UsageLine], total: UsageLine, by: str) -> Iterator[str]:
    """A table of `texapi usage`: the latest days first, of the rest what cost most."""
    if by == "day":
        ranked = sorted(lines, key=lambda line: line.group, reverse=True)
    else:
        ranked = sorted(lines, key=lambda line: (-(line.cost or 0), -line.calls, line.group))
    shown = ranked[:_MAX_ROWS]
    if len(shown) < len(lines):
        text = "The first {shown:,} of {count:,} rows; `texapi usage --by {by}` has all."
        yield _note(say(text, shown=len(shown), count=len(lines), by=by))
    titles, texts = usage_table(shown, total, by)
    group, *others = titles
    names = [group, "usd", *(name for name in others if name != "usd")]  # on a phone USD is seen first
    exact = [as_mapping(line, [by]) for line in shown]
    if has_total := len(texts) > len(shown):
        exact.append(as_mapping(total, []))
    rows = [
        [_Cell(row[name], _sorted_by(line.get(_EXACT.get(name, name)))) for name in names]
        for row, line in zip(texts, exact, strict=True)
    ]
    kinds = {group: "id" if by == "day" else "name"}
    columns = [_Column(titles[name], kinds.get(name, "number")) for name in names]
    yield _table(columns, rows, has_total=has_total)


_LATENCY_COLUMNS = {
    "model": "model",
    "calls": "answers",
    "first_token_p50": "first token p50 ms",
    "first_token_p95": "first token p95 ms",
    "total_p50": "whole answer p50 ms",
    "total_p95": "whole answer p95 ms",
}


def _latency(lines: Sequence[LatencyLine]) -> Iterator[str]:
    if not lines:
        yield _note(say("No call has a complete answer."))
        return
    text = "Of complete answers half took at most p50, 95 % at most p95; the first token is that of streams."
    yield _note(say(text))
    columns = [
        _Column(say(title), "name" if name == "model" else "number")
        for name, title in _LATENCY_COLUMNS.items()
    ]
    rows = [
        [_Cell(line.model), *(_figure(getattr(line, name)) for name in list(_LATENCY_COLUMNS)[1:])]
        for line in lines[:_MAX_ROWS]
    ]
    yield _table(columns, rows)


def _figure(value: float | None) -> _Cell:
    return _Cell("-" if value is None else f"{value:,.0f}", _sorted_by(value))


_FAILURE_KINDS = {
    "started_at": "id",
    "request_id": "id",
    "error_code": "name",
    "model": "name",
    "outcome": "id",
    "total_ms": "number",
    "input_tokens": "number",
    "output_tokens": "number",
    "cost": "number",
}
"""Column of calls -> its kind; what support asks for comes first."""


def _failures(rows: Sequence[Mapping[str, Any]], count: int) -> Iterator[str]:
    if not rows:
        yield _note(say("Every call has a complete answer."))
        return
    text = "The latest {shown:,} of {count:,} calls without a complete answer."
    yield _note(say(text, shown=len(rows), count=max(count, len(rows))))
    columns = [_Column(say(CALL_COLUMNS[name]), kind) for name, kind in _FAILURE_KINDS.items()]
    cells = [
        [
            _Cell(call_cell(row[name]), _sorted_by(row[name]) if kind == "number" else None)
            for name, kind in _FAILURE_KINDS.items()
        ]
        for row in rows
    ]
    yield _table(columns, cells)


def _sorted_by(value: Any) -> Any:
    """What a figure is sorted by: unknown ones come first. Texts are sorted as they are."""
    if value is None:
        return ""
    return f"{value:f}" if isinstance(value, Decimal) else value


def _budgets(lines: Sequence[BudgetLine]) -> Iterator[str]:
    if not lines:
        yield _note(say("No call has been made under a budget here."))
        return
    kinds = {"budget": "name", "window": "id", "unit": "id", "gone_at": "id"}
    budget, *others = (
        _Column(say(title), kinds.get(name, "number")) for name, title in BUDGET_COLUMNS.items()
    )
    rows = []
    for line, row in zip(lines, budget_rows(lines), strict=True):
        used = float(min(share(line), Decimal(1)))
        name, *cells = (_Cell("-" if row[name] is None else row[name]) for name in BUDGET_COLUMNS)
        rows.append([name, _Cell(f"{used:.0%}", used, share=used), *cells])
    yield _table([budget, _Column(say("used"), "number"), *others], rows[:_MAX_ROWS])


def _table(columns: Sequence[_Column], rows: Sequence[Sequence[_Cell]], *, has_total: bool = False) -> str:
    head = "".join(f'<th scope="col" class="{one.kind}">{_text(one.title)}</th>' for one in columns)
    lines = [_row(columns, row) for row in rows]
    foot = f"<tfoot>{lines.pop()}</tfoot>" if has_total else ""
    body = "\n".join(lines)
    table = f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody>\n{foot}"
    return f'<div class="table"><table class="display">{table}</table></div>'


def _row(columns: Iterable[_Column], row: Iterable[_Cell]) -> str:
    return f"<tr>{''.join(_cell(column, cell) for column, cell in zip(columns, row, strict=True))}</tr>"


def _cell(column: _Column, cell: _Cell) -> str:
    order = "" if cell.exact is None else f' data-order="{_text(str(cell.exact))}"'
    bar = ""
    if cell.share is not None:
        bar = f'<meter min="0" max="1" low="0.8" high="0.95" optimum="0" value="{cell.share:.4f}"></meter> '
    return f'<td class="{column.kind}"{order}>{bar}{_text(cell.text)}</td>'


def _heading(text: str) -> str:
    return f"<h2>{_text(text)}</h2>"


def _note(text: str) -> str:
    return f'<p class="note">{_text(text)}</p>'


def _text(text: str) -> str:
    """Text from outside, escaped for HTML and its attributes."""
    return escape(printable(text))
