"""Chats with ChatTexAPI: the same message sync, async and streamed, with usage counted once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from langchain_texapi import ChatTexAPI
from tests.conftest import Endpoint
from tests.gateway import Gateway

CONVERSATION = [SystemMessage("You are terse."), HumanMessage("What is the capital of Vietnam?")]


def model(endpoint: Endpoint, **kwargs: Any) -> ChatTexAPI:
    return ChatTexAPI(**endpoint.for_langchain(**{"model": "claude-sonnet-4-6", **kwargs}))


def add_up(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    return whole


def _invoke(runnable: Any, messages: Any, **kwargs: Any) -> AIMessage:
    message: AIMessage = runnable.invoke(messages, **kwargs)
    return message


def _ainvoke(runnable: Any, messages: Any, **kwargs: Any) -> AIMessage:
    message: AIMessage = asyncio.run(runnable.ainvoke(messages, **kwargs))
    return message


def _stream(runnable: Any, messages: Any, **kwargs: Any) -> AIMessage:
    return add_up(list(runnable.stream(messages, **kwargs)))


def _astream(runnable: Any, messages: Any, **kwargs: Any) -> AIMessage:
    async def collect() -> list[AIMessageChunk]:
        return [chunk async for chunk in runnable.astream(messages, **kwargs)]

    return add_up(asyncio.run(collect()))


WAYS = [_invoke, _ainvoke, _stream, _astream]
Way = Callable[..., AIMessage]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.standin_only
def test_an_answer(recorded: Endpoint, way: Way) -> None:
    message = way(model(recorded), CONVERSATION)

    assert message.content == "The capital of Vietnam is Hà Nội."
    assert message.usage_metadata == {
        "input_tokens": 22,
        "output_tokens": 8,
        "total_tokens": 30,
        "input_token_details": {"audio": 0, "cache_read": 0},
        "output_token_details": {"audio": 0, "reasoning": 0},
    }
    assert message.response_metadata == {
        "model_provider": "texapi",
        "model_name": "claude-sonnet-4-6",
        "finish_reason": "stop",
        "normalized_finish_reason": "stop",
        "id": "chatcmpl-000001",
        "created": 1790000000,
        "request_id": "req_000001",
        "system_fingerprint": "fp_standin",
        "service_tier": "default",
    }


@pytest.mark.parametrize("way", WAYS)
def test_the_usage_callback_sees_each_call_once(recorded: Endpoint, way: Way) -> None:
    usage = UsageMetadataCallbackHandler()

    message = way(model(recorded), CONVERSATION, config={"callbacks": [usage]})

    assert message.usage_metadata is not None
    (seen,) = usage.usage_metadata.values()
    for count in ("input_tokens", "output_tokens", "total_tokens"):
        assert seen[count] == message.usage_metadata[count]
        assert seen[count] > 0


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_batch_counts_each_call_once(gateway: Gateway, endpoint: Endpoint, asynchronous: bool) -> None:
    usage = UsageMetadataCallbackHandler()
    inputs: list[Any] = [f"Say {word}" for word in ("one", "two", "three")]
    config: Any = {"callbacks": [usage]}

    if asynchronous:
        answers = asyncio.run(model(endpoint).abatch(inputs, config))
    else:
        answers = model(endpoint).batch(inputs, config)

    assert len(answers) == len(gateway.requests) == 3
    assert usage.usage_metadata["claude-sonnet-4-6"]["input_tokens"] == sum(
        entry.prompt_tokens for entry in gateway.ledger
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.standin_only
def test_reasoning_is_kept_apart_from_the_answer(recorded: Endpoint, way: Way) -> None:
    message = way(model(recorded, reasoning_effort="low"), "What is 12 * 7?")

    assert "84" in message.text
    assert message.additional_kwargs["reasoning_content"]
    assert message.additional_kwargs["reasoning_content"] not in message.text
    assert message.additional_kwargs["reasoning_details"][0]["signature"].startswith("sig_")
    assert [block["type"] for block in message.content_blocks] == ["reasoning", "text"]
    assert message.usage_metadata is not None
    assert message.usage_metadata["output_token_details"]["reasoning"] > 0


def test_streams_request_usage_unless_disabled(gateway: Gateway, endpoint: Endpoint) -> None:
    list(model(endpoint).stream("Hello"))
    chunks = list(model(endpoint, stream_usage=False).stream("Hello"))

    assert gateway.requests[0].body["stream_options"] == {"include_usage": True}
    assert "stream_options" not in gateway.requests[1].body
    assert add_up(chunks).usage_metadata is None


def test_only_what_was_set_is_sent(gateway: Gateway, endpoint: Endpoint) -> None:
    model(endpoint).invoke("Hello")

    assert gateway.requests[0].body == {
        "model": "claude-sonnet-4-6",
        "messages": [{"role": "user", "content": "Hello"}],
    }


def test_parameters_are_sent_and_can_be_overridden_per_call(gateway: Gateway, endpoint: Endpoint) -> None:
    configured = model(
        endpoint,
        temperature=0,
        max_tokens=9,
        stop=["END"],
        seed=1,
        reasoning_effort="minimal",
        model_kwargs={"top_k": 3},
        extra_body={"provider": {"order": ["a"]}, "seed": 2},
    )
    configured.invoke(
        "Hello",
        model="gpt-5.2",
        temperature=1,
        stop=["X"],
        extra_body={"route": "b"},
        extra_headers={"X-A": "1"},
    )

    assert gateway.requests[0].body == {
        "model": "gpt-5.2",
        "temperature": 1,
        "max_tokens": 9,
        "stop": ["X"],
        "seed": 2,
        "reasoning_effort": "minimal",
        "top_k": 3,
        "provider": {"order": ["a"]},
        "route": "b",
        "messages": [{"role": "user", "content": "Hello"}],
    }
    assert gateway.requests[0].headers["x-a"] == "1"


def test_a_chain(recorded: Endpoint) -> None:
    prompt = ChatPromptTemplate(
        [("system", "You are terse."), ("human", "What is the capital of {country}?")]
    )
    chain = prompt | model(recorded) | StrOutputParser()

    streamed = "".join(chain.stream({"country": "France"}))

    assert "Paris" in streamed
    assert chain.invoke({"country": "France"}) == streamed


def test_vietnamese(recorded: Endpoint) -> None:
    text = model(recorded).invoke("Thủ đô của Việt Nam là gì?").text

    assert "Hà Nội" in text


def test_several_answers_count_once(gateway: Gateway, endpoint: Endpoint) -> None:
    usage = UsageMetadataCallbackHandler()
    result = model(endpoint, n=2).generate([[HumanMessage("Say one")]], callbacks=[usage])

    first, second = result.generations[0]
    assert first.message.usage_metadata is not None  # type: ignore[union-attr] # chat generations
    assert second.message.usage_metadata is None  # type: ignore[union-attr] # chat generations
    assert usage.usage_metadata["claude-sonnet-4-6"]["total_tokens"] == (
        gateway.ledger[0].prompt_tokens + gateway.ledger[0].completion_tokens
    )


def test_several_answers_cannot_be_streamed(gateway: Gateway, endpoint: Endpoint) -> None:
    with pytest.raises(ValueError, match="`n` above 1"):
        list(model(endpoint, n=2).stream("Say one"))

    assert gateway.requests == []


def test_content_blocks_of_text_reasoning_and_tools_streamed_together(endpoint: Endpoint) -> None:
    tool = {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather of a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
    chat = model(endpoint, reasoning_effort="low", output_version="v1").bind_tools([tool])

    whole = add_up(list(chat.stream("What is the weather in Hanoi and Paris?")))  # type: ignore[arg-type] # chunks

    assert [block["type"] for block in whole.content_blocks] == ["reasoning", "tool_call", "tool_call"]
    assert [call["args"] for call in whole.tool_calls] == [{"city": "Hanoi"}, {"city": "Paris"}]
