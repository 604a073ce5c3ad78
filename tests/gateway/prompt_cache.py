"""The gateway's prompt cache."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.gateway.models import caches_what_is_marked
from tests.gateway.tokens import count_message, count_tools

SMALLEST_PREFIX = 20
_PRIMING = 3
_LOOKBACK = 20
"""How many blocks before a mark Claude looks for the end of an earlier prompt."""


@dataclass(frozen=True)
class PromptUsage:
    """How many tokens a prompt has and how many of them were cached."""

    total: int
    cached: int
    written: int | None
    """Tokens newly stored because the request marked them; nothing when nothing was marked."""


@dataclass(frozen=True)
class Block:
    """A tool, a part of a message, or its tool calls: what a mark can stand on."""

    start: str
    """The prompt up to the end of this block, without marks."""
    tokens: int
    """How many tokens the prompt has up to the end of this block."""
    is_marked: bool


class PromptCache:
    """Remembers the starts of prompts: those that are marked for Claude, all messages for the others."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def clear(self) -> None:
        self._seen.clear()

    def measure(self, body: dict[str, Any]) -> PromptUsage:
        """Count the tokens of a prompt and remember its start."""
        blocks = list(_blocks(body))
        total = blocks[-1].tokens + _PRIMING
        if not caches_what_is_marked(body["model"]):
            cached = max((block.tokens for block in blocks if self._knows(block)), default=0)
            self._seen.update(block.start for block in blocks)
            return PromptUsage(total, cached, None)
        marks = [at for at, block in enumerate(blocks) if block.is_marked]
        in_reach = [block for at in marks for block in blocks[max(at - _LOOKBACK, 0) : at + 1]]
        cached = max((block.tokens for block in in_reach if self._knows(block)), default=0)
        stored = [blocks[at] for at in marks if blocks[at].tokens >= SMALLEST_PREFIX]
        self._seen.update(block.start for block in stored)
        written = stored[-1].tokens - cached if stored else 0
        return PromptUsage(total, cached, written if written > 0 else None)

    def _knows(self, block: Block) -> bool:
        return block.start in self._seen and block.tokens >= SMALLEST_PREFIX


def _blocks(body: dict[str, Any]) -> Iterator[Block]:
    """The blocks of a prompt in the order in which providers read it."""
    tools = [_unmarked(tool) for tool in body.get("tools") or []]
    start, tokens = body["model"], 0
    for at, tool in enumerate(tools):
        start, tokens = _longer(start, tool), count_tools(tools[: at + 1])
        yield Block(start, tokens, is_marked(body["tools"][at]))
    last = len(body["messages"]) - 1
    for number, message in enumerate(body["messages"]):
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
        around = {name: value for name, value in message.items() if name not in ("content", "tool_calls")}
        for at, part in enumerate(parts):
            is_last = at == len(parts) - 1
            said = {"content": parts[: at + 1], "tool_calls": message.get("tool_calls") if is_last else None}
            start = _longer(start, [_unmarked(around), _unmarked(part), _unmarked(said["tool_calls"])])
            ends_prompt = is_last and number == last and bool(body.get("cache_control"))
            yield Block(start, tokens + count_message(said), is_marked(part) or ends_prompt)
        tokens += count_message(message)


def _longer(start: str, value: Any) -> str:
    return start + "\n" + json.dumps(value, sort_keys=True)


def is_marked(value: Any) -> bool:
    return isinstance(value, dict) and bool(value.get("cache_control"))


def _unmarked(value: Any) -> Any:
    """Return a value without the marks, which may move from request to request."""
    if isinstance(value, dict):
        return {key: _unmarked(each) for key, each in value.items() if key != "cache_control"}
    if isinstance(value, list):
        return [_unmarked(each) for each in value]
    return value
