"""JSON of the gateway, read with tolerance for what is no JSON by the book."""

from __future__ import annotations

import json
from typing import Any

import jiter

from texapi_core.wire.error_answers import raise_for_error_object
from texapi_core.wire.surrogates import may_hold_halves, mended
from texapi_core.wire.values import MalformedAnswer

_DEEPEST = 200
"""Levels of nesting. No answer needs them, and code that walks deeper ones runs out of stack."""


def parse_json_object(text: bytes, *, mend: bool = True) -> dict[str, Any]:
    """The JSON object in `text`, or `MalformedAnswer` with the start of what came instead.

    Halves of characters become U+FFFD unless `mend` is false.
    """
    try:
        value = jiter.from_json(text)  # comes with the openai SDK, and takes a quarter of json's time
    except ValueError:
        value = _parse_what_jiter_refuses(text, mend=mend)
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and value and isinstance(value[0], dict):
        raise_for_error_object(value[0])  # Google sends errors in a list
    raise MalformedAnswer("JSON that is no object", text)


def _parse_what_jiter_refuses(text: bytes, *, mend: bool) -> Any:
    """Half of a surrogate pair and UTF-16 are JSON to Python; deeper nesting than jiter walks is not."""
    try:
        # Not strict: a tab or a line end that is not escaped loses nothing.
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        raise MalformedAnswer(_describe(text), text) from None
    if is_deep(value):
        raise MalformedAnswer("JSON nested too deeply", text)
    return mended(value) if mend and may_hold_halves(text) else value


def is_deep(value: Any) -> bool:
    """Whether a JSON value is nested deeper than any answer is."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            child
            for parent in level
            if isinstance(parent, (dict, list))
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return False
    return True


def excerpt(text: bytes | str, length: int = 200) -> str:
    """The start of `text` on one line, for an error message."""
    if isinstance(text, bytes):
        text = text[: 4 * length].decode("utf-8", "replace")
    line = " ".join(text[: 4 * length].split())
    return line if len(line) <= length else line[: length - 1] + "…"


def _describe(text: bytes | str) -> str:
    start = excerpt(text).lower()
    if not start:
        return "an empty body"
    if start.startswith(("<!doctype html", "<html", "<head", "<body", "<?xml")):
        return "an HTML page"
    return "broken JSON" if start.startswith(("{", "[")) else "text that is no JSON"
