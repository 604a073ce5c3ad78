"""What stands around every subcommand: exit codes, and no input that ends in a traceback."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from texapi_core.cli.language import say
from texapi_core.cli.terminal import print_error

DIFFERENT = FAULTY = 1
USAGE_ERROR = 2
NO_LEDGER = 3
NO_GATEWAY = 4
FAILED = 5
STOPPED = 6
INTERRUPTED = 130


def stop(code: int, message: str) -> NoReturn:
    """End the command with an exit code and a message."""
    print_error(message)
    raise SystemExit(code)


def guarded(command: Callable[..., Any], **arguments: Any) -> None:
    """Run a command; its output is flushed, and any failure is one sentence and an exit code."""
    try:
        try:
            command(**arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # what reads the output has enough
        _drop_output()
        raise SystemExit(DIFFERENT) from None
    except KeyboardInterrupt:
        stop(INTERRUPTED, say("Interrupted."))
    except ModuleNotFoundError as error:
        stop(USAGE_ERROR, _missing(error))
    except Exception as error:
        if isinstance(error, OSError) and error.filename is None:  # the output's: a file's has its name
            _drop_output()
            stop(FAILED, say("The output cannot be written: {reason}.", reason=error.strerror or error))
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        failure = f"{type(error).__name__}: {error}"
        stop(
            FAILED,
            say("The command failed in {where}, please report this: {failure}", where=where, failure=failure),
        )


_EXTRAS = {
    "sqlalchemy": "cli",
    "matplotlib": "plot",
    "itables": "html",
    "redis": "redis",
    "psycopg": "postgresql",
}
"""Package -> the extra that brings it."""


def _missing(error: ModuleNotFoundError) -> str:
    package = (error.name or str(error)).partition(".")[0]
    extra = _EXTRAS.get(package)
    wanted = f'"texapi-integrations[{extra}]"' if extra else package
    return say("This needs the package `{package}`: pip install {wanted}", package=package, wanted=wanted)


def _drop_output() -> None:
    """Forget what could not be written: Python would try again when it exits."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
