"""An argparse parser whose texts are in the user's language. Imports the standard library alone."""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from texapi_core.cli.language import say
from texapi_core.cli.terminal import print_error

_SYNTAX_ERRORS = (
    (r"the following arguments are required: (.+)", "These arguments are required: {0}"),
    (r"unrecognized arguments: (.+)", "Unknown arguments: {0}"),
    (r"argument (\S+): expected one argument", "{0} needs a value."),
    (r"argument (\S+): ignored explicit argument (.+)", "{0} takes no value, not {1}."),
    (r"argument (\S+): invalid choice: (.+) \(choose from (.+)\)", "{0} is one of {2}, not {1}."),
    (r"argument (\S+): invalid \S+ value: (.+)", "{0} cannot be {1}."),
    (r"argument (\S+): (.+)", "{0}: {1}"),
)
"""What argparse says of wrong arguments -> our text, so that it can be translated."""


class Parser(argparse.ArgumentParser):
    """An argparse parser whose texts are in the user's language."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            add_help=False,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **options,
        )
        self._positionals.title = say("arguments")
        self._optionals.title = say("options")
        self.add_argument("-h", "--help", action="help", help=say("Show this help and exit."))

    def format_usage(self) -> str:
        """How the command is used."""
        return self._in_language(super().format_usage())

    def format_help(self) -> str:
        """All that `--help` shows."""
        return self._in_language(super().format_help())

    def print_help(self, file: Any = None) -> None:
        """Print the help; argparse ignores errors of writing it."""
        (file or sys.stdout).write(self.format_help())

    @staticmethod
    def _in_language(text: str) -> str:
        return say("usage: ") + text.removeprefix("usage: ")

    def error(self, message: str) -> NoReturn:
        """Exit with 2 and one line."""
        found = next(
            (say(text).format(*match.groups()) for pattern, text in _SYNTAX_ERRORS
             if (match := re.fullmatch(pattern, message, re.DOTALL))),
            message,
        )  # fmt: skip
        end = "" if found.endswith(".") else "."
        print_error(f"{found}{end} {say('See {command} --help.', command=self.prog)}")
        self.exit(2)


def number(least: float, most: float, kind: Callable[[str], Any] = float) -> Callable[[str], Any]:
    """Reads a number within a range."""

    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(say("{value!r} is not a number.", value=text[:40])) from None
        if math.isnan(value) or not least <= value <= most:
            limits = say("{value} is not from {least:g} to {most}.", value=text[:40], least=least, most=most)
            raise argparse.ArgumentTypeError(limits)
        return value

    return read
