"""JSON objects in the text of an answer: bare, in a fence, after reasoning or between sentences."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

CUT_NOTE = " It was cut at its token limit: raise `max_tokens`."
"""What to add to an error about an answer whose finish reason is `length`."""


def json_objects(text: str) -> Iterator[dict[str, Any]]:
    """Every JSON object that begins somewhere in a text, the outer ones first, in the order they stand in."""
    start = text.find("{")
    while start >= 0:
        end = start + 1
        try:
            value, end = json.JSONDecoder().raw_decode(text, start)
            yield value
        except (ValueError, RecursionError):
            pass
        start = text.find("{", end)
