"""Characters that a gateway tore in two: JSON can carry half a character, UTF-8 cannot.

Gateways that slice strings in UTF-16 units send the halves of an emoji in two chunks, or half of one.
Text with such a half can neither be printed nor be sent back.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any

_ESCAPED_HALF = re.compile(rb"\\u[dD][89a-fA-F]")


def may_hold_halves(json_text: bytes) -> bool:
    """Whether JSON text has escapes of half characters; pairs of them are whole ones."""
    return b"\\u" in json_text and _ESCAPED_HALF.search(json_text) is not None


def mended(value: Any) -> Any:
    """A JSON value with U+FFFD for every half character in its texts."""
    if isinstance(value, str):
        return _mended_text(value)
    if isinstance(value, dict):
        return {_mended_text(name): mended(item) for name, item in value.items()}
    return [mended(item) for item in value] if isinstance(value, list) else value


def join_halves(members: MutableMapping[str, Any], halves: MutableMapping[str, str]) -> None:
    """Join the texts of a delta to the halves that the chunks before left, and keep a new half back."""
    for name, value in members.items():
        if isinstance(value, str) and value:
            text = halves.pop(name, "") + value
            if "\ud800" <= text[-1] <= "\udbff":
                halves[name] = text[-1]
                text = text[:-1]
            members[name] = _mended_text(text)


def _mended_text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
