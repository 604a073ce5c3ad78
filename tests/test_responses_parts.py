"""Parts of OpenAI Responses in histories, and names of assistants in LlamaIndex."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from llama_index.core.base.llms.types import ChatMessage

from tests.asking import WAYS
from tests.conftest import Endpoint
from tests.gateway import Gateway
from tests.test_outgoing import LI_Q, Q, ask, called, langchain, llama_index

PNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg=="
PDF = "data:application/pdf;base64,JVBERi0xLjQK"
PARTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"type": "input_text", "text": "a"}, {"type": "text", "text": "a"}),
    ({"type": "output_text", "text": "a", "annotations": []}, {"type": "text", "text": "a"}),
    ({"type": "input_image", "image_url": PNG}, {"type": "image_url", "image_url": {"url": PNG}}),
    (
        {"type": "input_image", "image_url": PNG, "detail": "low", "file_id": None},
        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
    ),
    (
        {"type": "input_file", "file_data": PDF, "filename": "a.pdf"},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}},
    ),
    ({"type": "input_file", "file_id": "file_1"}, {"type": "file", "file": {"file_id": "file_1"}}),
]
TEXT = {"type": "text", "text": "Who?"}


@pytest.mark.parametrize(("part", "expected"), PARTS)
@pytest.mark.parametrize("how", WAYS)
async def test_a_part_of_a_user(
    gateway: Gateway, endpoint: Endpoint, how: str, part: dict[str, Any], expected: dict[str, Any]
) -> None:
    await ask(how, langchain(endpoint), [HumanMessage([part, TEXT])])

    assert gateway.requests[0].body["messages"][0]["content"] == [expected, TEXT]


@pytest.mark.parametrize(("part", "expected"), PARTS)
def test_a_part_of_a_result(
    gateway: Gateway, endpoint: Endpoint, part: dict[str, Any], expected: dict[str, Any]
) -> None:
    call = {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "a", "output": [part]}
    langchain(endpoint).invoke([Q, AIMessage([call]), HumanMessage([result])])
    langchain(endpoint).invoke([Q, called("a"), ToolMessage([part], tool_call_id="a")])

    for request in gateway.requests:
        _, _, said, *attached = request.body["messages"]
        if expected["type"] == "text":
            assert (said["content"], attached) == (expected["text"], [])
        else:
            assert attached[0]["content"][1:] == [expected]


OUTPUT = {"type": "custom_tool_call_output", "call_id": "a", "output": "3 rows"}
OUTPUTS: list[dict[str, Any]] = [
    OUTPUT,
    {"type": "non_standard", "value": OUTPUT},
    {**OUTPUT, "output": [{"type": "input_text", "text": "3"}, {"type": "input_text", "text": "rows"}]},
]


@pytest.mark.parametrize("output", OUTPUTS)
def test_an_output_as_any_version_of_langchain_holds_it(
    gateway: Gateway, endpoint: Endpoint, output: dict[str, Any]
) -> None:
    langchain(endpoint).invoke([Q, called("a"), ToolMessage([output], tool_call_id="a")])
    if isinstance(output.get("output", ""), str):
        langchain(endpoint).invoke([Q, called("a"), HumanMessage([output])])

    for request in gateway.requests:
        said = request.body["messages"][2]
        assert (said["role"], said["content"].split()) == ("tool", ["3", "rows"])


@pytest.mark.parametrize("part", [{"type": "input_image", "file_id": "file_1"}, {"type": "input_file"}])
def test_a_part_that_chat_completions_cannot_carry_is_named(
    gateway: Gateway, endpoint: Endpoint, part: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"`messages\[0\]`: Unsupported content block.*file|input_image"):
        langchain(endpoint).invoke([HumanMessage([part])])

    assert gateway.requests == []


@pytest.mark.parametrize("how", WAYS)
async def test_the_name_of_an_assistant_is_sent_in_both_frameworks(
    gateway: Gateway, endpoint: Endpoint, how: str
) -> None:
    await ask(how, langchain(endpoint), [Q, AIMessage("Hi.", name="Trợ lý"), Q])
    said = ChatMessage("Hi.", role="assistant", additional_kwargs={"name": "Trợ lý"})
    await ask(how, llama_index(endpoint), [LI_Q, said, LI_Q])

    first, second = (request.body["messages"] for request in gateway.requests)
    assert first == second
    assert first[1] == {"role": "assistant", "content": "Hi.", "name": "Tro_ly"}
