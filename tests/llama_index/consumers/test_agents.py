"""Agents and workflows run to completion, streamed or not, with the reported token counts."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.agent.workflow import (
    AgentOutput,
    AgentStream,
    AgentWorkflow,
    FunctionAgent,
    ReActAgent,
    ToolCallResult,
)
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import PromptTemplate
from llama_index.core.workflow import Context, Event, StartEvent, StopEvent, Workflow, step
from pydantic import BaseModel

from llama_index_texapi import TexAPI, UsageCounter
from tests.conftest import Endpoint
from tests.gateway import Call, Fault, Gateway
from tests.llama_index.test_chat import llm
from tests.llama_index.test_tools import MULTIPLY, REACT, WEATHER


def memory() -> ChatMemoryBuffer:
    return ChatMemoryBuffer.from_defaults(token_limit=10_000)


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_hand_off(gateway: Gateway, endpoint: Endpoint, streaming: bool) -> None:
    maths = FunctionAgent(
        name="maths",
        description="Multiplies numbers.",
        llm=llm(endpoint),
        tools=[MULTIPLY],
        can_handoff_to=["weather"],
        streaming=streaming,
    )
    weather = FunctionAgent(
        name="weather",
        description="Tells the weather of cities.",
        llm=llm(endpoint, model="gpt-5.2"),
        tools=[WEATHER],
        streaming=streaming,
    )
    gateway.answer([Call("handoff", {"to_agent": "weather", "reason": "It is about weather."})])

    with UsageCounter() as usage:
        output: Any = await AgentWorkflow(agents=[maths, weather], root_agent="maths").run(
            "What is the weather in Hanoi?", memory=memory()
        )

    assert "31" in str(output)
    assert output.current_agent_name == "weather"
    assert set(usage.by_model) == {"claude-sonnet-4-6", "gpt-5.2"}
    assert usage.calls == len(gateway.requests) == 3
    assert usage.total.total_tokens == sum(
        entry.prompt_tokens + entry.completion_tokens for entry in gateway.ledger
    )


async def test_events_of_a_streamed_agent(gateway: Gateway, endpoint: Endpoint) -> None:
    agent = FunctionAgent(llm=llm(endpoint, reasoning_effort="low"), tools=[WEATHER])

    handler = agent.run("What is the weather in Hanoi and Paris?", memory=memory())
    events = [event async for event in handler.stream_events()]
    output: Any = await handler

    streamed = [event for event in events if isinstance(event, AgentStream)]
    last_answer = [event.delta for event in streamed if event.response or event.delta]
    assert str(output) in "".join(last_answer)
    assert "".join(event.thinking_delta or "" for event in streamed)
    results = [event for event in events if isinstance(event, ToolCallResult)]
    assert [result.tool_kwargs for result in results] == [{"city": "Hanoi"}, {"city": "Paris"}]
    assert len({result.tool_id for result in results}) == 2


@pytest.mark.parametrize("streaming", [False, True])
async def test_each_output_has_its_own_usage(gateway: Gateway, endpoint: Endpoint, streaming: bool) -> None:
    counter = TokenCountingHandler()
    model = llm(endpoint, callback_manager=CallbackManager([counter]))

    handler = FunctionAgent(llm=model, tools=[WEATHER], streaming=streaming).run(
        "What is the weather in Hanoi?", memory=memory()
    )
    outputs = [event async for event in handler.stream_events() if isinstance(event, AgentOutput)]
    await handler

    true = [(entry.prompt_tokens, entry.completion_tokens) for entry in gateway.ledger]
    reported = [output.raw["usage"] for output in outputs if output.raw]
    assert [(usage["prompt_tokens"], usage["completion_tokens"]) for usage in reported] == true
    assert [(e.prompt_token_count, e.completion_token_count) for e in counter.llm_token_counts] == true


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_gateway_that_reports_no_usage(gateway: Gateway, endpoint: Endpoint, streaming: bool) -> None:
    """Whole and streamed, with null counts: the framework estimates them, without a TypeError."""
    call = {"id": "c", "function": {"name": "get_weather", "arguments": '{"city": "Hanoi"}'}}
    usage = {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}
    for message, reason in (({"tool_calls": [call]}, "tool_calls"), ({"content": "31 degrees."}, "stop")):
        choice = {"index": 0, "message": message, "finish_reason": reason}
        gateway.misbehave(Fault(body={"choices": [choice], "usage": usage}))
    counter = TokenCountingHandler()
    model = llm(endpoint, callback_manager=CallbackManager([counter]))

    with UsageCounter() as counted:
        output: Any = await FunctionAgent(llm=model, tools=[WEATHER], streaming=streaming).run(
            "What is the weather in Hanoi?", memory=memory()
        )

    assert str(output) == "31 degrees."
    assert "usage" not in output.raw
    assert all(event.total_token_count > 0 for event in counter.llm_token_counts)
    assert (counted.calls, counted.total.total_tokens) == (2, None)


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_react_agent(gateway: Gateway, endpoint: Endpoint, streaming: bool) -> None:
    gateway.answer(*REACT)
    agent = ReActAgent(llm=llm(endpoint), tools=[MULTIPLY], streaming=streaming)

    output = await agent.run("What is 12 times 7? Use multiply.", memory=memory())

    assert "84" in str(output)


async def test_a_model_without_function_calling_gets_a_react_agent(
    gateway: Gateway, endpoint: Endpoint
) -> None:
    gateway.answer(*REACT)
    workflow = AgentWorkflow.from_tools_or_functions(
        [MULTIPLY], llm=llm(endpoint, is_function_calling_model=False)
    )

    assert isinstance(workflow.agents[workflow.root_agent], ReActAgent)
    assert "84" in str(await workflow.run("What is 12 times 7? Use multiply.", memory=memory()))


class Weather(BaseModel):
    """The weather of a city."""

    city: str
    degrees: int


@pytest.mark.parametrize("by_schema", [False, True])
async def test_an_object_at_the_end(endpoint: Endpoint, by_schema: bool) -> None:
    model = llm(endpoint, should_use_structured_outputs=by_schema)
    agent = FunctionAgent(llm=model, tools=[WEATHER], output_cls=Weather)

    output: Any = await agent.run("What is the weather in Hanoi?", memory=memory())

    assert output.get_pydantic_model(Weather).city


class Asked(Event):
    """A question for the next step."""

    prompt: str


class Predicting(Workflow):
    """A workflow of two steps; the second predicts an object."""

    def __init__(self, model: TexAPI, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._model = model

    @step
    async def ask(self, context: Context, event: StartEvent) -> Asked:
        await context.store.set("model", self._model.to_dict())
        return Asked(prompt=event.prompt)

    @step
    async def predict(self, context: Context, event: Asked) -> StopEvent:
        return StopEvent(
            result=await self._model.astructured_predict(Weather, PromptTemplate("{text}"), text=event.prompt)
        )


async def test_a_workflow_predicts_an_object(endpoint: Endpoint) -> None:
    result = await Predicting(llm(endpoint), timeout=30).run(prompt="city: Hanoi, degrees: 31")

    assert result == Weather(city="Hanoi", degrees=31)
