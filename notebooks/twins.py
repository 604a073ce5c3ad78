"""Vietnamese twins: notebooks with the same code and outputs, and Vietnamese prose."""

from __future__ import annotations

from pathlib import Path

import nbformat

from notebooks import FOLDER

TWINS = sorted((FOLDER / "vi").glob("*.ipynb"))


def original_of(twin: Path) -> Path:
    """The notebook that a twin says in Vietnamese."""
    return FOLDER / twin.name


def said_in_vietnamese(twin: Path) -> nbformat.NotebookNode:
    """The twin with the code and the outputs of its original, and its own prose.

    Raises:
        ValueError: the twin has not as many cells of prose, at the same places, as its original.
    """
    notebook, original = (nbformat.read(path, as_version=4) for path in (twin, original_of(twin)))
    kinds = [[cell.cell_type for cell in each.cells] for each in (notebook, original)]
    if kinds[0] != kinds[1]:
        raise ValueError(f"vi/{twin.name} and {twin.name} have different cells: {kinds[0]}, {kinds[1]}")
    notebook.cells = [
        own if own.cell_type == "markdown" else other
        for own, other in zip(notebook.cells, original.cells, strict=True)
    ]
    return notebook


def update() -> None:
    """Write the twins anew."""
    for twin in TWINS:
        nbformat.write(said_in_vietnamese(twin), twin)
