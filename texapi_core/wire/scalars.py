"""Members of the JSON that should be text or a number, and are not always."""

from __future__ import annotations

from typing import Any


def string(value: Any) -> str:
    """The value if it is text, else `""`."""
    return value if isinstance(value, str) else ""


def text_or_none(value: Any) -> str | None:
    """Ids and names as text; a few servers send numbers."""
    if value is None or value == "" or isinstance(value, (dict, list)):
        return None
    return str(value)


def timestamp(value: Any) -> int | None:
    """Seconds since 1970, when the value is a number of them."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return int(value)
    except (ValueError, OverflowError):
        return None
