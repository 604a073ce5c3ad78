"""What users can expect of tool calls and structured output of a LlamaIndex LLM."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import (
    ChatMessage,
    ImageBlock,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.program import FunctionCallingProgram
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from tests.conformance import answers
from tests.conformance.answers import CALLS, SHAPES, tool_call, whole
from tests.gateway import Gateway

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
QUESTION = [ChatMessage("What is the capital of Vietnam?")]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"It is sunny in {city}, 31 degrees."


TOOLS: list[Any] = [FunctionTool.from_defaults(add), FunctionTool.from_defaults(multiply)]
WEATHER = FunctionTool.from_defaults(get_weather)


class Person(BaseModel):
    """A person."""

    name: str
    age: int


PROMPT = PromptTemplate("name: {name}, age: 30. Answer in JSON with the keys name and age.")
LAN = Person(name="Lan", age=30)


def memory() -> ChatMemoryBuffer:
    return ChatMemoryBuffer.from_defaults(token_limit=10_000)


# Tools


async def called(llm: Any, way: str) -> Any:
    if way == "async":
        stream = await llm.astream_chat_with_tools(TOOLS, "Go", allow_parallel_tool_calls=True)
        return [response async for response in stream][-1]
    return list(llm.stream_chat_with_tools(TOOLS, "Go", allow_parallel_tool_calls=True))[-1]


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("shape", SHAPES)
def test_tools_two_streamed_calls(gateway: Gateway, make: Any, shape: str, way: str) -> None:
    gateway.misbehave(SHAPES[shape])
    llm = make()

    response = asyncio.run(called(llm, way))

    calls = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
    assert [(call.tool_name, call.tool_kwargs) for call in calls] == CALLS
    assert [call.tool_id for call in calls] == ["a", "b"]


@pytest.mark.parametrize("shape", SHAPES)
def test_tools_an_agent_goes_on_after_them(gateway: Gateway, make: Any, shape: str) -> None:
    gateway.misbehave(SHAPES[shape])

    async def run() -> str:
        return str(await FunctionAgent(llm=make(), tools=TOOLS).run("Go", memory=memory()))

    assert asyncio.run(run())
    results = [each["content"] for each in gateway.requests[1].body["messages"] if each["role"] == "tool"]
    assert sorted(results) == ["12", "3"]


@pytest.mark.parametrize("streaming", [True, False])
def test_tools_ids_are_there_when_the_gateway_sends_none(
    gateway: Gateway, make: Any, streaming: bool
) -> None:
    message = tool_call("add", '{"a": 1, "b": 2}', id_=None)
    gateway.misbehave(
        answers.stream(answers.chunk(message), answers.chunk({}, "tool_calls"))
        if streaming
        else whole(message, "tool_calls")
    )

    async def run() -> Any:
        return await FunctionAgent(llm=make(), tools=TOOLS, streaming=streaming).run("Go", memory=memory())

    assert str(asyncio.run(run()))
    assert len(gateway.requests) == 2


def test_tools_both_forms_of_a_call(make: Any) -> None:
    message = make().chat_with_tools([WEATHER], "What is the weather in Hanoi?").message

    assert [block.tool_name for block in message.blocks if isinstance(block, ToolCallBlock)] == [
        "get_weather"
    ]
    assert [call.function.name for call in message.additional_kwargs["tool_calls"]] == ["get_weather"]


@pytest.mark.parametrize("arguments", ['{"a": 1, "b"', "1, 2", '"a"'])
def test_tools_broken_arguments_are_not_dropped(gateway: Gateway, make: Any, arguments: str) -> None:
    gateway.misbehave(whole(tool_call("add", arguments), "tool_calls"))
    llm = make()

    response = llm.chat_with_tools(TOOLS, "Go")

    (call,) = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
    assert call.tool_kwargs != {}


@pytest.mark.parametrize("streaming", [True, False])
def test_tools_what_gemini_puts_on_a_call_goes_back(make: Any, streaming: bool) -> None:
    async def run() -> str:
        agent = FunctionAgent(llm=make(model="gemini-3-pro"), tools=[WEATHER], streaming=streaming)
        return str(await agent.run("What is the weather in Hanoi?", memory=memory()))

    assert "31" in asyncio.run(run())


@pytest.mark.parametrize("tool_call_id", [None, "", "get_weather"])
def test_tools_histories_of_other_classes(make: Any, tool_call_id: str | None) -> None:
    call = ToolCallBlock(tool_call_id=tool_call_id, tool_name="get_weather", tool_kwargs={"city": "Hanoi"})
    result = ChatMessage("31 degrees", role="tool", additional_kwargs={"tool_call_id": tool_call_id})

    assert make().chat([*QUESTION, ChatMessage(role="assistant", blocks=[call, call]), result, result])


def test_tools_an_image_in_a_result_reaches_the_model(gateway: Gateway, make: Any) -> None:
    call = ToolCallBlock(tool_call_id="c", tool_name="get_weather", tool_kwargs={"city": "Hanoi"})
    blocks = [TextBlock(text="Here."), ImageBlock(image=b"iVBORw0KGgo=", image_mimetype="image/png")]
    result = ChatMessage(role="tool", blocks=blocks, additional_kwargs={"tool_call_id": "c"})

    make().chat([*QUESTION, ChatMessage(role="assistant", blocks=[call]), result])

    assert "data:image/png" in gateway.requests[0].raw.decode()


def test_tools_the_caller_s_history_stays_as_it_was(make: Any) -> None:
    history = list(QUESTION)

    make().chat_with_tools([WEATHER], "What is the weather in Hanoi?", chat_history=history)

    assert history == QUESTION


def test_tools_a_name_that_the_wire_cannot_carry(gateway: Gateway, make: Any) -> None:
    gateway.misbehave(whole(tool_call("sum_int_", '{"a": 1, "b": 2}'), "tool_calls"))
    tool = FunctionTool.from_defaults(add, name="sum[int]")

    assert str(make().predict_and_call([tool], "Go").response) == "3"


def test_tools_a_react_agent(gateway: Gateway, make: Any) -> None:
    gateway.answer(
        'Thought: I need a tool.\nAction: multiply\nAction Input: {"a": 12, "b": 7}',
        "Thought: I can answer without using any more tools.\nAnswer: The product is 84.",
    )

    async def run() -> str:
        return str(await ReActAgent(llm=make(), tools=TOOLS).run("What is 12 times 7?", memory=memory()))

    assert "84" in asyncio.run(run())


# Structured output

PREDICTIONS: dict[str, Callable[[Any], Any]] = {
    "whole": lambda llm: llm.structured_predict(Person, PROMPT, name="Lan"),
    "async": lambda llm: asyncio.run(llm.astructured_predict(Person, PROMPT, name="Lan")),
    "streamed": lambda llm: list(llm.stream_structured_predict(Person, PROMPT, name="Lan"))[-1],
    "async streamed": lambda llm: asyncio.run(_predict(llm)),
}


async def _predict(llm: Any) -> Any:
    return [each async for each in await llm.astream_structured_predict(Person, PROMPT, name="Lan")][-1]


@pytest.mark.parametrize("way", PREDICTIONS)
@pytest.mark.parametrize("by_schema", [False, True], ids=["tool", "schema"])
def test_objects_come_whole(make: Any, way: str, by_schema: bool) -> None:
    assert PREDICTIONS[way](make(should_use_structured_outputs=by_schema)) == LAN


@pytest.mark.parametrize("way", PREDICTIONS)
def test_objects_force_their_tool(gateway: Gateway, make: Any, way: str) -> None:
    PREDICTIONS[way](make())

    assert gateway.requests[0].body["tool_choice"] not in (None, "auto")


@pytest.mark.parametrize("way", PREDICTIONS)
def test_objects_keep_the_system_prompt(gateway: Gateway, make: Any, way: str) -> None:
    PREDICTIONS[way](make(system_prompt="Be exact."))

    assert [each["role"] for each in gateway.requests[0].body["messages"]] == ["system", "user"]


def test_objects_of_a_program_that_streams_force_their_tool(gateway: Gateway, make: Any) -> None:
    program = FunctionCallingProgram.from_defaults(output_cls=Person, llm=make(), prompt=PROMPT)

    list(program.stream_call(name="Lan"))

    assert gateway.requests[0].body["tool_choice"] not in (None, "auto")


@pytest.mark.parametrize("by_schema", [False, True], ids=["tool", "schema"])
def test_objects_never_go_backwards(make: Any, by_schema: bool) -> None:
    llm = make(should_use_structured_outputs=by_schema)
    partials = list(llm.stream_structured_predict(Person, PROMPT, name="Lan"))
    names = [str(partial.name or "") for partial in partials]

    assert [len(name) for name in names] == sorted(len(name) for name in names)


@pytest.mark.parametrize("way", PREDICTIONS)
@pytest.mark.parametrize("by_schema", [False, True], ids=["tool", "schema"])
def test_objects_in_a_fence(gateway: Gateway, make: Any, way: str, by_schema: bool) -> None:
    """Also with a forced tool: some models answer with text instead of the call."""
    text = '```json\n{"name": "Lan", "age": 30}\n```'
    streamed = answers.stream(answers.chunk({"content": text}), answers.chunk({}, "stop"))
    gateway.misbehave(streamed if "streamed" in way else whole({"content": text}))

    assert PREDICTIONS[way](make(should_use_structured_outputs=by_schema)) == LAN


@pytest.mark.parametrize("way", PREDICTIONS)
@pytest.mark.parametrize("by_schema", [False, True], ids=["tool", "schema"])
@pytest.mark.parametrize(
    ("message", "finish_reason", "named"),
    [
        ({"content": None, "refusal": "Not allowed."}, "stop", "Not allowed"),
        ({"content": '{"na'}, "length", "limit"),
    ],
    ids=["refused", "cut"],
)
def test_objects_that_do_not_come_say_why(
    gateway: Gateway, make: Any, way: str, by_schema: bool, message: Any, finish_reason: str, named: str
) -> None:
    streamed = answers.stream(answers.chunk(message), answers.chunk({}, finish_reason))
    gateway.misbehave(streamed if "streamed" in way else whole(message, finish_reason))

    with pytest.raises(Exception, match=named):
        PREDICTIONS[way](make(should_use_structured_outputs=by_schema))
