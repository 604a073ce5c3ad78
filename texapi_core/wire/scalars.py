"""Members of the JSON that should be text or a number, and are not always."""

from __future__ import annotations

from typing import Any


def string(value: Any) -> str:
    """The value if it is text, else `""`."""
    return value if isinstance(value, str) else ""


def text_or_none(value: Any) -> str | None:
    """An id or a name as text; a few servers send numbers."""
    if value is None or value == "" or isinstance(value, (dict, list)):
        return None
    return str(value)


def timestamp(value: Any) -> int | None:
    """Seconds since 1970, `None` when the value is no number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return int(value)
    except (ValueError, OverflowError):
        return None


def read_index(index: Any) -> int | None:
    """The index of a choice or a tool call; some servers send a float or text."""
    if isinstance(index, str) and index.isdecimal():
        return int(index[:9])
    if isinstance(index, float) and index.is_integer():
        return int(index)
    return index if isinstance(index, int) and not isinstance(index, bool) else None
