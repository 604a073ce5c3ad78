"""The gateway's answers: by rule, from the table, or set by a test."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from tests.gateway import Call, Gateway
from tests.gateway.questions import Question, questions
from tests.standin.sdk import ADD, MULTIPLY, WEATHER, called, said, tool, whole

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "role": {"$ref": "#/$defs/Role"},
        "friends": {"type": "array", "items": {"$ref": "#"}},
    },
    "required": ["name", "age", "role"],
    "$defs": {"Role": {"type": "string", "enum": ["engineer", "teacher"]}},
}
AS_PERSON = {"type": "json_schema", "json_schema": {"name": "Person", "schema": PERSON}}
BY_CALL: dict[str, Any] = {
    "tools": [{"type": "function", "function": {"name": "Person", "parameters": PERSON}}],
    "tool_choice": "required",
}


@pytest.fixture(scope="module")
def _client(_session_gateway: Gateway) -> Any:
    """Making one reads all certificates of the machine."""
    gateway = _session_gateway
    with openai.OpenAI(base_url=gateway.base_url, api_key=gateway.key, max_retries=0) as made:
        yield made


@pytest.fixture
def client(gateway: Gateway, _client: openai.OpenAI) -> Any:
    return _client


# By rule


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Say one", "one"),
        ("Reply with exactly: pong", "pong"),
        ("Count from 3 to 6", "3, 4, 5, 6"),
        ("What is 12 * 7?", "12 * 7 = 84"),
        ("What is 2 plus 3?", "2 + 3 = 5"),
        ("Why is the sky blue?", "You said: Why is the sky blue?"),
        ("Context:\nIt is blue.\n\nQuestion: Why?\nAnswer:", "You said: Why?"),
    ],
)
def test_plain_words(client: openai.OpenAI, question: str, expected: str) -> None:
    assert said(client, question) == expected


def test_a_tool_that_the_question_names_is_called(client: openai.OpenAI) -> None:
    tools = [WEATHER, ADD, MULTIPLY]

    assert called(client, "Multiply 6 by 7", tools=tools) == [("multiply", {"a": 6, "b": 7})]
    assert called(client, "Is the weather good in San Francisco?", tools=tools) == [
        ("get_weather", {"city": "San Francisco"})
    ]
    assert called(client, "Hello!", tools=tools) == []
    assert called(client, "Multiply 6 by 7", tools=tools, tool_choice="none") == []


def test_a_tool_that_must_be_called_is_called(client: openai.OpenAI) -> None:
    tools = [WEATHER, ADD]
    named = {"type": "function", "function": {"name": "add"}}
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named]}}

    assert called(client, "Hello!", tools=tools, tool_choice="required") == [
        ("get_weather", {"city": "Hello! How can I help you today?"})
    ]
    for choice in (named, allowed):
        assert called(client, "Hello!", tools=tools, tool_choice=choice) == [("add", {"a": 1, "b": 1})]


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        (["8"], "The result is 8."),
        (["It is 8."], "It is 8."),
        (["8", "Error: no"], "Here are the results:\n- add(3, 5): 8\n- add(3, 5): Error: no"),
    ],
)
def test_tool_results_are_in_the_answer(client: openai.OpenAI, results: list[str], expected: str) -> None:
    function = {"name": "add", "arguments": '{"a": 3, "b": 5}'}
    calls = [{"id": str(at), "type": "function", "function": function} for at, _ in enumerate(results)]
    history: list[dict[str, Any]] = [{"role": "user", "content": "Add 3 and 5"}]
    history.append({"role": "assistant", "content": None, "tool_calls": calls})
    history += [
        {"role": "tool", "tool_call_id": str(at), "content": result} for at, result in enumerate(results)
    ]

    assert said(client, history, tools=[ADD]) == expected


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("name: Nguyễn Lan, age: 30, engineer", {"name": "Nguyễn Lan", "age": 30, "role": "engineer"}),
        ('Who is "Bob", the teacher?', {"name": "Bob", "age": None, "role": "teacher"}),
        ("Hello", {"name": "Hello! How can I help you today?", "age": None, "role": "engineer"}),
    ],
)
def test_an_object_is_filled_by_its_schema(
    client: openai.OpenAI, question: str, expected: dict[str, Any]
) -> None:
    assert json.loads(said(client, question, response_format=AS_PERSON)) == expected
    assert called(client, question, **BY_CALL) == [("Person", expected)]


def test_an_object_without_a_schema_has_the_fields_that_are_named(client: openai.OpenAI) -> None:
    plain = {"type": "json_object"}
    for question, expected in (
        ("name: Lan, age: 30. In JSON.", {"name": "Lan", "age": 30}),
        ("A JSON with 'setup' and 'end' keys. Say one", ["setup", "end"]),
        ("What is the capital of Japan?", {"answer": "The capital of Japan is Tokyo."}),
    ):
        answer = json.loads(said(client, question, response_format=plain))
        assert (list(answer) if isinstance(expected, list) else answer) == expected


# Set by a test


def test_answers_are_used_for_the_next_requests(gateway: Gateway, client: openai.OpenAI) -> None:
    gateway.answer("first", [Call("add", {"a": 1, "b": 2})], {"name": "Lan"})

    assert said(client, "Hello") == "first"
    assert called(client, "Hello", tools=[ADD]) == [("add", {"a": 1, "b": 2})]
    assert json.loads(said(client, "Hello")) == {"name": "Lan"}
    assert said(client, "Say four") == "four"


def test_an_answer_is_used_for_all_matching_requests(gateway: Gateway, client: openai.OpenAI) -> None:
    gateway.answer("NO", to="is it supported", given="Cats fly")
    gateway.answer("YES", to="is it supported")
    system = {"role": "system", "content": "Cats fly."}
    question = {"role": "user", "content": "Tell: is it supported?"}

    assert [said(client, [question]) for _ in range(2)] == ["YES", "YES"]
    assert said(client, [system, question]) == "NO"
    assert said(client, "Say one") == "one"


def test_a_given_object_is_returned_in_the_requested_form(gateway: Gateway, client: openai.OpenAI) -> None:
    gateway.answer({"name": "Minh"}, to="Who")

    assert json.loads(said(client, "Who?", response_format=AS_PERSON)) == {"name": "Minh"}
    assert called(client, "Who?", **BY_CALL) == [("Person", {"name": "Minh"})]


def test_a_reset_forgets_the_given_answers(gateway: Gateway, client: openai.OpenAI) -> None:
    gateway.answer("next")
    gateway.answer("always", to="Say")

    gateway.reset()

    assert said(client, "Say one") == "one"


# The table


@pytest.mark.parametrize("entry", questions(), ids=lambda entry: f"{entry.question}-{entry.given}")
def test_the_table_answers_its_questions(client: openai.OpenAI, entry: Question) -> None:
    offered = [tool(name, "", x="string") for name in dict.fromkeys(call.name for call in entry.calls)]
    messages = [
        {"role": "system", "content": "\n".join(entry.given)},
        {"role": "user", "content": f"Query: {entry.question}\nAnswer: "},
    ]
    wanted: dict[str, Any] = {"tools": offered} if offered else {}
    if isinstance(entry.answer, dict):
        wanted["response_format"] = AS_PERSON

    answer = whole(client, messages, **wanted)["choices"][0]["message"]

    if entry.calls:
        made = [(each["function"]["name"], each["function"]["arguments"]) for each in answer["tool_calls"]]
        assert [Call(name, json.loads(arguments)) for name, arguments in made] == [
            call for call in entry.calls if call.name != "handoff"
        ]
    elif isinstance(entry.answer, dict):
        assert json.loads(answer["content"]) == entry.answer
    else:
        assert answer["content"] == entry.answer


def test_a_question_without_its_passage_is_not_answered(client: openai.OpenAI) -> None:
    assert said(client, "What does kill -9 lose?") == "The context does not say anything about this."


def test_the_table_hands_over_remaining_calls(client: openai.OpenAI) -> None:
    question = {
        "role": "user",
        "content": "What is the weather in Hanoi, and how much is 250 USD in VND?",
    }
    handoff = tool("handoff", "Hand over.", to_agent="string", reason="string")
    money = tool("convert_currency", "", amount="number", source="string", target="string")
    results = {
        "get_weather": "sunny, 31 degrees",
        "handoff": "money goes on",
        "convert_currency": "250 USD = 6,500,000 VND",
    }
    history: list[dict[str, Any]] = [question]
    made: list[str] = []
    for offered in ([WEATHER, handoff], [WEATHER, handoff], [money, handoff], [money, handoff]):
        message = whole(client, history, tools=offered)["choices"][0]["message"]
        history.append(message)
        for call in message.get("tool_calls", []):
            made.append(call["function"]["name"])
            history.append({"role": "tool", "tool_call_id": call["id"], "content": results[made[-1]]})

    assert made == ["get_weather", "handoff", "convert_currency"]
    assert history[-1]["content"] == "It is sunny in Hanoi, 31 degrees, and 250 USD are 6,500,000 VND."
