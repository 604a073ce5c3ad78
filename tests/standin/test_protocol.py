"""The gateway implements the OpenAI protocol and accepts what gateways accept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway import KEY, Gateway
from tests.standin.plain_http import CALL, CALLING, RESULT, TOOL, USER, chat, send


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with Gateway() as running:
        yield running


@pytest.fixture(autouse=True)
def fresh(gateway: Gateway) -> None:
    gateway.reset()


def test_lists_the_models(gateway: Gateway) -> None:
    answer = send(gateway, method="GET", path="/v1/models").json
    assert answer["object"] == "list"
    assert [model["id"] for model in answer["data"]][:2] == [
        "claude-sonnet-4-6",
        "claude-haiku-4-5",
    ]
    assert {model["owned_by"] for model in answer["data"]} == {"texapi"}


EXTRAS: dict[str, dict[str, Any]] = {
    "settings": {
        "user": "u",
        "seed": 1,
        "metadata": {"a": "b"},
        "service_tier": "auto",
        "verbosity": "low",
        "logprobs": True,
        "top_logprobs": 3,
        "prediction": {"type": "content", "content": "x"},
        "web_search_options": {},
        "something_new": [1],
        "stop": ["x", "y"],
    },
    "nulls": {
        "temperature": None,
        "stop": None,
        "stream": None,
        "response_format": None,
        "n": None,
    },
    "tools": {
        "tools": [{**TOOL, "cache_control": {"type": "ephemeral"}}],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
    },
    "history": {
        "messages": [
            {
                "role": "system",
                "content": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}],
            },
            {"role": "developer", "content": "Be short."},
            {"role": "user", "content": "Hello", "name": "lan"},
            {
                "role": "assistant",
                "content": "Hi",
                "reasoning_content": "r",
                "reasoning": "r",
                "reasoning_details": [{"type": "reasoning.text", "text": "r"}],
                "refusal": None,
            },
            USER,
            {**CALLING, "tool_calls": [{**CALL, "extra_content": {"google": {}}}]},
            {**RESULT, "content": "done", "name": "f"},
            USER,
        ]
    },
    "media": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
                    {"type": "image_url", "image_url": {"url": "https://e.com/a", "detail": "low"}},
                    {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
                    {
                        "type": "file",
                        "file": {"filename": "a.csv", "file_data": "data:text/csv;base64,AA=="},
                    },
                    {"type": "file", "file": {"file_id": "file-1"}},
                ],
            }
        ]
    },
}


@pytest.mark.parametrize("case", EXTRAS)
def test_accepts(gateway: Gateway, case: str) -> None:
    response = send(gateway, {"model": "gpt-5.2", "messages": [USER], **EXTRAS[case]})
    assert response.status == 200, response.raw


def test_every_response_has_the_headers_of_the_gateway(gateway: Gateway) -> None:
    responses = [chat(gateway), chat(gateway, n=0), send(gateway, {}, path="/v1/other")]
    ids = [response.headers["x-request-id"] for response in responses]
    assert ids == ["req_000001", "req_000002", "req_000003"]
    remaining = [response.headers["x-ratelimit-remaining-requests"] for response in responses]
    assert remaining == ["9999", "9998", "9997"]
    for response in responses:
        assert response.headers["x-ratelimit-limit-requests"] == "10000"
        assert response.headers["x-ratelimit-reset-requests"]


def test_the_same_requests_get_the_same_bytes_after_a_reset(gateway: Gateway) -> None:
    def run() -> list[bytes]:
        gateway.reset()
        plain = chat(gateway)
        streamed = chat(gateway, stream=True, stream_options={"include_usage": True})
        called = chat(gateway, tools=[TOOL], tool_choice="required")
        return [plain.raw, streamed.raw, called.raw]

    first = run()
    assert first == run()
    answers = [json.loads(first[0]), json.loads(first[2])]
    assert [answer["id"] for answer in answers] == ["chatcmpl-000001", "chatcmpl-000003"]
    assert {answer["created"] for answer in answers} == {1790000000}
    assert answers[1]["choices"][0]["message"]["tool_calls"][0]["id"] == "call_000001"


def test_a_whole_answer_has_every_field(gateway: Gateway) -> None:
    answer = chat(gateway).json
    assert set(answer) == {
        "id",
        "object",
        "created",
        "model",
        "choices",
        "usage",
        "system_fingerprint",
        "service_tier",
    }
    choice = answer["choices"][0]
    assert set(choice) == {"index", "message", "finish_reason", "logprobs"}
    assert choice["message"] == {
        "role": "assistant",
        "content": "Hello! How can I help you today?",
        "refusal": None,
    }
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens_details"] == {"cached_tokens": 0, "audio_tokens": 0}
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 0, "audio_tokens": 0}


def test_a_stream_is_made_of_events(gateway: Gateway) -> None:
    response = chat(gateway, stream=True)
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["cache-control"] == "no-cache"
    events = response.raw.decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert chunks[0]["choices"][0]["delta"] == {
        "role": "assistant",
        "content": "",
        "refusal": None,
    }
    assert chunks[-1]["choices"][0]["delta"] == {}
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert all("usage" not in chunk for chunk in chunks)


def test_the_journal_holds_what_was_sent(gateway: Gateway) -> None:
    send(gateway, {"model": "gpt-5.2"}, path="/v1/chat/completions?a=1")
    request = gateway.requests[0]
    assert (request.method, request.path, request.query) == (
        "POST",
        "/v1/chat/completions",
        {"a": "1"},
    )
    assert request.body == {"model": "gpt-5.2"} == json.loads(request.raw)
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert gateway.connections == {request.client}
    gateway.reset()
    assert (gateway.requests, gateway.ledger, gateway.connections) == ([], [], set())
