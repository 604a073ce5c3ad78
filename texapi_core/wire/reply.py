"""A whole answer as a `ChatReply`; `texapi_core.wire.stream` reads a streamed one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from texapi_core.wire.error_answers import raise_for_error
from texapi_core.wire.message import message_of, parse_choice, read_choices
from texapi_core.wire.scalars import text_or_none, timestamp
from texapi_core.wire.usage import TokenUsage, parse_usage
from texapi_core.wire.values import ChatReply, MalformedAnswer

_KNOWN_REPLY_FIELDS = frozenset({"id", "object", "created", "model", "choices", "usage", "error", "x_groq"})


def parse_reply(body: Mapping[str, Any], *, request_id: str | None, headers: Mapping[str, str]) -> ChatReply:
    """A whole answer as a `ChatReply`. Raises `ErrorAnswer` or `MalformedAnswer`."""
    raise_for_error(body)
    usage = find_usage(body)
    choices = [parse_choice(one, message) for one in read_choices(body) if (message := message_of(one))]
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
