"""A chat request as the brain reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.gateway.brain.thought import Call

_SPACES = re.compile(r"\s{20,}")
_MEDIA_TYPE = re.compile(r"data:([\w.+-]+/[\w.+-]+)")


@dataclass(frozen=True)
class Tool:
    """A tool that may be called."""

    name: str
    description: str
    parameters: dict[str, Any]

    @property
    def properties(self) -> dict[str, Any]:
        """The parameters by name."""
        properties = self.parameters.get("properties")
        return properties if isinstance(properties, dict) else {}


@dataclass(frozen=True)
class Message:
    """One message of the conversation."""

    role: str
    text: str
    media: tuple[str, ...] = ()
    """What else the message holds, such as ``image (image/png)``."""
    calls: tuple[tuple[str, Call], ...] = ()
    call_id: str | None = None


@dataclass(frozen=True)
class Conversation:
    """The messages and the wishes of a request."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    choice: str = "auto"
    """``none``, ``auto``, ``required`` or the name of a tool."""
    is_parallel: bool = True
    wants_json: bool = False
    schema: dict[str, Any] | None = field(default=None)

    @property
    def system(self) -> str:
        """The instructions."""
        texts = [each.text for each in self.messages if each.role in ("system", "developer")]
        return "\n\n".join(texts)

    @property
    def question_at(self) -> int:
        """The place of the last message of the user, or -1 when there is none."""
        places = [at for at, each in enumerate(self.messages) if each.role == "user"]
        return places[-1] if places else -1

    @property
    def question(self) -> str:
        """What the user asked last."""
        at = self.question_at
        return self.messages[at].text if at >= 0 else self.system

    @property
    def media(self) -> tuple[str, ...]:
        """What the last message of the user holds next to its text."""
        at = self.question_at
        return self.messages[at].media if at >= 0 else ()

    @property
    def earlier(self) -> list[str]:
        """What the user said before the last question."""
        before = self.messages[: max(self.question_at, 0)]
        return [each.text for each in before if each.role == "user"]

    @property
    def results(self) -> list[tuple[Call, str]]:
        """The calls since the last question with their results."""
        since = self.messages[self.question_at + 1 :]
        calls = {identifier: call for each in since for identifier, call in each.calls}
        return [
            (calls[each.call_id], each.text)
            for each in since
            if each.role == "tool" and each.call_id in calls
        ]


def read_conversation(body: dict[str, Any]) -> Conversation:
    """Read a request that was found to be correct."""
    tools = tuple(_tool(each["function"]) for each in body.get("tools") or [])
    choice = body.get("tool_choice") or "auto"
    if isinstance(choice, dict) and choice["type"] == "allowed_tools":
        allowed = choice.get("allowed_tools", choice)
        names = [each.get("function", each)["name"] for each in allowed["tools"]]
        tools = tuple(tool for tool in tools if tool.name in names)
        choice = allowed.get("mode", "auto")
    elif isinstance(choice, dict):
        choice = choice["function"]["name"]
    wanted = body.get("response_format") or {}
    return Conversation(
        messages=tuple(_message(each) for each in body["messages"]),
        tools=tools,
        choice=choice,
        is_parallel=body.get("parallel_tool_calls") is not False,
        wants_json=wanted.get("type") in ("json_object", "json_schema"),
        schema=(wanted.get("json_schema") or {}).get("schema"),
    )


def _tool(function: dict[str, Any]) -> Tool:
    """Read the declaration of a tool."""
    description = function.get("description") or ""
    return Tool(function["name"], description, function.get("parameters") or {})


def _message(message: dict[str, Any]) -> Message:
    """Read one message."""
    content = message.get("content") or ""
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    return Message(
        role=message["role"],
        text=_SPACES.sub("\n\n", "\n".join(part["text"] for part in parts if part["type"] == "text")),
        media=tuple(_media(parts)),
        calls=tuple(
            (call["id"], Call(call["function"]["name"], json.loads(call["function"]["arguments"])))
            for call in message.get("tool_calls") or []
        ),
        call_id=message.get("tool_call_id"),
    )


def _media(parts: list[dict[str, Any]]) -> Iterator[str]:
    """Give the names of the parts that are not text."""
    for part in parts:
        if part["type"] == "image_url":
            match = _MEDIA_TYPE.match(part["image_url"]["url"])
            yield f"image ({match[1] if match else 'by address'})"
        elif part["type"] == "input_audio":
            yield f"audio clip ({part['input_audio']['format']})"
        elif part["type"] == "file":
            yield f"file ({_file_name(part['file'])})"


def _file_name(file: dict[str, Any]) -> str:
    """Return how to call a file."""
    match = _MEDIA_TYPE.match(file.get("file_data") or "")
    name = file.get("filename") or file.get("file_id")
    return name or (match[1] if match else "no name")
