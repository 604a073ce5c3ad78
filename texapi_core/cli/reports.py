"""The subcommands that read a ledger: usage, calls, reconcile, budget, and those of `ledger`."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from texapi_core.accounting.ledger import latency, reconciliation, report, statement, upkeep
from texapi_core.accounting.ledger.budgets import BudgetLine, budget_lines, fullest_first, read_budgets
from texapi_core.cli import export_file, output, page, spending
from texapi_core.cli.gateway import known_prices
from texapi_core.cli.guard import DIFFERENT, NO_LEDGER, USAGE_ERROR, stop
from texapi_core.cli.language import say
from texapi_core.cli.limits import read_accounts
from texapi_core.cli.parser import LEDGER_ENV
from texapi_core.cli.rows import print_rows
from texapi_core.cli.terminal import print_error, status

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DRAWN = (".png", ".svg")
_PAGES = (".html", ".htm")
_PAGE_GROUPINGS = ("day", "model", "tag", "key-hint")


def usage(
    *,
    ledger: str,
    since: str | None,
    until: str | None,
    by: str,
    format: str,
    plot: Path | None,
    dark: bool,
    html: Path | None,
    url: str,
) -> None:
    """Calls, tokens and cost by model, day, tag, key or metadata."""
    try:
        report.check_grouping(by)
    except ValueError:
        groupings = ", ".join(report.GROUPINGS)
        stop(
            USAGE_ERROR,
            say("Calls can be grouped by {groupings}, not by {by!r}.", groupings=groupings, by=by),
        )
    if plot is not None and not _can_be_written(plot, _DRAWN):
        text = "--plot draws into a .png or .svg in a folder that exists, not into {path}."
        stop(USAGE_ERROR, say(text, path=plot))
    if html is not None:
        _check_page(html)
    split = ["day", "model"] if by == "day" else [by]
    start, end = _span(since, until)
    with _open(ledger) as engine:
        lines = report.read_usage(engine, [by], since=start, until=end)
        (every,) = report.read_usage(engine, [], since=start, until=end)
        drawn = report.read_usage(engine, split, since=start, until=end) if plot else []
        figures = _read_figures(engine, {by: lines}, every, start, end, url) if html else None
    output.print_usage(lines, every, by, format, _period(start, end))
    if plot is not None:
        with status(say("Drawing…")):
            _draw(drawn, split, plot, dark=dark)
        print_error(say("Drawn into {path}.", path=plot))
    if html is not None and figures is not None:
        _write_page(figures, html)


def calls(
    *, ledger: str, since: str | None, until: str | None, failed: bool, limit: int, format: str
) -> None:
    """Single calls, with the request ids that support asks for."""
    start, end = _span(since, until)
    with _open(ledger) as engine:
        rows = report.read_calls(engine, since=start, until=end, only_failed=failed, limit=limit)
    output.print_calls(rows, format, _period(start, end))


def reconcile(
    *, file: Path, ledger: str, since: str | None, until: str | None, columns: Path | None, format: str
) -> None:
    """Compare a statement with the ledger, by request id or by day and model, and print the differences."""
    start, end = _span(since, until)
    try:
        entries = statement.read_statement(file, statement.read_format(columns) if columns else None)
    except statement.StatementError as error:
        stop(NO_LEDGER, str(error))
    with _open(ledger) as engine:
        first, last = statement.period_of(entries)
        wanted = reconciliation.wanted_by(entries)
        rows = report.read_charges(engine, wanted, since=start or first, until=end or last)
        differences = reconciliation.reconcile(entries, rows, known_prices())
    output.print_differences(differences, len(entries), format)
    if differences:
        raise SystemExit(DIFFERENT)


def budget(*, ledger: str, url: str, check: bool, at: float, format: str) -> None:
    """What budgets on a ledger, or in the Redis of --limits, have spent and left, and until when."""
    now = datetime.now(UTC)
    lines = _budgets_in_redis(url, now)
    if lines is None:
        with _open(ledger) as engine:
            lines = read_budgets(engine, now)
    output.print_budgets(spending.budget_rows(lines), format)
    reached = [line for line in lines if spending.is_reached(line, at)]
    if check and reached:
        text = "{reached} of {budgets} budgets have reached {at:.0%}."
        stop(DIFFERENT, say(text, reached=len(reached), budgets=len(lines), at=at))


def _budgets_in_redis(url: str, now: datetime) -> list[BudgetLine] | None:
    kept = read_accounts(url, now)
    if kept is None:
        return None
    return fullest_first(line for one in kept for line in budget_lines(now=now, **one.amounts()))


def info(*, ledger: str, format: str) -> None:
    """What is in the ledger: its version, calls, period, size, and rejected records."""
    with _open(ledger):
        pass
    output.print_info(upkeep.read_info(ledger), format)


def prune(*, before: str, ledger: str, sums: bool, compact: bool, as_json: bool) -> None:
    """Delete old calls. Their sums by hour stay in `usage` and in budgets."""
    moment = _parsed_moment(before)
    with _open(ledger):
        pass
    try:
        deleted = upkeep.prune(ledger, moment, sums=sums, compact=compact)
    except ValueError as error:
        stop(USAGE_ERROR, str(error))
    except SQLAlchemyError as error:
        stop(
            NO_LEDGER,
            say("The ledger cannot be written: {reason}", reason=getattr(error, "orig", None) or error),
        )
    text = "Deleted {deleted:,} calls before {before:%Y-%m-%d %H}:00 (UTC)."
    _done(
        {"deleted": deleted, "before": moment.isoformat()}, say(text, deleted=deleted, before=moment), as_json
    )


def export(*, path: Path, ledger: str, since: str | None, until: str | None, as_json: bool) -> None:
    """Write the calls with their tags and metadata into a CSV or Parquet file."""
    if path.suffix.lower() not in export_file.WRITERS:
        stop(USAGE_ERROR, say("Calls are written into a .csv or .parquet file, not into {path}.", path=path))
    start, end = _span(since, until)
    try:
        with _open(ledger) as engine:
            count = export_file.write_calls(upkeep.export_calls(engine, start, end), path)
    except ImportError:
        stop(USAGE_ERROR, say('Parquet needs pyarrow: pip install "texapi-integrations[parquet]"'))
    except OSError as error:
        stop(USAGE_ERROR, say("{path} cannot be written: {error}", path=path, error=error))
    text = "Wrote {count:,} calls {period} into {path}."
    said = say(text, count=count, period=_period(start, end), path=path)
    _done({"calls": count, "file": str(path)}, said, as_json)


def _done(result: dict[str, Any], text: str, as_json: bool) -> None:
    if as_json:
        print_rows([result], "json")
    else:
        print_error(text)


def _can_be_written(path: Path, endings: tuple[str, ...]) -> bool:
    return path.suffix.lower() in endings and path.parent.is_dir()


@contextmanager
def _open(url: str) -> Generator[Engine]:
    if not url:
        text = "Which ledger? Pass --ledger sqlite:///usage.db, or set {variable}."
        stop(NO_LEDGER, say(text, variable=LEDGER_ENV))
    try:
        with report.open_for_reading(url) as engine, status(say("Reading the ledger…")):
            yield engine
    except report.LedgerUnreadableError as error:
        stop(NO_LEDGER, str(error))


def _span(since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    """The times of `--since` and `--until`; one that ends before it begins is a mistake, not empty."""
    start, end = (None if text is None else _parsed_moment(text) for text in (since, until))
    if start and end and end < start:
        stop(USAGE_ERROR, say("--until {until} is before --since {since}.", until=until, since=since))
    return start, end


def _parsed_moment(text: str) -> datetime:
    """The time `7d` ago, or an ISO date or time, by default in UTC."""
    try:
        if ago := re.fullmatch(r"(\d{1,9})([mhdw])", text.strip(), re.ASCII):
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(text)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment + timedelta(days=366) - timedelta(days=366)  # later ones overflow
    except (ValueError, OverflowError):
        wrong = "Not a time: {given!r}. Use 90m, 24h, 7d, 4w, or a date such as 2026-11-01."
        stop(USAGE_ERROR, say(wrong, given=text[:40]))


def _period(since: datetime | None, until: datetime | None) -> str:
    """A period in words, in UTC."""
    start = say("from {time:%Y-%m-%d %H:%M}", time=since) if since else say("from the beginning")
    end = say("until {time:%Y-%m-%d %H:%M} (UTC)", time=until) if until else say("until now (UTC)")
    return f"{start} {end}"


def _draw(lines: list[report.UsageLine], by: list[str], path: Path, *, dark: bool) -> None:
    from texapi_core.cli.plot import draw_usage  # imports matplotlib, an extra

    try:
        draw_usage(lines, by, path, dark=dark)
    except OSError as error:
        stop(USAGE_ERROR, say("{path} cannot be written: {error}", path=path, error=error))


def _check_page(path: Path) -> None:
    """End the command before it reads the ledger if no page can be written."""
    if not _can_be_written(path, _PAGES):
        text = "--html writes an .html file into a folder that exists, not {path}."
        stop(USAGE_ERROR, say(text, path=path))
    page.read_library()


def _read_figures(
    engine: Engine,
    read: Mapping[str, Sequence[report.UsageLine]],
    total: report.UsageLine,
    start: datetime | None,
    end: datetime | None,
    url: str,
) -> page.Figures:
    """What the page shows; `read` are the lines that the command has read for its own table, by grouping."""
    now = datetime.now(UTC)
    budgets = _budgets_in_redis(url, now)
    return page.Figures(
        period=_period(start, end),
        made_at=now,
        total=total,
        usage={
            one: read[one] if one in read else report.read_usage(engine, [one], since=start, until=end)
            for one in dict.fromkeys((*_PAGE_GROUPINGS, *read))
        },
        days=report.read_usage(engine, ["day", "model"], since=start, until=end),
        latency=latency.read_latency(engine, since=start, until=end),
        failures=report.read_calls(engine, since=start, until=end, only_failed=True, limit=page.MAX_FAILURES),
        budgets=read_budgets(engine, now) if budgets is None else budgets,
    )


def _write_page(figures: page.Figures, path: Path) -> None:
    try:
        path.write_text(page.make_page(figures), "utf-8")
    except OSError as error:
        stop(USAGE_ERROR, say("{path} cannot be written: {error}", path=path, error=error))
    print_error(say("Written into {path}.", path=path))
