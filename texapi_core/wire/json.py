"""JSON of the gateway, parsed: also what is not quite JSON by the standard."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import from_json

from texapi_core.wire.surrogates import may_hold_lone_surrogates, replace_lone_surrogates
from texapi_core.wire.text import excerpt, integer_or_text
from texapi_core.wire.values import MalformedAnswer

_MAX_DEPTH = 200
"""Levels of nesting. No answer needs more, and recursive code runs out of stack on deeper ones."""

_UNREADABLE = object()


def parse_json_object(text: bytes, *, keep_surrogates: bool = False) -> dict[str, Any]:
    """The JSON object in `text`, or `MalformedAnswer` with the start of what came instead.

    Google and some relays send errors and answers in a list. Lone surrogates become U+FFFD unless
    `keep_surrogates` is true, and integers of too many digits for Python become text.
    """
    try:
        value = from_json(text)  # takes a quarter of json's time
    except ValueError:
        value = _parse_what_is_refused(text, keep_surrogates=keep_surrogates)
    if type(value) is dict:
        return value
    if isinstance(value, list) and value and isinstance(first := value[0], dict):
        is_first_of_many = len(value) > 1 and "choices" in first
        if not is_first_of_many:
            return first
    raise MalformedAnswer("JSON that is no object", text)


def _parse_what_is_refused(text: bytes, *, keep_surrogates: bool) -> Any:
    """Python's json accepts lone surrogates and UTF-16; it also accepts nesting that is too deep."""
    try:
        # Not strict: an unescaped tab or line end loses nothing.
        value = json.loads(text, strict=False, parse_int=integer_or_text)
    except (ValueError, RecursionError):
        value = _UNREADABLE
    if value is _UNREADABLE:  # raised here, since json's error holds the text, which may quote a secret
        raise MalformedAnswer(_describe(text), text)
    if is_deep(value):
        raise MalformedAnswer("JSON nested too deeply", text)
    return value if keep_surrogates or not may_hold_lone_surrogates(text) else replace_lone_surrogates(value)


def is_deep(value: Any) -> bool:
    """Whether a JSON value is nested deeper than any answer is."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            child
            for parent in level
            if isinstance(parent, (dict, list))
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return False
    return True


def _describe(text: bytes | str) -> str:
    start = excerpt(text).lower()
    if not start:
        return "an empty body"
    if start.startswith(("<!doctype html", "<html", "<head", "<body", "<?xml")):
        return "an HTML page"
    return "broken JSON" if start.startswith(("{", "[")) else "text that is no JSON"
