"""How pages look: of a light and a dark picture each theme shows one, and short names stay in one line."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from docutils import nodes

DARK = "-dark"
LONGEST_WHOLE = 24
"""Characters of a name that does not break, e.g. at the hyphens of an option; a phone has room for 40."""


def _one_for_each_theme(app: Any, doctree: nodes.document) -> None:
    pictures = {PurePosixPath(image["uri"]).stem: image for image in doctree.findall(nodes.image)}
    for name, dark in pictures.items():
        light = pictures.get(name.removesuffix(DARK))
        if not name.endswith(DARK) or light is None:
            continue
        for image, theme in ((light, "only-light"), (dark, "only-dark")):
            alone = isinstance(image.parent, nodes.paragraph) and len(image.parent) == 1
            (image.parent if alone else image)["classes"].append(theme)


def _short_names_whole(app: Any, doctree: nodes.document) -> None:
    for name in doctree.findall(nodes.literal):
        text = name.astext()
        if len(text) <= LONGEST_WHOLE and " " not in text:
            name["classes"].append("whole")


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("doctree-read", _one_for_each_theme)
    app.connect("doctree-read", _short_names_whole)
