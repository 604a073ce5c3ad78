"""What the demo prints: colors and lines in a terminal, plain text elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from io import TextIOWrapper

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_LABEL = 12
"""Columns of the words before a line: who speaks, what happens."""
_WIDE = 200


class Screen:
    """A terminal, or a file or pipe that gets neither colors, frames nor spinners."""

    def __init__(self, console: Console | None = None) -> None:
        if console is None:
            if isinstance(sys.stdout, TextIOWrapper):  # a pipe on Windows may not know Vietnamese
                sys.stdout.reconfigure(encoding="utf-8", errors="replace")
            console = Console(highlight=False)
        self._console = console
        if not console.is_terminal:
            console.width = _WIDE

    def title(self, words: str) -> None:
        """The heading of a scene."""
        self._console.print()
        if self._console.is_terminal:
            self._console.rule(Text(words, style="bold cyan"), align="left", style="cyan")
        else:
            self._console.print(f"== {words}")

    def note(self, words: str, style: str = "") -> None:
        """A sentence on a line of its own."""
        self._console.print(Text(words, style=style))

    def line(self, label: str, words: str, style: str = "") -> None:
        """A line that begins with who speaks or what happens."""
        self._console.print(Text.assemble(self._label(label), (words, style)))

    def stream(self, label: str, pieces: Iterator[str], style: str = "") -> None:
        """A line that grows as its pieces arrive."""
        self._console.print(self._label(label), end="")
        for piece in pieces:
            self._console.print(Text(piece, style=style), end="", soft_wrap=True)
        self._console.print()

    def waiting(self, words: str) -> AbstractContextManager[object]:
        """A spinner, or a line, while something is loaded."""
        if self._console.is_terminal:
            return self._console.status(words)
        self.note(words)
        return nullcontext()

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], total: Sequence[str]) -> None:
        """Rows under a heading; all columns but the first and the last hold figures."""
        is_terminal = self._console.is_terminal
        table = Table(box=box.SIMPLE_HEAD if is_terminal else None, pad_edge=False, show_footer=True)
        for number, (column, sum_) in enumerate(zip(columns, total, strict=True)):
            is_text = number in (0, len(columns) - 1)
            table.add_column(
                Text(column),
                Text(sum_, style="bold"),
                justify="left" if is_text else "right",
                no_wrap=number != len(columns) - 1,
                overflow="fold",
            )
        for row in rows:
            table.add_row(*map(Text, row))
        self._console.print(table)

    def _label(self, label: str) -> Text:
        return Text(f"{label:<{_LABEL}}", style="bold green")
