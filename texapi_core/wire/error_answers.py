"""Answers and chunks that hold an error, wherever a provider puts it, or are of another protocol."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from texapi_core.wire.choices import message_of, read_choices, read_finish_reason
from texapi_core.wire.values import ErrorAnswer

_OTHER_PROTOCOLS = {
    "message": "of Anthropic's Messages API",
    "content": "of Anthropic's Messages API",
    "response": "of OpenAI's Responses API",
}
"""First word of an event's or an answer's type -> its protocol."""
_PROTOCOL_OF_MEMBER = {
    "candidates": "of Google's Gemini API",
    "stopReason": "of Amazon Bedrock's Converse API",
    "done": "of Ollama's API",
}
"""Member of an answer without choices -> its protocol."""
_FAILED = frozenset({"error", "network_error", "insufficient_system_resource", "abort"})
"""Finish reasons of answers that the provider could not complete.

OpenRouter; Z.ai; DeepSeek, https://api-docs.deepseek.com/api/create-chat-completion; vLLM and SGLang.
"""
_ANSWER_FIELDS = frozenset({"choices", "usage", "x_groq"})
_NO_PART_OF_ERRORS = _ANSWER_FIELDS | {"object", "error"}
_NO_ERROR = frozenset({"", "0", "200", "null", "none", "nil", "undefined", "false", "noerror"}).union(
    ("ok", "okay", "success", "successful", "succeeded", "成功")
)
"""What an `error` says when there is none: letters and digits, in lower case."""
_MAX_NO_ERROR = 40
_NO_SIGN_OF_ERRORS = frozenset({"id", "request_id", "requestId", "trace_id", "success", "ok"})
_CONTENT_FIELDS = frozenset({"content", "tool_calls", "function_call", "refusal", "audio", "images"})
_ERROR_FIELDS = frozenset({"message", "msg", "detail", "errors", "error_code", "error_msg", "error_message"})


def raise_for_error(
    body: Mapping[str, Any], choices: Iterable[Mapping[str, Any]] = (), *, has_content: bool = False
) -> None:
    """Raise `ErrorAnswer` when an answer or a chunk holds an error, at the top or in one of its choices.

    `has_content`: whether the chunks before had any.
    """
    raise_for_error_object(body, has_content=has_content)
    raise_for_groq_error(body)
    for choice in choices:
        raise_for_failed_choice(choice, has_content=has_content)


def raise_for_error_object(body: Mapping[str, Any], *, has_content: bool = False) -> None:
    """Raise `ErrorAnswer` when an answer or a chunk is an error: in OpenAI's form, vLLM's or a flat one.

    An answer that is complete is none, whatever stands beside it.
    """
    error = body.get("error")
    failed = error and is_error(error)
    is_named = body.get("object") == "error" or body.get("type") == "error"
    if body.get("base_resp") and not body.get("choices"):
        raise_for_base_resp(body["base_resp"])
    is_flat = _ANSWER_FIELDS.isdisjoint(body) and _is_flat_error(body)
    if not (failed or is_named or is_flat):
        if _ANSWER_FIELDS.isdisjoint(body) and not other_protocol(body):
            raise_for_wrapped_error(body)
        return
    if any(is_complete(choice, has_content=has_content) for choice in read_choices(body)):
        return
    if failed and is_container(error):
        raise ErrorAnswer(error)
    raise ErrorAnswer({name: body[name] for name in body if name not in _NO_PART_OF_ERRORS})


def raise_for_wrapped_error(body: Mapping[str, Any]) -> None:
    """Raise `ErrorAnswer` for `{"Error": {...}}` and for an `error` inside any member."""
    for name, value in body.items():
        members = value.items() if isinstance(value, dict) else ()
        for inner_name, inner in ((name, value), *members):
            if inner_name.lower() in ("error", "errors") and is_container(inner) and is_error(inner):
                raise ErrorAnswer(inner)


def _is_flat_error(body: Mapping[str, Any]) -> bool:
    if _ERROR_FIELDS.isdisjoint(body) or other_protocol(body):
        return False
    error_members = {name: value for name, value in body.items() if name in _ERROR_FIELDS or name == "code"}
    return not is_message(body.get("message")) and is_error(error_members)


def is_error(value: Any) -> bool:
    """Whether the value of an `error` says that something failed.

    Some servers put null as text, code 0 without a message, or `{"code": "success"}` beside each answer.
    """
    if isinstance(value, dict):
        return any(is_error(inner) for name, inner in value.items() if name not in _NO_SIGN_OF_ERRORS)
    if isinstance(value, list):
        return any(map(is_error, value))
    if isinstance(value, str):
        return len(value) > _MAX_NO_ERROR or re.sub(r"[\W_]", "", value).casefold() not in _NO_ERROR
    return bool(value) and not (not isinstance(value, bool) and 200 <= value < 300)


def is_complete(choice: Mapping[str, Any], *, has_content: bool = False) -> bool:
    """Whether a choice has an answer, or ends one that `has_content`."""
    reason = read_finish_reason(choice)
    if reason is None or reason in _FAILED:
        return False
    message = message_of(choice) or {}
    return has_content or any(message.get(name) for name in _CONTENT_FIELDS)


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
    if isinstance(x_groq, dict) and is_error(x_groq.get("error")):
        raise ErrorAnswer(x_groq["error"])


def raise_for_failed_choice(choice: Mapping[str, Any], *, has_content: bool = False) -> None:
    """Raise `ErrorAnswer` when a choice holds an error, or ends with one."""
    for holder in (choice, choice.get("delta"), choice.get("message")):
        if type(holder) is dict and "error" in holder and (error := holder["error"]) and is_error(error):
            if is_complete(choice, has_content=has_content):
                return
            raise ErrorAnswer(error)
    finish_reason = choice.get("finish_reason")
    if type(finish_reason) is str and finish_reason in _FAILED:
        named = "an error" if finish_reason == "error" else repr(finish_reason)
        raise ErrorAnswer({"message": f"the provider ended the answer with {named}"})


def is_message(value: Any) -> bool:
    """Whether a member named `message` is the model's, not the text of an error."""
    return isinstance(value, dict) and not {"content", "role", "tool_calls"}.isdisjoint(value)


def other_protocol(body: Mapping[str, Any]) -> str | None:
    """The protocol that an answer or an event without choices belongs to, for an error message."""
    kind = body.get("type") or body.get("object")
    named = _OTHER_PROTOCOLS.get(re.split("[_.]", kind)[0]) if isinstance(kind, str) else None
    return named or next((name for member, name in _PROTOCOL_OF_MEMBER.items() if member in body), None)
