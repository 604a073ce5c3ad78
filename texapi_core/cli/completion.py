"""`texapi completion SHELL`: the script that completes the command in a shell."""

from __future__ import annotations

import sys

import shtab

from texapi_core.cli.parser import make_parser


def completion(shell: str) -> None:
    """Print the script for bash, zsh, fish or PowerShell."""
    sys.stdout.write(shtab.complete(make_parser(), shell))
