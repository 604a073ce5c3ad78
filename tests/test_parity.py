"""The same exchange gives the same answer: sync, async and streamed, in LangChain and LlamaIndex."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ThinkingBlock

import texapi_core
from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from texapi_core import resolve_settings

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Tell the weather of a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]


class Exchange(NamedTuple):
    """A question with its parameters."""

    question: str
    model: str = "gpt-5.2"
    params: dict[str, Any] = {}


EXCHANGES = {
    "text": Exchange("What is the capital of France?"),
    "Vietnamese": Exchange("Thủ đô của Việt Nam là gì?"),
    "reasoning": Exchange("What is 12 * 7?", "deepseek-r1"),
    "reasoning with details": Exchange("What is 12 * 7?", "claude-sonnet-4-6", {"reasoning_effort": "low"}),
    "tool call": Exchange("What is the weather in Hanoi?", params={"tools": TOOLS}),
    "parallel tool calls": Exchange("What is the weather in Hanoi and Paris?", params={"tools": TOOLS}),
    "tool call with a signature": Exchange("What is the weather in Hanoi?", "gemini-3-pro", {"tools": TOOLS}),
    "cut": Exchange("Count from 1 to 50", params={"max_tokens": 5}),
}


class Answer(NamedTuple):
    """The parts of an answer that users of both frameworks can read."""

    text: str
    reasoning: str
    reasoning_details: Any
    tool_calls: list[tuple[str | None, str, Any]]
    tool_call_extras: Any
    finish_reason: str
    tokens: tuple[int, int, int, int, int]
    model: str
    response_id: str
    request_id: str


def of_langchain(message: AIMessage) -> Answer:
    usage: Any = message.usage_metadata
    kwargs, metadata = message.additional_kwargs, message.response_metadata
    return Answer(
        text=message.text,
        reasoning=kwargs.get("reasoning_content", ""),
        reasoning_details=kwargs.get("reasoning_details"),
        tool_calls=[(call["id"], call["name"], call["args"]) for call in message.tool_calls],
        tool_call_extras=kwargs.get("tool_call_extras"),
        finish_reason=metadata["finish_reason"],
        tokens=(
            usage["input_tokens"],
            usage["output_tokens"],
            usage["total_tokens"],
            usage["input_token_details"]["cache_read"],
            usage["output_token_details"]["reasoning"],
        ),
        model=metadata["model_name"],
        response_id=metadata["id"],
        request_id=metadata["request_id"],
    )


def of_llama_index(llm: TexAPI, response: ChatResponse) -> Answer:
    kwargs = response.additional_kwargs
    thinking = [block for block in response.message.blocks if isinstance(block, ThinkingBlock)]
    return Answer(
        text=response.message.content or "",
        reasoning="".join(block.content or "" for block in thinking),
        reasoning_details=thinking[0].additional_information.get("details") if thinking else None,
        tool_calls=[
            (call.tool_id, call.tool_name, call.tool_kwargs)
            for call in llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
        ],
        tool_call_extras=response.message.additional_kwargs.get("tool_call_extras"),
        finish_reason=kwargs["finish_reason"],
        tokens=(
            kwargs["prompt_tokens"],
            kwargs["completion_tokens"],
            kwargs["total_tokens"],
            kwargs["cached_tokens"],
            kwargs["reasoning_tokens"],
        ),
        model=kwargs["model"],
        response_id=kwargs["id"],
        request_id=kwargs["request_id"],
    )


def of_core(endpoint: Endpoint, exchange: Exchange) -> Answer:
    settings = resolve_settings(
        api_key=endpoint.api_key, base_url=endpoint.base_url, timeout=None, max_retries=0
    )
    messages = [{"role": "user", "content": exchange.question}]
    reply = texapi_core.complete(settings, {"model": exchange.model, "messages": messages, **exchange.params})
    choice, usage = reply.choice, reply.usage
    assert usage is not None
    counts = (usage.input_tokens, usage.output_tokens, usage.total_tokens)
    details = (usage.cached_tokens, usage.reasoning_tokens)
    return Answer(
        text=choice.text,
        reasoning=choice.reasoning.text,
        reasoning_details=list(choice.reasoning.details) or None,
        tool_calls=[(call.id, call.name, call.parse_arguments()) for call in choice.tool_calls],
        tool_call_extras={call.id: call.extras for call in choice.tool_calls if call.extras} or None,
        finish_reason=choice.finish_reason or "",
        tokens=(*counts, *details),  # type: ignore[arg-type] # the stand-in reports every count
        model=reply.model or "",
        response_id=reply.id or "",
        request_id=reply.request_id or "",
    )


def langchain_model(endpoint: Endpoint, exchange: Exchange) -> ChatTexAPI:
    return ChatTexAPI(**endpoint.for_langchain(model=exchange.model))


def llama_index_llm(endpoint: Endpoint, exchange: Exchange) -> TexAPI:
    return TexAPI(**endpoint.for_llama_index(model=exchange.model))


def invoke(endpoint: Endpoint, exchange: Exchange) -> Answer:
    message = langchain_model(endpoint, exchange).invoke([HumanMessage(exchange.question)], **exchange.params)
    return of_langchain(message)


def ainvoke(endpoint: Endpoint, exchange: Exchange) -> Answer:
    model = langchain_model(endpoint, exchange)
    return of_langchain(asyncio.run(model.ainvoke([HumanMessage(exchange.question)], **exchange.params)))


def stream(endpoint: Endpoint, exchange: Exchange) -> Answer:
    whole: Any = None
    for chunk in langchain_model(endpoint, exchange).stream(
        [HumanMessage(exchange.question)], **exchange.params
    ):
        whole = chunk if whole is None else whole + chunk
    return of_langchain(whole)


def astream(endpoint: Endpoint, exchange: Exchange) -> Answer:
    async def collect() -> Any:
        whole: Any = None
        model = langchain_model(endpoint, exchange)
        async for chunk in model.astream([HumanMessage(exchange.question)], **exchange.params):
            whole = chunk if whole is None else whole + chunk
        return whole

    return of_langchain(asyncio.run(collect()))


def chat(endpoint: Endpoint, exchange: Exchange) -> Answer:
    llm = llama_index_llm(endpoint, exchange)
    return of_llama_index(llm, llm.chat([ChatMessage(exchange.question)], **exchange.params))


def achat(endpoint: Endpoint, exchange: Exchange) -> Answer:
    llm = llama_index_llm(endpoint, exchange)
    return of_llama_index(llm, asyncio.run(llm.achat([ChatMessage(exchange.question)], **exchange.params)))


def stream_chat(endpoint: Endpoint, exchange: Exchange) -> Answer:
    llm = llama_index_llm(endpoint, exchange)
    *_, last = llm.stream_chat([ChatMessage(exchange.question)], **exchange.params)
    return of_llama_index(llm, last)


def astream_chat(endpoint: Endpoint, exchange: Exchange) -> Answer:
    llm = llama_index_llm(endpoint, exchange)

    async def last() -> ChatResponse:
        stream = await llm.astream_chat([ChatMessage(exchange.question)], **exchange.params)
        return [response async for response in stream][-1]

    return of_llama_index(llm, asyncio.run(last()))


@pytest.mark.parametrize("streamed", [False, True])
def test_both_frameworks_show_extra_fields_of_a_choice(
    gateway: Gateway, endpoint: Endpoint, streamed: bool
) -> None:
    choice = {"index": 0, "finish_reason": "stop", "native_finish_reason": "STOP"}
    body = {"id": "c1", "choices": [{**choice, "delta" if streamed else "message": {"content": "ok"}}]}
    event = f"data: {json.dumps(body)}\n\ndata: [DONE]\n\n".encode()
    for _ in range(2):
        gateway.misbehave(
            Fault(raw=[event], content_type="text/event-stream") if streamed else Fault(body=body)
        )
    model = ChatTexAPI(**endpoint.for_langchain(model="m", streaming=streamed))
    llm = TexAPI(**endpoint.for_llama_index(model="m"))
    messages = [ChatMessage("Say ok")]

    message = model.invoke("Say ok")
    response = list(llm.stream_chat(messages))[-1] if streamed else llm.chat(messages)

    assert message.response_metadata["native_finish_reason"] == "STOP"
    assert response.additional_kwargs["native_finish_reason"] == "STOP"


WAYS = [invoke, ainvoke, stream, astream, chat, achat, stream_chat, astream_chat]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", EXCHANGES)
def test_every_way_to_ask_gives_the_same_answer(
    gateway: Gateway, endpoint: Endpoint, name: str, way: Callable[[Endpoint, Exchange], Answer]
) -> None:
    expected = of_core(endpoint, EXCHANGES[name])
    gateway.reset()

    assert way(endpoint, EXCHANGES[name]) == expected


@pytest.mark.parametrize("name", EXCHANGES)
def test_both_frameworks_send_the_same_request(gateway: Gateway, endpoint: Endpoint, name: str) -> None:
    for way in (invoke, ainvoke, chat, achat):
        way(endpoint, EXCHANGES[name])
    whole, streamed = [request.body for request in gateway.requests], []
    gateway.reset()
    for way in (stream, astream, stream_chat, astream_chat):
        way(endpoint, EXCHANGES[name])
    streamed = [request.body for request in gateway.requests]

    assert whole == [whole[0]] * 4
    assert streamed == [{**whole[0], "stream": True, "stream_options": {"include_usage": True}}] * 4
