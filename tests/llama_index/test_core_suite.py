"""LlamaIndex's own tests of LLMs, applied to TexAPI.

The subjects are those of llama-index-core's `tests/llms/test_callbacks.py`, `test_function_calling.py`,
`test_predict_and_call.py` and `tests/agent/workflow/`.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from llama_index.core.agent.react import ReActChatFormatter, ReActOutputParser
from llama_index.core.agent.workflow import AgentOutput, FunctionAgent, ToolCallResult
from llama_index.core.callbacks import CallbackManager
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.callbacks.schema import CBEventType, EventPayload
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.program.function_program import get_function_tool
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, Field
from workflows.errors import WorkflowRuntimeError

from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from tests.llama_index.test_chat import llm
from tests.llama_index.test_tools import MULTIPLY, REACT, WEATHER


def memory() -> ChatMemoryBuffer:
    return ChatMemoryBuffer.from_defaults(token_limit=10_000)


# Callbacks

COMPLETIONS = ["complete", "stream_complete"]


@pytest.mark.parametrize("way", COMPLETIONS)
def test_a_prompt_by_position_and_by_name(endpoint: Endpoint, way: str) -> None:
    complete: Any = getattr(llm(endpoint), way)

    for response in (complete("Say one"), complete(prompt="Say one")):
        text = response.text if way == "complete" else "".join(each.delta for each in response)
        assert text == "one"


@pytest.mark.parametrize("way", COMPLETIONS)
def test_a_prompt_given_twice_or_not_at_all(endpoint: Endpoint, way: str) -> None:
    complete: Any = getattr(llm(endpoint), way)

    with pytest.raises(TypeError):
        complete("Say one", prompt="Say two")
    with pytest.raises(TypeError, match="prompt"):
        complete()


_EMPTY = {
    "id": "c",
    "object": "chat.completion.chunk",
    "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
}


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_an_empty_stream(gateway: Gateway, endpoint: Endpoint, asynchronous: bool) -> None:
    stream = f"data: {json.dumps(_EMPTY)}\n\ndata: [DONE]\n\n".encode()
    gateway.misbehave(Fault(raw=stream, content_type="text/event-stream"))
    model = llm(endpoint)

    if asynchronous:
        responses = [each async for each in await model.astream_chat([ChatMessage("Hi")])]
    else:
        responses = list(model.stream_chat([ChatMessage("Hi")]))

    assert responses[-1].message.content == ""
    assert not any(response.delta for response in responses)


class _Serialized(BaseCallbackHandler):
    """Collects the payloads that the legacy callbacks receive."""

    def __init__(self) -> None:
        super().__init__([], [])
        self.received: list[str] = []

    def on_event_start(
        self, event_type: CBEventType, payload: dict[str, Any] | None = None, *args: Any, **kwargs: Any
    ) -> str:
        self.received.append(str(payload))
        assert EventPayload.SERIALIZED in (payload or {})
        return ""

    def on_event_end(self, event_type: CBEventType, *args: Any, **kwargs: Any) -> None:
        self.received.append(str(args) + str(kwargs))

    def start_trace(self, trace_id: str | None = None) -> None: ...

    def end_trace(self, *args: Any, **kwargs: Any) -> None: ...


def test_callbacks_never_hold_a_secret(endpoint: Endpoint) -> None:
    handler = _Serialized()
    model = llm(
        endpoint, callback_manager=CallbackManager([handler]), default_headers={"X-Tenant": "hidden-value"}
    )

    model.chat([ChatMessage("Hi")])
    list(model.stream_complete("Hi"))

    assert len(handler.received) == 4
    for secret in (endpoint.api_key, "hidden-value"):
        assert secret not in str(handler.received)


# Function calling


class Named(BaseModel):
    """A person."""

    name: str = Field(min_length=3)


PERSON = get_function_tool(Named)


def _person(name: str) -> Fault:
    call = {"id": "c", "function": {"name": "Named", "arguments": json.dumps({"name": name})}}
    return Fault(body={"choices": [{"index": 0, "message": {"tool_calls": [call]}, "finish_reason": "stop"}]})


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_tool_that_fails_is_an_output_or_an_error(
    gateway: Gateway, endpoint: Endpoint, asynchronous: bool
) -> None:
    model = llm(endpoint)

    def call(**kwargs: Any) -> Any:
        gateway.misbehave(_person("La"))
        if asynchronous:
            return asyncio.run(model.apredict_and_call([PERSON], "Go", **kwargs))
        return model.predict_and_call([PERSON], "Go", **kwargs)

    assert call().sources[0].is_error
    with pytest.raises(ValueError, match="at least 3 characters"):
        call(error_on_tool_error=True)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_model_without_function_calling_calls_tools_in_text(
    gateway: Gateway, endpoint: Endpoint, asynchronous: bool
) -> None:
    gateway.answer(*REACT)
    model = llm(endpoint, is_function_calling_model=False)
    arguments: dict[str, Any] = {
        "tools": [MULTIPLY],
        "user_msg": ChatMessage("What is 12 times 7? Use multiply."),
        "chat_history": [],
        "react_chat_formatter": ReActChatFormatter.from_defaults(),
        "output_parser": ReActOutputParser(),
        "memory": memory(),
    }

    if asynchronous:
        response = asyncio.run(model.apredict_and_call(**arguments))
    else:
        response = model.predict_and_call(**arguments)

    assert response.response == "84"
    assert [source.content for source in response.sources] == ["84"]


# Agents


def _fail(city: str) -> str:
    """Tell the weather of a city."""
    raise RuntimeError("the weather station is closed")


async def test_an_agent_reports_a_tool_error_to_the_model(gateway: Gateway, endpoint: Endpoint) -> None:
    agent = FunctionAgent(llm=llm(endpoint), tools=[FunctionTool.from_defaults(_fail, name="get_weather")])

    assert str(await agent.run("What is the weather in Hanoi?", memory=memory()))

    assert "the weather station is closed" in gateway.requests[1].body["messages"][-1]["content"]


async def test_a_tool_that_returns_directly_ends_the_run(gateway: Gateway, endpoint: Endpoint) -> None:
    tool = FunctionTool.from_defaults(WEATHER.real_fn, name="get_weather", return_direct=True)
    kept = memory()

    output = await FunctionAgent(llm=llm(endpoint), tools=[tool]).run(
        "What is the weather in Hanoi?", memory=kept
    )

    assert "31 degrees" in str(output)
    assert len(gateway.requests) == 1
    again = await FunctionAgent(llm=llm(endpoint), tools=[tool]).run("Say one", memory=kept)
    assert str(again) == "one"  # the history with its result goes back to the gateway, which takes it


async def test_an_agent_remembers(endpoint: Endpoint) -> None:
    agent, kept = FunctionAgent(llm=llm(endpoint), tools=[WEATHER]), memory()

    await agent.run("My name is Lan.", memory=kept)

    assert "Lan" in str(await agent.run("What is my name?", memory=kept))


async def test_an_agent_in_an_endless_loop_is_stopped(gateway: Gateway, endpoint: Endpoint) -> None:
    call = {"id": "c", "function": {"name": "get_weather", "arguments": '{"city": "Hanoi"}'}}
    message = {"role": "assistant", "tool_calls": [call]}
    gateway.misbehave(Fault(body={"choices": [{"index": 0, "message": message}]}), times=20)

    with pytest.raises((WorkflowRuntimeError, ValueError), match=r"[Mm]ax iterations"):
        await FunctionAgent(llm=llm(endpoint), tools=[WEATHER]).run("Go", memory=memory(), max_iterations=3)


@pytest.mark.parametrize("streaming", [False, True])
async def test_parallel_calls_of_one_turn_run_once_each(
    gateway: Gateway, endpoint: Endpoint, streaming: bool
) -> None:
    agent = FunctionAgent(llm=llm(endpoint), tools=[WEATHER], streaming=streaming)

    handler = agent.run("What is the weather in Hanoi and Paris?", memory=memory())
    events = [event async for event in handler.stream_events()]
    await handler

    assert len([event for event in events if isinstance(event, ToolCallResult)]) == 2
    assert len([event for event in events if isinstance(event, AgentOutput)]) == len(gateway.requests) == 2


async def test_the_first_tool_can_be_chosen(gateway: Gateway, endpoint: Endpoint) -> None:
    agent = FunctionAgent(llm=llm(endpoint), tools=[WEATHER, MULTIPLY], initial_tool_choice="get_weather")

    await agent.run("What is the weather in Hanoi?", memory=memory())

    choices = [request.body.get("tool_choice") for request in gateway.requests]
    assert choices == [{"type": "function", "function": {"name": "get_weather"}}, None]
