"""Custom tools of OpenAI, whose input is a text: called, chosen and sent back, whole and streamed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import Tool
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock

from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from tests.gateway.request import Call
from tests.langchain.test_chat import WAYS as LANGCHAIN_WAYS
from tests.langchain.test_content_blocks import events_of, streamed
from tests.test_outgoing import langchain, llama_index

pytestmark = pytest.mark.filterwarnings("ignore:.*beta:langchain_core._api.LangChainBetaWarning")

Q, LI_Q = HumanMessage("How many rows are there?"), ChatMessage("How many rows are there?")
SQL: dict[str, Any] = {"type": "custom", "custom": {"name": "sql", "description": "Ask the database."}}
VIETNAMESE: dict[str, Any] = {"type": "custom", "name": "Tra cứu"}
"""In the form of OpenAI Responses, with a name that providers refuse."""
QUERY = 'SELECT "tên"\nFROM t -- \\ {"a": 1}'
ARGUMENTS = {"__arg1": QUERY}


def _llama_index_ways() -> list[Callable[..., Any]]:
    async def achat(llm: Any, messages: Any, **kwargs: Any) -> Any:
        return await llm.achat(messages, **kwargs)

    async def astream(llm: Any, messages: Any, **kwargs: Any) -> Any:
        return [response async for response in await llm.astream_chat(messages, **kwargs)][-1]

    def chat(llm: Any, messages: Any, **kwargs: Any) -> Any:
        return llm.chat(messages, **kwargs)

    def stream(llm: Any, messages: Any, **kwargs: Any) -> Any:
        return list(llm.stream_chat(messages, **kwargs))[-1]

    return [chat, stream, achat, astream]


LLAMA_INDEX_WAYS = _llama_index_ways()


@pytest.mark.parametrize("tool", [SQL, VIETNAMESE], ids=["sql", "of a name with accents"])
@pytest.mark.parametrize("way", LANGCHAIN_WAYS)
def test_a_call_of_a_custom_tool_and_its_way_back(
    gateway: Gateway, endpoint: Endpoint, way: Any, tool: dict[str, Any]
) -> None:
    name = tool.get("custom", tool)["name"]
    wire_name = "sql" if tool is SQL else "Tra_cuu"
    gateway.answer([Call(wire_name, {"input": QUERY})])
    chat: Any = langchain(endpoint).bind_tools([tool])

    asked = way(chat, [Q])

    (call,) = asked.tool_calls
    assert (call["name"], call["args"]) == (name, ARGUMENTS)
    assert "unknown_tools" not in asked.response_metadata
    assert "3 rows" in way(chat, [Q, asked, ToolMessage("3 rows", tool_call_id=call["id"])]).text
    first, second = gateway.requests
    (sent,) = second.body["messages"][1]["tool_calls"]
    assert sent == {"id": call["id"], "type": "custom", "custom": {"name": wire_name, "input": QUERY}}
    assert second.body["messages"][: len(first.body["messages"])] == first.body["messages"]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_call_of_a_custom_tool_in_events(gateway: Gateway, endpoint: Endpoint, asynchronous: bool) -> None:
    gateway.answer([Call("sql", {"input": QUERY})])

    _, message = events_of(langchain(endpoint).bind_tools([SQL]), asynchronous)

    assert [call["args"] for call in message.tool_calls] == [ARGUMENTS]


@pytest.mark.parametrize("way", LLAMA_INDEX_WAYS)
async def test_a_call_of_a_custom_tool_in_llama_index(gateway: Gateway, endpoint: Endpoint, way: Any) -> None:
    async def ask(messages: list[ChatMessage]) -> Any:
        answer = way(llama_index(endpoint), messages, tools=[VIETNAMESE])
        return await answer if hasattr(answer, "__await__") else answer

    gateway.answer([Call("Tra_cuu", {"input": QUERY})])

    asked = (await ask([LI_Q])).message

    (block,) = (block for block in asked.blocks if isinstance(block, ToolCallBlock))
    assert (block.tool_name, block.tool_kwargs) == ("Tra cứu", ARGUMENTS)
    result = ChatMessage("3 rows", role="tool", additional_kwargs={"tool_call_id": block.tool_call_id})
    assert "3 rows" in (await ask([LI_Q, asked, result])).message.content
    (sent,) = gateway.requests[1].body["messages"][1]["tool_calls"]
    assert sent["custom"] == {"name": "Tra_cuu", "input": QUERY}


CHOICES = [
    "sql",
    {"type": "custom", "name": "sql"},
    {"type": "custom", "custom": {"name": "sql"}},
    {"type": "function", "function": {"name": "sql"}},
]


@pytest.mark.parametrize("choice", CHOICES)
def test_a_custom_tool_can_be_chosen(gateway: Gateway, endpoint: Endpoint, choice: Any) -> None:
    chat = langchain(endpoint).bind_tools([SQL], tool_choice=choice)

    assert [call["name"] for call in chat.invoke([Q]).tool_calls] == ["sql"]
    langchain(endpoint).invoke([Q], tools=[SQL], tool_choice=choice)
    llama_index(endpoint).chat([LI_Q], tools=[SQL], tool_choice=CHOICES[2] if choice == "sql" else choice)
    tools: Any = [SQL]
    llama_index(endpoint).chat_with_tools(tools, chat_history=[LI_Q], tool_choice=choice)

    assert [request.body["tool_choice"] for request in gateway.requests] == [CHOICES[2]] * 4


def test_a_custom_tool_with_another_name_can_be_allowed(gateway: Gateway, endpoint: Endpoint) -> None:
    allowed = {"mode": "required", "tools": [VIETNAMESE]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}

    langchain(endpoint).invoke([Q], tools=[VIETNAMESE], tool_choice=choice)

    sent = gateway.requests[0].body["tool_choice"]["allowed_tools"]["tools"]
    assert sent == [{"type": "custom", "custom": {"name": "Tra_cuu"}}]


def test_a_call_goes_back_as_one_of_a_function_where_the_tool_is_not_declared(
    gateway: Gateway, endpoint: Endpoint
) -> None:
    gateway.answer([Call("sql", {"input": QUERY})])
    asked = langchain(endpoint).bind_tools([SQL]).invoke([Q])

    langchain(endpoint).invoke([Q, asked])

    (sent,) = gateway.requests[1].body["messages"][1]["tool_calls"]
    assert sent["type"] == "function"
    assert json.loads(sent["function"]["arguments"]) == ARGUMENTS


RAW_CALLS: dict[str, dict[str, Any]] = {
    "chat completions": {"id": "c1", "type": "custom", "custom": {"name": "sql", "input": QUERY}},
    "OpenAI Responses": {"type": "custom_tool_call", "call_id": "c1", "name": "sql", "input": QUERY},
}
RAW_RESULT = {"type": "custom_tool_call_output", "call_id": "c1", "output": "3 rows"}


@pytest.mark.parametrize("form", RAW_CALLS)
def test_raw_histories_keep_calls_and_results_together(
    gateway: Gateway, endpoint: Endpoint, form: str
) -> None:
    call = RAW_CALLS[form]
    langchain(endpoint).invoke([Q, AIMessage([call]), HumanMessage([RAW_RESULT]), Q], tools=[SQL])
    langchain(endpoint).invoke(
        [Q, AIMessage([call]), ToolMessage([RAW_RESULT], tool_call_id="c1")], tools=[SQL]
    )
    said = ChatMessage("", role="assistant", additional_kwargs={"tool_calls": [call]})
    result = ChatMessage("3 rows", role="tool", additional_kwargs={"tool_call_id": "c1"})
    llama_index(endpoint).chat([LI_Q, said, result], tools=[SQL])

    for request in gateway.requests:
        _, answer, after = request.body["messages"][:3]
        assert answer["tool_calls"] == [RAW_CALLS["chat completions"]]
        assert after == {"role": "tool", "tool_call_id": "c1", "content": "3 rows"}


def test_an_agent_runs_a_custom_tool_of_langchain(gateway: Gateway, endpoint: Endpoint) -> None:
    """As `custom_tool` of langchain-openai makes it."""
    asked: list[str] = []

    def ask(query: str) -> Any:
        asked.append(query)
        return [{"type": "custom_tool_call_output", "output": "3 rows"}]

    tool = Tool(name="sql", func=ask, description="Ask the database.", metadata={"type": "custom_tool"})
    gateway.answer([Call("sql", {"input": QUERY})])

    answer = create_agent(langchain(endpoint), [tool]).invoke({"messages": [Q]})

    assert asked == [QUERY]
    assert "3 rows" in answer["messages"][-1].text
    assert gateway.requests[0].body["tools"] == [SQL]


def _pieces(*inputs: str) -> list[dict[str, Any]]:
    head = {"index": 0, "id": "c1", "type": "custom", "custom": {"name": "sql", "input": ""}}
    pieces = [{"index": 0, "custom": {"input": piece}} for piece in inputs]
    return [{"tool_calls": [entry]} for entry in [head, *pieces]]


@pytest.mark.parametrize("is_streamed", [False, True])
def test_the_input_of_a_cut_answer_is_no_call(
    gateway: Gateway, endpoint: Endpoint, is_streamed: bool
) -> None:
    whole = {"id": "c1", "type": "custom", "custom": {"name": "sql", "input": "DELETE FROM t"}}
    message = {"role": "assistant", "content": None, "tool_calls": [whole]}
    answer = Fault(body={"choices": [{"index": 0, "message": message, "finish_reason": "length"}]})
    gateway.misbehave(
        streamed(*_pieces("DELETE ", "FROM t"), finish_reason="length") if is_streamed else answer
    )

    cut = langchain(endpoint, streaming=is_streamed).invoke([Q], tools=[SQL])

    assert cut.tool_calls == []
    assert [call["id"] for call in cut.invalid_tool_calls] == ["c1"]


@pytest.mark.parametrize(
    "inputs", [(), ("x",), ("[1]", "[1]"), ('{"a": 1}',), ("-" * 20, "-" * 20), ("\\", '"')]
)
def test_any_text_is_an_input(gateway: Gateway, endpoint: Endpoint, inputs: tuple[str, ...]) -> None:
    gateway.misbehave(streamed(*_pieces(*inputs), finish_reason="tool_calls"), times=2)

    answer = langchain(endpoint, streaming=True).invoke([Q], tools=[SQL])
    *_, response = llama_index(endpoint).stream_chat([LI_Q], tools=[SQL])

    assert [call["args"] for call in answer.tool_calls] == [{"__arg1": "".join(inputs)}]
    (block,) = (block for block in response.message.blocks if isinstance(block, ToolCallBlock))
    assert block.tool_kwargs == {"__arg1": "".join(inputs)}


def test_two_calls_of_one_custom_tool_are_two(gateway: Gateway, endpoint: Endpoint) -> None:
    entries = [
        {"index": at, "id": f"c{at}", "type": "custom", "custom": {"name": "sql", "input": text}}
        for at, text in [(0, "A"), (1, "B")]
    ]
    same_index = [{**entry, "index": 0} for entry in entries]
    for found in (entries, same_index):
        gateway.misbehave(streamed(*({"tool_calls": [entry]} for entry in found), finish_reason="tool_calls"))

        answer = langchain(endpoint, streaming=True).invoke([Q], tools=[SQL])

        assert [call["args"] for call in answer.tool_calls] == [{"__arg1": "A"}, {"__arg1": "B"}]
