"""Response objects can be copied, pickled and validated, and share no state."""

from __future__ import annotations

import copy
import pickle

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, TextBlock

from llama_index_texapi._responses import create_chat_response
from llama_index_texapi._streaming import ResponseStream
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
    return create_chat_response(reply, requested_model="m")


def streamed() -> list[ChatResponse]:
    responses = ResponseStream(requested_model="m")
    return [responses.feed(delta) for delta in DELTAS]


RESPONSES = [
    *(pytest.param(response_of(choice), id=name) for name, choice in CHOICES.items()),
    *(pytest.param(response, id=f"streamed {number}") for number, response in enumerate(streamed())),
]


@pytest.mark.parametrize("made", RESPONSES)
def test_it_can_be_copied_pickled_and_validated(made: ChatResponse) -> None:
    assert pickle.loads(pickle.dumps(made)) == copy.deepcopy(made) == copy.copy(made) == made
    assert made.model_copy(deep=True) == made
    assert ChatMessage.model_validate(made.message.model_dump()).blocks == made.message.blocks


def test_responses_share_nothing() -> None:
    one, other = response_of(ChatChoice(text="a")), response_of(ChatChoice(text="a"))

    one.message.additional_kwargs["seen"] = True
    one.additional_kwargs["seen"] = True
    one.message.blocks.append(TextBlock(text="b"))

    assert "seen" not in other.message.additional_kwargs
    assert "seen" not in other.additional_kwargs
    assert other.message.content == "a"


def test_calls_that_have_come_whole_are_not_parsed_again_at_the_end() -> None:
    """Arguments of megabytes would be in memory twice more, and stop an event loop for as long."""
    stream = ResponseStream(requested_model="m")
    call = ToolCall("call_1", "search", '{"q": [1]}')

    grown = stream.feed(ChatDelta("", tool_calls=(ToolCallDelta(0, call.id, call.name, call.arguments),)))
    whole = stream.feed(ChatReply(choices=(ChatChoice(tool_calls=(call,)),)))

    assert whole.message.blocks == grown.message.blocks
    assert whole.message.blocks[0] is grown.message.blocks[0]
    assert whole.message.additional_kwargs["tool_calls"] is not grown.message.additional_kwargs["tool_calls"]


def test_calls_that_end_otherwise_than_they_came_are_made_of_the_reply() -> None:
    stream = ResponseStream(requested_model="m")

    stream.feed(ChatDelta("", tool_calls=(ToolCallDelta(0, "call_1", "search", '{"q": 1}'),)))
    whole = stream.feed(ChatReply(choices=(ChatChoice(tool_calls=(ToolCall("call_1", "find", "{}"),)),)))

    assert [(block.tool_name, block.tool_kwargs) for block in whole.message.blocks] == [("find", {})]  # type: ignore[union-attr] # tool calls
