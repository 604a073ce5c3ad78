"""Tool calls and JSON, seen through the SDK of OpenAI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.gateway import Gateway
from tests.standin.sdk import ADD, MULTIPLY, WEATHER, called, said, whole


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with Gateway() as running:
        yield running


@pytest.fixture
def client(gateway: Gateway) -> Iterator[openai.OpenAI]:
    gateway.reset()
    with openai.OpenAI(base_url=gateway.base_url, api_key=gateway.key, max_retries=0) as made:
        yield made


def test_tools_are_chosen_by_the_question(client: openai.OpenAI) -> None:
    tools = [WEATHER, ADD, MULTIPLY]
    assert called(client, "Hello!", tools=tools) == []
    assert called(client, "multiply 6 by 7 and add 3 and 4", tools=tools) == [
        ("multiply", {"a": 6, "b": 7}),
        ("add", {"a": 3, "b": 4}),
    ]
    both = [("get_weather", {"city": "Hà Nội"}), ("get_weather", {"city": "Đà Nẵng"})]
    for question in ("weather in Hà Nội and Đà Nẵng", "Thời tiết ở Hà Nội và Đà Nẵng thế nào?"):
        assert called(client, question, tools=tools) == both
        assert called(client, question, tools=tools, parallel_tool_calls=False) == both[:1]
    assert called(client, "What is the weather in San Francisco, CA?", tools=tools) == [
        ("get_weather", {"city": "San Francisco, CA"})
    ]


def test_tool_choice(client: openai.OpenAI) -> None:
    tools = [WEATHER, ADD]
    named = {"type": "function", "function": {"name": "get_weather"}}
    allowed = {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "required", "tools": [{"type": "function", **named}]},
    }
    assert called(client, "What is 1 + 2?", tools=tools, tool_choice="none") == []
    assert len(called(client, "Hello!", tools=tools, tool_choice="required")) == 1
    assert called(client, "Hello!", tools=tools, tool_choice=named)[0][0] == "get_weather"
    assert called(client, "Hello!", tools=tools, tool_choice=allowed)[0][0] == "get_weather"


def test_a_loop_of_tools_ends_with_their_results(client: openai.OpenAI) -> None:
    history: list[dict[str, Any]] = [{"role": "user", "content": "What is (6 * 7) + 3?"}]
    results = {"multiply": "42", "add": "45"}
    made = []
    for _ in range(4):
        message = whole(client, history, tools=[ADD, MULTIPLY])["choices"][0]["message"]
        if not message.get("tool_calls"):
            break
        history.append(message)
        for call in message["tool_calls"]:
            name = call["function"]["name"]
            made.append((name, json.loads(call["function"]["arguments"])))
            history.append({"role": "tool", "tool_call_id": call["id"], "content": results[name]})
    assert made == [("multiply", {"a": 6, "b": 7}), ("add", {"a": 42, "b": 3})]
    assert "45" in message["content"]


def test_a_failed_tool_is_reported(client: openai.OpenAI) -> None:
    message = whole(client, "What is 1 + 2?", tools=[ADD])["choices"][0]["message"]
    identifier = message["tool_calls"][0]["id"]
    history = [
        {"role": "user", "content": "What is 1 + 2?"},
        message,
        {"role": "tool", "tool_call_id": identifier, "content": "Error: out of order"},
    ]
    assert said(client, history, tools=[ADD]) == "The tool add failed: Error: out of order"


PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "role": {"$ref": "#/$defs/Role"},
    },
    "required": ["name", "age", "role"],
    "$defs": {"Role": {"type": "string", "enum": ["engineer", "teacher"]}},
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Erick, 27, is a teacher.", {"name": "Erick", "age": 27, "role": "teacher"}),
        (
            "name: Nguyễn Lan, age: 30, engineer",
            {"name": "Nguyễn Lan", "age": 30, "role": "engineer"},
        ),
        ("Bob is a teacher.", {"name": "Bob", "age": None, "role": "teacher"}),
    ],
)
def test_json_by_schema(client: openai.OpenAI, question: str, expected: dict[str, Any]) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
    assert json.loads(said(client, question, response_format=wanted)) == expected
    person = {"type": "function", "function": {"name": "Person", "parameters": PERSON}}
    choice = {"type": "function", "function": {"name": "Person"}}
    assert called(client, question, tools=[person], tool_choice=choice) == [("Person", expected)]


def test_json_without_schema(client: openai.OpenAI) -> None:
    wanted = {"type": "json_object"}
    joke = "Tell me a joke about cats. Return a JSON with 'setup' and 'punchline' keys."
    answer = json.loads(said(client, joke, response_format=wanted))
    assert set(answer) == {"setup", "punchline"}
    assert "cats" in answer["setup"]
    plain = said(client, "What is the capital of Japan? Use JSON.", response_format=wanted)
    assert json.loads(plain) == {"answer": "The capital of Japan is Tokyo."}
