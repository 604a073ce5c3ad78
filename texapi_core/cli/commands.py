"""The subcommands of `texapi`."""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

import texapi_core
from texapi_core.accounting.ledger import reconciliation, report, statement, upkeep
from texapi_core.accounting.ledger.budgets import read_budgets
from texapi_core.accounting.prices import PriceList, parse_prices
from texapi_core.adapter_base.accounting_parameters import PRICES_ENV, USAGE_LEDGER_ENV
from texapi_core.cli import export_file, output, spending
from texapi_core.cli.batch import batch
from texapi_core.cli.doctor.texts import language_of_locale
from texapi_core.cli.guard import (
    DIFFERENT,
    FAILED,
    FAULTY,
    NO_GATEWAY,
    NO_LEDGER,
    USAGE_ERROR,
    Command,
    errors,
    guarded,
    stop,
)
from texapi_core.cli.limits import read_limits
from texapi_core.cli.models import read_models
from texapi_core.settings import LIMITS_ENV, env_base_url
from texapi_core.wire.text import printable

_MAX_LIMIT = 10**9
_MAX_TIMEOUT = 86_400
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class _App(typer.Typer):
    """Its subcommands are guarded."""

    def command(self, *arguments: Any, **options: Any) -> Callable[[Command], Command]:
        """Like typer's."""
        add = super().command(*arguments, **options)
        return lambda command: add(guarded(command, functools.partial(stop, FAILED)))


app = _App(
    name="texapi",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Usage and cost of TexAPI from the ledger, batches, the models of a key, and a check of the setup.",
    epilog="Exit codes: 0 success; 1 `reconcile` found differences, `doctor` a fault, `--check` a budget "
    "used up or a fault in the prices, or `batch` has requests without an answer; 2 the command was "
    "not understood; 3 the ledger, the statement or Redis cannot be read; 4 the gateway did not answer "
    "`models`; "
    "5 the output cannot be written, or the command failed; 6 `batch` was stopped by the balance, the cap or "
    "the key; 130 `batch` was interrupted.",
)


class Format(StrEnum):
    """Output format of a report."""

    TABLE = "table"
    CSV = "csv"
    RAW_CSV = "raw-csv"
    JSON = "json"


class Language(StrEnum):
    """Language of `doctor`."""

    EN = "en"
    VI = "vi"


LedgerOption = Annotated[
    str, typer.Option("--ledger", envvar=USAGE_LEDGER_ENV, help="URL of the ledger.", show_envvar=True)
]
SinceOption = Annotated[
    str | None, typer.Option(help="How far back: 90m, 24h, 7d, 4w, or a date such as 2026-11-01 (UTC).")
]
UntilOption = Annotated[str | None, typer.Option(help="End of the time, in the same form as --since.")]


def _check_number(value: float) -> float:
    """Some versions of typer take NaN for a number within any range."""
    if math.isnan(value):
        raise typer.BadParameter("nan is not a number.")
    return value


TimeoutOption = Annotated[
    float,
    typer.Option(min=0.1, max=_MAX_TIMEOUT, callback=_check_number, help="Seconds to wait for each answer."),
]
FormatOption = Annotated[
    Format, typer.Option("--format", help="Output format; `raw-csv` leaves formulas as they are.")
]


@app.callback()
def _texapi() -> None:
    """Makes typer keep the name of a subcommand if it is the only one."""


@app.command()
def usage(
    ledger: LedgerOption = "",
    since: SinceOption = None,
    until: UntilOption = None,
    by: Annotated[str, typer.Option(help=f"What to group by: {', '.join(report.GROUPINGS)}.")] = "model",
    format: FormatOption = Format.TABLE,
    plot: Annotated[Path | None, typer.Option(help="Also draw it into this PNG or SVG.")] = None,
    dark: Annotated[bool, typer.Option("--dark", help="Draw for a dark background.")] = False,
) -> None:
    """Calls, tokens and cost by model, day, tag, key or metadata."""
    try:
        report.check_grouping(by)
    except ValueError as error:
        stop(USAGE_ERROR, str(error))
    if plot is not None and (plot.suffix.lower() not in (".png", ".svg") or not plot.parent.is_dir()):
        stop(USAGE_ERROR, f"--plot draws into a .png or .svg in a folder that exists, not into {plot}.")
    split = ["day", "model"] if by == "day" else [by]
    start, end = _moment(since), _moment(until)
    with _open(ledger) as engine:
        lines = report.read_usage(engine, [by], since=start, until=end)
        (every,) = report.read_usage(engine, [], since=start, until=end)
        drawn = report.read_usage(engine, split, since=start, until=end) if plot else []
    output.print_usage(lines, every, by, format, _period(start, end))
    if plot is not None:
        with errors.status("Drawing…"):
            _draw(drawn, split, plot, dark=dark)
        errors.print(f"Drawn into {plot}.", markup=False, soft_wrap=True)


@app.command()
def calls(
    ledger: LedgerOption = "",
    since: SinceOption = None,
    until: UntilOption = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only calls without a complete answer.")] = False,
    limit: Annotated[
        int, typer.Option(min=1, max=_MAX_LIMIT, help="Maximum number of calls, latest first.")
    ] = 20,
    format: FormatOption = Format.TABLE,
) -> None:
    """Single calls, with the request ids that support asks for."""
    start, end = _moment(since), _moment(until)
    with _open(ledger) as engine:
        rows = report.read_calls(engine, since=start, until=end, only_failed=failed, limit=limit)
    output.print_calls(rows, format, _period(start, end))


@app.command()
def reconcile(
    file: Annotated[Path, typer.Argument(metavar="STATEMENT.CSV", help="An export of the gateway.")],
    ledger: LedgerOption = "",
    since: SinceOption = None,
    until: UntilOption = None,
    columns: Annotated[
        Path | None, typer.Option(help="A TOML file that describes the statement's columns and numbers.")
    ] = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Compare a statement with the ledger, by request id or by day and model, and print the differences."""
    start, end = _moment(since), _moment(until)
    try:
        entries = statement.read_statement(file, statement.read_format(columns) if columns else None)
    except statement.StatementError as error:
        stop(NO_LEDGER, str(error))
    with _open(ledger) as engine:
        first, last = statement.period_of(entries)
        rows = report.read_charges(engine, since=start or first, until=end or last)
        differences = reconciliation.reconcile(entries, rows, _prices())
    output.print_differences(differences, len(entries), format)
    if differences:
        raise typer.Exit(DIFFERENT)


@app.command()
def models(
    name: Annotated[str, typer.Argument(help="Only models whose name contains this text.")] = "",
    timeout: TimeoutOption = 20.0,
    format: FormatOption = Format.TABLE,
) -> None:
    """The models that the key in TEXAPI_API_KEY can use, with known capabilities and prices."""
    prices = _prices()
    try:
        with errors.status("Asking the gateway…"):
            rows = read_models(prices, name=name, timeout=timeout)
    except texapi_core.TexAPIError as error:
        stop(NO_GATEWAY, f"{error} `texapi doctor` looks for the cause.")
    output.print_models(rows, prices, format)


@app.command()
def budget(
    ledger: LedgerOption = "",
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 if a budget is used up.")] = False,
    at: Annotated[
        float, typer.Option(min=0, max=1, callback=_check_number, help="The fraction at which --check fails.")
    ] = 1.0,
    format: FormatOption = Format.TABLE,
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """What the budgets on a ledger have spent, reserved and left, and when they will be used up."""
    with _open(ledger) as engine:
        lines = read_budgets(engine, datetime.now(UTC))
    output.print_budgets(spending.budget_rows(lines), Format.JSON if json else format)
    reached = [line for line in lines if spending.is_reached(line, at)]
    if check and reached:
        errors.print(f"{len(reached)} of {len(lines)} budgets have reached {at:.0%}.")
        raise typer.Exit(DIFFERENT)


@app.command()
def limits(
    url: Annotated[
        str, typer.Option("--limits", envvar=LIMITS_ENV, help="URL of the limits.", show_envvar=True)
    ] = "",
    format: FormatOption = Format.TABLE,
) -> None:
    """Rate limits in Redis: what is stated, the rate in use, 429s that lowered it, processes and calls."""
    try:
        rows = read_limits(url)
    except ValueError as error:
        stop(USAGE_ERROR, str(error))
    except ConnectionError as error:
        stop(NO_LEDGER, f"Redis does not answer: {error}")
    output.print_limits(rows, format)


@app.command()
def prices(
    name: Annotated[str, typer.Argument(help="Only models whose name contains this text.")] = "",
    ledger: LedgerOption = "",
    check: Annotated[
        bool, typer.Option("--check", help="Print only what is wrong, and exit with 1.")
    ] = False,
    gateway: Annotated[bool, typer.Option("--gateway", help="Ask the gateway for its prices first.")] = False,
    timeout: TimeoutOption = 20.0,
    format: FormatOption = Format.TABLE,
) -> None:
    """The price list in use, its date and source, and which models of the ledger have no price."""
    known = _prices()
    if gateway:
        try:
            read_models(known, timeout=timeout)
        except texapi_core.TexAPIError as error:
            stop(NO_GATEWAY, f"{error} `texapi doctor` looks for the cause.")
        known = known.of_gateway(env_base_url())
    used: list[report.UsageLine] = []
    if ledger:
        with _open(ledger) as engine:
            used = report.read_usage(engine, ["model"])
    found = spending.faults(known, used)
    output.print_prices(spending.price_rows(known, name), known, found, format, only_faults=check)
    if check and found:
        raise typer.Exit(DIFFERENT)


@app.command()
def doctor(
    model: Annotated[str, typer.Option(help="Model of the request. Default: the cheapest known.")] = "",
    request: Annotated[
        bool, typer.Option("--request/--no-request", help="Send a small request, which is charged.")
    ] = True,
    language: Annotated[Language | None, typer.Option(help="Output language. Default: by locale.")] = None,
    timeout: TimeoutOption = 20.0,
    format: FormatOption = Format.TABLE,
) -> None:
    """Check the setup, from the key to one small request, and suggest fixes. Never shows the key."""
    from texapi_core.cli.doctor.examination import Examination  # imports the SDK

    examination = Examination(model=model, timeout=timeout, sends_request=request)
    spoken = language.value if language else language_of_locale()
    findings = output.print_findings(examination.run(), spoken, format, progress=errors)
    if any(finding.verdict == "fault" for finding in findings):
        raise typer.Exit(FAULTY)


app.command()(batch)

ledger_app = _App(no_args_is_help=True, help="Look after the ledger: info, prune, export.")
app.add_typer(ledger_app, name="ledger")


@ledger_app.command()
def info(ledger: LedgerOption = "", format: FormatOption = Format.TABLE) -> None:
    """What is in the ledger: its version, calls, period, size, and rejected records."""
    with _open(ledger):
        pass
    output.print_info(upkeep.read_info(ledger), format)


@ledger_app.command()
def prune(
    before: Annotated[str, typer.Option(help="Delete calls before this: 90d, or a date such as 2026-11-01.")],
    ledger: LedgerOption = "",
    sums: Annotated[bool, typer.Option("--sums", help="Delete their sums too.")] = False,
    compact: Annotated[bool, typer.Option("--compact", help="Make an SQLite file smaller.")] = False,
) -> None:
    """Delete old calls. Their sums by hour stay in `usage` and in budgets."""
    moment = _parsed_moment(before)
    with _open(ledger):
        pass
    try:
        deleted = upkeep.prune(ledger, moment, sums=sums, compact=compact)
    except ValueError as error:
        stop(USAGE_ERROR, str(error))
    except SQLAlchemyError as error:
        stop(NO_LEDGER, f"The ledger cannot be written: {getattr(error, 'orig', None) or error}")
    errors.print(f"Deleted {deleted:,} calls before {moment:%Y-%m-%d %H}:00 (UTC).")


@ledger_app.command()
def export(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write: .csv or .parquet.")],
    ledger: LedgerOption = "",
    since: SinceOption = None,
    until: UntilOption = None,
) -> None:
    """Write the calls with their tags and metadata into a CSV or Parquet file."""
    if path.suffix.lower() not in export_file.WRITERS:
        stop(USAGE_ERROR, f"Calls are written into a .csv or .parquet file, not into {path}.")
    start, end = _moment(since), _moment(until)
    try:
        with _open(ledger) as engine:
            count = export_file.write_calls(upkeep.export_calls(engine, start, end), path)
    except ImportError:
        stop(USAGE_ERROR, 'Parquet needs pyarrow: pip install "texapi-integrations[parquet]"')
    except OSError as error:
        stop(USAGE_ERROR, f"{path} cannot be written: {error}")
    wrote = printable(f"Wrote {count:,} calls {_period(start, end)} into {path}.")
    errors.print(wrote, markup=False, soft_wrap=True)


@contextmanager
def _open(url: str) -> Generator[Engine]:
    if not url:
        stop(USAGE_ERROR, f"Which ledger? Pass --ledger sqlite:///usage.db, or set {USAGE_LEDGER_ENV}.")
    try:
        with report.open_for_reading(url) as engine, errors.status("Reading the ledger…"):
            yield engine
    except report.LedgerUnreadableError as error:
        stop(NO_LEDGER, str(error))


def _prices() -> PriceList:
    try:
        return parse_prices(os.environ.get(PRICES_ENV) or None)
    except ValueError as error:
        stop(USAGE_ERROR, f"{error} Correct {PRICES_ENV}.")


def _moment(text: str | None) -> datetime | None:
    return None if text is None else _parsed_moment(text)


def _parsed_moment(text: str) -> datetime:
    """The time `7d` ago, or an ISO date or time, by default in UTC."""
    try:
        if ago := re.fullmatch(r"(\d{1,9})([mhdw])", text.strip(), re.ASCII):
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(text)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment + timedelta(days=366) - timedelta(days=366)  # later times than that end nothing
    except (ValueError, OverflowError):
        stop(USAGE_ERROR, f"Not a time: {text[:40]!r}. Use 90m, 24h, 7d, 4w, or a date such as 2026-11-01.")


def _period(since: datetime | None, until: datetime | None) -> str:
    """A period in words, in UTC."""
    start = f"from {since:%Y-%m-%d %H:%M}" if since else "from the beginning"
    return f"{start} until {f'{until:%Y-%m-%d %H:%M}' if until else 'now'} (UTC)"


def _draw(lines: list[report.UsageLine], by: list[str], path: Path, *, dark: bool) -> None:
    try:
        from texapi_core.cli.plot import draw_usage  # imports matplotlib, which is slow
    except ImportError:
        stop(USAGE_ERROR, 'Drawing needs matplotlib: pip install "texapi-integrations[cli]"')
    try:
        draw_usage(lines, by, path, dark=dark)
    except OSError as error:
        stop(USAGE_ERROR, f"{path} cannot be written: {error}")
