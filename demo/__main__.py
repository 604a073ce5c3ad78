"""`make demo`: what these packages do, in three scenes, and what each call used.

Uses the live service when `TEXAPI_API_KEY` is set, otherwise the stand-in gateway of the tests.
"""

from __future__ import annotations

import os
import sys
from decimal import Decimal

from demo.endpoint import use_live_or_standin
from demo.scenes import CHUNK_DELAY, SCENES, Calls
from demo.screen import Screen
from demo.texts import text
from texapi_core import TexAPIError
from texapi_core.accounting import CallRecord, add_listener, remove_listener
from texapi_core.settings_checks import API_KEY_ENV

_COLUMNS = ("call", "in", "cached", "out", "usd", "first", "id")


def table(screen: Screen, calls: Calls) -> None:
    """Print a row for each call, and their total."""
    rows = [[label, *_figures(record), record.request_id or "-"] for label, record in calls.made]
    counts = [
        (usage.input_tokens, usage.cached_tokens, usage.output_tokens, record.cost)
        for usage, record in ((record.usage, record) for _, record in calls.made)
    ]
    sums = [
        sum((value for value in column if value is not None), Decimal(0))
        for column in zip(*counts, strict=True)
    ]
    total = [text("total"), *(f"{sum_:,f}" for sum_ in sums[:3]), _usd(sums[3]), "", ""]
    screen.title(text("table"))
    screen.table([text(f"column_{name}") for name in _COLUMNS], rows, total)
    screen.note(text("prices"), "dim")


def _figures(record: CallRecord) -> list[str]:
    usage = record.usage
    counts = (usage.input_tokens, usage.cached_tokens, usage.output_tokens)
    first = "-" if record.first_token_ms is None else f"{record.first_token_ms:,.0f}"
    return [*("-" if count is None else f"{count:,}" for count in counts), _usd(record.cost), first]


def _usd(cost: Decimal | None) -> str:
    return "-" if cost is None else f"{cost:.6f}"


def next_steps(screen: Screen, *, live: bool) -> None:
    """Print what to do after the demo, in the shell of this system."""
    is_windows = os.name == "nt"
    python = os.path.relpath(sys.executable)
    python = sys.executable if python.startswith("..") else python
    screen.title(text("next"))
    if not live:
        assignment = (
            f'$env:{API_KEY_ENV} = "sk-tex-..."' if is_windows else f"export {API_KEY_ENV}=sk-tex-..."
        )
        screen.note(text("next_key"))
        screen.note(f"    {assignment}\n    {'python -m demo' if is_windows else 'make demo'}", "bold")
    screen.note(text("next_python"))
    screen.note(f"    {python}", "bold")
    if not is_windows:
        screen.note(text("next_tests"))
        screen.note("    make test", "bold")
    screen.note(text("next_read"))


def main() -> int:
    """Run the scenes; return 0 if every one of them got its answers."""
    screen, calls = Screen(), Calls()
    live = bool(os.environ.get(API_KEY_ENV))
    use_live_or_standin(CHUNK_DELAY)
    screen.note(text("live" if live else "standin"))
    add_listener(calls.listen)
    failure: TexAPIError | None = None
    try:
        for scene in SCENES:
            scene(screen, calls)
    except TexAPIError as error:
        failure = error
        screen.note(f"\n{type(error).__name__}: {error}", "red")
    finally:
        remove_listener(calls.listen)
    if calls.made:
        table(screen, calls)
    if failure is None:
        next_steps(screen, live=live)
    return 0 if failure is None else 1


if __name__ == "__main__":
    sys.exit(main())
