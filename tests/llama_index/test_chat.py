"""Chats with TexAPI: all eight methods give the same answer and the reported token counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    ChatResponse,
    CitationBlock,
    CompletionResponse,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
)
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler

from llama_index_texapi import TexAPI
from llama_index_texapi._messages import to_openai_message_dicts
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway

QUESTION = "What is the capital of Vietnam?"
Response = ChatResponse | CompletionResponse


def llm(endpoint: Endpoint, **kwargs: Any) -> TexAPI:
    return TexAPI(**endpoint.for_llama_index(**{"model": "claude-sonnet-4-6", **kwargs}))


def chat(llm: TexAPI, **kwargs: Any) -> Response:
    return llm.chat([ChatMessage(QUESTION)], **kwargs)


def stream_chat(llm: TexAPI, **kwargs: Any) -> Response:
    *_, last = llm.stream_chat([ChatMessage(QUESTION)], **kwargs)
    return last


def complete(llm: TexAPI, **kwargs: Any) -> Response:
    return llm.complete(QUESTION, **kwargs)


def stream_complete(llm: TexAPI, **kwargs: Any) -> Response:
    *_, last = llm.stream_complete(QUESTION, **kwargs)
    return last


def achat(llm: TexAPI, **kwargs: Any) -> Response:
    return asyncio.run(llm.achat([ChatMessage(QUESTION)], **kwargs))


def astream_chat(llm: TexAPI, **kwargs: Any) -> Response:
    async def last() -> ChatResponse:
        return [r async for r in await llm.astream_chat([ChatMessage(QUESTION)], **kwargs)][-1]

    return asyncio.run(last())


def acomplete(llm: TexAPI, **kwargs: Any) -> Response:
    return asyncio.run(llm.acomplete(QUESTION, **kwargs))


def astream_complete(llm: TexAPI, **kwargs: Any) -> Response:
    async def last() -> CompletionResponse:
        return [r async for r in await llm.astream_complete(QUESTION, **kwargs)][-1]

    return asyncio.run(last())


WAYS = [chat, stream_chat, complete, stream_complete, achat, astream_chat, acomplete, astream_complete]
STREAMS = [stream_chat, stream_complete, astream_chat, astream_complete]
Way = Callable[..., Response]


def text_of(response: Response) -> str:
    return response.text if isinstance(response, CompletionResponse) else response.message.content or ""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.standin_only
def test_an_answer(recorded: Endpoint, way: Way) -> None:
    response = way(llm(recorded))

    assert text_of(response) == "The capital of Vietnam is Hà Nội."
    assert isinstance(response.raw, dict)
    assert response.raw["usage"]["prompt_tokens"] == 14
    assert response.raw["usage"]["completion_tokens"] == 8
    assert response.additional_kwargs == {
        "prompt_tokens": 14,
        "completion_tokens": 8,
        "total_tokens": 22,
        "cached_tokens": 0,
        "reasoning_tokens": 0,
        "finish_reason": "stop",
        "model": "claude-sonnet-4-6",
        "id": "chatcmpl-000001",
        "request_id": "req_000001",
        "system_fingerprint": "fp_standin",
        "service_tier": "default",
    }


@pytest.mark.parametrize("way", WAYS)
def test_the_token_counter_sees_the_true_counts_once(recorded: Endpoint, way: Way) -> None:
    counter = TokenCountingHandler()

    response = way(llm(recorded, callback_manager=CallbackManager([counter])))

    (event,) = counter.llm_token_counts
    assert event.prompt_token_count == response.additional_kwargs["prompt_tokens"]
    assert event.completion_token_count == response.additional_kwargs["completion_tokens"]


@pytest.mark.parametrize("way", WAYS)
def test_without_reported_usage_the_framework_estimates_it(
    gateway: Gateway, endpoint: Endpoint, way: Way
) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": None, "completion_tokens": None}
    gateway.misbehave(Fault(body={"id": "c", "choices": [choice], "usage": usage}))
    counter = TokenCountingHandler()

    way(llm(endpoint, callback_manager=CallbackManager([counter])))

    assert counter.total_llm_token_count > 0


def test_the_deltas_of_a_stream_add_up_to_its_answer(recorded: Endpoint) -> None:
    responses = list(llm(recorded).stream_chat([ChatMessage(QUESTION)]))

    assert len(responses) > 3
    assert "".join(response.delta or "" for response in responses) == responses[-1].message.content


@pytest.mark.parametrize("way", [chat, stream_chat, achat, astream_chat])
def test_reasoning_is_a_block_of_its_own(endpoint: Endpoint, way: Way) -> None:
    response = way(llm(endpoint, reasoning_effort="low"))

    assert isinstance(response, ChatResponse)
    thinking, _ = response.message.blocks
    assert isinstance(thinking, ThinkingBlock)
    assert thinking.content
    assert thinking.num_tokens == response.additional_kwargs["reasoning_tokens"]
    assert thinking.content not in (response.message.content or "")


def test_reasoning_streams_as_thinking_deltas(endpoint: Endpoint) -> None:
    responses = list(llm(endpoint, reasoning_effort="low").stream_chat([ChatMessage(QUESTION)]))

    deltas = [response.additional_kwargs.get("thinking_delta") or "" for response in responses]
    thinking = responses[-1].message.blocks[0]
    assert isinstance(thinking, ThinkingBlock)
    assert "".join(deltas) == thinking.content


@pytest.mark.parametrize("way", STREAMS)
def test_streams_request_usage_unless_disabled(gateway: Gateway, endpoint: Endpoint, way: Way) -> None:
    way(llm(endpoint))
    way(llm(endpoint, stream_usage=False))

    assert gateway.requests[0].body["stream_options"] == {"include_usage": True}
    assert "stream_options" not in gateway.requests[1].body


@pytest.mark.parametrize("way", [chat, complete])
def test_only_what_was_set_is_sent(gateway: Gateway, endpoint: Endpoint, way: Way) -> None:
    way(llm(endpoint))

    assert gateway.requests[0].body == {
        "model": "claude-sonnet-4-6",
        "messages": [{"role": "user", "content": QUESTION}],
    }


def test_parameters_are_sent_and_can_be_overridden_per_call(gateway: Gateway, endpoint: Endpoint) -> None:
    configured = llm(
        endpoint,
        temperature=0,
        max_tokens=9,
        reasoning_effort="minimal",
        additional_kwargs={"top_k": 3},
        extra_body={"provider": {"order": ["a"]}},
    )
    configured.complete(QUESTION, temperature=1, extra_body={"route": "b"}, extra_headers={"X-A": "1"})

    body = dict(gateway.requests[0].body)
    del body["messages"]
    assert body == {
        "model": "claude-sonnet-4-6",
        "temperature": 1,
        "max_tokens": 9,
        "reasoning_effort": "minimal",
        "top_k": 3,
        "provider": {"order": ["a"]},
        "route": "b",
    }
    assert gateway.requests[0].headers["x-a"] == "1"


@pytest.mark.parametrize("way", WAYS)
def test_log_probabilities_of_all_tokens(endpoint: Endpoint, way: Way) -> None:
    whole = llm(endpoint).chat([ChatMessage(QUESTION)], logprobs=True, top_logprobs=2)
    assert whole.logprobs
    assert [len(likeliest) for likeliest in whole.logprobs] == [2] * len(whole.logprobs)
    assert "".join(likeliest[0].token for likeliest in whole.logprobs) == whole.message.content

    response = way(llm(endpoint, logprobs=True, top_logprobs=2))

    assert response.logprobs == (None if way in STREAMS else whole.logprobs)  # of a stream the last one


def test_a_stream_has_each_log_probability_once_with_its_delta(endpoint: Endpoint) -> None:
    whole = llm(endpoint).chat([ChatMessage(QUESTION)], logprobs=True)

    chat = list(llm(endpoint).stream_chat([ChatMessage(QUESTION)], logprobs=True))
    completion = list(llm(endpoint).stream_complete(QUESTION, logprobs=True))

    for responses in (chat, completion):
        assert [likely for response in responses for likely in response.logprobs or []] == whole.logprobs
    assert all("".join(each[0].token for each in one.logprobs or []) == one.delta for one in chat)


def test_pictures_in_an_answer_are_kept(gateway: Gateway, endpoint: Endpoint) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    message = {"role": "assistant", "content": "Here.", "images": [picture]}
    gateway.misbehave(Fault(body={"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}))

    response = llm(endpoint).chat([ChatMessage("Draw")])

    assert response.message.additional_kwargs["generated_images"] == [picture]
    assert response.message.blocks[1] == ImageBlock(image=b"AAAA", image_mimetype="image/png")


@pytest.mark.parametrize("way", [chat, stream_chat, achat, astream_chat])
def test_sound_cited_pages_and_origin_are_where_llama_index_has_a_place(
    gateway: Gateway, endpoint: Endpoint, way: Way
) -> None:
    message = {
        "role": "assistant",
        "content": "Done.",
        "audio": {"id": "audio_1", "data": "UklGRiQAAABXQVZF", "transcript": "Done.", "expires_at": 2**40},
        "annotations": [{"type": "url_citation", "url_citation": {"url": "https://a.vn/", "end_index": 4}}],
    }
    choice = {"index": 0, "delta" if way in STREAMS else "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "cost_details": {"upstream": 1}}
    body = {"choices": [choice], "provider": "P", "citations": ["https://a.vn/"], "usage": usage}
    event = b"data: " + json.dumps(body).encode() + b"\n\ndata: [DONE]\n\n"
    is_streamed = way in STREAMS
    gateway.misbehave(Fault(raw=event, content_type="text/event-stream") if is_streamed else Fault(body=body))

    response = way(llm(endpoint))

    assert isinstance(response, ChatResponse)
    _, sound, cited = response.message.blocks
    assert sound == AudioBlock(audio=b"UklGRiQAAABXQVZF", format="wav")
    assert isinstance(cited, CitationBlock)
    assert isinstance(cited.cited_content, TextBlock)
    assert (cited.source, cited.cited_content.text) == ("https://a.vn/", "Done")
    assert {name: response.additional_kwargs[name] for name in ("provider", "citations", "cost_details")} == {
        "provider": "P",
        "citations": ["https://a.vn/"],
        "cost_details": {"upstream": 1},
    }
    (said,) = to_openai_message_dicts([response.message])
    assert said == {"role": "assistant", "content": "Done.", "audio": {"id": "audio_1"}}


def test_options_in_additional_kwargs_are_applied(gateway: Gateway, endpoint: Endpoint) -> None:
    options = {"extra_body": {"enable_thinking": False}, "timeout": 5, "max_retries": 1}

    llm(endpoint, additional_kwargs=options).complete(QUESTION)

    assert set(gateway.requests[0].body) == {"model", "messages", "enable_thinking"}


def test_no_limit_between_pieces_of_a_stream(endpoint: Endpoint) -> None:
    assert llm(endpoint, stream_idle_timeout=None).stream_idle_timeout is None
