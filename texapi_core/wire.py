"""The gateway's JSON as plain typed values. All tolerance for what gateways send lives here.

`parse_reply` reads a whole answer; `texapi_core.streaming` reads a streamed one into the same `ChatReply`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jiter

from texapi_core.reasoning import (
    NO_REASONING,
    REASONING_FIELDS,
    Reasoning,
    read_reasoning,
    split_content,
)
from texapi_core.surrogates import may_hold_halves, mended
from texapi_core.tool_calls import ToolCall, ToolCallDelta, parse_tool_calls, read_index
from texapi_core.usage import TokenUsage, parse_usage

_KNOWN_REPLY_FIELDS = frozenset({"id", "object", "created", "model", "choices", "usage", "error", "x_groq"})
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
_FAILED = frozenset({"error", "network_error", "insufficient_system_resource", "abort"})
"""Finish reasons of answers that the provider did not bring to an end.

OpenRouter; Z.ai; DeepSeek, https://api-docs.deepseek.com/api/create-chat-completion; vLLM and SGLang.
"""
_ANSWER_FIELDS = frozenset({"choices", "usage", "x_groq"})
_NO_PART_OF_ERRORS = _ANSWER_FIELDS | {"object", "error"}
_ERROR_FIELDS = frozenset({"message", "msg", "detail", "errors", "error_code", "error_msg", "error_message"})


_DEEPEST = 200
"""Levels of nesting. No answer needs them, and code that walks deeper ones runs out of stack."""


class ErrorAnswer(ValueError):
    """The gateway answered with an error object where an answer was due."""

    def __init__(self, error: Any) -> None:
        super().__init__("the gateway answered with an error object")
        self.error = error


class MalformedAnswer(ValueError):
    """What came is no chat completion; `excerpt` shows the start of it."""

    def __init__(self, reason: str, excerpt: str = "", usage: TokenUsage | None = None) -> None:
        super().__init__(reason)
        self.excerpt = excerpt
        self.usage = usage


class CutStream(MalformedAnswer):
    """The bytes of a stream ended before the answer did."""


@dataclass(frozen=True, slots=True)
class ChatChoice:
    """One answer of the model."""

    index: int = 0
    text: str = ""
    reasoning: Reasoning = NO_REASONING
    refusal: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    logprobs: Mapping[str, Any] | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)
    """Members of the message that have no place above, e.g. `annotations`, `audio`, `images`."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Members of the choice that have no place above, e.g. `native_finish_reason`, `matched_stop`."""


@dataclass(frozen=True, slots=True)
class ChatReply:
    """A whole answer of the gateway, streamed or not."""

    choices: tuple[ChatChoice, ...]
    """At least one, in the order of their index."""
    usage: TokenUsage | None = None
    model: str | None = None
    """The model that served the call, which a route may choose."""
    id: str | None = None
    created: int | None = None
    """Seconds since 1970, by the gateway's clock."""
    request_id: str | None = None
    """The gateway's `x-request-id`: what its support asks for."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Response headers, names in lower case."""
    extras: Mapping[str, Any] = field(default_factory=dict)
    """Top-level members that have no place above, e.g. `system_fingerprint`, `service_tier`."""
    raw: Mapping[str, Any] = field(default_factory=dict)
    """The JSON itself, the whole answer or the last chunk of a stream, with the true usage put in."""

    @property
    def choice(self) -> ChatChoice:
        """The first answer, which is the only one unless `n` was asked for."""
        return self.choices[0]


@dataclass(slots=True)  # one that is frozen takes three times as long to make, and each chunk makes one
class ChatDelta:
    """What one chunk of a stream adds to the answer."""

    text: str = ""
    reasoning: Reasoning = NO_REASONING
    refusal: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    logprobs: Mapping[str, Any] | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)


def parse_json_object(text: bytes, *, mend: bool = True) -> dict[str, Any]:
    """The JSON object in `text`, or `MalformedAnswer` with the start of what came instead.

    Halves of characters become U+FFFD unless `mend` is false.
    """
    try:
        value = jiter.from_json(text)  # comes with the openai SDK, and takes a quarter of json's time
    except ValueError:
        value = _parse_what_jiter_refuses(text, mend=mend)
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and value and isinstance(value[0], dict):
        raise_for_error_object(value[0])  # Google sends errors in a list
    raise MalformedAnswer("JSON that is no object", excerpt(text))


def _parse_what_jiter_refuses(text: bytes, *, mend: bool) -> Any:
    """Half of a surrogate pair and UTF-16 are JSON to Python; deeper nesting than jiter walks is not."""
    try:
        # Not strict: a tab or a line end that is not escaped loses nothing.
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        raise MalformedAnswer(_describe(text), excerpt(text)) from None
    if is_deep(value):
        raise MalformedAnswer("JSON nested too deeply", excerpt(text))
    return mended(value) if mend and may_hold_halves(text) else value


def is_deep(value: Any) -> bool:
    """Whether a JSON value is nested deeper than any answer is."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            child
            for parent in level
            if isinstance(parent, (dict, list))
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return False
    return True


def parse_reply(body: Mapping[str, Any], *, request_id: str | None, headers: Mapping[str, str]) -> ChatReply:
    """A whole answer as a `ChatReply`. Raises `ErrorAnswer` or `MalformedAnswer`."""
    raise_for_error(body)
    usage = find_usage(body)
    choices = tuple(_parse_choice(choice) for choice in read_choices(body) if _message_of(choice))
    if not choices:
        raise MalformedAnswer("an answer without choices", excerpt(json.dumps(body)), usage)
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


def _parse_choice(choice: Mapping[str, Any]) -> ChatChoice:
    message = _message_of(choice) or {}
    text, part_reasoning, other_parts = split_content(message.get("content"))
    reasoning = read_reasoning(message)
    if part_reasoning and not reasoning.text:
        reasoning = Reasoning(part_reasoning, None, reasoning.details, reasoning.details_field)
    extras = message_extras(message)
    if other_parts:
        extras["content_parts"] = list(other_parts)
    return ChatChoice(
        index=choice_index(choice),
        text=text or string(choice.get("text")),
        reasoning=reasoning,
        refusal=string(message.get("refusal")),
        tool_calls=parse_tool_calls(message),
        finish_reason=read_finish_reason(choice),
        logprobs=logprobs_of(choice),
        extras=extras,
        metadata=choice_metadata(choice),
    )


def raise_for_error(body: Mapping[str, Any]) -> None:
    """Raise `ErrorAnswer` when an answer or a chunk holds an error, at the top or in a choice."""
    raise_for_error_object(body)
    raise_for_groq_error(body)
    for choice in read_choices(body):
        raise_for_failed_choice(choice)


def raise_for_groq_error(body: Mapping[str, Any]) -> None:
    """Raise `ErrorAnswer` when Groq says in a place of its own why it stopped early."""
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
    """Raise `ErrorAnswer` when the answer or chunk is an error: OpenAI's form, vLLM's, a flat one."""
    error = body.get("error")
    if is_container(error) and _says_something(error):
        raise ErrorAnswer(error)
    is_flagged = bool(error) and not is_container(error)
    if is_flagged or body.get("object") == "error" or body.get("type") == "error" or _looks_like_error(body):
        raise ErrorAnswer({name: body[name] for name in body if name not in _NO_PART_OF_ERRORS})


def is_container(error: Any) -> bool:
    """Whether an `error` tells of one itself; anything else is a flag, and the object around it tells."""
    return isinstance(error, (dict, list, str))


def _says_something(error: Any) -> bool:
    """Some servers put an empty error beside each good answer: a code of 0, a message of nothing."""
    return any(error.values()) if isinstance(error, dict) else bool(error)


def _looks_like_error(body: Mapping[str, Any]) -> bool:
    """Whether a document that is no answer says what went wrong, in one of many flat forms."""
    return not _ANSWER_FIELDS.intersection(body) and bool(_ERROR_FIELDS.intersection(body))


def read_choices(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The choices of an answer or a chunk, `[]` when there are none."""
    choices = body.get("choices")
    if isinstance(choices, dict):
        return [choices]
    if not isinstance(choices, list):
        return []
    return [choice for choice in choices if isinstance(choice, dict)]


def _message_of(choice: Mapping[str, Any]) -> dict[str, Any] | None:
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
    """`body` with a `usage` whose counts are ints; LlamaIndex's handlers add them up unchecked."""
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


def string(value: Any) -> str:
    """The value if it is text, else `""`."""
    return value if isinstance(value, str) else ""


def text_or_none(value: Any) -> str | None:
    """Ids and names as text; a few servers send numbers."""
    if value is None or value == "" or isinstance(value, (dict, list)):
        return None
    return str(value)


def timestamp(value: Any) -> int | None:
    """Seconds since 1970, when the value is a number of them."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return int(value)
    except (ValueError, OverflowError):
        return None


def excerpt(text: bytes | str, length: int = 200) -> str:
    """The start of `text` on one line, for an error message."""
    if isinstance(text, bytes):
        text = text[: 4 * length].decode("utf-8", "replace")
    line = " ".join(text[: 4 * length].split())
    return line if len(line) <= length else line[: length - 1] + "…"


def _describe(text: bytes | str) -> str:
    start = excerpt(text).lower()
    if not start:
        return "an empty body"
    if start.startswith(("<!doctype html", "<html", "<head", "<body", "<?xml")):
        return "an HTML page"
    return "broken JSON" if start.startswith(("{", "[")) else "text that is no JSON"
