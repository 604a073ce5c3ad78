"""Responses are not validated when they are made: nothing can tell them from those that are."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from openai.types.chat import ChatCompletionMessageFunctionToolCall as SDKToolCall

from llama_index_texapi import _messages
from llama_index_texapi._messages import create_chat_response
from llama_index_texapi._streaming import ResponseStream
from texapi_core.adapter_base.templates import Template
from texapi_core.wire.reasoning import Reasoning
from texapi_core.wire.tool_calls import ToolCall, ToolCallDelta
from texapi_core.wire.usage import TokenUsage
from texapi_core.wire.values import ChatChoice, ChatDelta, ChatReply

CHOICES = {
    "text": ChatChoice(text="Chào", finish_reason="stop"),
    "reasoning": ChatChoice(
        text="4",
        reasoning=Reasoning(
            "2 + 2", "reasoning", ({"type": "reasoning.text", "text": "2 + 2"},), "reasoning_details"
        ),
    ),
    "calls": ChatChoice(
        tool_calls=(
            ToolCall("call_1", "search", '{"q": [1]}'),
            ToolCall("call_2", "search", '{"q": '),
            ToolCall("call_3", "search", "{}", {"extra_content": {"google": {"thought_signature": "s"}}}),
        ),
        finish_reason="tool_calls",
    ),
    "logprobs": ChatChoice(text="a", logprobs={"content": [{"token": "a", "logprob": -0.1, "bytes": [97]}]}),
    "nothing": ChatChoice(),
}
DELTAS = [
    ChatDelta(reasoning=Reasoning("hmm", "reasoning_content"), raw={"choices": []}),
    ChatDelta("Chào", raw={"choices": []}),
    ChatDelta(tool_calls=(ToolCallDelta(0, "call_1", "search", '{"q": '),), raw={"choices": []}),
    ChatDelta(tool_calls=(ToolCallDelta(0, None, None, "1}"),), raw={"choices": []}),
]


def response_of(choice: ChatChoice) -> ChatResponse:
    usage = TokenUsage(input_tokens=1, output_tokens=2, total_tokens=3, reasoning_tokens=1)
    reply = ChatReply((choice,), usage, model="m", id="c1", request_id="r1", raw={"choices": []})
    return create_chat_response(reply, requested_model="m", tool_names={})


def streamed() -> list[ChatResponse]:
    responses = ResponseStream(requested_model="m", tool_names={})
    return [responses.feed(delta) for delta in DELTAS]


def validated(response: ChatResponse) -> ChatResponse:
    """The same by the constructors."""
    kinds: dict[type, Any] = {kind: kind for kind in (TextBlock, ThinkingBlock, ToolCallBlock)}
    blocks = [kinds[type(block)](**fields_of(block)) for block in response.message.blocks]
    additional_kwargs = dict(response.message.additional_kwargs)
    if calls := additional_kwargs.get("tool_calls"):
        additional_kwargs["tool_calls"] = [SDKToolCall(**call.to_dict()) for call in calls]
    message = ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs=additional_kwargs)
    return ChatResponse(**{**fields_of(response), "message": message})


def fields_of(model: Any) -> dict[str, Any]:
    return {name: getattr(model, name) for name in type(model).model_fields}


RESPONSES = [
    *(pytest.param(response_of(choice), id=name) for name, choice in CHOICES.items()),
    *(pytest.param(response, id=f"streamed {number}") for number, response in enumerate(streamed())),
]


@pytest.mark.parametrize("made", RESPONSES)
def test_it_equals_what_the_constructor_makes(made: ChatResponse) -> None:
    expected = validated(made)

    assert made == expected
    assert repr(made) == repr(expected)
    assert str(made) == str(expected)
    assert made.model_dump() == expected.model_dump()
    assert made.message.content == expected.message.content


@pytest.mark.parametrize("made", RESPONSES)
def test_it_can_be_copied_pickled_and_validated(made: ChatResponse) -> None:
    expected = validated(made)

    assert pickle.loads(pickle.dumps(made)) == copy.deepcopy(made) == copy.copy(made) == expected
    assert made.model_copy(deep=True) == expected
    assert ChatMessage.model_validate(made.message.model_dump()) == ChatMessage.model_validate(
        expected.message.model_dump()
    )


def test_responses_share_nothing() -> None:
    one, other = response_of(ChatChoice(text="a")), response_of(ChatChoice(text="a"))

    one.message.additional_kwargs["seen"] = True
    one.additional_kwargs["seen"] = True
    one.message.blocks.append(TextBlock(text="b"))

    assert "seen" not in other.message.additional_kwargs
    assert "seen" not in other.additional_kwargs
    assert other.message.content == "a"


def test_llama_indexs_classes_are_made_the_quick_way() -> None:
    """When this fails, a class of LlamaIndex or of the SDK has changed: answers are right, and slower."""
    templates = [each for each in vars(_messages).values() if isinstance(each, Template)]
    assert len(templates) == 5
    for template in (*templates, *_messages._sdk_templates()):
        assert template.make == template._unpickled
