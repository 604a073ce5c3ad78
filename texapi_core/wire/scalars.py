"""Single values of an answer, in any form that servers send: names, indexes, times."""

from __future__ import annotations

from typing import Any

NULLS = ("null", "None")
"""What some relays send for a null (zed-industries/zed#54058)."""
_MAX_TIMESTAMP = 2**63


def text_or_none(value: Any) -> str | None:
    """An id or a name as text; a few servers send numbers."""
    if value is None or value == "" or isinstance(value, (bool, dict, list)):
        return None
    return str(value)


def read_index(index: Any) -> int | None:
    """The index of a choice or a tool call; some servers send a float or text."""
    if type(index) is int:
        return index
    if isinstance(index, str) and index.isdecimal():
        return int(index[:9])
    if isinstance(index, float) and index.is_integer():
        return int(index)
    return None


def timestamp(value: Any) -> int | None:
    """Seconds since 1970, `None` when the value is no number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        seconds = int(value)
    except (ValueError, OverflowError):
        return None
    return seconds if abs(seconds) < _MAX_TIMESTAMP else None
