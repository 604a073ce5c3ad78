"""Histories made by other LLM classes are converted to what the strict gateway accepts."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock

from tests.conftest import Endpoint
from tests.gateway import Gateway
from tests.llama_index.test_chat import llm

ASKED = ChatMessage("What is the weather in Hanoi and Paris?")
THEN = ChatMessage("And which of them is warmer?")


def called(*blocks: ToolCallBlock, **kwargs: Any) -> ChatMessage:
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=list(blocks), additional_kwargs=kwargs)


def result(
    text: str, tool_call_id: str | None, role: MessageRole = MessageRole.TOOL, **kwargs: Any
) -> ChatMessage:
    return ChatMessage(text, role=role, additional_kwargs={"tool_call_id": tool_call_id, **kwargs})


def block(city: str, tool_call_id: str | None) -> ToolCallBlock:
    return ToolCallBlock(tool_call_id=tool_call_id, tool_name="get_weather", tool_kwargs={"city": city})


OLLAMA_0_11 = [
    called(block("Hanoi", "get_weather"), block("Paris", "get_weather")),
    result("31", "get_weather"),
    result("18", "get_weather"),
]
WITHOUT_IDS = [called(block("Hanoi", None), block("Paris", None)), result("31", None), result("18", None)]
EMPTY_IDS = [called(block("Hanoi", ""), block("Paris", "")), result("31", ""), result("18", "")]
GOOGLE = [
    called(block("Hanoi", None)),
    ChatMessage("31", role="tool", additional_kwargs={"name": "get_weather"}),
]
DICTS = [
    called(tool_calls=[{"function": {"name": "get_weather", "arguments": {"city": "Hanoi"}}}]),
    result("31", None),
]
FUNCTION_ROLE = [
    called(function_call={"name": "get_weather", "arguments": '{"city": "Hanoi"}'}),
    ChatMessage("31", role=MessageRole.FUNCTION, additional_kwargs={"name": "get_weather"}),
]


@pytest.mark.parametrize(
    ("turn", "results"),
    [
        (OLLAMA_0_11, ["31", "18"]),
        (WITHOUT_IDS, ["31", "18"]),
        (EMPTY_IDS, ["31", "18"]),
        (GOOGLE, ["31"]),
        (DICTS, ["31"]),
        (FUNCTION_ROLE, ["31"]),
    ],
    ids=["Ollama", "no ids", "empty ids", "Google", "dicts", "the role `function`"],
)
def test_the_gateway_accepts_it(
    gateway: Gateway, endpoint: Endpoint, turn: list[ChatMessage], results: list[str]
) -> None:
    llm(endpoint).chat([ASKED, *turn, THEN])

    _, assistant, *answers, _ = gateway.requests[0].body["messages"]
    ids = [call["id"] for call in assistant["tool_calls"]]
    assert all(ids)
    assert len(set(ids)) == len(results)
    assert [(answer["role"], answer["tool_call_id"], answer["content"]) for answer in answers] == [
        ("tool", id_, text) for id_, text in zip(ids, results, strict=True)
    ]


def test_two_turns_with_the_same_ids(gateway: Gateway, endpoint: Endpoint) -> None:
    llm(endpoint).chat([ASKED, *OLLAMA_0_11, THEN, *OLLAMA_0_11, ChatMessage("Sure?")])

    calls = [
        call for message in gateway.requests[0].body["messages"] for call in message.get("tool_calls", [])
    ]
    assert len({call["id"] for call in calls}) == 4
