"""Behaviour of chat models in general, as tested by langchain-openai and langchain-openrouter.

The cases are rewritten from theirs: answers of real providers and gateways, whole and streamed.
"""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from langchain_core import exceptions
from langchain_core.messages import AIMessage, HumanMessage

from langchain_texapi import ChatTexAPI
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from tests.langchain.test_chat import WAYS, Way, model

STREAMED = WAYS[2:]


def _stream_of(chunks: list[dict[str, Any]]) -> Fault:
    events = [f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n" for chunk in chunks]
    return Fault(raw="".join([*events, "data: [DONE]\n\n"]).encode(), content_type="text/event-stream")


def _chunk(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": "c1", "choices": [{"delta": delta, "finish_reason": finish_reason, "index": 0}], **more}


USAGE = {"prompt_tokens": 11, "completion_tokens": 15, "total_tokens": 26}
COUNTS = {"input_tokens": 11, "output_tokens": 15, "total_tokens": 26}

STREAMS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "usage null, then on the chunk that finishes (DeepSeek)": (
        [
            _chunk({"content": "", "role": "assistant"}, model="deepseek-chat", usage=None),
            _chunk({"content": "我是", "role": "assistant"}, model="deepseek-chat", usage=None),
            _chunk({"content": "", "role": None}, "stop", model="deepseek-chat", usage=USAGE),
        ],
        "deepseek-chat",
    ),
    "a chunk of usage without choices (OpenRouter)": (
        [
            _chunk({"content": "我是"}, model="glm-4"),
            _chunk({}, "stop", model="glm-4"),
            {"id": "c1", "model": "glm-4", "usage": USAGE},
        ],
        "glm-4",
    ),
    "a chunk that only keeps the stream alive": (
        [
            {"id": "heartbeat", "object": "chat.completion.chunk", "created": 0},
            _chunk({"content": "我是"}, model="m"),
            _chunk({}, "stop", model="m", usage=USAGE),
        ],
        "m",
    ),
    "two chunks that finish, both with usage": (
        [
            _chunk({"content": "我是"}, model="m"),
            _chunk({}, "stop", model="m", usage=USAGE),
            _chunk({}, "stop", model="m", usage=USAGE),
        ],
        "m",
    ),
    "usage that grows with each chunk": (
        [
            _chunk({"content": "我"}, model="m", usage={**USAGE, "completion_tokens": 1, "total_tokens": 12}),
            _chunk({"content": "是"}, "stop", model="m", usage=USAGE),
        ],
        "m",
    ),
    "no model and no role": ([_chunk({"content": "我是"}), _chunk({}, "stop", usage=USAGE)], "gpt-5.2"),
}


@pytest.mark.parametrize(("chunks", "served"), STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("way", STREAMED)
def test_streams_of_providers(
    gateway: Gateway, endpoint: Endpoint, way: Way, chunks: list[dict[str, Any]], served: str
) -> None:
    gateway.misbehave(_stream_of(chunks))

    message = way(model(endpoint, model="gpt-5.2"), "你叫什么?")

    assert message.content == "我是"
    assert message.usage_metadata == COUNTS
    assert message.response_metadata["model_name"] == served
    assert message.response_metadata["finish_reason"] == "stop"


def _answer(way: Way, message: dict[str, Any], finish_reason: str = "stop", **more: Any) -> Fault:
    """The same answer, whole or streamed."""
    if way in STREAMED:
        return _stream_of([_chunk(message), _chunk({}, finish_reason, **more)])
    return Fault(body={"choices": [{"index": 0, "message": message, "finish_reason": finish_reason}], **more})


HELLO = {"role": "assistant", "content": "Hello!"}


@pytest.mark.parametrize("way", WAYS)
def test_route_and_price_reported_by_a_gateway(gateway: Gateway, endpoint: Endpoint, way: Way) -> None:
    details = {"upstream_inference_cost": 7.7e-05}
    usage = {**USAGE, "cost": 7.5e-05, "cost_details": details}
    gateway.misbehave(_answer(way, HELLO, provider="Anthropic", system_fingerprint="fp", usage=usage))

    message = way(model(endpoint), "Hi")

    metadata = message.response_metadata
    assert (metadata["cost"], metadata["cost_details"]) == (7.5e-05, details)
    assert (metadata["provider"], metadata["system_fingerprint"]) == ("Anthropic", "fp")
    assert message.usage_metadata == COUNTS


@pytest.mark.parametrize("way", WAYS)
def test_unreported_metadata_is_absent(gateway: Gateway, endpoint: Endpoint, way: Way) -> None:
    gateway.misbehave(_answer(way, HELLO))

    message = way(model(endpoint), "Hi")

    absent = {"cost", "cost_details", "provider", "system_fingerprint", "created", "logprobs", "headers"}
    assert absent.isdisjoint(message.response_metadata)
    assert message.usage_metadata is None


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("usage", "metadata"),
    [
        (
            {
                "prompt_tokens": 585.0,
                "completion_tokens": 56.0,
                "total_tokens": 641.0,
                "completion_tokens_details": {"reasoning_tokens": 10.0},
                "prompt_tokens_details": {"cached_tokens": 20.0, "cache_write_tokens": 0},
            },
            {
                "input_tokens": 585,
                "output_tokens": 56,
                "total_tokens": 641,
                "input_token_details": {"cache_read": 20, "cache_creation": 0},
                "output_token_details": {"reasoning": 10},
            },
        ),
        (
            {"input_tokens": 10, "output_tokens": 5},
            {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15},
        ),
    ],
    ids=["floats", "other names, no total"],
)
def test_usage_in_other_forms(
    gateway: Gateway, endpoint: Endpoint, way: Way, usage: dict[str, Any], metadata: dict[str, Any]
) -> None:
    gateway.misbehave(_answer(way, HELLO, usage=usage))

    message = way(model(endpoint), "Hi")

    counted: Any = message.usage_metadata
    assert counted == metadata
    assert all(type(counted[name]) is int for name in metadata if name.endswith("_tokens"))


@pytest.mark.parametrize("way", STREAMED)
def test_empty_pieces_of_a_tool_call(gateway: Gateway, endpoint: Endpoint, way: Way) -> None:
    good = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x"'}}
    chunks = [
        _chunk({"role": "assistant", "content": "", "tool_calls": [{"function": None, "index": 0}]}),
        _chunk({"tool_calls": [good]}),
        _chunk({"tool_calls": [{"index": 0, "function": None}]}),
        _chunk({"tool_calls": [{"index": 0, "function": {"name": None, "arguments": ": 1}"}}]}),
        _chunk({}, "tool_calls"),
    ]
    gateway.misbehave(_stream_of(chunks))

    message = way(model(endpoint), "Hi")

    assert [(call["name"], call["args"], call["id"]) for call in message.tool_calls] == [("f", {"x": 1}, "a")]
    assert message.invalid_tool_calls == []


@pytest.mark.parametrize("way", WAYS)
def test_audio_of_a_model_is_sent_back_by_its_id(gateway: Gateway, endpoint: Endpoint, way: Way) -> None:
    audio = {"id": "a1", "data": "AAAA", "transcript": "Hello!", "expires_at": 2**40}
    gateway.misbehave(_answer(way, {"role": "assistant", "content": None, "audio": audio}))
    chat = model(endpoint, modalities=["text", "audio"], model_kwargs={"audio": {"voice": "alloy"}})

    message = way(chat, "Hi")

    assert message.additional_kwargs["audio"] == audio
    history = [HumanMessage("Hi"), message, HumanMessage("Again")]
    assert chat._get_request_payload(history)["messages"][1]["audio"] == {"id": "a1"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("status", "of_sdk", "of_langchain", "is_retryable"),
    [
        (400, openai.BadRequestError, exceptions.ModelInvalidRequestError, False),
        (401, openai.AuthenticationError, exceptions.ModelAuthenticationError, False),
        (402, openai.APIStatusError, exceptions.ModelError, False),
        (403, openai.PermissionDeniedError, exceptions.ModelPermissionDeniedError, False),
        (404, openai.NotFoundError, exceptions.ModelNotFoundError, False),
        (408, openai.APIStatusError, exceptions.ModelTimeoutError, True),
        (429, openai.RateLimitError, exceptions.ModelRateLimitError, True),
        (500, openai.InternalServerError, exceptions.ModelAPIError, True),
    ],
)
def test_an_error_is_the_sdk_s_and_langchain_s(
    gateway: Gateway,
    endpoint: Endpoint,
    way: Way,
    status: int,
    of_sdk: type[openai.APIStatusError],
    of_langchain: type[exceptions.ModelError],
    is_retryable: bool,
) -> None:
    gateway.misbehave(Fault(status=status))

    with pytest.raises(of_sdk) as caught:
        way(model(endpoint), "Hi")

    assert isinstance(caught.value, of_langchain)
    assert caught.value.is_retryable is is_retryable
    assert caught.value.response.status_code == status


@pytest.mark.parametrize(
    ("base_url", "timeout", "of_sdk", "of_langchain"),
    [
        ("http://127.0.0.1:9/v1", None, openai.APIConnectionError, exceptions.ModelConnectionError),
        (None, 0.2, openai.APITimeoutError, exceptions.ModelTimeoutError),
    ],
)
def test_a_connection_error_is_the_sdk_s_and_langchain_s(
    gateway: Gateway, endpoint: Endpoint, base_url: str | None, timeout: Any, of_sdk: Any, of_langchain: Any
) -> None:
    gateway.misbehave(Fault(delay=5.0))
    changed = {"base_url": base_url} if base_url else {}

    with pytest.raises(of_sdk) as caught:
        ChatTexAPI(**{**endpoint.for_langchain(model="gpt-5.2", timeout=timeout), **changed}).invoke("Hi")

    assert isinstance(caught.value, of_langchain)
    assert caught.value.is_retryable


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "message",
    [
        "Input tokens exceed the configured limit of 272000 tokens.",
        "This model's maximum context length is 8192 tokens.",
        "Your input exceeds the context window of this model.",
        "prompt is too long: 300000 tokens > 200000 maximum",
        "ContextWindowExceededError: maximum context length exceeded",
    ],
)
def test_a_request_that_is_too_long_is_a_context_overflow_error(
    gateway: Gateway, endpoint: Endpoint, way: Way, message: str
) -> None:
    gateway.misbehave(Fault(status=400, error_type="invalid_request_error", message=message))

    with pytest.raises(exceptions.ContextOverflowError, match=message[:20]) as caught:
        way(model(endpoint), "Hi")

    assert isinstance(caught.value, openai.BadRequestError)


def test_calls_without_a_result_are_left_out_of_the_history() -> None:
    """ChatOpenAI sends them, and providers refuse the request; see `test_messages` for answered calls."""
    good = {"name": "f", "args": {"x": 1}, "id": "a", "type": "tool_call"}
    bad = {"name": "f", "args": "oops", "id": "b", "error": None, "type": "invalid_tool_call"}
    history = [HumanMessage("Hi"), AIMessage("", tool_calls=[good], invalid_tool_calls=[bad])]
    chat = ChatTexAPI(model="gpt-5.2", api_key="sk-tex-1")

    sent = chat._get_request_payload(history)["messages"][1]

    assert [call["id"] for call in sent["tool_calls"]] == ["a"]
