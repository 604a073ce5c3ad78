"""Structured output: an object of the schema, or an exception that describes the answer. Never None."""

from __future__ import annotations

import pickle
from typing import Any, TypedDict

import pydantic
import pydantic.v1
import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core import exceptions
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_texapi import TexAPIToolChoiceError
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from tests.langchain.test_chat import WAYS, Way, model

PROMPT = "name: Lan, age: 30. Answer in JSON with the keys name and age."


class Person(BaseModel):
    """A person."""

    name: str
    age: int


class PersonDict(TypedDict):
    """A person."""

    name: str
    age: int


class OldPerson(pydantic.v1.BaseModel):
    """A person."""

    name: str
    age: int


@tool
def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"It is sunny in {city}."


METHODS: list[Any] = ["function_calling", "json_schema", "json_mode"]


@pytest.mark.parametrize("method", METHODS)
async def test_every_method(recorded: Endpoint, method: Any) -> None:
    structured = model(recorded).with_structured_output(Person, method=method)

    person = structured.invoke(PROMPT)

    assert person == Person(name="Lan", age=30)
    assert await structured.ainvoke(PROMPT) == person
    assert list(structured.stream(PROMPT))[-1] == person
    assert [part async for part in structured.astream(PROMPT)][-1] == person


@pytest.mark.parametrize(
    "schema", [PersonDict, Person.model_json_schema(), {"properties": {"name": {"type": "string"}}}]
)
def test_a_dict_for_any_other_schema(endpoint: Endpoint, schema: Any) -> None:
    person = model(endpoint).with_structured_output(schema).invoke(PROMPT)

    assert person["name"] == "Lan"


def test_a_class_of_pydantic_1(endpoint: Endpoint) -> None:
    assert model(endpoint).with_structured_output(OldPerson).invoke(PROMPT) == OldPerson(name="Lan", age=30)


@pytest.mark.parametrize("method", METHODS)
def test_requests_of_each_method(gateway: Gateway, endpoint: Endpoint, method: Any) -> None:
    strict = None if method == "json_mode" else True
    model(endpoint).with_structured_output(Person, method=method, strict=strict).invoke(PROMPT)

    body = gateway.requests[0].body
    if method == "function_calling":
        assert body["tool_choice"] == {"type": "function", "function": {"name": "Person"}}
        assert body["tools"][0]["function"]["strict"] is True
    elif method == "json_schema":
        assert body["response_format"]["json_schema"]["name"] == "Person"
        assert body["response_format"]["json_schema"]["strict"] is True
    else:
        assert body["response_format"] == {"type": "json_object"}
    assert "ls_structured_output_format" not in body


def answer(content: str | None, finish_reason: str = "stop", **message: Any) -> Fault:
    whole = {"role": "assistant", "content": content, **message}
    return Fault(
        body={"id": "c", "choices": [{"index": 0, "message": whole, "finish_reason": finish_reason}]}
    )


@pytest.mark.parametrize(
    "content",
    [
        '{"name": "Lan", "age": 30}',
        '```json\n{"name": "Lan", "age": 30}\n```',
        'Here it is:\n```\n{"name": "Lan", "age": 30}\n``` Enjoy!',
        'Sure! {"name": "Lan", "age": 30} That is it.',
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_json_in_the_text_is_used_when_no_tool_was_called(
    gateway: Gateway, endpoint: Endpoint, content: str, streamed: bool
) -> None:
    gateway.misbehave(answer(content))
    structured = model(endpoint).with_structured_output(Person)

    person = list(structured.stream(PROMPT))[-1] if streamed else structured.invoke(PROMPT)

    assert person == Person(name="Lan", age=30)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (answer("I would rather not."), "I would rather not"),
        (answer(None, refusal="That is not allowed."), "refused to answer: That is not allowed"),
        (answer('{"name": "La', finish_reason="length"), "token limit"),
        (answer('{"name": "Lan"}'), "age"),
        (answer(""), "not with JSON"),
    ],
)
def test_any_other_answer_raises_and_is_described(
    gateway: Gateway, endpoint: Endpoint, fault: Fault, message: str, streamed: bool
) -> None:
    gateway.misbehave(fault)
    structured = model(endpoint).with_structured_output(Person)

    with pytest.raises(OutputParserException, match=message):
        list(structured.stream(PROMPT)) if streamed else structured.invoke(PROMPT)


def test_include_raw(gateway: Gateway, endpoint: Endpoint) -> None:
    structured = model(endpoint).with_structured_output(Person, include_raw=True)

    good = structured.invoke(PROMPT)
    gateway.misbehave(answer("no"))
    bad = structured.invoke(PROMPT)

    assert (good["parsed"], good["parsing_error"]) == (Person(name="Lan", age=30), None)
    assert good["raw"].usage_metadata
    assert bad["parsed"] is None
    assert isinstance(bad["parsing_error"], OutputParserException)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"schema": None}, "schema"),
        ({"schema": Person, "method": "magic"}, "method"),
        ({"schema": Person, "method": "json_mode", "strict": True}, "strict"),
        ({"schema": Person, "tools": [PersonDict]}, "tools"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, Any], named: str) -> None:
    chat = model(Endpoint("http://127.0.0.1:1/v1", "sk-tex-1"))

    with pytest.raises(ValueError, match=named):
        chat.with_structured_output(**arguments)


@pytest.mark.parametrize("strategy", [Person, ToolStrategy(Person), ProviderStrategy(Person)])
@pytest.mark.parametrize("with_tools", [False, True])
def test_an_agent_with_a_response_format(endpoint: Endpoint, strategy: Any, with_tools: bool) -> None:
    agent: Any = create_agent(model(endpoint), [get_weather] if with_tools else [], response_format=strategy)

    state = agent.invoke({"messages": [HumanMessage(PROMPT)]})

    assert state["structured_response"] == Person(name="Lan", age=30)


OPENAI_FUNCTION = {
    "name": "person",
    "description": "A person.",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    },
}


@pytest.mark.parametrize("method", METHODS[:2])
def test_a_function_in_openai_s_form_keeps_its_strictness(
    gateway: Gateway, endpoint: Endpoint, method: Any
) -> None:
    person = model(endpoint).with_structured_output(OPENAI_FUNCTION, method=method).invoke(PROMPT)

    assert person == {"name": "Lan", "age": 30}
    body = gateway.requests[0].body
    described = body["tools"][0]["function"] if "tools" in body else body["response_format"]["json_schema"]
    assert (described["name"], described["description"], described["strict"]) == ("person", "A person.", True)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (answer(None, refusal="That is not allowed."), "refused to answer: That is not allowed."),
        (answer('{"na', finish_reason="content_filter"), "content filter"),
    ],
)
def test_a_refusal_is_langchain_s_refusal_where_it_has_one(
    gateway: Gateway, endpoint: Endpoint, fault: Fault, text: str, method: Any, streamed: bool
) -> None:
    gateway.misbehave(fault)
    structured = model(endpoint).with_structured_output(Person, method=method)

    with pytest.raises(getattr(exceptions, "ModelRefusalError", OutputParserException), match=text) as caught:
        list(structured.stream(PROMPT)) if streamed else structured.invoke(PROMPT)

    assert isinstance(caught.value, OutputParserException)
    assert caught.value.raw_message.response_metadata["model_provider"] == "texapi"  # type: ignore[attr-defined] # ours
    assert str(pickle.loads(pickle.dumps(caught.value))).startswith(str(caught.value))


@pytest.mark.parametrize("streamed", [False, True])
def test_tools_together_with_a_schema(gateway: Gateway, endpoint: Endpoint, streamed: bool) -> None:
    structured = model(endpoint).with_structured_output(
        Person, method="json_schema", include_raw=True, tools=[get_weather]
    )
    question = "What is the weather in Hanoi?"
    asked: dict[str, Any] = {}
    for part in structured.stream(question) if streamed else [structured.invoke(question)]:
        asked |= part

    assert asked["raw"].tool_calls[0]["name"] == "get_weather"
    assert (asked["parsed"], asked["parsing_error"]) == (None, None)
    body = gateway.requests[0].body
    assert body["tools"][0]["function"]["name"] == "get_weather"
    assert body["response_format"]["json_schema"]["name"] == "Person"
    assert structured.invoke(PROMPT)["parsed"] == Person(name="Lan", age=30)


def test_a_tool_call_is_not_an_answer(endpoint: Endpoint) -> None:
    structured = model(endpoint).with_structured_output(Person, method="json_schema", tools=[get_weather])

    with pytest.raises(OutputParserException, match="called get_weather instead"):
        structured.invoke("What is the weather in Hanoi?")


NOT_FORCED = Fault(
    status=400,
    error_type="invalid_request_error",
    message="Thinking may not be enabled when tool_choice forces tool use.",
)


@pytest.mark.parametrize("way", WAYS)
def test_a_refused_forced_tool_choice_falls_back_to_auto(
    gateway: Gateway, endpoint: Endpoint, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.misbehave(NOT_FORCED)
    gateway.misbehave(answer('{"name": "Lan", "age": 30}'))
    forced = model(endpoint).bind_tools([Person], tool_choice="any")

    assert way(forced, PROMPT).content == '{"name": "Lan", "age": 30}'
    assert [request.body["tool_choice"] for request in gateway.requests] == ["required", "auto"]
    assert "cannot be forced" in caplog.text


CALLS_PERSON = answer(
    None,
    "tool_calls",
    tool_calls=[
        {
            "id": "call_1",
            "type": "function",
            "function": {"name": "Person", "arguments": '{"name": "Lan", "age": 30}'},
        }
    ],
)


@pytest.mark.parametrize("streamed", [False, True])
def test_structured_output_falls_back_to_auto(gateway: Gateway, endpoint: Endpoint, streamed: bool) -> None:
    structured = model(endpoint).with_structured_output(Person)
    gateway.misbehave(NOT_FORCED)
    gateway.misbehave(CALLS_PERSON)

    person = list(structured.stream(PROMPT))[-1] if streamed else structured.invoke(PROMPT)

    assert person == Person(name="Lan", age=30)


@pytest.mark.parametrize("tools", [[], [get_weather]])
def test_an_agent_s_response_format_falls_back_to_auto(
    gateway: Gateway, endpoint: Endpoint, tools: list[Any]
) -> None:
    gateway.misbehave(NOT_FORCED)
    gateway.misbehave(CALLS_PERSON)
    agent: Any = create_agent(model(endpoint), tools, response_format=ToolStrategy(Person))

    state = agent.invoke({"messages": [HumanMessage(PROMPT)]})

    assert state["structured_response"] == Person(name="Lan", age=30)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_choice_that_is_not_forced_is_not_retried(
    gateway: Gateway, endpoint: Endpoint, streamed: bool
) -> None:
    gateway.misbehave(NOT_FORCED)
    free = model(endpoint).bind_tools([Person], tool_choice="auto")

    with pytest.raises(TexAPIToolChoiceError):
        list(free.stream(PROMPT)) if streamed else free.invoke(PROMPT)

    assert len(gateway.requests) == 1


def test_a_tool_choice_of_the_user_s_is_kept(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.misbehave(answer('{"name": "Lan", "age": 30}'))
    model(endpoint).with_structured_output(Person, tool_choice="auto").invoke(PROMPT)

    assert gateway.requests[0].body["tool_choice"] == "auto"
