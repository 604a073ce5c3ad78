"""The choices of an answer or a chunk, with the message or the delta in each, in any form.

`parse_choices` reads those of a whole answer; `texapi_core.wire.growing` adds up those of a streamed one with
the same functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from texapi_core.wire.fragments import tool_call_entries
from texapi_core.wire.generated import CONTENT_PARTS, storable
from texapi_core.wire.pieces import ThinkTags
from texapi_core.wire.reasoning import (
    NO_REASONING,
    REASONING_FIELDS,
    Reasoning,
    add_thought,
    read_reasoning,
    split_content,
    whole,
)
from texapi_core.wire.scalars import NULLS, read_index, text_or_none
from texapi_core.wire.signatures import SIGNATURES, signed_members
from texapi_core.wire.tool_calls import read_tool_calls
from texapi_core.wire.values import ChatChoice

_KNOWN_CHOICE_FIELDS = frozenset(
    ("index", "message", "delta", "text", "finish_reason", "logprobs", "usage", "error")
)
_KNOWN_MESSAGE_FIELDS = REASONING_FIELDS.union(
    ("role", "content", "refusal", "tool_calls", "function_call", "usage")
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


def read_finish_reason(choice: Mapping[str, Any]) -> str | None:
    """Why the model stopped, `None` while it has not; some servers send null as text, `false` or 0."""
    reason = choice.get("finish_reason") or None
    if type(reason) is not str:
        reason = text_or_none(reason)
    return None if reason in NULLS else reason


def parse_choices(choices: Iterable[Mapping[str, Any]], *, think_tags: bool) -> tuple[ChatChoice, ...]:
    """The choices of a whole answer that have a message, in the order of their index."""
    parsed = (_parse_choice(choice, think_tags=think_tags) for choice in choices)
    return tuple(sorted(filter(None, parsed), key=attrgetter("index")))


def _parse_choice(choice: Mapping[str, Any], *, think_tags: bool) -> ChatChoice | None:
    members, finish_reason, index = message_of(choice), read_finish_reason(choice), choice_index(choice)
    if not members:
        return None
    message = read_message(members)
    text, reasoning = message.text, message.reasoning
    if reasoning.details:
        reasoning = whole(reasoning)
    if think_tags:
        tags = ThinkTags()
        thought, text = map("".join, zip(tags.add(text), tags.finish(), strict=True))
        reasoning = add_thought(reasoning, thought)
    entries = message.tool_call_entries
    return ChatChoice(
        index=index,
        text=text,
        reasoning=reasoning,
        refusal=message.refusal,
        tool_calls=read_tool_calls(entries, finish_reason) if entries else (),
        finish_reason=finish_reason,
        logprobs=logprobs_of(choice),
        extras=message.extras,
        metadata=choice_metadata(choice),
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


def read_message(members: Mapping[str, Any]) -> Message:
    """A message or a delta, read from its JSON. An empty tool call is none."""
    content = members.get("content")
    reasoning = NO_REASONING if REASONING_FIELDS.isdisjoint(members) else read_reasoning(members)
    has_calls = "tool_calls" in members or "function_call" in members
    extras: dict[str, Any] = {}
    if not _KNOWN_MESSAGE_FIELDS.issuperset(members):
        extras = _without_empty(members, _KNOWN_MESSAGE_FIELDS)
    if content is None or content.__class__ is str:
        text = content or ""
    else:
        text, thoughts, other_parts = split_content(content)
        if thoughts is not NO_REASONING:
            reasoning = _beside_content(reasoning, thoughts)
        if other_parts:
            extras[CONTENT_PARTS] = storable(other_parts)
        if isinstance(content, list) and SIGNATURES in (signed := signed_members(content)):
            extras.setdefault(SIGNATURES, signed[SIGNATURES])
    return Message(
        text,
        reasoning,
        _string(members["refusal"]) if "refusal" in members else "",
        tool_call_entries(members) if has_calls else [],
        extras,
    )


def _beside_content(reasoning: Reasoning, thoughts: Reasoning) -> Reasoning:
    """The reasoning of a message, of which its members say more than its content."""
    text, field = (reasoning.text, reasoning.field) if reasoning.text else (thoughts.text, None)
    if reasoning.details:
        return Reasoning(text, field, reasoning.details, reasoning.details_field)
    return Reasoning(text, field, thoughts.details, thoughts.details_field)


def choice_metadata(choice: Mapping[str, Any]) -> dict[str, Any]:
    """Members of a choice that `ChatChoice` has no field for, except empty ones."""
    return {} if _KNOWN_CHOICE_FIELDS.issuperset(choice) else _without_empty(choice, _KNOWN_CHOICE_FIELDS)


def _without_empty(members: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    return {
        name: storable(value)
        for name, value in members.items()
        if name not in known and value not in (None, "", [], {})
    }


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


def _string(value: Any) -> str:
    """The value if it is text, else `""`."""
    return value if isinstance(value, str) else ""
