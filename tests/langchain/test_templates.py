"""Answers and chunks built without validation are indistinguishable from validated ones."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, AIMessageChunk, message_chunk_to_message
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk
from pydantic import BaseModel, TypeAdapter

from langchain_texapi._messages import create_chat_result
from langchain_texapi._streaming import _convert_delta_to_generation_chunk
from langchain_texapi._templates import Template
from texapi_core.wire.reasoning import Reasoning
from texapi_core.wire.tool_calls import ToolCall, ToolCallDelta
from texapi_core.wire.usage import TokenUsage
from texapi_core.wire.values import ChatChoice, ChatDelta, ChatReply

DELTAS = {
    "text": ChatDelta("Chào"),
    "reasoning": ChatDelta(reasoning=Reasoning("hmm", "reasoning_content")),
    "logprobs": ChatDelta("a", logprobs={"content": [{"token": "a", "logprob": -0.1}]}),
    "start of a call": ChatDelta(tool_calls=(ToolCallDelta(0, "call_1", "search", ""),)),
    "piece of a call": ChatDelta(tool_calls=(ToolCallDelta(0, None, None, '"Hà Nội"}'),)),
    "whole call": ChatDelta(tool_calls=(ToolCallDelta(0, "call_1", "search", '{"q": 1}'),)),
    "two calls": ChatDelta(
        tool_calls=(ToolCallDelta(0, None, None, "1}"), ToolCallDelta(1, "b", "look", '{"a": '))
    ),
}
CHOICES = {
    "text": ChatChoice(text="Chào", finish_reason="stop"),
    "reasoning": ChatChoice(text="4", reasoning=Reasoning("2 + 2", "reasoning"), finish_reason="stop"),
    "calls": ChatChoice(
        tool_calls=(ToolCall("call_1", "search", '{"q": [1]}'), ToolCall("call_2", "search", '{"q": ')),
        finish_reason="tool_calls",
    ),
    "unfinished": ChatChoice(text="Chào"),
}


def chunk_of(delta: ChatDelta) -> ChatGenerationChunk:
    return _convert_delta_to_generation_chunk(delta)


def validated_chunk(delta: ChatDelta) -> ChatGenerationChunk:
    """The same, built with the constructors."""
    made = chunk_of(delta).message
    fields = {name: getattr(made, name) for name in ("content", "additional_kwargs", "response_metadata")}
    calls = [
        tool_call_chunk(name=call.name, args=call.arguments, id=call.id, index=call.index)
        for call in delta.tool_calls
    ]
    return ChatGenerationChunk(message=AIMessageChunk(**fields, tool_call_chunks=calls))


def generation_of(choice: ChatChoice) -> ChatGeneration:
    usage = TokenUsage(input_tokens=1, output_tokens=2, total_tokens=3, cached_tokens=1)
    reply = ChatReply((choice,), usage, model="m", id="c1", request_id="r1")
    (generation,) = create_chat_result(reply, requested_model="m").generations
    return generation


def validated_generation(choice: ChatChoice) -> ChatGeneration:
    made = generation_of(choice)
    fields = {name: getattr(made.message, name) for name in type(made.message).model_fields}
    return ChatGeneration(message=AIMessage(**fields), generation_info=made.generation_info)


PAIRS = [
    *(
        pytest.param(chunk_of(delta), validated_chunk(delta), id=f"chunk, {name}")
        for name, delta in DELTAS.items()
    ),
    *(
        pytest.param(generation_of(choice), validated_generation(choice), id=f"answer, {name}")
        for name, choice in CHOICES.items()
    ),
]


@pytest.mark.parametrize(("made", "validated"), PAIRS)
def test_it_equals_a_constructed_object(made: Any, validated: Any) -> None:
    assert made == validated
    assert made.message == validated.message
    assert made.text == validated.text
    assert made.model_dump() == validated.model_dump()
    assert dumpd(made) == dumpd(validated)
    assert made.message.content_blocks == validated.message.content_blocks


@pytest.mark.parametrize(("made", "validated"), PAIRS)
def test_it_can_be_copied_pickled_and_validated(made: Any, validated: Any) -> None:
    assert pickle.loads(pickle.dumps(made)) == copy.deepcopy(made) == copy.copy(made) == validated
    assert made.model_copy(deep=True) == validated
    message: BaseModel = made.message
    assert type(message).model_validate(message.model_dump()) == validated.message
    assert TypeAdapter(type(message)).validate_json(message.model_dump_json()) == validated.message


@pytest.mark.parametrize("first", DELTAS.values(), ids=DELTAS)
@pytest.mark.parametrize("second", DELTAS.values(), ids=DELTAS)
def test_chunks_add_up_to_the_same_message(first: ChatDelta, second: ChatDelta) -> None:
    made = chunk_of(first) + chunk_of(second)
    validated = validated_chunk(first) + validated_chunk(second)

    assert made == validated
    assert message_chunk_to_message(made.message) == message_chunk_to_message(validated.message)


@pytest.mark.parametrize(("made", "validated"), PAIRS)
def test_attributes_set_by_langchain_are_kept(made: Any, validated: Any) -> None:
    """LangChain sets the run id on every chunk."""
    for each in (made, validated):
        each.message.id = "run-1"

    assert made.message.model_fields_set >= {"id", "content"}
    assert made == validated


def test_langchain_classes_use_the_fast_path() -> None:
    """If this fails, LangChain's classes have changed: answers are still correct, but slower."""
    for example in (
        AIMessage(content=""),
        AIMessageChunk(content=""),
        ChatGeneration(message=AIMessage(content="")),
        ChatGenerationChunk(message=AIMessageChunk(content="")),
    ):
        template = Template(example)
        assert template.make == template._unpickled
