"""Structured output: an object of the schema, or an exception that says what came. Never None."""

from __future__ import annotations

from typing import Any, TypedDict

import pydantic
import pydantic.v1
import pytest
from langchain.agents import create_agent
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import HumanMessage
from pydantic import BaseModel

from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from tests.langchain.test_chat import model

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
def test_what_is_asked_of_the_gateway(gateway: Gateway, endpoint: Endpoint, method: Any) -> None:
    model(endpoint).with_structured_output(Person, method=method, strict=True).invoke(PROMPT)

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
def test_anything_else_is_an_exception_that_says_what_came(
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
    [({"schema": None}, "schema"), ({"schema": Person, "method": "magic"}, "method")],
)
def test_a_wrong_argument_is_named(arguments: dict[str, Any], named: str) -> None:
    chat = model(Endpoint("http://127.0.0.1:1/v1", "sk-tex-1"))

    with pytest.raises(ValueError, match=named):
        chat.with_structured_output(**arguments)


def test_an_agent_with_a_response_format(endpoint: Endpoint) -> None:
    agent = create_agent(model(endpoint), [], response_format=Person)

    state = agent.invoke({"messages": [HumanMessage(PROMPT)]})

    assert state["structured_response"] == Person(name="Lan", age=30)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_model_that_refuses_to_be_forced_is_asked_freely(
    gateway: Gateway, endpoint: Endpoint, streamed: bool
) -> None:
    message = "Thinking may not be enabled when tool_choice forces tool use."
    gateway.misbehave(Fault(status=400, error_type="invalid_request_error", message=message))
    gateway.misbehave(answer('{"name": "Lan", "age": 30}'))
    structured = model(endpoint).with_structured_output(Person)

    person = list(structured.stream(PROMPT))[-1] if streamed else structured.invoke(PROMPT)

    assert person == Person(name="Lan", age=30)
    assert [request.body["tool_choice"] for request in gateway.requests][1] == "auto"
    assert len(gateway.requests) == 2


def test_a_tool_choice_of_the_user_s_is_kept(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.misbehave(answer('{"name": "Lan", "age": 30}'))
    model(endpoint).with_structured_output(Person, tool_choice="auto").invoke(PROMPT)

    assert gateway.requests[0].body["tool_choice"] == "auto"
