"""The command `texapi`."""

from __future__ import annotations

import io
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command. Exit codes: see `texapi --help`."""
    try:
        from texapi_core.cli.commands import app  # needs the extra `cli`
    except ImportError as error:
        sys.exit(
            f"The command texapi needs the package `{error.name}`. "
            'Install it with: pip install "texapi-integrations[cli]"'
        )
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # for terminals that cannot show ≥ or Vietnamese
    app()
