"""Execute a notebook in a fresh kernel, recording or replaying its requests to the gateway.

A hidden cell runs before the first cell and another after the last: one starts recording the
kernel's requests on a cassette, the other checks that every recorded exchange was played.
"""

from __future__ import annotations

import os
import tempfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from notebooks import FOLDER

CASSETTES = FOLDER.parent / "cassettes" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9]*.ipynb"))

UNRECORDED = frozenset({"08_bulk"})
"""Notebooks whose calls are made by processes of their own, which no cassette sees. They are always executed
against the stand-in, and print what holds however far a process came."""

_TIMEOUT = 300
"""The time limit of one cell, in seconds."""

_ENTER = """
import sys
sys.path.insert(0, {root!r})
from notebooks import recording as _recording
_recording.enter({cassette!r}, record={record!r})
"""
_LEAVE = "_recording.leave()"
_ENTER_UNRECORDED = """
import os, sys
sys.path.insert(0, {root!r})
os.environ["PYTHONPATH"] = {root!r}
for _name in ("TEXAPI_API_KEY", "TEXAPI_BASE_URL", "TEXAPI_API_BASE"):
    os.environ.pop(_name, None)
"""


def execute(path: Path, *, record: bool, environment: dict[str, str] | None = None) -> nbformat.NotebookNode:
    """The notebook with the outputs of this run; the file is not changed.

    Args:
        path: The notebook.
        record: Whether to call the gateway and record its answers; otherwise they are replayed, and a
            request that was not recorded is an error, as is any other connection.
        environment: The kernel's environment variables, by default this process's.
    """
    notebook = nbformat.read(path, as_version=4)
    cassette = CASSETTES / f"{path.stem}.yaml"
    enter, leave = _ENTER.format(root=str(FOLDER.parent), cassette=str(cassette), record=record), _LEAVE
    if path.stem in UNRECORDED:
        enter, leave = _ENTER_UNRECORDED.format(root=str(FOLDER.parent)), ""
    played = deepcopy(notebook)
    played.cells = [_hidden(enter), *played.cells, _hidden(leave)]
    with tempfile.TemporaryDirectory() as profile:
        client = NotebookClient(
            played,
            # A notebook must not depend on where it is opened: on a hosted one that is not its folder.
            resources={"metadata": {"path": profile}},
            # The kernel warns that its sockets, local to this machine, are not encrypted.
            extra_arguments=["--IPKernelApp.log_level=ERROR"],
            timeout=_TIMEOUT,
            record_timing=False,
            coalesce_streams=True,
        )
        client.execute(
            env={
                **(os.environ if environment is None else environment),
                "IPYTHONDIR": profile,
                "LANGSMITH_TRACING": "false",
            }
        )
    notebook.cells = played.cells[1:-1]
    for count, cell in enumerate((cell for cell in notebook.cells if cell.cell_type == "code"), 1):
        _renumber(cell, count)
    return notebook


def _hidden(source: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_code_cell(source)


def _renumber(cell: nbformat.NotebookNode, count: int) -> None:
    """Number the cells as if the first hidden cell did not exist."""
    cell.execution_count = count
    for output in cell.outputs:
        if "execution_count" in output:
            output.execution_count = count


def shown(cell: nbformat.NotebookNode) -> list[tuple[str, Any]]:
    """The visible outputs of a cell as (kind, text) pairs; pictures have no text."""
    seen: list[tuple[str, Any]] = []
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            seen.append((output.name, output.text))
        elif output.output_type == "error":
            seen.append(("error", f"{output.ename}: {output.evalue}"))
        elif "image/png" in output.data:
            seen.append(("image/png", None))
        else:
            seen.append(("text/plain", output.data["text/plain"]))
    return seen
