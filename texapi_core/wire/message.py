"""Choices and their messages, wherever a provider puts their members; a delta is read like a message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from texapi_core.wire.reasoning import NO_CONTENT, REASONING_FIELDS, Reasoning, read_reasoning, split_content
from texapi_core.wire.tool_calls import read_index, read_tool_calls, tool_call_entries
from texapi_core.wire.values import ChatChoice

_KNOWN_MESSAGE_FIELDS = REASONING_FIELDS.union(
    ("role", "content", "refusal", "tool_calls", "function_call", "usage")
)
_KNOWN_CHOICE_FIELDS = frozenset(
    ("index", "message", "delta", "text", "finish_reason", "logprobs", "usage", "error")
)


@dataclass(slots=True)  # not frozen: that takes three times as long to make, and each chunk makes one
class Message:
    """What a message or a delta holds."""

    text: str
    reasoning: Reasoning
    refusal: str
    tool_call_entries: list[dict[str, Any]]
    """As on the wire: whole calls, or the pieces of calls that a delta adds."""
    extras: dict[str, Any]
    """Members without a field above; `content_parts` holds the parts of `content` that are no text."""


def read_message(members: Mapping[str, Any], *, is_delta: bool = False) -> Message:
    """A message or a delta, read from its JSON.

    `tool_calls` or `function_call` of `{}` is a call without a name in a message, and nothing in a delta.
    """
    content = members.get("content")
    is_empty = content is None or content == ""
    text, part_reasoning, other_parts = NO_CONTENT if is_empty else split_content(content)
    reasoning = read_reasoning(members)
    if part_reasoning and not reasoning.text:
        reasoning = Reasoning(part_reasoning, None, reasoning.details, reasoning.details_field)
    has_calls = not is_delta or members.get("tool_calls") or members.get("function_call")
    extras = {} if _KNOWN_MESSAGE_FIELDS.issuperset(members) else message_extras(members)
    if other_parts:
        extras["content_parts"] = list(other_parts)
    return Message(
        text,
        reasoning,
        string(members["refusal"]) if "refusal" in members else "",
        tool_call_entries(members) if has_calls else [],
        extras,
    )


def parse_choice(choice: Mapping[str, Any], members: Mapping[str, Any]) -> ChatChoice:
    """A choice of a whole answer, `members` being its message."""
    message = read_message(members)
    return ChatChoice(
        index=choice_index(choice),
        text=message.text or string(choice.get("text")),
        reasoning=message.reasoning,
        refusal=message.refusal,
        tool_calls=read_tool_calls(message.tool_call_entries) if message.tool_call_entries else (),
        finish_reason=read_finish_reason(choice),
        logprobs=logprobs_of(choice),
        extras=message.extras,
        metadata=choice_metadata(choice),
    )


def message_extras(members: Mapping[str, Any]) -> dict[str, Any]:
    """Members of a message that `Message` has no field for, except empty ones."""
    return _without_empty(members, _KNOWN_MESSAGE_FIELDS)


def choice_metadata(choice: Mapping[str, Any]) -> dict[str, Any]:
    """Members of a choice that `ChatChoice` has no field for, except empty ones."""
    return _without_empty(choice, _KNOWN_CHOICE_FIELDS)


def _without_empty(members: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    return {
        name: value
        for name, value in members.items()
        if name not in known and value not in (None, "", [], {})
    }


def read_choices(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The choices of an answer or a chunk, `[]` when there are none."""
    choices = body.get("choices")
    if isinstance(choices, dict):
        return [choices]
    if not isinstance(choices, list):
        return []
    return [choice for choice in choices if isinstance(choice, dict)]


def message_of(choice: Mapping[str, Any]) -> dict[str, Any] | None:
    """The message of a whole choice; some servers send a delta, or only the text."""
    for name in ("message", "delta"):
        message = choice.get(name)
        if isinstance(message, dict):
            return message or {"content": None}
    return {"content": choice["text"]} if isinstance(choice.get("text"), str) else None


def read_finish_reason(choice: Mapping[str, Any]) -> str | None:
    """Why the model stopped, `None` while it has not; some servers send null as text."""
    reason = text_or_none(choice.get("finish_reason"))
    return None if reason in ("null", "None") else reason


def choice_index(choice: Mapping[str, Any]) -> int:
    """The index of a choice, 0 by default."""
    index = choice.get("index")
    return index if isinstance(index, int) else read_index(index) or 0


def logprobs_of(choice: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]] | None:
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


def string(value: Any) -> str:
    """The value if it is text, else `""`."""
    return value if isinstance(value, str) else ""


def text_or_none(value: Any) -> str | None:
    """An id or a name as text; a few servers send numbers."""
    if value is None or value == "" or isinstance(value, (dict, list)):
        return None
    return str(value)


def timestamp(value: Any) -> int | None:
    """Seconds since 1970, `None` when the value is no number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return int(value)
    except (ValueError, OverflowError):
        return None
