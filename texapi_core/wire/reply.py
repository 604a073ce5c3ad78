"""A whole answer as a `ChatReply`, or the error in its place; `wire.stream` reads a streamed one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from texapi_core.wire.message import (
    message_of,
    parse_choice,
    read_choices,
    read_finish_reason,
    text_or_none,
    timestamp,
)
from texapi_core.wire.usage import TokenUsage, parse_usage
from texapi_core.wire.values import ChatReply, ErrorAnswer, MalformedAnswer

_KNOWN_REPLY_FIELDS = frozenset({"id", "object", "created", "model", "choices", "usage", "error", "x_groq"})
_FAILED = frozenset({"error", "network_error", "insufficient_system_resource", "abort"})
"""Finish reasons of answers that the provider could not complete.

OpenRouter; Z.ai; DeepSeek, https://api-docs.deepseek.com/api/create-chat-completion; vLLM and SGLang.
"""
_ANSWER_FIELDS = frozenset({"choices", "usage", "x_groq"})
_NO_PART_OF_ERRORS = _ANSWER_FIELDS | {"object", "error"}
_ERROR_FIELDS = frozenset({"message", "msg", "detail", "errors", "error_code", "error_msg", "error_message"})


def parse_reply(body: Mapping[str, Any], *, request_id: str | None, headers: Mapping[str, str]) -> ChatReply:
    """A whole answer as a `ChatReply`. Raises `ErrorAnswer` or `MalformedAnswer`."""
    found = raise_for_error(body)
    usage = find_usage(body)
    choices = [parse_choice(one, message) for one in found if (message := message_of(one))]
    if not choices:
        raise MalformedAnswer("an answer without choices", json.dumps(body), usage)
    return ChatReply(
        choices=tuple(sorted(choices, key=lambda choice: choice.index)),
        usage=usage,
        model=text_or_none(body.get("model")),
        id=text_or_none(body.get("id")),
        created=timestamp(body.get("created")),
        request_id=request_id,
        headers=headers,
        extras=reply_extras(body),
        raw=with_usage(body, body.get("usage"), usage),
    )


def find_usage(body: Mapping[str, Any]) -> TokenUsage | None:
    """Usage of an answer or a chunk, wherever the provider puts it.

    Moonshot puts it into the choice of the last chunk, others into its delta, Groq into `x_groq`.
    """
    usage = parse_usage(body.get("usage"))
    if usage is not None:
        return usage
    for choice in read_choices(body):
        for holder in (choice, choice.get("delta"), choice.get("message")):
            if isinstance(holder, dict) and (usage := parse_usage(holder.get("usage"))) is not None:
                return usage
    x_groq = body.get("x_groq")
    return parse_usage(x_groq.get("usage")) if isinstance(x_groq, dict) else None


def with_usage(body: Mapping[str, Any], reported: Any, usage: TokenUsage | None) -> Mapping[str, Any]:
    """`body` with a `usage` that has int counts: LlamaIndex's handlers add them up unchecked."""
    if usage is None:
        return {name: value for name, value in body.items() if name != "usage"}
    details = reported if isinstance(reported, dict) else {}
    kept = {name: value for name, value in details.items() if value is not None}
    return {**body, "usage": {**kept, **usage.as_wire()}}


def reply_extras(body: Mapping[str, Any]) -> dict[str, Any]:
    """Members of an answer that `ChatReply` has no field for."""
    return {
        name: value for name, value in body.items() if name not in _KNOWN_REPLY_FIELDS and value is not None
    }


def raise_for_error(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The choices of an answer or a chunk. Raises `ErrorAnswer` when it, or one of them, holds an error."""
    raise_for_error_object(body)
    raise_for_groq_error(body)
    choices = read_choices(body)
    for choice in choices:
        raise_for_failed_choice(choice)
    return choices


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


def raise_for_error_object(body: Mapping[str, Any]) -> None:
    """Raise `ErrorAnswer` when an answer or a chunk is an error: in OpenAI's form, vLLM's or a flat one."""
    error = body.get("error")
    if is_container(error) and _is_error(error):
        raise ErrorAnswer(error)
    is_flagged = bool(error) and not is_container(error)
    if is_flagged or body.get("object") == "error" or body.get("type") == "error" or _looks_like_error(body):
        raise ErrorAnswer({name: body[name] for name in body if name not in _NO_PART_OF_ERRORS})


def is_container(error: Any) -> bool:
    """Whether an `error` describes itself; any other value is a flag, described by the object around it."""
    return isinstance(error, (dict, list, str))


def _is_error(error: Any) -> bool:
    """Whether an `error` has content: some servers put one with code 0 and no message beside each answer."""
    return any(error.values()) if isinstance(error, dict) else bool(error)


def _looks_like_error(body: Mapping[str, Any]) -> bool:
    """Whether a document is an error in one of many flat forms."""
    return not _ANSWER_FIELDS.intersection(body) and bool(_ERROR_FIELDS.intersection(body))
