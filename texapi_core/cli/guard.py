"""What stands around every subcommand: no input ends in a traceback."""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import typer
from rich.console import Console

from texapi_core.wire.text import printable

Command = TypeVar("Command", bound=Callable[..., Any])

DIFFERENT = FAULTY = 1
USAGE_ERROR = 2
NO_LEDGER = 3
NO_GATEWAY = 4
FAILED = 5
STOPPED = 6
INTERRUPTED = 130

errors = Console(stderr=True, highlight=False)


def stop(code: int, message: str) -> NoReturn:
    """End the command with an exit code and a message."""
    errors.print(printable(message), markup=False, soft_wrap=True)
    raise typer.Exit(code)


def guarded(command: Command, failed: Callable[[str], Any]) -> Command:
    """The command with its output flushed, and any failure passed to `failed` in one sentence."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            try:
                command(*arguments, **options)
            finally:
                sys.stdout.flush()
        except (typer.Exit, typer.Abort, BrokenPipeError):  # typer knows what to do
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.filename is None:  # of a file it would have the name
                _drop_output()
                failed(f"The output cannot be written: {error.strerror or error}.")
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            failed(f"The command failed in {where}, please report this: {type(error).__name__}: {error}")

    return cast(Command, run)


def _drop_output() -> None:
    """Forget what could not be written: Python would try again when it exits."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
