"""The terminal: its width, bold and colours where there is one, lines that come and go."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections.abc import Generator
from contextlib import contextmanager
from typing import TextIO

from texapi_core.wire.text import printable

_WIDE = 160
"""Columns of a file or a pipe, unless COLUMNS says otherwise."""
_STYLES = {"bold": "1", "dim": "2", "red": "1;31", "green": "32", "yellow": "33", "italic": "3"}
_CLEAR_LINE = "\r\x1b[2K"


def width() -> int:
    """Columns for a table: those of COLUMNS or of the terminal."""
    return shutil.get_terminal_size((_WIDE, 24)).columns


def styled(text: str, style: str, stream: TextIO | None = None) -> str:
    """The text in a style, where it goes to a terminal and NO_COLOR is not set."""
    stream = stream or sys.stdout
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def cell_width(text: str) -> int:
    """Columns that a text takes: two for each Chinese sign, none for a combining mark."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in text
    )


def wrapped(text: str, columns: int) -> list[str]:
    """The text in lines of so many columns, broken after a space, a slash or a dash where one is."""
    lines = []
    while cell_width(text) > columns:
        end = 0
        while end < len(text) and cell_width(text[: end + 1]) <= columns:
            end += 1
        cut = max(text.rfind(one, 1, end) + 1 for one in " /-_:") or max(end, 1)
        lines.append(text[:cut].rstrip(" "))
        text = text[cut:]
    return [*lines, text]


def print_error(text: str, style: str = "") -> None:
    """One line on stderr, without control characters."""
    text = printable(text)
    sys.stderr.write(f"{styled(text, style, sys.stderr) if style else text}\n")
    sys.stderr.flush()


@contextmanager
def status(text: str) -> Generator[None]:
    """Shows a text on a terminal while something takes its time."""
    is_shown = sys.stderr.isatty()
    if is_shown:
        sys.stderr.write(text)
        sys.stderr.flush()
    try:
        yield
    finally:
        if is_shown:
            sys.stderr.write(_CLEAR_LINE)
            sys.stderr.flush()


def show_line(text: str) -> None:
    """Replace the current line of stderr, cut to the terminal's width."""
    columns = shutil.get_terminal_size((80, 24)).columns - 1
    sys.stderr.write(f"{_CLEAR_LINE}{text[:columns]}")
    sys.stderr.flush()


def clear_line() -> None:
    """Remove what `show_line` has left."""
    sys.stderr.write(_CLEAR_LINE)
    sys.stderr.flush()
