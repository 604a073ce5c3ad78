"""The members of a choice and of its message or delta, wherever a provider puts them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from texapi_core.wire.reasoning import REASONING_FIELDS
from texapi_core.wire.scalars import text_or_none
from texapi_core.wire.tool_calls import read_index

KNOWN_MESSAGE_FIELDS = REASONING_FIELDS | {
    "role",
    "content",
    "refusal",
    "tool_calls",
    "function_call",
    "usage",
}
"""Members of a message or a delta that are read, each in its own way."""

_KNOWN_CHOICE_FIELDS = frozenset(
    {"index", "message", "delta", "text", "finish_reason", "logprobs", "usage", "error"}
)


def read_choices(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The choices of an answer or a chunk, `[]` when there are none."""
    choices = body.get("choices")
    if isinstance(choices, dict):
        return [choices]
    if not isinstance(choices, list):
        return []
    return [choice for choice in choices if isinstance(choice, dict)]


def message_of(choice: Mapping[str, Any]) -> dict[str, Any] | None:
    """The message of a whole choice; some servers send a delta, or the text alone."""
    for name in ("message", "delta"):
        message = choice.get(name)
        if isinstance(message, dict):
            return message or {"content": None}
    return {"content": choice["text"]} if isinstance(choice.get("text"), str) else None


def read_finish_reason(choice: Mapping[str, Any]) -> str | None:
    """Why the model stopped, `None` before it has; some servers write the null as text."""
    reason = text_or_none(choice.get("finish_reason"))
    return None if reason in ("null", "None") else reason


def choice_index(choice: Mapping[str, Any]) -> int:
    """The index of a choice, 0 unless it says otherwise."""
    index = choice.get("index")
    return index if isinstance(index, int) else read_index(index) or 0


def message_extras(message: Mapping[str, Any]) -> dict[str, Any]:
    """Members of a message that `ChatChoice` has no field for, those that say something."""
    return {
        name: value
        for name, value in message.items()
        if name not in KNOWN_MESSAGE_FIELDS and value not in (None, "", [], {})
    }


def choice_metadata(choice: Mapping[str, Any]) -> dict[str, Any]:
    """Members of a choice that `ChatChoice` has no field for, those that say something."""
    return {
        name: value
        for name, value in choice.items()
        if name not in _KNOWN_CHOICE_FIELDS and value not in (None, "", [], {})
    }


def logprobs_of(choice: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The log probabilities of a choice, `None` when there are none."""
    logprobs = choice.get("logprobs")
    if not isinstance(logprobs, dict):
        return None
    found = {
        name: [token for token in tokens if isinstance(token, dict)]
        for name, tokens in logprobs.items()
        if isinstance(tokens, list)
    }
    return found or None
