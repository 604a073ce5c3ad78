"""The command `texapi`."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from texapi_core.cli.guard import guarded
from texapi_core.cli.language import choose_language
from texapi_core.cli.parser import make_parser

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command. Exit codes: see `texapi --help`.

    Raises:
        SystemExit: unless the subcommand has succeeded.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # for terminals that cannot show ≥ or Vietnamese
    choose_language(words)
    guarded(_run, words=words)


def _open_closed_streams() -> None:
    """Give a process without input, output or error stream, e.g. by `>&-`, one that is empty or refuses.

    Else each reader and writer would have to expect `None`, and a file opened later could be in its place.
    """
    if sys.stdin is None:
        sys.stdin = os.fdopen(os.open(os.devnull, os.O_RDONLY), encoding="utf-8")
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")  # a write is an error
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")


def _run(words: list[str]) -> None:
    parser = make_parser(words)
    options = vars(parser.parse_args(words))
    options.pop("language", None)
    target = options.pop("target", None)
    if target is None:
        parser.print_help()
        return
    module, _, name = target.partition(":")
    getattr(import_module(f"texapi_core.cli.{module}"), name)(**options)
