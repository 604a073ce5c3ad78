"""Tools and agents: whole, streamed, in parallel, and with arguments that are not JSON."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ToolCallBlock
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama_index_texapi import TexAPI
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from tests.llama_index.test_chat import llm


def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"It is sunny in {city}, 31 degrees."


def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


WEATHER = FunctionTool.from_defaults(get_weather)
MULTIPLY = FunctionTool.from_defaults(multiply)
REACT = (
    'Thought: I need a tool.\nAction: multiply\nAction Input: {"a": 12, "b": 7}',
    "Thought: I can answer without using any more tools.\nAnswer: The product is 84.",
)
"""A model's answer to `ReActAgent`'s prompt for the product of 12 and 7."""
QUESTION = "What is the weather in Hanoi and Paris?"


def _chat(llm: TexAPI, **kwargs: Any) -> ChatResponse:
    return llm.chat_with_tools([WEATHER], QUESTION, allow_parallel_tool_calls=True, **kwargs)


def _achat(llm: TexAPI, **kwargs: Any) -> ChatResponse:
    return asyncio.run(llm.achat_with_tools([WEATHER], QUESTION, allow_parallel_tool_calls=True, **kwargs))


def _stream(llm: TexAPI, **kwargs: Any) -> ChatResponse:
    *_, last = llm.stream_chat_with_tools([WEATHER], QUESTION, allow_parallel_tool_calls=True, **kwargs)
    return last


def _astream(llm: TexAPI, **kwargs: Any) -> ChatResponse:
    async def last() -> ChatResponse:
        stream = await llm.astream_chat_with_tools(
            [WEATHER], QUESTION, allow_parallel_tool_calls=True, **kwargs
        )
        return [response async for response in stream][-1]

    return asyncio.run(last())


WAYS = [_chat, _achat, _stream, _astream]


@pytest.mark.parametrize("way", WAYS)
def test_the_same_tools_are_not_converted_again(
    endpoint: Endpoint, schemas_made: list[Any], way: Any
) -> None:
    way(llm(endpoint))
    schemas_made.clear()

    way(llm(endpoint))

    assert schemas_made == []


@pytest.mark.parametrize(("by_schema", "made_by_llama_index"), [(False, 1), (True, 0)])
def test_the_same_class_of_an_answer_is_not_converted_again(
    endpoint: Endpoint, schemas_made: list[Any], by_schema: bool, made_by_llama_index: int
) -> None:
    """LlamaIndex's tool for objects reads the class's description from its schema each time."""
    prompt = PromptTemplate("Give me the song titled {title} of the year 1967. Answer in JSON.")
    model = llm(endpoint, should_use_structured_outputs=by_schema)
    model.structured_predict(Song, prompt, title='"Diễm xưa"')
    schemas_made.clear()

    model.structured_predict(Song, prompt, title='"Diễm xưa"')

    assert len(schemas_made) == made_by_llama_index


def test_a_changed_tool_description_is_sent(gateway: Gateway, endpoint: Endpoint) -> None:
    tool = FunctionTool.from_defaults(get_weather)
    llm(endpoint).chat_with_tools([tool], QUESTION)

    tool.metadata.description = "Tell the weather of a village."
    llm(endpoint).chat_with_tools([tool], QUESTION)

    described = [sent.body["tools"][0]["function"]["description"] for sent in gateway.requests]
    assert described == [WEATHER.metadata.description, "Tell the weather of a village."]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.standin_only
def test_parallel_calls(recorded: Endpoint, way: Any) -> None:
    model = llm(recorded)

    response = way(model)

    calls = model.get_tool_calls_from_response(response)
    assert [(call.tool_id, call.tool_name, call.tool_kwargs) for call in calls] == [
        ("call_000001", "get_weather", {"city": "Hanoi"}),
        ("call_000002", "get_weather", {"city": "Paris"}),
    ]
    blocks = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
    assert [block.tool_kwargs for block in blocks] == [{"city": "Hanoi"}, {"city": "Paris"}]
    assert [call.function.name for call in response.message.additional_kwargs["tool_calls"]] == [
        "get_weather",
        "get_weather",
    ]


def test_one_call_where_only_one_is_allowed(endpoint: Endpoint) -> None:
    model = llm(endpoint)

    response = model.chat_with_tools([WEATHER], QUESTION, allow_parallel_tool_calls=False)

    assert len(model.get_tool_calls_from_response(response)) == 1
    assert len(response.message.additional_kwargs["tool_calls"]) == 1


@pytest.mark.parametrize(
    ("arguments", "choice"),
    [
        ({}, None),
        ({"tool_required": True}, "required"),
        ({"tool_choice": "any"}, "required"),
        ({"tool_choice": "none"}, "none"),
        ({"tool_choice": "get_weather"}, {"type": "function", "function": {"name": "get_weather"}}),
        ({"tool_choice": "auto", "tool_required": True}, "auto"),
        (
            {"tool_choice": {"type": "function", "function": {"name": "get_weather"}}},
            {"type": "function", "function": {"name": "get_weather"}},
        ),
    ],
)
def test_tool_choice(arguments: dict[str, Any], choice: Any) -> None:
    prepared = TexAPI("m", api_key="k")._prepare_chat_with_tools([WEATHER], "Hello", **arguments)

    assert prepared.get("tool_choice") == choice


def test_a_tool_choice_that_names_no_tool_is_an_error() -> None:
    with pytest.raises(ValueError, match="tool_choice"):
        TexAPI("m", api_key="k")._prepare_chat_with_tools([WEATHER], "Hello", tool_choice="get_whether")


def test_without_tools_no_tool_parameter_is_sent(gateway: Gateway, endpoint: Endpoint) -> None:
    llm(endpoint).chat_with_tools([], "Hello", tool_required=True)

    assert set(gateway.requests[0].body) == {"model", "messages"}


def test_the_caller_s_history_is_not_changed(endpoint: Endpoint) -> None:
    history = [ChatMessage("Hello")]

    llm(endpoint).chat_with_tools([WEATHER], QUESTION, chat_history=history)

    assert len(history) == 1


def _answer_with_arguments(arguments: str, finish_reason: str = "tool_calls") -> Fault:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": arguments}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return Fault(
        body={"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}]}
    )


@pytest.mark.parametrize("way", WAYS)
def test_arguments_that_are_not_json_do_not_become_none(
    gateway: Gateway, endpoint: Endpoint, way: Any
) -> None:
    gateway.misbehave(_answer_with_arguments('{"city": Hanoi}'))
    model = llm(endpoint)

    response = way(model)

    (call,) = model.get_tool_calls_from_response(response, error_on_no_tool_call=False)
    assert call.tool_kwargs["invalid_arguments"] == '{"city": Hanoi}'
    with pytest.raises(ValueError, match="no JSON object"):
        model.get_tool_calls_from_response(response)


def test_arguments_cut_by_the_token_limit_are_reported(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.misbehave(_answer_with_arguments('{"city": "Ha', "length"))

    with pytest.raises(ValueError, match="token limit"):
        llm(endpoint).predict_and_call([WEATHER], QUESTION)


@pytest.mark.parametrize("way", WAYS)
def test_truncated_arguments_never_run_a_tool(gateway: Gateway, endpoint: Endpoint, way: Any) -> None:
    """Even if the gateway reports no finish reason."""
    call = {"id": "a", "function": {"name": "get_weather", "arguments": '{"city": "Ha'}}
    gateway.misbehave(Fault(body={"choices": [{"index": 0, "message": {"tool_calls": [call]}}]}))
    model = llm(endpoint)

    response = way(model)

    (selected,) = model.get_tool_calls_from_response(response, error_on_no_tool_call=False)
    assert selected.tool_kwargs["invalid_arguments"] == '{"city": "Ha'


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("finish_reason", ["tool_calls", "length"])
async def test_an_agent_never_runs_a_tool_with_broken_arguments(
    gateway: Gateway, endpoint: Endpoint, streaming: bool, finish_reason: str
) -> None:
    """Not even one whose function takes any keyword; the model gets an error."""
    ran: list[Any] = []

    def get_weather(**kwargs: Any) -> str:
        """Tell the weather."""
        ran.append(kwargs)
        return "done"

    gateway.misbehave(_answer_with_arguments('{"city": "/tm', finish_reason))
    tool = FunctionTool.from_defaults(get_weather)
    agent = FunctionAgent(llm=llm(endpoint), tools=[tool], streaming=streaming)

    await agent.run("Say one")

    assert not ran
    call, result = gateway.requests[1].body["messages"][-2:]
    assert json.loads(call["tool_calls"][0]["function"]["arguments"]) == {
        "invalid_arguments": '{"city": "/tm'
    }
    assert result["role"] == "tool"
    assert "self" in result["content"]


def test_partial_arguments_are_streamed(endpoint: Endpoint) -> None:
    model = llm(endpoint)
    seen = [
        call.tool_kwargs
        for response in model.stream_chat_with_tools([WEATHER], "What is the weather in Hanoi?")
        for call in model.get_tool_calls_from_response(response, error_on_no_tool_call=False)
    ]

    assert {} in seen
    assert seen[-1] == {"city": "Hanoi"}


def test_a_tool_can_be_chosen_by_its_original_name(gateway: Gateway, endpoint: Endpoint) -> None:
    tool = FunctionTool.from_defaults(get_weather, name="weather[int]")

    llm(endpoint).chat_with_tools([tool], "Hi", tool_choice="weather[int]")

    (request,) = gateway.requests
    assert request.body["tool_choice"] == {"type": "function", "function": {"name": "weather_int_"}}


def test_names_that_collide_on_the_wire_are_made_unique(gateway: Gateway, endpoint: Endpoint) -> None:
    tools = [
        FunctionTool.from_defaults(get_weather, name="tool.a"),
        FunctionTool.from_defaults(multiply, name="tool_a"),
    ]
    call = {"id": "c", "type": "function", "function": {"name": "tool_a", "arguments": '{"a": 6, "b": 7}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    gateway.misbehave(Fault(body={"choices": [{"index": 0, "message": message}]}))
    model = llm(endpoint)

    response = model.chat_with_tools(tools, "Multiply 6 by 7")

    (selected,) = model.get_tool_calls_from_response(response)
    assert (selected.tool_name, selected.tool_kwargs) == ("tool_a", {"a": 6, "b": 7})
    sent = gateway.requests[0].body
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["tool_a_c518e4d0", "tool_a"]

    result = ChatMessage("42", role="tool", additional_kwargs={"tool_call_id": "c"})
    model.chat_with_tools(tools, chat_history=[ChatMessage("Multiply 6 by 7"), response.message, result])

    (again,) = gateway.requests[1].body["messages"][1]["tool_calls"]
    assert again["function"]["name"] == "tool_a"


def _call_of(name: str) -> Fault:
    call = {
        "id": "c",
        "type": "function",
        "function": {"name": name, "arguments": '{"title": "x", "year": 1}'},
    }
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return Fault(body={"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]})


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_call_of_an_unknown_tool(gateway: Gateway, endpoint: Endpoint, asynchronous: bool) -> None:
    gateway.misbehave(_call_of("get_news"))
    model = llm(endpoint)

    def call() -> Any:
        if asynchronous:
            return asyncio.run(model.apredict_and_call([WEATHER], QUESTION))
        return model.predict_and_call([WEATHER], QUESTION)

    with pytest.raises(ValueError, match=r"called \['get_news'\], which are none of the tools"):
        call()


async def test_an_agent_reports_an_unknown_tool_to_the_model(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.misbehave(_call_of("get_news"))

    output = await FunctionAgent(llm=llm(endpoint), tools=[WEATHER], streaming=False).run(
        "What is the weather in Hanoi?"
    )

    assert "31" in str(output)
    assert "not found" in gateway.requests[1].body["messages"][-1]["content"]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_program_has_one_tool_by_whatever_name_it_is_called(
    gateway: Gateway, endpoint: Endpoint, asynchronous: bool
) -> None:
    gateway.misbehave(_call_of("song"))
    model, prompt = llm(endpoint), PromptTemplate("A song")

    if asynchronous:
        song = asyncio.run(model.astructured_predict(Song, prompt))
    else:
        song = model.structured_predict(Song, prompt)

    assert song == Song(title="x", year=1)


def test_a_missing_tool_call_is_an_error(endpoint: Endpoint) -> None:
    model = llm(endpoint)
    response = model.chat([ChatMessage("Hello")])

    assert model.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []
    with pytest.raises(ValueError, match="Expected at least one tool call"):
        model.get_tool_calls_from_response(response)


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_function_agent(recorded: Endpoint, streaming: bool) -> None:
    counter = TokenCountingHandler()
    model = llm(recorded, callback_manager=CallbackManager([counter]))
    agent = FunctionAgent(llm=model, tools=[WEATHER], streaming=streaming)

    output: Any = await agent.run("What is the weather in Hanoi?")

    assert "31" in str(output)
    assert output.raw["usage"]["prompt_tokens"] == counter.llm_token_counts[-1].prompt_token_count
    assert len(counter.llm_token_counts) == 2
    assert all(event.prompt_token_count > 40 for event in counter.llm_token_counts)


async def test_a_react_agent(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.answer(*REACT)

    output = await ReActAgent(llm=llm(endpoint), tools=[MULTIPLY]).run("What is 12 times 7? Use multiply.")

    assert "84" in str(output)


async def test_a_workflow_of_two_agents(endpoint: Endpoint) -> None:
    weather = FunctionAgent(
        name="weather", description="Knows the weather.", llm=llm(endpoint), tools=[WEATHER]
    )
    maths = FunctionAgent(
        name="maths",
        description="Multiplies.",
        llm=llm(endpoint),
        tools=[MULTIPLY],
        can_handoff_to=["weather"],
    )

    output = await AgentWorkflow(agents=[maths, weather], root_agent="maths").run("Multiply 12 by 7")

    assert "84" in str(output)


async def test_gemini_s_signature_is_sent_back_with_its_call(gateway: Gateway, endpoint: Endpoint) -> None:
    agent = FunctionAgent(llm=llm(endpoint, model="gemini-3-pro"), tools=[WEATHER])

    output = await agent.run("What is the weather in Hanoi?")  # the gateway refuses a call without it

    assert "31" in str(output)
    sent = gateway.requests[-1].body["messages"]
    (call,) = [call for message in sent for call in message.get("tool_calls", [])]
    assert call["extra_content"]["google"]["thought_signature"]


class Song(BaseModel):
    """A song."""

    title: str
    year: int


@pytest.mark.parametrize("asynchronous", [False, True])
def test_structured_predict(recorded: Endpoint, asynchronous: bool) -> None:
    prompt = PromptTemplate("Give me the song titled {title} of the year 1967.")
    model = llm(recorded)

    if asynchronous:
        song = asyncio.run(model.astructured_predict(Song, prompt, title='"Diễm xưa"'))
    else:
        song = model.structured_predict(Song, prompt, title='"Diễm xưa"')

    assert (song.title, song.year) == ("Diễm xưa", 1967)


def test_structured_predict_streams(endpoint: Endpoint) -> None:
    prompt = PromptTemplate('Give me the song titled "{title}" of the year 1967.')

    *_, last = llm(endpoint).stream_structured_predict(Song, prompt, title="Diễm xưa")

    assert isinstance(last, Song)
    assert (last.title, last.year) == ("Diễm xưa", 1967)


def _calls(*names: str) -> list[dict[str, Any]]:
    return [
        {"index": index, "id": f"c{index}", "type": "function", "function": {"name": name, "arguments": "{}"}}
        for index, name in enumerate(names)
    ]


def _answer_with(gateway: Gateway, *names: str, is_streamed: bool) -> None:
    """The next answer calls these tools, whatever it was asked."""
    message = {"role": "assistant", "content": None, "tool_calls": _calls(*names)}
    choice = {"index": 0, "delta" if is_streamed else "message": message, "finish_reason": "tool_calls"}
    body = {"id": "c", "choices": [choice]}
    event = f"data: {json.dumps(body)}\n\ndata: [DONE]\n\n".encode()
    gateway.misbehave(Fault(raw=event, content_type="text/event-stream") if is_streamed else Fault(body=body))


ONE_AT_A_TIME = [
    lambda llm, **kwargs: llm.chat_with_tools([WEATHER], QUESTION, **kwargs),
    lambda llm, **kwargs: list(llm.stream_chat_with_tools([WEATHER], QUESTION, **kwargs))[-1],
    lambda llm, **kwargs: asyncio.run(llm.achat_with_tools([WEATHER], QUESTION, **kwargs)),
    lambda llm, **kwargs: asyncio.run(_last(llm.astream_chat_with_tools([WEATHER], QUESTION, **kwargs))),
]


async def _last(stream: Any) -> Any:
    return [response async for response in await stream][-1]


@pytest.mark.parametrize("number", range(4), ids=["chat", "stream_chat", "achat", "astream_chat"])
def test_a_model_that_makes_two_calls_at_once_is_held_to_one(
    gateway: Gateway, endpoint: Endpoint, number: int
) -> None:
    for allowed, names in [(False, ["get_weather"]), (True, ["get_weather", "get_weather"])]:
        _answer_with(gateway, "get_weather", "get_weather", is_streamed=number % 2 == 1)
        response = ONE_AT_A_TIME[number](llm(endpoint), allow_parallel_tool_calls=allowed)

        calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
        assert [call.tool_name for call in calls] == names
        assert [call.function.name for call in response.message.additional_kwargs["tool_calls"]] == names


@pytest.mark.parametrize("number", range(4), ids=["chat", "stream_chat", "achat", "astream_chat"])
def test_a_call_of_an_unknown_tool_is_noted(gateway: Gateway, endpoint: Endpoint, number: int) -> None:
    _answer_with(gateway, "get_news", is_streamed=number % 2 == 1)

    response = ONE_AT_A_TIME[number](llm(endpoint))

    assert response.additional_kwargs["unknown_tools"] == ["get_news"]


@pytest.mark.parametrize("is_agent_streaming", [False, True])
def test_an_agent_runs_one_tool_at_a_time(
    gateway: Gateway, endpoint: Endpoint, is_agent_streaming: bool
) -> None:
    ran: list[str] = []

    def pay(to: str = "A") -> str:
        """Pay once."""
        ran.append(to)
        return "paid"

    _answer_with(gateway, "pay", "pay", is_streamed=is_agent_streaming)
    agent = FunctionAgent(
        tools=[FunctionTool.from_defaults(pay)],
        llm=llm(endpoint),
        streaming=is_agent_streaming,
        allow_parallel_tool_calls=False,
    )

    async def run() -> None:
        await agent.run("Pay")

    asyncio.run(run())

    assert ran == ["A"]
