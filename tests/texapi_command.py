"""Runs the command in this process, as `texapi ARGUMENTS` would in one of its own."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from texapi_core.cli import main


@dataclass(frozen=True)
class Result:
    """What the command has left."""

    exit_code: int
    stdout: str
    stderr: str
    exception: BaseException | None = None
    """What was raised, `SystemExit` apart: nothing should be."""

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


def run(arguments: Iterable[str | Path], *, env: Mapping[str, str] | None = None, input: str = "") -> Result:
    """Run the command with arguments, an environment on top of this one, and an input."""
    out, err = io.StringIO(), io.StringIO()
    code, raised = 0, None
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.dict(os.environ, env or {}),
        mock.patch.object(sys, "stdin", io.StringIO(input)),
    ):
        try:
            main([str(one) for one in arguments])
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except BaseException as error:
            code, raised = 1, error
    return Result(code, out.getvalue(), err.getvalue(), raised)
