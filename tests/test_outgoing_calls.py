"""Calls that are no object, extras of streamed calls, tools of text, own names of tools, places in errors."""

from __future__ import annotations

import json
from functools import reduce
from operator import add
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from llama_index.core.base.llms.types import AudioBlock, ChatMessage, ToolCallBlock
from llama_index.core.tools import ToolSelection

from tests.asking import WAYS
from tests.conftest import Endpoint
from tests.gateway import Gateway
from tests.gateway.request import Call
from tests.properties.line import Line
from tests.test_outgoing import LI_Q, Q, ask, langchain, llama_index
from texapi_core.request.foreign import members_of

GOOGLES = {"google": {"thought_signature": "g"}}


def call_of(arguments: str, **extras: Any) -> dict[str, Any]:
    return {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}, **extras}


def whole(call: dict[str, Any]) -> bytes:
    choice = {"index": 0, "message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}
    return json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode()


def events(call: dict[str, Any]) -> bytes:
    first = {**call, "index": 0, "function": {**call["function"], "arguments": ""}}
    deltas: list[dict[str, Any]] = [
        {"tool_calls": [first]},
        {"tool_calls": [{"index": 0, "function": {"arguments": call["function"]["arguments"]}}]},
    ]
    choices: list[dict[str, Any]] = [{"index": 0, "delta": delta} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": "tool_calls"})
    chunks = [{"id": "c", "choices": [choice]} for choice in choices]
    return b"".join(b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"


@pytest.fixture
def line() -> Any:
    line = Line()
    yield line
    line.close()


@pytest.mark.parametrize("arguments", ["[1]", "[]", '"x"', "1", "true", "x", '{"a": 1'])
def test_arguments_that_are_no_object_are_an_invalid_call_in_v3(line: Line, arguments: str) -> None:
    line.send(events(call_of(arguments)))

    answer: Any = line.chat_texapi.stream_events("Hi", version="v3").output

    assert not answer.tool_calls
    (invalid,) = answer.invalid_tool_calls
    assert (invalid["name"], invalid["id"]) == ("f", "c1")
    assert invalid["args"].startswith(arguments)


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_a_streamed_call_has_the_extras_of_a_whole_one(line: Line, version: str) -> None:
    model = line.chat_texapi.model_copy(update={"output_version": version})
    call = call_of('{"a": 1}', extra_content=GOOGLES)
    line.send(whole(call))
    (expected,) = model.invoke("Hi").content_blocks
    line.send(events(call))

    streamed = reduce(add, model.stream("Hi"))

    (block,) = streamed.content_blocks
    assert {name: value for name, value in block.items() if name != "index"} == expected
    assert expected["extras"] == {"extra_content": GOOGLES}  # type: ignore[typeddict-item]
    assert streamed.tool_calls == [{"name": "f", "args": {"a": 1}, "id": "c1", "type": "tool_call"}]


FLAT: dict[str, Any] = {
    "type": "custom",
    "name": "sql",
    "description": "Ask the database.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
}
NESTED: dict[str, Any] = {
    "type": "custom",
    "custom": {
        "name": "sql",
        "description": "Ask the database.",
        "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /.+/"}},
    },
}


@pytest.mark.parametrize("tool", [FLAT, NESTED], ids=["of OpenAI Responses", "of chat completions"])
def test_a_custom_tool_is_sent_as_chat_completions_have_it(
    gateway: Gateway, endpoint: Endpoint, tool: dict[str, Any]
) -> None:
    langchain(endpoint).bind_tools([tool]).invoke([Q])
    langchain(endpoint).invoke([Q], tools=[tool])
    llama_index(endpoint).chat([LI_Q], tools=[tool])
    llama_index(endpoint).chat_with_tools([tool], chat_history=[LI_Q])  # type: ignore[list-item]

    assert [request.body["tools"] for request in gateway.requests] == [[NESTED]] * 4


@pytest.mark.parametrize("tool", [{"type": "custom"}, {"type": "custom", "custom": {}}])
def test_a_custom_tool_without_a_name_is_refused(endpoint: Endpoint, tool: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"`tools\[0\]`, a custom tool, needs a name"):
        langchain(endpoint).invoke([Q], tools=[tool])


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("name", ["dat_hang", "đặt.hàng"])
async def test_a_model_may_call_a_tool_by_its_own_name(
    gateway: Gateway, endpoint: Endpoint, how: str, name: str
) -> None:
    properties = {"tên": {"type": "string"}}
    function = {"name": "đặt.hàng", "parameters": {"type": "object", "properties": properties}}
    tools = [{"type": "function", "function": function}]

    gateway.answer([Call(name, {"ten": "An"})])
    answer = await ask(how, langchain(endpoint), [Q], tools=tools)
    gateway.answer([Call(name, {"ten": "An"})])
    response = await ask(how, llama_index(endpoint), [LI_Q], tools=tools)

    assert gateway.requests[0].body["tools"][0]["function"]["name"] == "dat_hang"
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("đặt.hàng", {"tên": "An"})]
    (block,) = [each for each in response.message.blocks if isinstance(each, ToolCallBlock)]
    assert (block.tool_name, block.tool_kwargs) == ("đặt.hàng", {"tên": "An"})


@pytest.mark.parametrize(
    "block",
    [
        {"type": "novel"},
        {"type": "image", "url": "photos/x.png"},
        {"type": "image_url", "image_url": {}},
        {"type": "audio", "url": "https://example.com/a.mp3"},
    ],
    ids=str,
)
def test_errors_of_content_name_the_message(endpoint: Endpoint, block: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^`messages\[2\]`: "):
        langchain(endpoint).invoke([Q, AIMessage("a"), HumanMessage([block])])


def test_errors_of_blocks_name_the_message(endpoint: Endpoint) -> None:
    said = ChatMessage(role="user", blocks=[AudioBlock(url="https://example.com/a.mp3")])

    with pytest.raises(ValueError, match=r"^`messages\[1\]`: "):
        llama_index(endpoint).chat([LI_Q, said])


def test_an_object_of_another_form_than_its_class_is_read_without_a_warning() -> None:
    """Warnings are errors in these tests."""
    selection = ToolSelection.model_construct(tool_id="a", tool_name="f", tool_kwargs="{}")

    assert members_of(selection) == {"tool_id": "a", "tool_name": "f", "tool_kwargs": "{}"}
