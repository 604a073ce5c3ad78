"""The lines of earlier conversations, in one file for all processes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TextIO

_NAME = ".texapi_history"
_MAX_LINES = 1_000
_UNAVAILABLE = (ImportError, OSError, RuntimeError)
"""Windows, a file that cannot be read or written, and a user without a home directory."""


def load_lines() -> None:
    """Give the arrow keys the latest lines; a file of more than twice as many is cut to them."""
    with suppress(*_UNAVAILABLE), _history_file() as file:
        import readline  # not on Windows

        file.seek(0)
        lines = [line for line in file.read().split("\n") if line and "\0" not in line]
        latest = lines[-_MAX_LINES:]
        for line in latest:
            readline.add_history(line)
        if len(lines) > 2 * _MAX_LINES:
            file.truncate(0)
            file.writelines(f"{line}\n" for line in latest)


def add_line(line: str) -> None:
    """Append a line at once, so that neither another conversation nor a kill loses it."""
    with suppress(*_UNAVAILABLE), _history_file() as file:
        file.write(f"{line}\n")


def _history_file() -> TextIO:
    """The file, open for appending and locked until it is closed."""
    import fcntl  # not on Windows

    path = Path.home() / _NAME
    path.touch(0o600)
    file = path.open("a+", encoding="utf-8", errors="surrogateescape", newline="\n")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file
