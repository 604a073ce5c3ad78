"""Questions to the gateway through the OpenAI SDK."""

from __future__ import annotations

import json
from typing import Any

import openai


def tool(name: str, description: str, **fields: str) -> dict[str, Any]:
    properties = {field: {"type": kind} for field, kind in fields.items()}
    schema = {"type": "object", "properties": properties, "required": list(fields)}
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": schema},
    }


WEATHER = tool("get_weather", "Get the current weather in a city.", city="string")
ADD = tool("add", "Add two numbers.", a="integer", b="integer")
MULTIPLY = tool("multiply", "Multiply two numbers.", a="integer", b="integer")


def whole(client: openai.OpenAI, question: Any, **settings: Any) -> dict[str, Any]:
    """Return the whole answer as a dictionary."""
    messages = question if isinstance(question, list) else [{"role": "user", "content": question}]
    wanted = {"model": "gpt-5.2", "messages": messages, **settings}
    response = client.chat.completions.with_raw_response.create(**wanted)
    answer: dict[str, Any] = json.loads(response.content)
    return answer


def said(client: openai.OpenAI, question: Any, **settings: Any) -> str:
    """Return the text of an answer."""
    return str(whole(client, question, **settings)["choices"][0]["message"]["content"])


def called(client: openai.OpenAI, question: Any, **settings: Any) -> list[tuple[str, Any]]:
    """Return the tool calls of an answer."""
    message = whole(client, question, **settings)["choices"][0]["message"]
    functions = [call["function"] for call in message.get("tool_calls", [])]
    return [(each["name"], json.loads(each["arguments"])) for each in functions]
