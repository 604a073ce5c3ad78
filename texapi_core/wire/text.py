"""Text from outside: its start, a form that is safe to show, and the JSON that it is or holds."""

from __future__ import annotations

import json
import re
import reprlib
import string
from collections.abc import Iterator
from typing import Any

from pydantic_core import from_json

_OBJECT_START = re.compile(r'\{(?=\s*["}])')
_MAX_WORK = 16
"""Most characters that are scanned without finding JSON, per character of a text."""
_MAX_DIGITS = 640
"""Python parses integers of this many digits whatever limit a program sets."""


def excerpt(text: bytes | str, length: int = 200) -> str:
    """The start of `text` on one line, for an error message."""
    if isinstance(text, bytes):
        text = text[: 4 * length].decode("utf-8", "replace")
    line = " ".join(text[: 4 * length].split())
    return printable(line if len(line) <= length else line[: length - 1] + "…")


_reprs = reprlib.Repr()
_reprs.maxstring = _reprs.maxother = 60


def shown(value: Any) -> str:
    """The start of any value as Python writes it, for an error message, however long or deep it is."""
    try:
        return printable(_reprs.repr(value))
    except Exception:  # e.g. an integer of more digits than Python writes
        return f"this {type(value).__name__}"


_JOINERS = "\u200c\u200d"
"""Invisible characters that belong to words and emoji."""


def printable(text: str) -> str:
    r"""Text from outside as one line that is safe in logs, terminals and tables.

    Line ends and other white space become spaces. Control characters, escape sequences, marks that change
    the direction of text and lone surrogates are spelled out, e.g. `\x1b`.
    """
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _spelled(character) for character in text)


def _spelled(character: str) -> str:
    if character in _JOINERS:
        return character
    if character.isspace() and character not in "\x1c\x1d\x1e\x1f\x85":
        return " "
    return character.encode("unicode_escape").decode()


def integer_or_text(digits: str) -> int | str:
    """An integer of JSON; its text where Python would refuse it, or take quadratic time for it."""
    return int(digits) if len(digits) <= _MAX_DIGITS else digits


DECODER = json.JSONDecoder(parse_int=integer_or_text)
"""Decodes JSON that begins in a text; `json_of` is faster for a whole one."""

_DIGIT, _NO_DIGIT = b"0", b" "
_DIGITS = bytes(ord(_DIGIT if chr(code) in string.digits else _NO_DIGIT) for code in range(256))
"""Each byte -> whether it is a digit."""
_WINDOW = 2**16
"""Characters that are looked at together, so that a long text is not copied."""


def has_digits_in_a_row(text: str, count: int) -> bool:
    """Whether there are as many digits in a row, found in a fraction of the time that a search takes."""
    if len(text) < count:
        return False
    # A sample first: a row has at least this many of its characters, side by side.
    step = max(count // 8, 7)
    if _DIGIT * (count // step) not in _digits_of(text[::step]):
        return False
    windows = range(0, len(text), _WINDOW)
    return any(_DIGIT * count in _digits_of(text[at : at + _WINDOW + count]) for at in windows)


def _digits_of(text: str) -> bytes:
    return text.encode("utf-8", "replace").translate(_DIGITS)


def json_of(text: str) -> Any:
    """The value of JSON text, `None` when it is not valid. Integers are as in `integer_or_text`."""
    try:
        if not has_digits_in_a_row(text, _MAX_DIGITS + 1):
            # A third of json's time, and no copy of ASCII; the bytes of another text would stay with it.
            return from_json(text if text.isascii() else text.encode())
    except ValueError:
        pass  # json takes what it refuses: deep nesting, and halves of surrogate pairs
    try:
        return DECODER.decode(text)
    except (ValueError, RecursionError):
        return None


def json_objects(text: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects in a text, in order: bare, in a fence or between sentences.

    Time is proportional to the length of the text: where too many braces begin no object, it stops.
    """
    if isinstance(whole := json_of(text), dict):
        yield whole
        return
    work = _MAX_WORK * (len(text) + 100)
    start = _OBJECT_START.search(text)
    while start and work > 0:
        end = start.start() + 1
        try:
            value, end = DECODER.raw_decode(text, start.start())
            yield value
        except json.JSONDecodeError as error:
            work -= error.pos - start.start() + error.pos // 16  # the error counts the lines before it
        except RecursionError:
            work -= len(text)
        start = _OBJECT_START.search(text, end)
