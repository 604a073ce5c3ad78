"""The answers of the gateway, seen through the OpenAI SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.gateway import Gateway
from tests.standin.sdk import ADD, WEATHER, said, whole

ALL_MODELS = [
    "claude-sonnet-4-6",
    "gpt-5.2",
    "gemini-3-pro",
    "deepseek-r1",
    "qwen3-235b",
]


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with Gateway(chunk_size=3) as running:
        yield running


@pytest.fixture(scope="module")
def _client(gateway: Gateway) -> Iterator[openai.OpenAI]:
    """Making one reads all certificates of the machine."""
    with openai.OpenAI(base_url=gateway.base_url, api_key=gateway.key, max_retries=0) as made:
        yield made


@pytest.fixture
def client(gateway: Gateway, _client: openai.OpenAI) -> openai.OpenAI:
    gateway.reset()
    return _client


def gathered(client: openai.OpenAI, question: str, **settings: Any) -> dict[str, Any]:
    """Return the message that the deltas of a stream add up to, with its usage."""
    message: dict[str, Any] = {"content": "", "reasoning_content": "", "signature": None}
    calls: dict[int, dict[str, Any]] = {}
    stream = client.chat.completions.create(
        messages=[{"role": "user", "content": question}],
        stream=True,
        stream_options={"include_usage": True},
        **settings,
    )
    for chunk in stream:
        data = chunk.to_dict()
        message["usage"] = data.get("usage") or message.get("usage")
        for choice in data["choices"]:
            delta = choice["delta"]
            message["content"] += delta.get("content") or ""
            message["reasoning_content"] += delta.get("reasoning_content") or ""
            for detail in delta.get("reasoning_details", []):
                message["signature"] = detail.get("signature")
            for call in delta.get("tool_calls", []):
                known = calls.setdefault(call["index"], {**call, "arguments": ""})
                known["arguments"] += call["function"]["arguments"]
            message["finish_reason"] = choice["finish_reason"]
    message["calls"] = [calls[index] for index in sorted(calls)]
    return message


@pytest.mark.parametrize("model", ALL_MODELS)
@pytest.mark.parametrize(
    ("question", "settings"),
    [
        ("Thủ đô của Việt Nam là gì? 🇻🇳", {}),
        ("What is the weather in Hanoi and Paris?", {"tools": [WEATHER]}),
        ("What is 12 * 7?", {"reasoning_effort": "high"}),
        ("Add 2 and 3", {"reasoning_effort": "low", "tools": [ADD]}),
    ],
)
def test_a_stream_adds_up_to_the_whole_answer(
    gateway: Gateway, client: openai.OpenAI, model: str, question: str, settings: dict[str, Any]
) -> None:
    answer = whole(client, question, model=model, **settings)
    gateway.reset()
    streamed = gathered(client, question, model=model, **settings)
    message = answer["choices"][0]["message"]
    assert streamed["content"] == (message["content"] or "")
    assert streamed["reasoning_content"] == message.get("reasoning_content", "")
    assert streamed["usage"] == answer["usage"]
    assert streamed["finish_reason"] is not None or streamed["content"]
    details = message.get("reasoning_details", [{"signature": None}])
    assert streamed["signature"] == details[0]["signature"]
    calls = message.get("tool_calls", [])
    assert [call["arguments"] for call in streamed["calls"]] == [
        call["function"]["arguments"] for call in calls
    ]
    for call, other in zip(streamed["calls"], calls, strict=True):
        assert call["id"] == other["id"]
        assert call.get("extra_content") == other.get("extra_content")
        assert (other.get("extra_content") is not None) == model.startswith("gemini")


def test_usage_and_ledger_agree(gateway: Gateway, client: openai.OpenAI) -> None:
    for stream in (False, True):
        gateway.reset()
        if stream:
            usage = gathered(client, "What is 2 + 2?", model="deepseek-r1")["usage"]
        else:
            usage = whole(client, "What is 2 + 2?", model="deepseek-r1")["usage"]
        entry = gateway.ledger[0]
        assert entry.prompt_tokens == usage["prompt_tokens"]
        assert entry.completion_tokens == usage["completion_tokens"]
        reasoning = usage["completion_tokens_details"]["reasoning_tokens"]
        assert entry.reasoning_tokens == reasoning > 0
        assert (entry.streamed, entry.completed, entry.status) == (stream, True, 200)
        assert entry.request_id == "req_000001"
        assert entry.response_id == "chatcmpl-000001"


@pytest.mark.parametrize(
    ("model", "settings", "expected"),
    [
        ("deepseek-r1", {}, True),
        ("gpt-5.2", {}, False),
        ("gpt-5.2", {"reasoning_effort": "low"}, True),
        ("gpt-5.2", {"reasoning_effort": "minimal"}, False),
        ("gpt-5.2", {"reasoning_effort": "none"}, False),
        ("qwen3-235b", {"extra_body": {"reasoning": {"effort": "high"}}}, True),
        ("qwen3-235b", {"extra_body": {"reasoning": {"enabled": False}}}, False),
        ("claude-haiku-4-5", {"extra_body": {"thinking": {"type": "enabled"}}}, True),
        ("claude-haiku-4-5", {"extra_body": {"thinking": {"type": "disabled"}}}, False),
    ],
)
def test_which_models_reason(
    client: openai.OpenAI, model: str, settings: dict[str, Any], expected: bool
) -> None:
    message = whole(client, "Hello", model=model, **settings)["choices"][0]["message"]
    assert ("reasoning_content" in message) == expected
    assert ("reasoning_details" in message) == (expected and model.startswith("claude"))


def test_gemini_wants_its_signatures_back(client: openai.OpenAI) -> None:
    question = {"role": "user", "content": "Add 2 and 3"}
    answer = whole(client, [question], model="gemini-3-pro", tools=[ADD])
    message = answer["choices"][0]["message"]
    call = message["tool_calls"][0]
    result = {"role": "tool", "tool_call_id": call["id"], "content": "5"}
    history = [question, message, result]
    assert "5" in said(client, history, model="gemini-3-pro", tools=[ADD])
    assert "5" in said(client, history, model="gpt-5.2", tools=[ADD])
    del call["extra_content"]
    with pytest.raises(openai.BadRequestError, match="thought_signature"):
        said(client, history, model="gemini-3-pro", tools=[ADD])


def test_limits(client: openai.OpenAI) -> None:
    cut = whole(client, "Count from 1 to 50", max_tokens=5)
    assert cut["choices"][0]["finish_reason"] == "length"
    assert cut["choices"][0]["message"]["content"] == "1, 2, 3"
    assert cut["usage"]["completion_tokens"] == 5
    enough = whole(client, "Count from 1 to 3", max_completion_tokens=5)
    assert enough["choices"][0]["finish_reason"] == "stop"
    called_short = whole(client, "Add 2 and 3", tools=[ADD], max_tokens=4)
    choice = called_short["choices"][0]
    assert choice["finish_reason"] == "length"
    arguments = choice["message"]["tool_calls"][0]["function"]["arguments"]
    assert '{"a": 2, "b": 3}'.startswith(arguments)


@pytest.mark.parametrize("stop", ["4", ["7", "4"]])
def test_stop(client: openai.OpenAI, stop: Any) -> None:
    answer = whole(client, "Count from 1 to 9", stop=stop)
    assert answer["choices"][0]["message"]["content"] == "1, 2, 3, "
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_several_choices(client: openai.OpenAI) -> None:
    choices = whole(client, "Say one", n=3)["choices"]
    texts = [choice["message"]["content"] for choice in choices]
    assert texts == ["one", "one (answer 2 of 3)", "one (answer 3 of 3)"]
    assert [choice["index"] for choice in choices] == [0, 1, 2]


def test_logprobs(client: openai.OpenAI) -> None:
    answer = whole(client, "Count from 1 to 3", logprobs=True, top_logprobs=2)
    content = answer["choices"][0]["logprobs"]["content"]
    assert "".join(token["token"] for token in content) == "1, 2, 3"
    assert {len(token["top_logprobs"]) for token in content} == {2}
    assert all(token["logprob"] <= 0 for token in content)
    stream = client.chat.completions.create(
        model="gpt-5.2",
        messages=[{"role": "user", "content": "Count from 1 to 3"}],
        stream=True,
        logprobs=True,
    )
    streamed = [chunk.choices[0].logprobs for chunk in stream]
    tokens = [token.token for each in streamed if each for token in each.content or []]
    assert "".join(tokens) == "1, 2, 3"


def test_repeated_prompts_are_cached(client: openai.OpenAI) -> None:
    system = {"role": "system", "content": "You answer questions about rivers. " * 10}
    first = whole(client, [system, {"role": "user", "content": "Hello"}])
    second = whole(client, [system, {"role": "user", "content": "Good morning"}])
    short = whole(client, "Hello")
    whole(client, "Hello")
    assert first["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] >= 50
    assert short["usage"]["prompt_tokens_details"]["cached_tokens"] == 0


def test_marked_prompts_are_written_once(client: openai.OpenAI) -> None:
    text = "You answer questions about rivers. " * 10
    part = {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}
    messages = [{"role": "system", "content": [part]}, {"role": "user", "content": "Hello"}]
    details = [
        whole(client, messages, model="claude-sonnet-4-6")["usage"]["prompt_tokens_details"] for _ in range(2)
    ]
    assert details[0]["cache_write_tokens"] >= 50
    assert details[0]["cached_tokens"] == 0
    assert "cache_write_tokens" not in details[1]
    assert details[1]["cached_tokens"] >= details[0]["cache_write_tokens"]


def test_characters_are_never_split(gateway: Gateway, client: openai.OpenAI) -> None:
    text = "Ha\u0300 No\u0302\u0323i 👨‍👩‍👧 🇻🇳 👍🏽"
    stream = client.chat.completions.create(
        model="gpt-5.2",
        messages=[{"role": "user", "content": f"Reply with exactly: {text}"}],
        stream=True,
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert "".join(pieces) == text
    for piece in pieces[1:]:
        assert piece[:1] not in {"\u0300", "\u0302", "\u0323", "\u200d", "🏽"}
