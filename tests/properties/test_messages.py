"""An answer goes into the next request unchanged: framework -> wire -> framework."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from llama_index.core.base.llms.types import ChatMessage, MessageRole

from tests.properties.line import Line
from tests.properties.strategies import Answer, answers, arguments, examples, names, texts


def _echo(request: Any) -> Sequence[bytes]:
    """Answer with the last assistant message of the request."""
    said = [message for message in request["messages"] if message["role"] == "assistant"][-1]
    return [json.dumps({"choices": [{"index": 0, "message": said, "finish_reason": "stop"}]}).encode()]


@examples
@given(answer=answers())
def test_langchain_answers(line: Line, answer: Answer) -> None:
    line.send(answer.document())
    model = line.chat_texapi.model_copy(update={"replay_reasoning": "always", "history": "as_is"})
    message = model.invoke("Hello")
    results = [ToolMessage("done", tool_call_id=call["id"]) for call in message.tool_calls]
    line.answer = _echo

    echoed = model.invoke([HumanMessage("Hello"), message, *results, HumanMessage("Again")])

    assert (echoed.content, echoed.tool_calls) == (message.content, message.tool_calls)
    assert echoed.additional_kwargs == message.additional_kwargs


@examples
@given(answer=answers())
def test_llama_index_answers(line: Line, answer: Answer) -> None:
    line.send(answer.document())
    llm = line.texapi.model_copy(update={"replay_reasoning": "always", "history": "as_is"})
    message = llm.chat([ChatMessage("Hello")]).message
    line.answer = _echo

    echoed = llm.chat([ChatMessage("Hello"), message, ChatMessage("Again")]).message

    assert _normalized_blocks(echoed) == _normalized_blocks(message)


def _normalized_blocks(message: ChatMessage) -> list[Any]:
    """The blocks; invalid JSON arguments go back wrapped, because providers refuse them bare; none as {}."""
    blocks = [block.model_dump() for block in message.blocks]
    for block in blocks:
        if isinstance(bare := block.get("tool_kwargs"), str):
            block["tool_kwargs"] = {"invalid_arguments": bare} if bare else {}
        block.pop("num_tokens", None)
    return blocks


@examples
@given(text=texts, system=texts, result=texts, name=names, args=arguments)
def test_user_and_tool_messages(
    line: Line, text: str, system: str, result: str, name: str, args: dict[str, Any]
) -> None:
    """Texts reach the wire unchanged, and the same from both frameworks."""
    seen = []

    def note(request: Any) -> Sequence[bytes]:
        seen.append(request["messages"])
        return [b'{"choices": [{"message": {"content": "ok"}}]}']

    line.answer = note
    call = {"name": name, "args": args, "id": "a", "type": "tool_call"}
    line.chat_texapi.invoke(
        [
            SystemMessage(system),
            HumanMessage(text),
            AIMessage("", tool_calls=[call]),
            ToolMessage(result, tool_call_id="a"),
        ]
    )
    wire = {"id": "a", "type": "function", "function": {"name": name, "arguments": json.dumps(args)}}
    line.texapi.chat(
        [
            ChatMessage(system, role=MessageRole.SYSTEM),
            ChatMessage(text),
            ChatMessage(role=MessageRole.ASSISTANT, blocks=[], additional_kwargs={"tool_calls": [wire]}),
            ChatMessage(result, role=MessageRole.TOOL, additional_kwargs={"tool_call_id": "a"}),
        ]
    )

    langchain, llama_index = seen
    for messages in seen:
        assert [m["role"] for m in messages] == ["system", "user", "assistant", "tool"]
        assert [m["content"] for m in messages] == [system, text, None, result]
        (sent,) = messages[2]["tool_calls"]
        assert (sent["function"]["name"], json.loads(sent["function"]["arguments"])) == (name, args)
    assert langchain[3] == llama_index[3]
