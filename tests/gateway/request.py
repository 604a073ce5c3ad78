"""A chat request as the script reads it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

_ASKED = re.compile(r"(?:Query|Question|question|Follow Up Input): *'?(.+?)'?$", re.MULTILINE)


_CUSTOM = {"properties": {"input": {"type": "string"}}, "required": ["input"]}
"""What a call of a custom tool has, as the parameters of a function would say it."""


@dataclass(frozen=True)
class Call:
    """A tool to call and the arguments to call it with."""

    name: str
    arguments: dict[str, Any]


@dataclass
class Request:
    """A request as the script reads it."""

    body: dict[str, Any]
    custom: set[str] = field(init=False)
    """The names of the tools whose input is a text."""
    tools: dict[str, dict[str, Any]] = field(init=False)
    """The parameters of the tools that may be called, by name."""
    choice: str = field(init=False)
    """``none``, ``auto``, ``required`` or the name of a tool."""
    text: str = field(init=False)
    """The last message of the user."""
    conversation: str = field(init=False)
    """All messages."""
    results: list[tuple[Call, str]] = field(init=False)
    """The calls since the last message of the user, with their results."""

    def __post_init__(self) -> None:
        functions = [each["function"] for each in self.body.get("tools") or [] if "function" in each]
        self.tools = {each["name"]: each.get("parameters") or {} for each in functions}
        self.custom = {each["custom"]["name"] for each in self.body.get("tools") or [] if "custom" in each}
        self.tools |= dict.fromkeys(self.custom, _CUSTOM)
        choice = self.body.get("tool_choice") or "auto"
        if isinstance(choice, dict) and choice["type"] == "allowed_tools":
            allowed = choice.get("allowed_tools", choice)
            names = [each.get(each["type"], each)["name"] for each in allowed["tools"]]
            self.tools = {name: self.tools[name] for name in names}
            choice = allowed.get("mode", "auto")
        self.choice = choice[choice["type"]]["name"] if isinstance(choice, dict) else choice
        if self.choice in self.tools:
            self.tools = {self.choice: self.tools[self.choice]}
        messages = self.body["messages"]
        self.conversation = "\n".join(map(_text, messages))
        users = [at for at, each in enumerate(messages) if each["role"] == "user"]
        self.text = _text(messages[users[-1]]) if users else ""
        since = messages[users[-1] + 1 :] if users else messages
        calls = {call["id"]: _call(call) for each in since for call in each.get("tool_calls") or []}
        results = [each for each in since if each["role"] == "tool" and each["tool_call_id"] in calls]
        self.results = [(calls[each["tool_call_id"]], _text(each)) for each in results]

    @property
    def is_forced(self) -> bool:
        return bool(self.tools) and self.choice not in ("auto", "none")

    @property
    def wants_object(self) -> bool:
        """Whether the answer must be JSON or a call that carries it."""
        return self.is_forced or (self.body.get("response_format") or {}).get("type", "text") != "text"

    @property
    def schema(self) -> dict[str, Any] | None:
        declared = (self.body.get("response_format") or {}).get("json_schema") or {}
        return declared.get("schema")

    @property
    def question(self) -> str:
        """The question in the last message of the user, which may be a prompt around it."""
        found = _ASKED.findall(self.text)
        return found[-1] if found else self.text


def _text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "text")


def _call(call: dict[str, Any]) -> Call:
    if call["type"] == "custom":
        return Call(call["custom"]["name"], {"input": call["custom"]["input"]})
    function = call["function"]
    return Call(function["name"], json.loads(function["arguments"]))
