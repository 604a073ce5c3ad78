"""Sphinx configuration: `make docs` builds the site, with warnings as errors."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

# Imported before autodoc, which sets `TYPE_CHECKING` to true while it imports: pydantic fails then.
import langchain_texapi  # noqa: F401
import llama_index_texapi  # noqa: F401
from texapi_core import __version__

sys.path.insert(0, str(Path(__file__).parent))

project = "TexAPI for LangChain and LlamaIndex"
author = "TexAPI integrations contributors"
copyright = author  # noqa: A001 # Sphinx's name
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_llms_txt",
    "extensions.fields",
    "extensions.languages",
    "extensions.looks",
    "extensions.search",
]
exclude_patterns = ["_build"]
root_doc = "index"

# The pages are also read on the code host: links point to files, and headings have anchors.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
myst_url_schemes = ("http", "https")
language = "en"
html_search_language = "texapi"

# Docstrings are plain text with names in single backquotes and sections in Google's style.
default_role = "code"
napoleon_numpy_docstring = False
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
autodoc_member_order = "bysource"
autodoc_class_signature = "separated"

html_theme = "furo"
html_title = project
html_static_path = ["static"]
html_css_files = ["wide-tables.css"]
html_js_files = ["search.js"]
html_theme_options = {"navigation_with_keys": True}
# llms.txt and llms-full.txt are made from the sources.
html_copy_source = True
html_show_sourcelink = False
html_show_sphinx = False

_PLURAL = re.compile(r"(`[^`]+`)(?=\w)")


def _as_restructured_text(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Convert Markdown code blocks and plurals of names; keep the first line of a module's docstring."""
    if what == "module":
        del lines[1:]  # the others contain drawings
    if what == "class" and hasattr(obj, "model_fields") and "Args:" in lines:
        _cut_arguments(lines)
    if what == "attribute":
        lines[:0] = ["..", ""]  # an empty comment: Napoleon reads "text:" in the first line as a type
    converted: list[str] = []
    inside = False
    for line in lines:
        if line.lstrip().startswith("```"):
            inside = not inside
            indent = line[: len(line) - len(line.lstrip())]
            converted += ["", f"{indent}.. code-block:: python", ""] if inside else [""]
        else:
            converted.append(f"    {line}" if inside else _PLURAL.sub(r"\1\\ ", line))
    lines[:] = converted


def _cut_arguments(lines: list[str]) -> None:
    """Leave the arguments of a model class to the table of its fields."""
    start = lines.index("Args:")
    after = (number for number in range(start + 1, len(lines)) if lines[number][:1].strip())
    del lines[start : next(after, len(lines))]


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _as_restructured_text, priority=400)
