"""`texapi batch`: asks every request of a file, and resumes where an earlier run ended."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from enum import StrEnum
from operator import attrgetter
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, ClassVar

import typer
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from texapi_core.accounting import Accounting, BudgetSink, flush_ledgers, make_budget, parse_prices
from texapi_core.accounting.sinks import NO_ACCOUNTING
from texapi_core.adapter_base.connection import ConnectionParameters
from texapi_core.bulk.batch import Progress, run_batch
from texapi_core.bulk.calls import STOP_ERRORS
from texapi_core.bulk.output import Output, OutputError
from texapi_core.bulk.requests import Input, InputError, Template, read_jsonl, read_rows
from texapi_core.cli.guard import DIFFERENT, FAILED, INTERRUPTED, STOPPED, USAGE_ERROR, errors, stop
from texapi_core.settings import DEFAULT_TIMEOUT, LIMITS_ENV, Settings, env_base_url

_TABLES = (".csv", ".parquet")
_MAX_CONCURRENCY = 1_000
_NO_LIMITS = "none"
_JOB = "520w"
"""The window of --max-cost: longer than any batch runs."""
_MEASURED = 60.0
"""Seconds over which the speed is measured."""
_REFRESH = 0.5
_LINE_EVERY = 30.0
"""Seconds between two lines where there is no terminal."""


class Transport(StrEnum):
    """What carries the calls."""

    HTTPX = "httpx"
    AIOHTTP = "aiohttp"


class _Parameters(ConnectionParameters):
    """The settings of a batch: those of the models' constructors, from the same variables."""

    _endpoint: ClassVar = attrgetter("api_key", "base_url", "timeout")

    api_key: None = None
    base_url: str
    timeout: float

    def settings(self) -> Settings:
        self._check_settings()
        return self._settings()


def batch(
    source: Annotated[
        Path,
        typer.Argument(metavar="IN", help="Requests as OpenAI's Batch JSONL; with --prompt CSV or Parquet."),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Where each answer is appended, as JSONL.")],
    model: Annotated[str, typer.Option(help="Ask this model, whatever the lines name.")] = "",
    concurrency: Annotated[int, typer.Option(min=1, max=_MAX_CONCURRENCY, help="Calls at once.")] = 32,
    max_cost: Annotated[
        float | None, typer.Option(min=0, help="USD that all runs into OUT may spend together.")
    ] = None,
    errors_file: Annotated[
        Path | None,
        typer.Option("--errors", help="File of requests without an answer. Default: OUT with .errors.jsonl."),
    ] = None,
    skip_in_doubt: Annotated[
        bool,
        typer.Option(
            "--skip-in-doubt", help="Do not ask again what an earlier run may have been charged for."
        ),
    ] = False,
    prompt: Annotated[
        str, typer.Option(help="The prompt for each row, with columns as {column}.", metavar="TEMPLATE")
    ] = "",
    system: Annotated[str, typer.Option(help="The system prompt for each row.", metavar="TEMPLATE")] = "",
    id_column: Annotated[
        str, typer.Option("--id", help="The column with a unique id; else row numbers.")
    ] = "",
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Longest answer to a row, in tokens.")] = None,
    max_retries: Annotated[int, typer.Option(min=0, max=100, help="Retries of each request.")] = 6,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=86_400, help="Seconds an answer may take.")
    ] = DEFAULT_TIMEOUT,
    limits: Annotated[
        str,
        typer.Option(
            envvar=LIMITS_ENV,
            help="Rate limits: auto, which learns them; redis://..., which shares them; or none.",
        ),
    ] = "auto",
    transport: Annotated[
        Transport, typer.Option(help="What carries the calls; `aiohttp` (an extra) needs less CPU.")
    ] = Transport.HTTPX,
) -> None:
    """Ask every request of a file, and resume where an earlier run into OUT ended.

    What is in OUT is not asked again. A run that was killed leaves at most --concurrency calls in doubt.
    """
    if max_cost is not None and math.isnan(max_cost):
        stop(USAGE_ERROR, "--max-cost is an amount of USD, not nan.")
    template = Template(prompt, system, id_column, _body(model, max_tokens)) if prompt else None
    requests = _read(source, template, model)
    errors_path = errors_file or out.with_suffix(".errors.jsonl")
    if len({path.resolve() for path in (source, out, errors_path)}) < 3:
        stop(USAGE_ERROR, "IN, OUT and the errors file must be three files.")
    settings = _settings(
        max_retries=max_retries,
        timeout=timeout,
        limits=None if limits.strip().lower() == _NO_LIMITS else limits,
        async_transport=transport.value,
    )
    progress = Progress(requests.count)
    try:
        with Output(out, errors_path) as output:
            if output.torn:
                errors.print(f"{output.torn:,} torn lines of OUT are asked again.")
            if max_cost is not None:
                settings = _capped(settings, Decimal(str(max_cost)) - output.spent)
            asking = run_batch(
                requests, output, settings, progress, concurrency=concurrency, skip_in_doubt=skip_in_doubt
            )
            with _shown(progress) as show:
                asyncio.run(_showing(asking, show))
    except OutputError as error:
        stop(USAGE_ERROR, str(error))
    except InputError as error:
        stop(USAGE_ERROR, f"{error} {_summary(progress)}")
    except STOP_ERRORS as error:
        stop(STOPPED, f"Stopped: {error} {_summary(progress)} {_RESUME}")
    except OSError as error:
        stop(
            FAILED, f"The output cannot be written: {error.strerror or error}. {_summary(progress)} {_RESUME}"
        )
    except KeyboardInterrupt:
        stop(INTERRUPTED, f"Interrupted. {_summary(progress)} {_RESUME}")
    finally:
        flush_ledgers()
    if progress.failed:
        stop(
            DIFFERENT, f"{_summary(progress)} Errors are in {errors_path}; the same command asks them again."
        )
    errors.print(_summary(progress), soft_wrap=True)


_RESUME = "The same command goes on from here."


def _body(model: str, max_tokens: int | None) -> dict[str, Any]:
    if not model:
        stop(USAGE_ERROR, "Which model? Pass --model with --prompt.")
    return {"model": model, **({} if max_tokens is None else {"max_tokens": max_tokens})}


def _read(source: Path, template: Template | None, model: str) -> Input:
    is_table = source.suffix.lower() in _TABLES
    if is_table and template is None:
        stop(USAGE_ERROR, f"{source} needs a --prompt, such as 'Summarise: {{text}}'.")
    if template is not None and not is_table:
        stop(USAGE_ERROR, "--prompt is for the rows of a .csv or .parquet file.")
    try:
        return read_jsonl(source, model or None) if template is None else read_rows(source, template)
    except ImportError:
        stop(USAGE_ERROR, 'Parquet needs pyarrow: pip install "texapi-integrations[parquet]"')
    except InputError as error:
        stop(USAGE_ERROR, str(error))
    except OSError as error:
        stop(USAGE_ERROR, f"{source} cannot be read: {error.strerror or error}.")


def _settings(**given: Any) -> Settings:
    """The settings, with a price list in any case: the progress shows the cost."""
    try:
        settings = _Parameters(base_url=env_base_url(), **given).settings()
        return replace(settings, accounting=settings.accounting or Accounting(prices=parse_prices(None)))
    except ValueError as error:  # `TexAPISettingsError` is one, and pydantic's of a variable
        stop(USAGE_ERROR, str(error))


def _capped(settings: Settings, left: Decimal) -> Settings:
    """The settings with a cap of their own, in this process alone: earlier runs are taken off."""
    accounting = settings.accounting or NO_ACCOUNTING
    budget = make_budget(
        max_cost=float(max(left, Decimal(0))),
        max_tokens_total=None,
        scope="all",
        window=_JOB,
        timezone="UTC",
        warnings=(),
    )
    cap = BudgetSink(budgets=(budget,), prices=accounting.prices)
    return replace(settings, accounting=replace(accounting, sinks=(*accounting.sinks, cap)))


async def _showing(asking: Any, show: Any) -> None:
    async def repeat() -> None:
        while True:
            await asyncio.sleep(_REFRESH)
            show()

    repeated = asyncio.create_task(repeat())
    try:
        await asking
    finally:
        repeated.cancel()


@contextmanager
def _shown(progress: Progress) -> Generator[Any]:
    """Yields what shows the progress: a bar on a terminal, else a line now and then."""
    speed = _Speed(progress)
    if errors.is_terminal:
        with Live(console=errors, auto_refresh=False, get_renderable=lambda: _bar(progress, speed)) as live:
            yield live.refresh
        return
    shown_at = monotonic()

    def show() -> None:
        nonlocal shown_at
        if monotonic() - shown_at > _LINE_EVERY:
            shown_at = monotonic()
            errors.print(f"{_summary(progress)} {speed.text()}", markup=False, soft_wrap=True)

    yield show


class _Speed:
    """How fast a batch has been in the last minute."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._samples: deque[tuple[float, int, int]] = deque([self._sample()])

    def _sample(self) -> tuple[float, int, int]:
        progress = self._progress
        return monotonic(), progress.answered + progress.failed, progress.tokens

    def text(self) -> str:
        """Tokens per minute and the time left."""
        now, ended, tokens = sample = self._sample()
        self._samples.append(sample)
        while len(self._samples) > 2 and now - self._samples[0][0] > _MEASURED:
            self._samples.popleft()
        then, ended_then, tokens_then = self._samples[0]
        seconds = max(now - then, 0.001)
        speed = (ended - ended_then) / seconds
        left = _duration(self._progress.waiting / speed) if speed else "unknown"
        return f"{(tokens - tokens_then) / seconds * 60:,.0f} tokens/min, {left} left"


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{hours:.1f} h" if hours >= 2 else f"{minutes:.0f} min" if minutes >= 2 else f"{seconds:.0f} s"


def _bar(progress: Progress, speed: _Speed) -> Table:
    table = Table.grid()
    table.add_row(ProgressBar(total=max(progress.count, 1), completed=progress.done + progress.failed))
    table.add_row(f"{_summary(progress)} {speed.text()}")
    return table


def _summary(progress: Progress) -> str:
    """How many are done, failed and waiting, and what this run cost."""
    at_least = "≥ " if progress.unpriced else ""
    parts = [
        f"{progress.done:,} done" + (f" ({progress.earlier:,} by earlier runs)" if progress.earlier else ""),
        f"{progress.failed:,} failed" + (f" ({progress.in_doubt:,} in doubt)" if progress.in_doubt else ""),
        f"{progress.waiting:,} waiting",
        f"{at_least}{progress.cost:,.6f} USD",
    ]
    again = f" {progress.asked_again:,} that were in doubt were asked again." if progress.asked_again else ""
    return f"{', '.join(parts)}.{again}"
