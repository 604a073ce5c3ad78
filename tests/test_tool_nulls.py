"""Nulls in tools and schemas are left out; classes without a docstring are described."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from tests.conftest import Endpoint
from tests.gateway import Gateway
from tests.test_outgoing import LI_Q, Q, langchain, llama_index

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "a": {"type": "string", "description": None, "format": None, "enum": None, "default": None}
    },
    "required": None,
    "title": None,
}
LEGAL = {"type": "object", "properties": {"a": {"type": "string", "default": None}}}
TOOLS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {
            "type": "function",
            "function": {"name": "f", "description": None, "strict": None, "parameters": SCHEMA},
        },
        {"type": "function", "function": {"name": "f", "parameters": LEGAL}},
    ),
    (
        {"name": "f", "description": None, "inputSchema": SCHEMA},
        {"type": "function", "function": {"name": "f", "parameters": LEGAL}},
    ),
    (
        {"type": "function", "function": {"name": "f", "parameters": None}},
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}},
    ),
    (
        {"type": "custom", "name": "f", "description": None, "format": None},
        {"type": "custom", "custom": {"name": "f"}},
    ),
]


@pytest.mark.parametrize(("tool", "expected"), TOOLS)
def test_nulls_are_left_out(
    gateway: Gateway, endpoint: Endpoint, tool: dict[str, Any], expected: dict[str, Any]
) -> None:
    langchain(endpoint).bind_tools([tool]).invoke([Q])
    list(langchain(endpoint).stream([Q], tools=[tool]))
    llama_index(endpoint).chat([LI_Q], tools=[tool])
    list(llama_index(endpoint).stream_chat([LI_Q], tools=[tool]))

    assert [request.body["tools"] for request in gateway.requests] == [[expected]] * 4


def test_nulls_beside_the_schema_of_an_answer_are_left_out(gateway: Gateway, endpoint: Endpoint) -> None:
    asked = {"type": "json_schema", "json_schema": {"name": "A", "strict": None, "schema": SCHEMA}}

    langchain(endpoint).invoke([Q], response_format=asked)

    assert gateway.requests[0].body["response_format"]["json_schema"] == {"name": "A", "schema": LEGAL}


class Trip(BaseModel):
    city: str
    days: int = 1


def test_a_class_without_a_docstring_is_described(gateway: Gateway, endpoint: Endpoint) -> None:
    langchain(endpoint).with_structured_output(Trip, method="function_calling").invoke([Q])
    langchain(endpoint).bind_tools([Trip]).invoke([Q])
    llama_index(endpoint).as_structured_llm(Trip).chat([LI_Q])

    sent = [request.body["tools"][0]["function"]["description"] for request in gateway.requests]
    assert sent == ["Trip: city, days"] * 3
