"""Properties of tools with names that Claude refuses, and integers that LangGraph's checkpoints refuse."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from pydantic import BaseModel, Field

from tests.asking import WAYS
from tests.conftest import Endpoint
from tests.gateway import Gateway
from tests.gateway.request import Call
from tests.test_outgoing import LI_Q, Q, ask, langchain, li_result, llama_index

PROPERTIES = {"tên": "ten", "số lượng": "so_luong", "$filter": "_filter", "ok.name-1": "ok.name-1"}
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "order",
        "parameters": {
            "type": "object",
            "properties": {**{name: {"type": "string"} for name in PROPERTIES}, "x" * 70: {"type": "string"}},
            "required": ["tên", "ok.name-1"],
        },
    },
}
SENT = {"ten": "An", "so_luong": "2", "_filter": "a eq 1", "ok.name-1": "ten"}
OWN = {"tên": "An", "số lượng": "2", "$filter": "a eq 1", "ok.name-1": "ten"}


@pytest.mark.parametrize("how", WAYS)
async def test_properties_have_legal_names_on_the_wire_alone(
    gateway: Gateway, endpoint: Endpoint, how: str
) -> None:
    gateway.answer([Call("order", SENT)])
    answer = await ask(how, langchain(endpoint), [Q], tools=[TOOL])
    gateway.answer([Call("order", SENT)])
    response = await ask(how, llama_index(endpoint), [LI_Q], tools=[TOOL])

    (call,) = answer.tool_calls
    (block,) = [each for each in response.message.blocks if isinstance(each, ToolCallBlock)]
    assert call["args"] == block.tool_kwargs == OWN
    parameters = gateway.requests[0].body["tools"][0]["function"]["parameters"]
    assert list(parameters["properties"])[:4] == list(SENT)
    assert parameters["properties"]["ten"] == {"title": "tên", "type": "string"}
    assert parameters["properties"]["ok.name-1"] == {"type": "string"}
    assert parameters["required"] == ["ten", "ok.name-1"]

    result = ToolMessage("done", tool_call_id=call["id"])
    await ask(how, langchain(endpoint), [Q, answer, result], tools=[TOOL])
    await ask(
        how,
        llama_index(endpoint),
        [LI_Q, response.message, li_result(block.tool_call_id or "")],
        tools=[TOOL],
    )
    for request in gateway.requests[2:]:
        (sent,) = request.body["messages"][1]["tool_calls"]
        assert json.loads(sent["function"]["arguments"]) == SENT


def test_references_lead_to_the_new_names(gateway: Gateway, endpoint: Endpoint) -> None:
    properties = {"tên": {"type": "string"}, "b": {"$ref": "#/properties/t%C3%AAn"}}
    tool = {"name": "f", "input_schema": {"type": "object", "properties": properties}}

    langchain(endpoint).invoke([Q], tools=[tool])

    sent = gateway.requests[0].body["tools"][0]["function"]["parameters"]["properties"]
    assert sent["b"] == {"$ref": "#/properties/ten"}


def test_what_json_does_not_hold_is_named_by_its_place(endpoint: Endpoint) -> None:
    said = HumanMessage([{"type": "image_url", "image_url": {"url": "https://x.example", "x": {1}}}])

    with pytest.raises(ValueError, match=r"because of `\.messages\[1\]\.content\[0\]\.image_url\.x`"):
        langchain(endpoint).invoke([Q, said])


class Đơn(BaseModel):
    """An order."""

    tên: str
    lượng: int = Field(alias="số lượng")


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_an_answer_may_have_such_properties(gateway: Gateway, endpoint: Endpoint, method: Any) -> None:
    found: Any = langchain(endpoint).with_structured_output(Đơn, method=method).invoke("An order")

    assert isinstance(found, Đơn)
    assert isinstance(llama_index(endpoint).as_structured_llm(Đơn).complete("An order").raw, Đơn)


WEI = 12345678901234567890123


@pytest.mark.parametrize("how", WAYS)
async def test_large_integers_in_arguments_survive_a_checkpoint(
    gateway: Gateway, endpoint: Endpoint, how: str
) -> None:
    gateway.answer([Call("pay", {"wei": WEI, "note": f"pay {WEI}", "block": 2**63})])

    answer = await ask(how, langchain(endpoint), [Q])

    serializer = JsonPlusSerializer()
    restored = serializer.loads_typed(serializer.dumps_typed(answer))
    assert restored.tool_calls == answer.tool_calls
    assert answer.tool_calls[0]["args"] == {"wei": str(WEI), "note": f"pay {WEI}", "block": 2**63}


@pytest.mark.parametrize("streaming", [False, True])
def test_an_agent_calls_a_tool_with_a_large_integer(
    gateway: Gateway, endpoint: Endpoint, streaming: bool
) -> None:
    paid: list[int] = []

    def pay(wei: int) -> str:
        """Pay."""
        paid.append(wei)
        return "paid"

    agent: Any = create_agent(
        langchain(endpoint, streaming=streaming),
        [StructuredTool.from_function(pay)],
        checkpointer=InMemorySaver(),
    )
    gateway.answer([Call("pay", {"wei": WEI})])

    agent.invoke({"messages": [HumanMessage("Pay")]}, {"configurable": {"thread_id": "1"}})

    assert paid == [WEI]


@pytest.mark.parametrize("how", WAYS)
async def test_llama_index_has_them_as_integers(gateway: Gateway, endpoint: Endpoint, how: str) -> None:
    """It has no checkpoints that refuse them, and does not convert the arguments of its tools."""
    gateway.answer([Call("pay", {"wei": WEI})])

    response = await ask(how, llama_index(endpoint), [ChatMessage("Pay")])

    (block,) = [each for each in response.message.blocks if isinstance(each, ToolCallBlock)]
    assert block.tool_kwargs == {"wei": WEI}
