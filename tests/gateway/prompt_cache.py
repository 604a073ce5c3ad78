"""The gateway's prompt cache."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.gateway.tokens import count_message, count_tools

SMALLEST_PREFIX = 20
_PRIMING = 3


@dataclass(frozen=True)
class PromptUsage:
    """How many tokens a prompt has and how many of them were cached."""

    total: int
    cached: int
    written: int | None
    """Tokens newly stored because the request marked them; nothing when nothing was marked."""


class PromptCache:
    """Remembers the leading messages of every request."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def clear(self) -> None:
        """Forget everything."""
        self._seen.clear()

    def measure(self, body: dict[str, Any]) -> PromptUsage:
        """Count the tokens of a prompt and remember its leading messages."""
        tools = body.get("tools") or []
        total = count_tools(tools)
        key = json.dumps([body["model"], _unmarked(tools)], sort_keys=True)
        marked = total if _is_marked(tools) else 0
        cached = 0
        keys: list[str] = []
        for message in body["messages"]:
            total += count_message(message)
            key += "\n" + json.dumps(_unmarked(message), sort_keys=True)
            keys.append(key)
            if key in self._seen and total >= SMALLEST_PREFIX:
                cached = total
            if _is_marked(message):
                marked = total
        self._seen.update(keys)
        written = marked - cached if marked >= SMALLEST_PREFIX and marked > cached else None
        return PromptUsage(total + _PRIMING, cached, written)


def _is_marked(value: Any) -> bool:
    """Return whether a value contains a cache mark."""
    if isinstance(value, dict):
        return bool(value.get("cache_control")) or any(map(_is_marked, value.values()))
    return isinstance(value, list) and any(map(_is_marked, value))


def _unmarked(value: Any) -> Any:
    """Return a value without the marks, which may move from request to request."""
    if isinstance(value, dict):
        return {key: _unmarked(each) for key, each in value.items() if key != "cache_control"}
    if isinstance(value, list):
        return [_unmarked(each) for each in value]
    return value
