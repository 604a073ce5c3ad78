"""The choices of an answer or a chunk: index, message and finish reason, in any form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NULLS = ("null", "None")
"""What some relays send for a null (zed-industries/zed#54058)."""
_COMPLETE = frozenset({"stop", "tool_calls", "tool_call", "tool_use", "function_call"}).union(
    ("end_turn", "stop_sequence", "eos", "eos_token", "complete", "completed", "done", "finished")
)
"""Finish reasons of an answer that the model ended itself, in lower case: OpenAI's, then other protocols'."""


def read_choices(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The choices of an answer or a chunk, `[]` when there are none."""
    choices = body.get("choices")
    if isinstance(choices, dict):
        return [choices]
    if not isinstance(choices, list):
        return []
    return [choice for choice in choices if isinstance(choice, dict)]


def message_of(choice: Mapping[str, Any]) -> dict[str, Any] | None:
    """The message of a choice; some servers send a delta, or only the text, in place of a message."""
    for name in ("message", "delta"):
        message = choice.get(name)
        if message and isinstance(message, dict):
            return message
    if isinstance(choice.get("text"), str):
        return {"content": choice["text"]}
    said_nothing = isinstance(choice.get("message", choice.get("delta")), dict) or read_finish_reason(choice)
    return {"content": None} if said_nothing else None


def choice_index(choice: Mapping[str, Any]) -> int:
    """The index of a choice, 0 by default."""
    index = choice.get("index")
    return index if isinstance(index, int) else read_index(index) or 0


def read_index(index: Any) -> int | None:
    """The index of a choice or a tool call; some servers send a float or text."""
    if type(index) is int:
        return index
    if isinstance(index, str) and index.isdecimal():
        return int(index[:9])
    if isinstance(index, float) and index.is_integer():
        return int(index)
    return None


def read_finish_reason(choice: Mapping[str, Any]) -> str | None:
    """Why the model stopped, `None` while it has not; some servers send null as text, `false` or 0."""
    reason = text_or_none(choice.get("finish_reason") or None)
    return None if reason in NULLS else reason


def was_cut(finish_reason: str | None) -> bool:
    """Whether something else than the model ended the answer: `length`, `content_filter`, nothing at all."""
    return finish_reason is None or finish_reason.lower() not in _COMPLETE


def text_or_none(value: Any) -> str | None:
    """An id or a name as text; a few servers send numbers."""
    if value is None or value == "" or isinstance(value, (bool, dict, list)):
        return None
    return str(value)
