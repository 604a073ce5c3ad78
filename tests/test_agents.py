"""Agents as people run them, interrupted, summarised or handed over, send only legal requests.

The stand-in refuses what the strictest provider refuses.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware, SummarizationMiddleware
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.tools import FunctionTool

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.conftest import Endpoint
from tests.gateway import Gateway
from tests.gateway.request import Call


@tool
def pay(to: str) -> str:
    """Pay somebody."""
    return f"Paid {to}."


@tool
def look_up(name: str) -> str:
    """Look a name up."""
    return f"{name} is known."


def _call(name: str, /, **arguments: str) -> Call:
    return Call(name, arguments)


def _model(endpoint: Endpoint) -> ChatTexAPI:
    return ChatTexAPI(**endpoint.for_langchain(model="claude-sonnet-4-6"))


def _all_were_taken(gateway: Gateway) -> None:
    assert [entry.status for entry in gateway.ledger] == [200] * len(gateway.requests)


THREAD: Any = {"configurable": {"thread_id": "1"}}


@pytest.mark.parametrize("decision", ["approve", "reject", "ignore"])
def test_a_human_in_the_loop(gateway: Gateway, endpoint: Endpoint, decision: str) -> None:
    """`ignore`: the user asks something else, and the call that waits is never answered."""
    agent: Any = create_agent(
        _model(endpoint),
        [pay, look_up],
        middleware=[HumanInTheLoopMiddleware(interrupt_on={"pay": True})],
        checkpointer=InMemorySaver(),
    )
    gateway.answer([_call("pay", to="Ann"), _call("look_up", name="Ann")])

    stopped = agent.invoke({"messages": [HumanMessage("Pay Ann")]}, THREAD)
    assert stopped["__interrupt__"]
    gateway.answer("Done.")
    if decision == "ignore":
        ended = agent.invoke({"messages": [HumanMessage("Forget it. Who are you?")]}, THREAD)
    else:
        ended = agent.invoke(Command(resume={"decisions": [{"type": decision}]}), THREAD)
    gateway.answer("Hello again.")
    ended = agent.invoke({"messages": [HumanMessage("Still there?")]}, THREAD)

    assert ended["messages"][-1].text == "Hello again."
    _all_were_taken(gateway)


@pytest.mark.parametrize(
    ("trigger", "is_own_count"),
    [(("messages", 4), False), (("fraction", 5e-5), False), (("fraction", 5e-5), True)],
)
def test_a_history_that_is_summarised(
    gateway: Gateway, endpoint: Endpoint, trigger: Any, is_own_count: bool
) -> None:
    model = _model(endpoint)
    counter: Any = {"token_counter": model.get_num_tokens_from_messages} if is_own_count else {}
    agent: Any = create_agent(
        model,
        [look_up],
        middleware=[SummarizationMiddleware(model, trigger=trigger, keep=("messages", 1), **counter)],
        checkpointer=InMemorySaver(),
    )
    for name in ("Ann", "Bob", "Eve"):
        gateway.answer([_call("look_up", name=name)])
        for text in ("Known.", "Known.", "Known."):
            gateway.answer(text)
        agent.invoke({"messages": [HumanMessage(f"Who is {name}?")]}, THREAD)
        gateway.answer()

    assert any("summary" in str(request.body["messages"]).lower() for request in gateway.requests)
    _all_were_taken(gateway)


def test_a_supervisor_with_named_agents(gateway: Gateway, endpoint: Endpoint) -> None:
    helper: Any = create_agent(_model(endpoint), [look_up], name="Trợ lý")
    for text in ("I am here.", "Still here."):
        gateway.answer(text)

    first = helper.invoke({"messages": [HumanMessage("Hello", name="Chị Hoa")]})
    assert first["messages"][-1].name == "Trợ lý"
    supervisor: Any = create_agent(_model(endpoint), [look_up], name="supervisor")
    ended = supervisor.invoke({"messages": [*first["messages"], HumanMessage("Again")]})

    assert ended["messages"][-1].text == "Still here."
    names = [each["name"] for each in gateway.requests[-1].body["messages"] if "name" in each]
    assert len(names) == 2
    _all_were_taken(gateway)


def _llm(endpoint: Endpoint) -> TexAPI:
    return TexAPI(**endpoint.for_llama_index(model="claude-sonnet-4-6"))


def _pay(to: str) -> str:
    """Pay somebody."""
    return f"Paid {to}."


def _look_up(name: str) -> str:
    """Look a name up."""
    return f"{name} is known."


@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_tool_that_returns_directly_beside_another(
    gateway: Gateway, endpoint: Endpoint, is_streamed: bool
) -> None:
    tools: list[Any] = [
        FunctionTool.from_defaults(_pay, name="pay", return_direct=True),
        FunctionTool.from_defaults(_look_up, name="look_up"),
    ]
    agent = FunctionAgent(tools=tools, llm=_llm(endpoint), streaming=is_streamed)
    gateway.answer([_call("pay", to="A"), _call("look_up", name="A")])
    gateway.answer("Hello again.")

    async def two_turns() -> tuple[str, str]:
        memory = ChatMemoryBuffer.from_defaults()
        first = await agent.run("Pay A", memory=memory)
        return str(first), str(await agent.run("Still there?", memory=memory))

    first, second = asyncio.run(two_turns())

    assert "Paid A." in first
    assert second == "Hello again."
    _all_were_taken(gateway)


def test_agents_that_hand_over(gateway: Gateway, endpoint: Endpoint) -> None:
    llm = _llm(endpoint)
    writer = FunctionAgent(name="Người viết", description="Writes.", tools=[], llm=llm)
    seeker = FunctionAgent(
        name="seeker",
        description="Looks up.",
        tools=[FunctionTool.from_defaults(_look_up, name="look_up")],
        llm=llm,
        can_handoff_to=["Người viết"],
    )
    workflow = AgentWorkflow(agents=[seeker, writer], root_agent="seeker")
    gateway.answer([_call("look_up", name="A")])
    gateway.answer([_call("handoff", to_agent="Người viết", reason="write")])
    gateway.answer("A is known.")

    async def run() -> str:
        return str(await workflow.run("Who is A?"))

    assert asyncio.run(run()) == "A is known."
    _all_were_taken(gateway)
