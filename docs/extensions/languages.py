"""Pages in two languages: the language of each page and its navigation, and a link to its twin."""

from __future__ import annotations

import gettext
from pathlib import Path
from typing import Any

import sphinx.locale

VIETNAMESE = "vi/"
FIRST = {"index": "vi/quickstart"}
"""A page without a twin, and where its readers of Vietnamese begin."""
_TRANSLATED = gettext.translation("sphinx", Path(sphinx.locale.__file__).parent, ["vi"]).gettext
_CAPTION = '<p class="caption"'
_LINK = '<p class="language-switch"><a href="{address}" lang="{code}" hreflang="{code}">{text}</a></p>'


def _words(text: str) -> str:
    """The words of the theme, such as "Search", in Vietnamese, where a title has one capital letter."""
    return _TRANSLATED(text).capitalize() if text.isalpha() else _TRANSLATED(text)


def twin(page: str, pages: set[str]) -> str | None:
    """The name of the same page in the other language, where there is one."""
    if page in FIRST:
        return FIRST[page]
    other = page.removeprefix(VIETNAMESE) if page.startswith(VIETNAMESE) else VIETNAMESE + page
    return other if other in pages else None


def _in_its_language(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    vietnamese = page.startswith(VIETNAMESE)
    if vietnamese:
        context |= {"language": "vi", "_": _words, "gettext": _words}
        *others, last = context["furo_navigation_tree"].split(_CAPTION)
        context["furo_navigation_tree"] = _CAPTION.join([others[0], last, *others[1:]])
    if doctree is None or (other := twin(page, app.env.found_docs)) is None:
        return
    code, text = ("en", "English") if vietnamese else ("vi", "Tiếng Việt")
    address = app.builder.get_relative_uri(page, other)
    context["body"] = _LINK.format(address=address, code=code, text=text) + context["body"]


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("html-page-context", _in_its_language, priority=900)  # after the theme's
