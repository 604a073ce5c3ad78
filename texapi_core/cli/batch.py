"""`texapi batch`: asks every request of a file, and resumes where an earlier run ended."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from time import monotonic
from typing import Any

from texapi_core import accounting
from texapi_core.accounting import BudgetSink, make_budget
from texapi_core.accounting.sinks import NO_ACCOUNTING
from texapi_core.bulk.batch import Progress, run_batch
from texapi_core.bulk.calls import STOP_ERRORS
from texapi_core.bulk.output import Output, OutputError, are_distinct, started_path
from texapi_core.bulk.requests import Input, InputError, Template, read_jsonl, read_rows
from texapi_core.cli.call_settings import call_settings
from texapi_core.cli.guard import DIFFERENT, FAILED, INTERRUPTED, STOPPED, USAGE_ERROR, stop
from texapi_core.cli.language import say
from texapi_core.cli.parser import LEDGER_ENV
from texapi_core.cli.rows import print_rows
from texapi_core.cli.terminal import clear_line, print_error, show_line
from texapi_core.settings import Settings

_TABLES = (".csv", ".parquet")
_NO_LIMITS = "none"
_JOB = "520w"
"""The window of --max-cost: longer than any batch runs."""
_MEASURED = 60.0
"""Seconds over which the speed is measured."""
_REFRESH = 0.5
_BAR = 20
_LINE_EVERY = 30.0
"""Seconds between two lines where there is no terminal."""


def batch(
    *,
    source: Path,
    out: Path,
    model: str,
    concurrency: int,
    max_cost: float | None,
    errors_file: Path | None,
    skip_in_doubt: bool,
    prompt: str,
    system: str,
    id_column: str,
    max_tokens: int | None,
    max_retries: int,
    timeout: float,
    limits: str,
    transport: str,
    as_json: bool,
) -> None:
    """Ask every request of a file, and resume where an earlier run into OUT ended.

    What is in OUT is not asked again. A run that was killed leaves at most --concurrency calls in doubt.
    """
    template = Template(prompt, system, id_column, _body(model, max_tokens)) if prompt else None
    requests = _read(source, template, model)
    errors_path = errors_file or out.with_suffix(".errors.jsonl")
    started = started_path(out)
    if not are_distinct(source, out, errors_path, started):
        stop(
            USAGE_ERROR,
            say("IN, OUT, the errors file and {started} must be four files.", started=started.name),
        )
    settings = call_settings(
        max_retries=max_retries,
        timeout=timeout,
        limits=None if limits.strip().lower() == _NO_LIMITS else limits,
        async_transport=transport,
    )
    progress = Progress(requests.count)
    try:
        with Output(out, errors_path) as output:
            if output.torn:
                print_error(say("{count:,} torn lines of OUT are asked again.", count=output.torn))
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
        stop(STOPPED, f"{say('Stopped: {error}', error=error)} {_summary(progress)} {say(_RESUME)}")
    except OSError as error:
        failure = say("The output cannot be written: {reason}.", reason=error.strerror or error)
        stop(FAILED, f"{failure} {_summary(progress)} {say(_RESUME)}")
    except KeyboardInterrupt:
        stop(INTERRUPTED, f"{say('Interrupted.')} {_summary(progress)} {say(_RESUME)}")
    finally:
        if os.environ.get(LEDGER_ENV):
            accounting.flush_ledgers()
    if as_json:
        print_rows([_result(progress)], "json")
    if progress.failed:
        where = say("Errors are in {path}; the same command asks them again.", path=errors_path)
        stop(DIFFERENT, f"{_summary(progress)} {where}")
    print_error(_summary(progress))


_RESUME = "The same command goes on from here."


def _body(model: str, max_tokens: int | None) -> dict[str, Any]:
    if not model:
        stop(USAGE_ERROR, say("Which model? Pass --model with --prompt."))
    return {"model": model, **({} if max_tokens is None else {"max_tokens": max_tokens})}


def _read(source: Path, template: Template | None, model: str) -> Input:
    is_table = source.suffix.lower() in _TABLES
    if is_table and template is None:
        stop(USAGE_ERROR, say("{source} needs a --prompt, such as 'Summarise: {{text}}'.", source=source))
    if template is not None and not is_table:
        stop(USAGE_ERROR, say("--prompt is for the rows of a .csv or .parquet file."))
    try:
        return read_jsonl(source, model or None) if template is None else read_rows(source, template)
    except ImportError:
        stop(USAGE_ERROR, say('Parquet needs pyarrow: pip install "texapi-integrations[parquet]"'))
    except InputError as error:
        stop(USAGE_ERROR, str(error))
    except OSError as error:
        reason = error.strerror or error
        stop(USAGE_ERROR, say("{source} cannot be read: {reason}.", source=source, reason=reason))


def _capped(settings: Settings, left: Decimal) -> Settings:
    """The settings with a cap that holds in this process alone: what earlier runs have left."""
    known = settings.accounting or NO_ACCOUNTING
    budget = make_budget(
        max_cost=float(max(left, Decimal(0))),
        max_tokens_total=None,
        scope="all",
        window=_JOB,
        timezone="UTC",
        warnings=(),
    )
    cap = BudgetSink(budgets=(budget,), prices=known.prices)
    return replace(settings, accounting=replace(known, sinks=(*known.sinks, cap)))


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
    if sys.stderr.isatty():
        try:
            yield lambda: show_line(f"{_bar(progress)} {_summary(progress)} {speed.text()}")
        finally:
            clear_line()
        return
    shown_at = monotonic()

    def show() -> None:
        nonlocal shown_at
        if monotonic() - shown_at > _LINE_EVERY:
            shown_at = monotonic()
            print_error(f"{_summary(progress)} {speed.text()}")

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
        left = _duration(self._progress.waiting / speed) if speed else say("unknown")
        per_minute = (tokens - tokens_then) / seconds * 60
        return say("{tokens:,.0f} tokens/min, {left} left", tokens=per_minute, left=left)


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{hours:.1f} h" if hours >= 2 else f"{minutes:.0f} min" if minutes >= 2 else f"{seconds:.0f} s"


def _bar(progress: Progress) -> str:
    done = _BAR * (progress.done + progress.failed) // max(progress.count, 1)
    return "█" * done + "░" * (_BAR - done)


def _summary(progress: Progress) -> str:
    """How many are done, failed and waiting, and what this run cost."""
    earlier = say(" ({count:,} by earlier runs)", count=progress.earlier) if progress.earlier else ""
    in_doubt = say(" ({count:,} in doubt)", count=progress.in_doubt) if progress.in_doubt else ""
    parts = [
        say("{count:,} done", count=progress.done) + earlier,
        say("{count:,} failed", count=progress.failed) + in_doubt,
        say("{count:,} waiting", count=progress.waiting),
        f"{'≥ ' if progress.unpriced else ''}{progress.cost:,.6f} USD",
    ]
    again = ""
    if progress.asked_again:
        again = " " + say("{count:,} that were in doubt were asked again.", count=progress.asked_again)
    return f"{', '.join(parts)}.{again}"


def _result(progress: Progress) -> dict[str, Any]:
    names = ("count", "done", "earlier", "failed", "in_doubt", "waiting", "asked_again", "tokens", "unpriced")
    return {**{name: getattr(progress, name) for name in names}, "cost_usd": f"{progress.cost:f}"}
