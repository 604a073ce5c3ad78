"""Custom tools of OpenAI, whose input is a text: a call of one has it as its only argument.

A stream brings it in pieces of `custom.input`, which no schema states:
https://github.com/openai/openai-openapi/issues/576.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

TEXT_INPUT = "__arg1"
"""The argument, as LangChain names that of a tool which takes a text."""
OPENING, CLOSING = f'{{"{TEXT_INPUT}": "', '"}'
_CALLABLE = ("function", "custom")
"""Members of a tool that describe what the model may call."""


def escaped(text: str) -> str:
    """A piece of an input within the JSON of arguments."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def described(tool: Any) -> tuple[str, Mapping[str, Any]] | None:
    """The member that describes what the model may call, and its value; `None` for other tools."""
    if isinstance(tool, Mapping):
        for member in _CALLABLE:
            if isinstance(value := tool.get(member), Mapping):
                return member, value
    return None


def tool_kinds(tools: Sequence[Any]) -> dict[Any, str]:
    """The names of the tools that the model may call; of each whether it is a `function` or `custom`."""
    found = filter(None, map(described, tools))
    return {value["name"]: member for member, value in found if "name" in value}
