"""Histories, names and texts that applications hold reach the model, in both frameworks and every way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from llama_index.core.base.llms.types import ChatMessage, TextBlock, ThinkingBlock, ToolCallBlock
from llama_index.core.llms import LLM
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

import texapi_core
from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.asking import WAYS
from tests.conftest import Endpoint
from tests.gateway import Gateway
from tests.gateway.request import Call

MODEL = "claude-sonnet-4-6"
ASKED = "What is the capital of Vietnam?"


def langchain(endpoint: Endpoint, **kwargs: Any) -> ChatTexAPI:
    return ChatTexAPI(model=MODEL, **endpoint.for_langchain(**kwargs))


def llama_index(endpoint: Endpoint, **kwargs: Any) -> TexAPI:
    return TexAPI(model=MODEL, **endpoint.for_llama_index(**kwargs))


def called(*ids: str, name: str = "f") -> AIMessage:
    return AIMessage(
        "", tool_calls=[{"name": name, "args": {}, "id": id_, "type": "tool_call"} for id_ in ids]
    )


def li_called(*ids: str) -> ChatMessage:
    blocks = [ToolCallBlock(tool_call_id=id_, tool_name="f", tool_kwargs={}) for id_ in ids]
    return ChatMessage(role="assistant", blocks=blocks)


def li_result(id_: str, text: str = "done") -> ChatMessage:
    return ChatMessage(text, role="tool", additional_kwargs={"tool_call_id": id_})


Q, LI_Q = HumanMessage(ASKED), ChatMessage(ASKED)
HISTORIES: dict[str, tuple[list[Any], list[Any]]] = {
    "a call nobody answered": ([Q, called("a"), Q], [LI_Q, li_called("a"), LI_Q]),
    "one of two calls answered": (
        [Q, called("a", "b"), ToolMessage("done", tool_call_id="b"), Q],
        [LI_Q, li_called("a", "b"), li_result("b"), LI_Q],
    ),
    "a result without its call": ([ToolMessage("done", tool_call_id="a"), Q], [li_result("a"), LI_Q]),
    "a user between a call and its result": (
        [Q, called("a"), Q, ToolMessage("done", tool_call_id="a")],
        [LI_Q, li_called("a"), LI_Q, li_result("a")],
    ),
    "a system message between a call and its result": (
        [Q, called("a"), SystemMessage("Be brief."), ToolMessage("done", tool_call_id="a"), Q],
        [LI_Q, li_called("a"), ChatMessage("Be brief.", role="system"), li_result("a"), LI_Q],
    ),
    "two results": (
        [Q, called("a"), ToolMessage("one", tool_call_id="a"), ToolMessage("two", tool_call_id="a"), Q],
        [LI_Q, li_called("a"), li_result("a", "one"), li_result("a", "two"), LI_Q],
    ),
    "an answer of nothing": ([Q, AIMessage(""), Q], [LI_Q, ChatMessage("", role="assistant"), LI_Q]),
    "an answer of white space": (
        [Q, AIMessage(" \n"), Q],
        [LI_Q, ChatMessage(role="assistant", blocks=[TextBlock(text="\n")]), LI_Q],
    ),
    "an answer of thinking alone": (
        [Q, AIMessage([{"type": "thinking", "thinking": "Hm.", "signature": "s"}]), Q],
        [LI_Q, ChatMessage(role="assistant", blocks=[ThinkingBlock(content="Hm.")]), LI_Q],
    ),
    "a person with an accent": (
        [HumanMessage("Hi", name="Trợ lý"), AIMessage("Hello", name="Nguyễn Văn"), Q],
        [ChatMessage("Hi", additional_kwargs={"name": "Trợ lý"}), LI_Q],
    ),
    "half a character": ([HumanMessage("A file: \udcff"), Q], [ChatMessage("A file: \udcff"), LI_Q]),
    "a tool's texts as blocks": (
        [
            Q,
            called("a"),
            ToolMessage([{"type": "text", "text": "12"}, {"type": "text", "text": "34"}], tool_call_id="a"),
        ],
        [LI_Q, li_called("a"), li_result("a")],
    ),
}


async def ask(how: str, model: Any, messages: list[Any], **kwargs: Any) -> Any:
    """The whole answer of either framework's model."""
    if isinstance(model, LLM):
        if how == "whole":
            return model.chat(messages, **kwargs)
        if how == "awhole":
            return await model.achat(messages, **kwargs)
        if how == "stream":
            return list(model.stream_chat(messages, **kwargs))[-1]
        return [response async for response in await model.astream_chat(messages, **kwargs)][-1]
    if how == "whole":
        return model.invoke(messages, **kwargs)
    if how == "awhole":
        return await model.ainvoke(messages, **kwargs)
    if how == "stream":
        chunks = list(model.stream(messages, **kwargs))
    else:
        chunks = [chunk async for chunk in model.astream(messages, **kwargs)]
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("case", HISTORIES)
async def test_a_history_is_answered(gateway: Gateway, endpoint: Endpoint, case: str, how: str) -> None:
    for_langchain, for_llama_index = HISTORIES[case]

    await ask(how, langchain(endpoint), for_langchain)
    await ask(how, llama_index(endpoint), for_llama_index)

    assert len(gateway.requests) == 2


UNANSWERED = ["a call nobody answered", "a result without its call", "an answer of nothing", "two results"]


@pytest.mark.parametrize("case", UNANSWERED)
@pytest.mark.parametrize("per_call", [False, True])
async def test_as_is_shows_the_provider_s_error(endpoint: Endpoint, case: str, per_call: bool) -> None:
    for_langchain, for_llama_index = HISTORIES[case]
    constructor, call = ({}, {"history": "as_is"}) if per_call else ({"history": "as_is"}, {})

    with pytest.raises(texapi_core.TexAPIBadRequestError):
        await ask("whole", langchain(endpoint, **constructor), for_langchain, **call)
    with pytest.raises(texapi_core.TexAPIBadRequestError):
        await ask("stream", llama_index(endpoint, **constructor), for_llama_index, **call)


def ping(host: str = "") -> str:
    """Ping a host."""
    return f"{host} is up"


def other(host: str = "") -> str:
    """Ping a host in another way."""
    return f"{host} is down"


OWN_NAMES: dict[str, str | None] = {
    "ns.ping": "ns_ping",
    "tìm kiếm": "tim_kiem",
    "Đặt hàng": "Dat_hang",
    "a" * 70: None,
    "搜索": None,
}


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("own", OWN_NAMES)
async def test_a_tool_answers_under_its_own_name(
    gateway: Gateway, endpoint: Endpoint, own: str, how: str
) -> None:
    """Its name in the request is legal; in the answer, and in the history of the next turn, it is its own."""
    tool = StructuredTool.from_function(ping, name=own, description="Ping.")
    chat: Any = langchain(endpoint).bind_tools([tool], tool_choice=own)

    answer = await ask(how, chat, [HumanMessage("Ping it")])

    (call,) = answer.tool_calls
    assert call["name"] == own
    sent = gateway.requests[-1].body
    wire_name = sent["tools"][0]["function"]["name"]
    assert wire_name == OWN_NAMES[own] or len(wire_name) <= 64
    assert sent["tool_choice"]["function"]["name"] == wire_name
    await ask(how, chat, [HumanMessage("Ping it"), answer, tool.invoke(call)])
    assert gateway.requests[-1].body["messages"][1]["tool_calls"][0]["function"]["name"] == wire_name


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("own", OWN_NAMES)
async def test_a_tool_of_llama_index_answers_under_its_own_name(
    gateway: Gateway, endpoint: Endpoint, own: str, how: str
) -> None:
    tool = FunctionTool.from_defaults(ping, name=own, description="Ping.")
    llm = llama_index(endpoint)
    arguments = llm._prepare_chat_with_tools([tool], "Ping it", tool_choice=own)

    response = await ask(how, llm, **arguments)

    (selected,) = llm.get_tool_calls_from_response(response)
    assert selected.tool_name == own
    sent = gateway.requests[-1].body
    wire_name = sent["tools"][0]["function"]["name"]
    assert wire_name == OWN_NAMES[own] or len(wire_name) <= 64
    assert sent["tool_choice"]["function"]["name"] == wire_name
    history = [ChatMessage("Ping it"), response.message, li_result(selected.tool_id)]
    await ask(how, llm, **{**arguments, "messages": history})
    assert gateway.requests[-1].body["messages"][1]["tool_calls"][0]["function"]["name"] == wire_name


@pytest.mark.parametrize("how", WAYS)
async def test_tools_whose_names_collide_stay_two(gateway: Gateway, endpoint: Endpoint, how: str) -> None:
    tools: Any = [
        StructuredTool.from_function(ping, name="ns.ping"),
        StructuredTool.from_function(other, name="ns_ping"),
        StructuredTool.from_function(other, name="ns ping"),
    ]
    chat = langchain(endpoint).bind_tools(tools)
    await ask(how, chat, [HumanMessage("Hello")])
    sent = [tool["function"]["name"] for tool in gateway.requests[-1].body["tools"]]
    gateway.answer([Call(name, {"host": "a"}) for name in sent])

    answer = await ask(how, chat, [HumanMessage("Ping them")])

    assert [call["name"] for call in answer.tool_calls] == ["ns.ping", "ns_ping", "ns ping"]
    assert sent[1] == "ns_ping"
    assert len(set(sent)) == 3


class Page(BaseModel):
    """A page."""

    title: str


Trang = type("Trang_báo", (Page,), {"__module__": __name__, "__doc__": "Một trang."})


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_a_class_with_an_accent_is_an_answer(endpoint: Endpoint, method: Any) -> None:
    assert isinstance(
        langchain(endpoint).with_structured_output(Trang, method=method).invoke("A page"), Trang
    )
    assert isinstance(llama_index(endpoint).as_structured_llm(Trang).complete("A page").raw, Trang)


def test_an_agent_with_an_accent_answers_a_second_turn(gateway: Gateway, endpoint: Endpoint) -> None:
    agent: Any = create_agent(langchain(endpoint), [], name="Trợ lý", checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}

    agent.invoke({"messages": [Q]}, thread)
    agent.invoke({"messages": [Q]}, thread)

    assert gateway.requests[1].body["messages"][1]["name"] == "Tro_ly"


def test_an_interrupted_agent_goes_on(gateway: Gateway, endpoint: Endpoint) -> None:
    """It stops before its tools, and the user asks something else instead of resuming it."""
    tool = StructuredTool.from_function(ping)
    agent: Any = create_agent(
        langchain(endpoint), [tool], checkpointer=InMemorySaver(), interrupt_before=["tools"]
    )
    thread: Any = {"configurable": {"thread_id": "1"}}
    gateway.answer([Call("ping", {"host": "a"})])
    agent.invoke({"messages": [HumanMessage("Ping a")]}, thread)

    answer = agent.invoke({"messages": [Q]}, thread)

    assert "Hà Nội" in answer["messages"][-1].text


def test_names_stay_apart_and_each_turn_starts_with_the_one_before(
    gateway: Gateway, endpoint: Endpoint
) -> None:
    people = ["Trợ lý", "Tro ly", "Tro_ly", "助手", "帮手"]
    chat = langchain(endpoint)

    asyncio.run(ask("whole", chat, [HumanMessage("Hi", name=name) for name in people]))
    asyncio.run(ask("whole", chat, [HumanMessage("Hi", name=name) for name in people[:2]]))

    names = [message["name"] for message in gateway.requests[0].body["messages"]]
    assert names[0] == "Tro_ly"
    assert len(set(names)) == len(people)
    assert [message["name"] for message in gateway.requests[1].body["messages"]] == names[:2]
