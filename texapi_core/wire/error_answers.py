"""Errors in place of an answer: at the top of a document or a chunk, in a choice, in Groq's `x_groq`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from texapi_core.wire.message import read_choices, read_finish_reason
from texapi_core.wire.values import ErrorAnswer

_FAILED = frozenset({"error", "network_error", "insufficient_system_resource", "abort"})
"""Finish reasons of answers that the provider could not complete.

OpenRouter; Z.ai; DeepSeek, https://api-docs.deepseek.com/api/create-chat-completion; vLLM and SGLang.
"""
_ANSWER_FIELDS = frozenset({"choices", "usage", "x_groq"})
_NO_PART_OF_ERRORS = _ANSWER_FIELDS | {"object", "error"}
_ERROR_FIELDS = frozenset({"message", "msg", "detail", "errors", "error_code", "error_msg", "error_message"})


def raise_for_error(body: Mapping[str, Any]) -> None:
    """Raise `ErrorAnswer` when an answer or a chunk holds an error, at the top or in a choice."""
    raise_for_error_object(body)
    raise_for_groq_error(body)
    for choice in read_choices(body):
        raise_for_failed_choice(choice)


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
