"""Tools: the requests that are sent, and the tool calls that are received."""

from __future__ import annotations

import json
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from langchain_texapi._tools import format_response_format, format_tool_choice, format_tools
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from tests.langchain.test_chat import WAYS, Way, add_up, model


@tool
def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"It is sunny in {city}, 31 degrees."


@tool(extras={"cache_control": {"type": "ephemeral"}})
def cached_tool(city: str) -> str:
    """Tell the weather of a city."""
    return city


class Weather(BaseModel):
    """Tell the weather of a city."""

    city: str = Field(description="Name of the city")


class WeatherDict(TypedDict):
    """Tell the weather of a city."""

    city: Annotated[str, ..., "Name of the city"]


def weather_of(city: str) -> str:
    """Tell the weather of a city."""
    return f"It is sunny in {city}."


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.standin_only
def test_parallel_calls(recorded: Endpoint, way: Way) -> None:
    message = way(model(recorded).bind_tools([get_weather]), "What is the weather in Hanoi and Paris?")

    assert [(call["name"], call["args"], call["id"]) for call in message.tool_calls] == [
        ("get_weather", {"city": "Hanoi"}, "call_000001"),
        ("get_weather", {"city": "Paris"}, "call_000002"),
    ]
    assert message.response_metadata["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("way", WAYS)
def test_an_agent_s_turn_goes_back_and_is_answered(recorded: Endpoint, way: Way) -> None:
    chat = model(recorded).bind_tools([get_weather])
    question = HumanMessage("What is the weather in Hanoi?")
    asked = way(chat, [question])
    results = [get_weather.invoke(call) for call in asked.tool_calls]

    answer = way(chat, [question, asked, *results])

    assert "31" in answer.text


def test_an_agent(recorded: Endpoint) -> None:
    usage = UsageMetadataCallbackHandler()
    agent = create_agent(model(recorded), [get_weather])

    state = agent.invoke(
        {"messages": [HumanMessage("What is the weather in Hanoi?")]}, {"callbacks": [usage]}
    )

    assert [type(message).__name__ for message in state["messages"]] == [
        "HumanMessage",
        "AIMessage",
        "ToolMessage",
        "AIMessage",
    ]
    assert "31" in state["messages"][-1].text
    (seen,) = usage.usage_metadata.values()
    answers = [message.usage_metadata for message in state["messages"] if isinstance(message, AIMessage)]
    assert seen["total_tokens"] == sum(one["total_tokens"] for one in answers if one)


def test_an_agent_streams_tokens(endpoint: Endpoint) -> None:
    agent = create_agent(model(endpoint), [get_weather])

    pieces = [
        chunk.text
        for chunk, _ in agent.stream(
            {"messages": [HumanMessage("What is the weather in Hanoi?")]}, stream_mode="messages"
        )
        if isinstance(chunk, AIMessage)
    ]

    assert "31" in "".join(pieces)
    assert len(pieces) > 5


@pytest.mark.parametrize(
    "source",
    [
        get_weather,
        Weather,
        WeatherDict,
        {
            "type": "function",
            "function": {
                "name": "Weather",
                "description": "Tell the weather of a city.",
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
            },
        },
        {
            "name": "Weather",
            "description": "Tell the weather of a city.",
            "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
        Weather.model_json_schema(),
    ],
    ids=["tool", "pydantic", "typeddict", "openai", "anthropic", "json schema"],
)
def test_a_tool_in_any_form(source: Any) -> None:
    (formatted,) = format_tools([source])

    assert formatted["type"] == "function"
    assert formatted["function"]["description"] == "Tell the weather of a city."
    assert "city" in formatted["function"]["parameters"]["properties"]


def test_cache_control_of_a_tool_reaches_the_wire() -> None:
    anthropic = {
        "name": "t",
        "description": "d",
        "input_schema": {"type": "object", "properties": {}},
        "cache_control": {"type": "ephemeral"},
    }

    for formatted in format_tools([cached_tool, anthropic]):
        assert formatted["cache_control"] == {"type": "ephemeral"}


def test_a_provider_s_built_in_tool_is_sent_unchanged() -> None:
    assert format_tools([{"type": "web_search", "max_uses": 2}]) == [{"type": "web_search", "max_uses": 2}]


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        (None, None),
        (False, None),
        (True, "required"),
        ("any", "required"),
        ("required", "required"),
        ("auto", "auto"),
        ("none", "none"),
        ({"type": "any"}, "required"),
        ({"type": "auto"}, "auto"),
        ("get_weather", {"type": "function", "function": {"name": "get_weather"}}),
        ({"type": "tool", "name": "get_weather"}, {"type": "function", "function": {"name": "get_weather"}}),
        (
            {"type": "function", "function": {"name": "get_weather"}},
            {"type": "function", "function": {"name": "get_weather"}},
        ),
        (
            {"type": "function", "name": "get_weather"},
            {"type": "function", "function": {"name": "get_weather"}},
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}},
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}},
        ),
    ],
)
def test_tool_choice(choice: Any, wire: Any) -> None:
    assert format_tool_choice(choice, format_tools([get_weather])) == wire


@pytest.mark.parametrize(
    "choice",
    [
        "get_whether",
        5,
        {"type": "tool", "name": "get_whether"},
        {"type": "function", "function": {"name": "get_whether"}},
    ],
)
def test_a_tool_choice_that_names_no_tool_is_an_error(choice: Any) -> None:
    with pytest.raises(ValueError, match="tool_choice"):
        format_tool_choice(choice, format_tools([get_weather]))


NAMED = {"type": "function", "function": {"name": "get_weather"}}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        ("get_weather", {"tool_choice": NAMED}),
        ("any", {"tool_choice": "required"}),
        (True, {"tool_choice": "required"}),
        (False, {}),
        ({"type": "tool", "name": "get_weather"}, {"tool_choice": NAMED}),
        (
            {"type": "any", "disable_parallel_tool_use": True},
            {"tool_choice": "required", "parallel_tool_calls": False},
        ),
    ],
)
def test_a_tool_choice_has_the_same_meaning_wherever_it_is_set(
    gateway: Gateway, endpoint: Endpoint, way: Way, choice: Any, wire: dict[str, Any]
) -> None:
    chat = model(endpoint)

    way(chat.bind_tools([get_weather], tool_choice=choice), "Hello")
    way(chat.bind_tools([get_weather]), "Hello", tool_choice=choice)
    way(chat.bind(tools=[get_weather], tool_choice=choice), "Hello")
    way(model(endpoint, model_kwargs={"tools": format_tools([get_weather])}), "Hello", tool_choice=choice)

    for request in gateway.requests:
        names = {"tool_choice", "parallel_tool_calls"} & request.body.keys()
        assert {name: request.body[name] for name in names} == wire
    assert len(gateway.requests) == 4


def test_an_explicit_parallel_tool_calls_takes_precedence(gateway: Gateway, endpoint: Endpoint) -> None:
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    model(endpoint).bind_tools([get_weather], tool_choice=choice, parallel_tool_calls=True).invoke("Hello")

    assert gateway.requests[0].body["parallel_tool_calls"] is True


def test_a_choice_for_one_call_that_names_no_tool_is_an_error(gateway: Gateway, endpoint: Endpoint) -> None:
    with pytest.raises(ValueError, match="names no bound tool: 'get_news'"):
        model(endpoint).bind_tools([get_weather]).invoke("Hello", tool_choice="get_news")

    assert gateway.requests == []


def test_without_tools_no_tool_parameter_is_sent(gateway: Gateway, endpoint: Endpoint) -> None:
    chat = model(endpoint)
    chat.bind_tools([], tool_choice="any", parallel_tool_calls=False).invoke("Hello")
    chat.invoke("Hello", tools=[], tool_choice="auto")

    for request in gateway.requests:
        assert set(request.body) == {"model", "messages"}


def test_strict_parallel_and_response_format_reach_the_wire(gateway: Gateway, endpoint: Endpoint) -> None:
    response_format = {
        "type": "json_schema",
        "json_schema": {"schema": Weather.model_json_schema(), "strict": True},
    }
    chat = model(endpoint).bind_tools(
        [get_weather],
        tool_choice="none",
        strict=True,
        parallel_tool_calls=False,
        response_format=response_format,
    )
    chat.invoke("Hello")

    body = gateway.requests[0].body
    assert body["tools"][0]["function"]["strict"] is True
    assert body["parallel_tool_calls"] is False
    assert body["response_format"]["json_schema"]["name"] == "Weather"
    assert body["response_format"]["json_schema"]["strict"] is True


def test_a_response_format_in_openai_s_form_is_sent_unchanged() -> None:
    whole = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}

    assert format_response_format(whole) == whole
    assert format_response_format(whole["json_schema"]) == whole
    assert format_response_format({"type": "json_object"}) == {"type": "json_object"}


def test_tools_and_a_format_passed_to_one_call_may_be_classes(gateway: Gateway, endpoint: Endpoint) -> None:
    model(endpoint).invoke("Hello", tools=[get_weather], response_format=Weather)

    body = gateway.requests[0].body
    assert body["tools"] == format_tools([get_weather])
    assert body["response_format"] == format_response_format(Weather)


@pytest.mark.parametrize("source", [Weather, WeatherDict, weather_of, get_weather])
def test_the_same_tool_is_not_converted_again(
    endpoint: Endpoint, schemas_made: list[Any], source: Any
) -> None:
    chat = model(endpoint)
    chat.bind_tools([source]).invoke("Hello")
    schemas_made.clear()

    chat.bind_tools([source], tool_choice="any").invoke("Hello")
    chat.invoke("Hello", tools=[source])

    assert schemas_made == []


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
@pytest.mark.parametrize("schema", [Weather, WeatherDict])
def test_the_same_schema_of_an_answer_is_not_converted_again(
    endpoint: Endpoint, schemas_made: list[Any], schema: Any, method: Any
) -> None:
    model(endpoint).with_structured_output(schema, method=method)
    schemas_made.clear()

    model(endpoint).with_structured_output(schema, method=method)

    assert schemas_made == []


def test_a_bound_definition_is_not_shared(endpoint: Endpoint) -> None:
    chat: Any = model(endpoint)
    chat.bind_tools([Weather]).kwargs["tools"][0]["function"].clear()

    assert chat.bind_tools([Weather]).kwargs["tools"] == format_tools([Weather])
    assert format_tools([Weather])[0]["function"]["name"] == "Weather"


def _answer_with_arguments(arguments: str, finish_reason: str) -> Fault:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": arguments}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return Fault(
        body={"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}]}
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "arguments",
    [
        '{"city": Hanoi}',
        '{"city": "Ha',
        '{"city": ',
        '{"a": {"b": [1',
        "[1]",
        '"text"',
        "5",
        '{"a": 1}}',
        '{"city"',
    ],
)
def test_arguments_that_are_not_json_are_an_invalid_tool_call(
    gateway: Gateway, endpoint: Endpoint, arguments: str, way: Way
) -> None:
    gateway.misbehave(_answer_with_arguments(arguments, "tool_calls"))

    message = way(model(endpoint).bind_tools([get_weather]), "Weather?")

    assert message.tool_calls == []
    (invalid,) = message.invalid_tool_calls
    assert (invalid["args"] or "").startswith(arguments)


@pytest.mark.parametrize("streamed", [False, True])
def test_arguments_cut_by_the_token_limit_are_flagged(
    gateway: Gateway, endpoint: Endpoint, streamed: bool
) -> None:
    gateway.misbehave(_answer_with_arguments('{"city": "Ha', "length"))
    chat = model(endpoint).bind_tools([get_weather])

    message = add_up(list(chat.stream("Weather?"))) if streamed else chat.invoke("Weather?")  # type: ignore[arg-type] # chunks

    assert message.response_metadata["truncated_tool_calls"] == ["call_1"]


def test_gemini_s_signature_is_sent_back_with_its_call(gateway: Gateway, endpoint: Endpoint) -> None:
    chat = model(endpoint, model="gemini-3-pro").bind_tools([get_weather])
    question = HumanMessage("What is the weather in Hanoi?")
    for asked in (chat.invoke([question]), add_up(list(chat.stream([question])))):  # type: ignore[arg-type] # chunks
        results = [get_weather.invoke(call) for call in asked.tool_calls]
        answer = chat.invoke([question, asked, *results])  # the gateway refuses a call without it

        assert "31" in answer.text
        sent = gateway.requests[-1].body["messages"][1]["tool_calls"][0]
        assert sent["extra_content"]["google"]["thought_signature"]


def test_a_tool_message_may_hold_an_image(gateway: Gateway, endpoint: Endpoint) -> None:
    image = {"type": "image", "base64": "AAAA", "mime_type": "image/png"}
    call = {"name": "get_weather", "args": {"city": "Hanoi"}, "id": "call_1"}
    history = [
        HumanMessage("What is in the picture?"),
        AIMessage("", tool_calls=[call]),
        ToolMessage([{"type": "text", "text": "Here it is."}, image], tool_call_id="call_1"),
    ]
    model(endpoint).bind_tools([get_weather]).invoke(history)

    *_, result, media = gateway.requests[0].body["messages"]
    assert result == {"role": "tool", "tool_call_id": "call_1", "content": "Here it is."}
    assert media["role"] == "user"
    assert media["content"][1] == {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("allowed", [False, True, None])
def test_a_model_that_makes_two_calls_at_once_is_held_to_one(
    gateway: Gateway, endpoint: Endpoint, way: Way, allowed: bool | None
) -> None:
    is_streamed = WAYS.index(way) >= 2
    function = {"name": "get_weather", "arguments": '{"city": "Hanoi"}'}
    calls = [{"index": at, "id": f"c{at}", "type": "function", "function": function} for at in range(2)]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    choice = {"index": 0, "delta" if is_streamed else "message": message, "finish_reason": "tool_calls"}
    event = f"data: {json.dumps({'choices': [choice]})}\n\ndata: [DONE]\n\n".encode()
    gateway.misbehave(
        Fault(raw=event, content_type="text/event-stream")
        if is_streamed
        else Fault(body={"choices": [choice]})
    )

    answer = way(model(endpoint).bind_tools([get_weather], parallel_tool_calls=allowed), "Hanoi?")

    assert len(answer.tool_calls) == (1 if allowed is False else 2)
