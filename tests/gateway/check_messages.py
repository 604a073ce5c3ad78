"""The strict check of the messages in a chat request."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from tests.gateway.check_names import check_call_id, check_name
from tests.gateway.refusal import invalid

_ROLES = ("system", "developer", "user", "assistant", "tool")
_USER_PARTS = ("text", "image_url", "input_audio", "file", "video_url")
_ALLOWED_PARTS = {
    "system": ("text",),
    "developer": ("text",),
    "user": _USER_PARTS,
    "assistant": ("text", "refusal"),
    "tool": ("text",),
}
_URL_SCHEMES = ("http://", "https://", "data:")


def check_messages(messages: Any) -> None:
    """Check all messages and how tool calls and their results follow each other."""
    if not isinstance(messages, list) or not messages:
        raise invalid("messages", "'messages' must be a list with at least one message.")
    awaited: list[str] = []
    seen: set[str] = set()
    for index, message in enumerate(messages):
        path = f"messages[{index}]"
        role = message.get("role") if isinstance(message, dict) else None
        if role not in _ROLES:
            raise invalid(f"{path}.role", f"'role' must be one of {', '.join(_ROLES)}.")
        if "name" in message:
            check_name(message["name"], f"{path}.name")
        if role == "tool":
            _check_result(message, path, awaited)
            continue
        if awaited:
            raise invalid(path, _unanswered(awaited))
        if role == "assistant":
            awaited = _check_assistant(message, path)
            if len(seen | set(awaited)) < len(seen) + len(awaited):
                raise invalid(f"{path}.tool_calls", f"messages.{index}: `tool_use` ids must be unique")
            seen.update(awaited)
        else:
            _check_content(message.get("content"), f"{path}.content", role)
    if awaited:
        raise invalid("messages", _unanswered(awaited))


def _check_assistant(message: dict[str, Any], path: str) -> list[str]:
    """Check an assistant message and return the ids of its tool calls."""
    calls = message.get("tool_calls")
    content = message.get("content")
    if content is not None:
        _check_content(content, f"{path}.content", "assistant")
    says_more = any(value for name, value in message.items() if name not in ("role", "content", "name"))
    if _is_blank(content) and not says_more:
        raise invalid(
            f"{path}.content",
            f"{path}: all messages must have non-empty content except for the optional final assistant "
            "message",
        )
    if calls is None:
        return []
    if content is not None and _is_blank(content):
        raise invalid(f"{path}.content", "messages: text content blocks must contain non-whitespace text")
    if not isinstance(calls, list) or not calls:
        raise invalid(f"{path}.tool_calls", "'tool_calls' must be a list with at least one call.")
    return [_check_call(call, f"{path}.tool_calls[{at}]") for at, call in enumerate(calls)]


def _is_blank(content: Any) -> bool:
    """Return whether a content has no text but white space, and no other part."""
    if isinstance(content, list):
        return all(part["type"] == "text" and not part["text"].strip() for part in content)
    return not content or not content.strip()


def _check_call(call: Any, path: str) -> str:
    """Check one tool call of the assistant and return its id."""
    identifier = call.get("id") if isinstance(call, dict) else None
    if not isinstance(identifier, str) or not identifier:
        raise invalid(f"{path}.id", "A tool call needs an id.")
    check_call_id(identifier, f"{path}.id")
    kind = call.get("type")
    if kind not in ("function", "custom"):
        raise invalid(f"{path}.type", "The type of a tool call must be 'function' or 'custom'.")
    called: dict[str, Any] = call[kind] if isinstance(call.get(kind), dict) else {}
    check_name(called.get("name"), f"{path}.{kind}.name")
    if kind == "custom":
        if not isinstance(called.get("input"), str):
            raise invalid(f"{path}.custom.input", "The input of a custom tool must be a string.")
        return identifier
    try:
        arguments = json.loads(called["arguments"])
    except (KeyError, TypeError, ValueError):
        arguments = None
    if not isinstance(arguments, dict):
        raise invalid(f"{path}.function.arguments", "'arguments' must be a string with a JSON object.")
    return identifier


def _check_result(message: dict[str, Any], path: str, awaited: list[str]) -> None:
    """Check the result of a tool and remove its id from the pending ones."""
    identifier = message.get("tool_call_id")
    if not isinstance(identifier, str) or awaited[:1] != [identifier]:
        raise invalid(
            f"{path}.tool_call_id",
            f"The tool result '{identifier}' answers no call of the assistant message before it, or is not "
            "in the order of the calls.",
        )
    content = message.get("content")
    _check_content(content, f"{path}.content", "tool")
    if isinstance(content, list) and all(part.keys() == {"type", "text"} for part in content):
        raise invalid(f"{path}.content", f"{path}: invalid type: sequence, expected a string")
    awaited.remove(identifier)


def _check_content(content: Any, path: str, role: str) -> None:
    if isinstance(content, str):
        return
    if not isinstance(content, list) or not content:
        raise invalid(path, "'content' must be a string or a list with at least one part.")
    for index, part in enumerate(content):
        _check_part(part, f"{path}[{index}]", _ALLOWED_PARTS[role])
        if part["type"] == "text" and not part["text"].strip() and len(content) > 1:
            raise invalid(path, "messages: text content blocks must contain non-whitespace text")


def _check_part(part: Any, path: str, allowed: Collection[str]) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind not in allowed:
        raise invalid(f"{path}.type", f"'type' must be one of {', '.join(allowed)}.")
    if kind == "text" and not isinstance(part.get("text"), str):
        raise invalid(f"{path}.text", "A text part needs a string 'text'.")
    if kind in ("image_url", "video_url"):
        held = part.get(kind)
        address = held.get("url") if isinstance(held, dict) else None
        if not isinstance(address, str) or not address.startswith(_URL_SCHEMES):
            raise invalid(f"{path}.{kind}.url", "An image or a video needs an http, https or data URL.")
    if kind == "input_audio":
        _check_fields(part.get("input_audio"), f"{path}.input_audio", ("data", "format"))
    if kind == "file":
        file = part.get("file")
        name = "file_id" if isinstance(file, dict) and "file_id" in file else "file_data"
        _check_fields(file, f"{path}.file", (name,))


def _check_fields(value: Any, path: str, names: tuple[str, ...]) -> None:
    """Check that an object has these fields as non-empty strings."""
    for name in names:
        text = value.get(name) if isinstance(value, dict) else None
        if not isinstance(text, str) or not text:
            raise invalid(f"{path}.{name}", f"'{name}' must be a string with content.")


def _unanswered(identifiers: list[str]) -> str:
    return (
        "An assistant message with 'tool_calls' must be followed by a tool message for each of "
        f"them. Without an answer: {', '.join(identifiers)}."
    )
