"""Surrogates that stand alone: JSON can carry half of a surrogate pair, UTF-8 cannot.

Gateways that slice strings in UTF-16 units send the two surrogates of an emoji in two chunks, or only one
of them. Text with a lone surrogate can be neither printed nor sent back.
"""

from __future__ import annotations

import re
from collections.abc import Collection, MutableMapping
from typing import Any

_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def may_hold_lone_surrogates(json_text: bytes) -> bool:
    """Whether JSON text has escapes of surrogates, lone or in pairs."""
    return b"\\u" in json_text and _ESCAPED_SURROGATE.search(json_text) is not None


def replace_lone_surrogates(value: Any) -> Any:
    """A JSON value with U+FFFD for every lone surrogate in its texts and names."""
    if isinstance(value, str):
        return _replace_in_text(value)
    if isinstance(value, dict):
        return {replace_lone_surrogates(name): replace_lone_surrogates(item) for name, item in value.items()}
    return [replace_lone_surrogates(item) for item in value] if isinstance(value, (list, tuple)) else value


def join_split_surrogates(
    members: MutableMapping[str, Any], fields: Collection[str], pending: MutableMapping[str, str]
) -> None:
    """Join surrogate pairs that are split over chunks. `pending`: field -> the high surrogate at its end."""
    for name, value in members.items():
        if isinstance(value, str) and value and name in fields:
            text = pending.pop(name, "") + value
            if "\ud800" <= text[-1] <= "\udbff":
                pending[name] = text[-1]
                text = text[:-1]
            members[name] = _replace_in_text(text)


def _replace_in_text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
