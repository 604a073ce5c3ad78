"""Deterministic splitting of text into tokens and characters."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

_TOKEN = re.compile(r"\s*(?:[^\W\d_]{1,8}|\d{1,3}|_|[^\w\s])|\s+")

_MESSAGE_OVERHEAD = 4
_PART_TOKENS = {"image_url": 85, "input_audio": 50, "file": 100}


def split_tokens(text: str) -> list[str]:
    """Split a text into tokens that add up to the text."""
    return _TOKEN.findall(text)


def count_tokens(text: str) -> int:
    return len(split_tokens(text))


def cut_tokens(text: str, limit: int) -> str:
    return "".join(split_tokens(text)[: max(limit, 0)])


def count_message(message: dict[str, Any]) -> int:
    total = _MESSAGE_OVERHEAD
    content = message.get("content")
    if isinstance(content, str):
        total += count_tokens(content)
    for part in content if isinstance(content, list) else []:
        total += _PART_TOKENS.get(part.get("type"), 0) + count_tokens(part.get("text") or "")
    for call in message.get("tool_calls") or []:
        called = call[call["type"]]
        total += count_tokens(called["name"]) + count_tokens(
            called.get("arguments") or called.get("input", "")
        )
    return total


def count_tools(tools: list[dict[str, Any]]) -> int:
    return count_tokens(json.dumps(tools, ensure_ascii=False)) if tools else 0


def split_characters(text: str) -> list[str]:
    """Split a text into user-perceived characters.

    Combining accents, joined emoji and flags stay together.
    """
    characters: list[str] = []
    for sign in text:
        if characters and _continues(characters[-1], sign):
            characters[-1] += sign
        else:
            characters.append(sign)
    return characters


def split_pieces(text: str, size: int) -> list[str]:
    characters = split_characters(text)
    return ["".join(characters[at : at + size]) for at in range(0, len(characters), size)]


def _continues(character: str, sign: str) -> bool:
    """Return whether a code point belongs to the character before it."""
    if unicodedata.combining(sign) or sign in "\u200d\ufe0e\ufe0f\u20e3":
        return True
    if character.endswith("\u200d") or "\U0001f3fb" <= sign <= "\U0001f3ff":
        return True
    is_flag = "\U0001f1e6" <= sign <= "\U0001f1ff"
    return is_flag and len(character) == 1 and "\U0001f1e6" <= character <= "\U0001f1ff"
