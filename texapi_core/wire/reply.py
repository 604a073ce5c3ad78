"""Answers of the gateway read, wherever a provider puts their members: envelopes, messages, usage.

`parse_reply` reads a whole answer; `texapi_core.wire.stream` reads the chunks of a streamed one with the
same functions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from texapi_core.wire.choices import choice_index, message_of, read_choices, read_finish_reason, text_or_none
from texapi_core.wire.error_answers import is_error, is_message, other_protocol, raise_for_error
from texapi_core.wire.fragments import tool_call_entries
from texapi_core.wire.generated import CONTENT_PARTS, storable
from texapi_core.wire.json import parse_json_object
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
from texapi_core.wire.signatures import SIGNATURES, signed_members
from texapi_core.wire.tool_calls import read_tool_calls
from texapi_core.wire.usage import TokenUsage, parse_usage, reported_usage
from texapi_core.wire.values import ChatChoice, ChatReply, MalformedAnswer

_USAGE_FIELDS = ("usage", "usage_metadata")
"""Members of an answer that hold its usage; `usage_metadata` is Google's."""
_KNOWN_REPLY_FIELDS = frozenset(("id", "object", "created", "model", "choices", *_USAGE_FIELDS, "x_groq"))
_KNOWN_MESSAGE_FIELDS = REASONING_FIELDS.union(
    ("role", "content", "refusal", "tool_calls", "function_call", "usage")
)
_KNOWN_CHOICE_FIELDS = frozenset(
    ("index", "message", "delta", "text", "finish_reason", "logprobs", "usage", "error")
)

_MAX_TIMESTAMP = 2**63
_MAX_ENVELOPES = 3
"""Envelopes around an answer, one in the other."""


def parse_reply(
    body: Mapping[str, Any],
    *,
    request_id: str | None,
    headers: Mapping[str, str],
    think_tags: bool = False,
) -> ChatReply:
    """A whole answer as a `ChatReply`. Raises `ErrorAnswer` or `MalformedAnswer`."""
    body = unwrap(body)
    found = read_choices(body)
    raise_for_error(body, found)
    usage, reported = find_usage(body)
    choices = [choice for one in found if (choice := parse_choice(one, think_tags=think_tags)) is not None]
    if not choices:
        raise MalformedAnswer(
            f"an answer {other_protocol(body) or 'without choices'}", json.dumps(body), usage
        )
    return ChatReply(
        choices=tuple(sorted(choices, key=lambda choice: choice.index)),
        usage=usage,
        model=text_or_none(body.get("model")),
        id=text_or_none(body.get("id")),
        created=timestamp(body.get("created")),
        request_id=request_id,
        headers=headers,
        extras=reply_extras(body),
        raw=with_usage(body, reported, usage),
    )


def unwrap(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The chat completion in an envelope, such as `{"code": 200, "data": {...}}`, or `body` itself.

    Any member may hold it, also as JSON text: of relays `data`, of DashScope `output`, of API gateways
    `body`. Workers AI of Cloudflare has a text in place of choices, in `result` or, streamed, at the top;
    Ollama has a message.
    """
    if "choices" in body or is_error(body.get("error")):
        return body
    level: list[Mapping[str, Any]] = [body]
    for _ in range(_MAX_ENVELOPES):
        values = (value for holder in level for value in holder.values())
        level = [inner for value in values if (inner := _object_in(value)) is not None]
        for inner in level:
            if "choices" in inner:
                return {**_origin(body), **inner}
    answer = body.get("result", body)
    if isinstance(answer, dict) and isinstance(answer.get("response"), str):
        answer = {**_origin(body), **answer}
        return {"choices": [{"index": 0, "message": {"content": answer.pop("response")}}], **answer}
    return _ollama_completion(body) if is_message(body.get("message")) and "done" in body else body


def _object_in(value: Any) -> Mapping[str, Any] | None:
    """The object that a member of an envelope is, or holds in a list or as JSON text."""
    if isinstance(value, str) and '"choices"' in value:
        try:
            return parse_json_object(value.encode())
        except MalformedAnswer:
            return None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, dict) else None


def _ollama_completion(body: Mapping[str, Any]) -> dict[str, Any]:
    # https://github.com/ollama/ollama/blob/main/docs/api.md#generate-a-chat-completion
    reason = body.get("done_reason") or ("stop" if body["done"] else None)
    counts = {name: body[name] for name in ("prompt_eval_count", "eval_count") if name in body}
    others = {name: value for name, value in body.items() if name not in ("message", *counts)}
    choice = {"index": 0, "message": body["message"], "finish_reason": reason}
    return {**others, "choices": [choice], "usage": counts or None}


def _origin(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in ("id", "model", "created", "usage") if name in body}


def parse_choice(choice: Mapping[str, Any], *, think_tags: bool = False) -> ChatChoice | None:
    """A choice of a whole answer; `None` if there is no message in it."""
    members, finish_reason, index = message_of(choice), read_finish_reason(choice), choice_index(choice)
    if not members:
        return None
    message = read_message(members)
    text, reasoning = message.text, whole(message.reasoning)
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
    reasoning = read_reasoning(members)
    has_calls = "tool_calls" in members or "function_call" in members
    extras = {} if _KNOWN_MESSAGE_FIELDS.issuperset(members) else message_extras(members)
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


def message_extras(members: Mapping[str, Any]) -> dict[str, Any]:
    """Members of a message that `Message` has no field for, except empty ones."""
    return _without_empty(members, _KNOWN_MESSAGE_FIELDS)


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


def find_usage(body: Mapping[str, Any]) -> tuple[TokenUsage | None, Any]:
    """Usage of an answer or a chunk, wherever the provider puts it, and the object that reports it.

    Moonshot puts it into the choice of the last chunk, others into its delta, Groq into `x_groq`.
    """
    for name in _USAGE_FIELDS:
        if (usage := parse_usage(reported := body.get(name))) is not None:
            return usage, reported
    x_groq = body.get("x_groq")
    choices = read_choices(body)
    holders = (
        holder for choice in choices for holder in (choice, choice.get("delta"), choice.get("message"))
    )
    for holder in (*holders, x_groq):
        if isinstance(holder, dict) and (usage := parse_usage(reported := holder.get("usage"))) is not None:
            return usage, reported
    return None, None


def with_usage(body: Mapping[str, Any], reported: Any, usage: TokenUsage | None) -> dict[str, Any]:
    """`body` with a `usage` that has int counts: LlamaIndex's handlers add them up unchecked."""
    others = {name: value for name, value in body.items() if name not in _USAGE_FIELDS}
    return others if usage is None else {**others, "usage": reported_usage(reported, usage)}


def reply_extras(body: Mapping[str, Any]) -> dict[str, Any]:
    """Members of an answer that `ChatReply` has no field for."""
    return {
        name: value if type(value) is str else storable(value)
        for name, value in body.items()
        if name not in _KNOWN_REPLY_FIELDS and value is not None and (name != "error" or is_error(value))
    }


def _string(value: Any) -> str:
    """The value if it is text, else `""`."""
    return value if isinstance(value, str) else ""


def timestamp(value: Any) -> int | None:
    """Seconds since 1970, `None` when the value is no number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        seconds = int(value)
    except (ValueError, OverflowError):
        return None
    return seconds if abs(seconds) < _MAX_TIMESTAMP else None
