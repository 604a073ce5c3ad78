"""The text of an answer: its start, for an error message, and the JSON objects in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def excerpt(text: bytes | str, length: int = 200) -> str:
    """The start of `text` on one line, for an error message."""
    if isinstance(text, bytes):
        text = text[: 4 * length].decode("utf-8", "replace")
    line = " ".join(text[: 4 * length].split())
    return line if len(line) <= length else line[: length - 1] + "…"


def json_objects(text: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects in a text, in order: bare, in a fence or between sentences."""
    start = text.find("{")
    while start >= 0:
        end = start + 1
        try:
            value, end = json.JSONDecoder().raw_decode(text, start)
            yield value
        except (ValueError, RecursionError):
            pass
        start = text.find("{", end)
