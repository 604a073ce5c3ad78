"""Pages in two languages: the language of each page, and a link to the same page in the other one."""

from __future__ import annotations

from typing import Any

VIETNAMESE = "vi/"
_LINK = '<p class="language-switch"><a href="{address}" lang="{code}" hreflang="{code}">{text}</a></p>'


def twin(page: str, pages: set[str]) -> str | None:
    """The name of the same page in the other language, where there is one."""
    other = page.removeprefix(VIETNAMESE) if page.startswith(VIETNAMESE) else VIETNAMESE + page
    return other if other in pages else None


def _in_its_language(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    vietnamese = page.startswith(VIETNAMESE)
    if vietnamese:
        context["language"] = "vi"
    if doctree is None or (other := twin(page, app.env.found_docs)) is None:
        return
    code, text = ("en", "English") if vietnamese else ("vi", "Tiếng Việt")
    address = app.builder.get_relative_uri(page, other)
    context["body"] = _LINK.format(address=address, code=code, text=text) + context["body"]


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("html-page-context", _in_its_language)
