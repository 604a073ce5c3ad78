"""Answers of the gateway read, wherever a provider puts their members: errors, choices, messages, usage.

`parse_reply` reads a whole answer; `texapi_core.wire.stream` reads the chunks of a streamed one with the
same functions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from texapi_core.wire.generated import CONTENT_PARTS, storable
from texapi_core.wire.pieces import ThinkTags
from texapi_core.wire.reasoning import (
    NO_CONTENT,
    REASONING_FIELDS,
    Reasoning,
    add_thought,
    read_reasoning,
    split_content,
)
from texapi_core.wire.tool_calls import read_index, read_tool_calls, tool_call_entries
from texapi_core.wire.usage import TokenUsage, parse_usage, reported_usage
from texapi_core.wire.values import ChatChoice, ChatReply, ErrorAnswer, MalformedAnswer

_USAGE_FIELDS = ("usage", "usage_metadata")
"""Members of an answer that hold its usage; `usage_metadata` is Google's."""
_KNOWN_REPLY_FIELDS = frozenset(
    ("id", "object", "created", "model", "choices", *_USAGE_FIELDS, "error", "x_groq")
)
_KNOWN_MESSAGE_FIELDS = REASONING_FIELDS.union(
    ("role", "content", "refusal", "tool_calls", "function_call", "usage")
)
_KNOWN_CHOICE_FIELDS = frozenset(
    ("index", "message", "delta", "text", "finish_reason", "logprobs", "usage", "error")
)

_OTHER_PROTOCOLS = {
    "message": "of Anthropic's Messages API",
    "content": "of Anthropic's Messages API",
    "response": "of OpenAI's Responses API",
}
"""First word of an event's or an answer's type -> its protocol."""
_FAILED = frozenset({"error", "network_error", "insufficient_system_resource", "abort"})
"""Finish reasons of answers that the provider could not complete.

OpenRouter; Z.ai; DeepSeek, https://api-docs.deepseek.com/api/create-chat-completion; vLLM and SGLang.
"""
_MAX_TIMESTAMP = 2**63
_ANSWER_FIELDS = frozenset({"choices", "usage", "x_groq"})
_NO_PART_OF_ERRORS = _ANSWER_FIELDS | {"object", "error"}
_ERROR_FIELDS = frozenset({"message", "msg", "detail", "errors", "error_code", "error_msg", "error_message"})


def parse_reply(
    body: Mapping[str, Any],
    *,
    request_id: str | None,
    headers: Mapping[str, str],
    think_tags: bool = False,
) -> ChatReply:
    """A whole answer as a `ChatReply`. Raises `ErrorAnswer` or `MalformedAnswer`."""
    body = unwrap(body)
    raise_for_error(body)
    usage, reported = find_usage(body)
    choices = [
        parse_choice(one, message, think_tags=think_tags)
        for one in read_choices(body)
        if (message := message_of(one))
    ]
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

    Any member may hold it: of relays `data`, of DashScope `output`. Workers AI of Cloudflare has a text in
    place of choices, in `result` or, streamed, at the top.
    """
    if "choices" in body or body.get("error"):
        return body
    for inner in body.values():
        if isinstance(inner, dict) and "choices" in inner:
            return {**_origin(body), **inner}
    answer = body.get("result", body)
    if not isinstance(answer, dict) or not isinstance(answer.get("response"), str):
        return body
    answer = {**_origin(body), **answer}
    return {"choices": [{"index": 0, "message": {"content": answer.pop("response")}}], **answer}


def _origin(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in ("id", "model", "created", "usage") if name in body}


def other_protocol(body: Mapping[str, Any]) -> str | None:
    """The protocol that an answer or an event without choices belongs to, for an error message."""
    kind = body.get("type") or body.get("object")
    return _OTHER_PROTOCOLS.get(re.split("[_.]", kind)[0]) if isinstance(kind, str) else None


def raise_for_error(body: Mapping[str, Any]) -> None:
    """Raise `ErrorAnswer` when an answer or a chunk holds an error, at the top or in a choice."""
    raise_for_error_object(body)
    raise_for_groq_error(body)
    for choice in read_choices(body):
        raise_for_failed_choice(choice)


def raise_for_error_object(body: Mapping[str, Any]) -> None:
    """Raise `ErrorAnswer` when an answer or a chunk is an error: in OpenAI's form, vLLM's or a flat one."""
    error = body.get("error")
    # Some servers put an error with code 0 and no message beside each answer.
    if is_container(error) and (any(error.values()) if isinstance(error, dict) else error):
        raise ErrorAnswer(error)
    if body.get("base_resp") and not body.get("choices"):
        raise_for_base_resp(body["base_resp"])
    is_flagged = bool(error) and not is_container(error)
    is_flat = _ANSWER_FIELDS.isdisjoint(body) and not _ERROR_FIELDS.isdisjoint(body)
    if is_flat and other_protocol(body):
        return
    if is_flagged or is_flat or body.get("object") == "error" or body.get("type") == "error":
        raise ErrorAnswer({name: body[name] for name in body if name not in _NO_PART_OF_ERRORS})


def raise_for_base_resp(base_resp: Any) -> None:
    """Raise `ErrorAnswer` for MiniMax's `base_resp` of an answer without choices, if its code is not 0."""
    if isinstance(base_resp, dict) and base_resp.get("status_code") not in (None, 0, "0", ""):
        raise ErrorAnswer({"code": base_resp["status_code"], "message": base_resp.get("status_msg")})


def is_container(error: Any) -> bool:
    """Whether an `error` describes itself; any other value is a flag, described by the object around it."""
    return isinstance(error, (dict, list, str))


def raise_for_groq_error(body: Mapping[str, Any]) -> None:
    """Raise `ErrorAnswer` when Groq's `x_groq` holds the reason why the answer stopped early."""
    x_groq = body.get("x_groq")
    if isinstance(x_groq, dict) and x_groq.get("error"):
        raise ErrorAnswer(x_groq["error"])


def raise_for_failed_choice(choice: Mapping[str, Any]) -> None:
    """Raise `ErrorAnswer` when a choice holds an error, or ends with one."""
    for holder in (choice, choice.get("delta"), choice.get("message")):
        if isinstance(holder, dict) and holder.get("error"):
            raise ErrorAnswer(holder["error"])
    finish_reason = read_finish_reason(choice)
    if finish_reason in _FAILED:
        named = "an error" if finish_reason == "error" else repr(finish_reason)
        raise ErrorAnswer({"message": f"the provider ended the answer with {named}"})


def read_choices(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The choices of an answer or a chunk, `[]` when there are none."""
    choices = body.get("choices")
    if isinstance(choices, dict):
        return [choices]
    if not isinstance(choices, list):
        return []
    return [choice for choice in choices if isinstance(choice, dict)]


def parse_choice(
    choice: Mapping[str, Any], members: Mapping[str, Any], *, think_tags: bool = False
) -> ChatChoice:
    """A choice of a whole answer, `members` being its message."""
    message = read_message(members)
    text, reasoning = message.text or _string(choice.get("text")), message.reasoning
    if think_tags:
        tags = ThinkTags()
        thought, text = map("".join, zip(tags.add(text), tags.finish(), strict=True))
        reasoning = add_thought(reasoning, thought)
    return ChatChoice(
        index=choice_index(choice),
        text=text,
        reasoning=reasoning,
        refusal=message.refusal,
        tool_calls=read_tool_calls(message.tool_call_entries) if message.tool_call_entries else (),
        finish_reason=read_finish_reason(choice),
        logprobs=logprobs_of(choice),
        extras=message.extras,
        metadata=choice_metadata(choice),
    )


def message_of(choice: Mapping[str, Any]) -> dict[str, Any] | None:
    """The message of a whole choice; some servers send a delta, or only the text."""
    for name in ("message", "delta"):
        message = choice.get(name)
        if isinstance(message, dict):
            return message or {"content": None}
    if isinstance(choice.get("text"), str):
        return {"content": choice["text"]}
    return {"content": None} if read_finish_reason(choice) else None  # the model said nothing


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
    is_empty = content is None or content == ""
    text, part_reasoning, other_parts = NO_CONTENT if is_empty else split_content(content)
    reasoning = read_reasoning(members)
    if part_reasoning and not reasoning.text:
        reasoning = Reasoning(part_reasoning, None, reasoning.details, reasoning.details_field)
    has_calls = members.get("tool_calls") or members.get("function_call")
    extras = {} if _KNOWN_MESSAGE_FIELDS.issuperset(members) else message_extras(members)
    if other_parts:
        extras[CONTENT_PARTS] = storable(list(other_parts))
    return Message(
        text,
        reasoning,
        _string(members["refusal"]) if "refusal" in members else "",
        tool_call_entries(members) if has_calls else [],
        extras,
    )


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


def choice_index(choice: Mapping[str, Any]) -> int:
    """The index of a choice, 0 by default."""
    index = choice.get("index")
    return index if isinstance(index, int) else read_index(index) or 0


def read_finish_reason(choice: Mapping[str, Any]) -> str | None:
    """Why the model stopped, `None` while it has not; some servers send null as text."""
    reason = text_or_none(choice.get("finish_reason"))
    return None if reason in ("null", "None") else reason


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
        name: storable(value)
        for name, value in body.items()
        if name not in _KNOWN_REPLY_FIELDS and value is not None
    }


def _string(value: Any) -> str:
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
        seconds = int(value)
    except (ValueError, OverflowError):
        return None
    return seconds if abs(seconds) < _MAX_TIMESTAMP else None
