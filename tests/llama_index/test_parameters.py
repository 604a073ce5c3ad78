"""Every parameter reaches the wire or the framework; values of one call take precedence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import openai
import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock, ThinkingBlock, ToolCallBlock
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.prompts import PromptTemplate
from llama_index.core.rate_limiter import TokenBucketRateLimiter
from llama_index.core.types import PydanticProgramMode

from llama_index_texapi import TexAPI, TexAPISettingsError
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from tests.llama_index.test_chat import llm
from texapi_core.adapter_base.accounting_parameters import AccountingParameters
from texapi_core.adapter_base.parameters import ChatParameters

HELLO = [ChatMessage("Hello")]
SENT: dict[str, tuple[Any, Any]] = {
    "temperature": (0.5, 0),
    "top_p": (0.5, 0.25),
    "max_tokens": (20, 10),
    "max_completion_tokens": (20, 10),
    "stop": (["a"], ["b"]),
    "presence_penalty": (0.5, 0),
    "frequency_penalty": (0.5, 0),
    "logit_bias": ({"1": 2}, {"3": 4}),
    "logprobs": (True, False),
    "seed": (1, 0),
    "reasoning_effort": ("low", "high"),
    "reasoning": ({"effort": "low"}, {"effort": "high"}),
    "verbosity": ("low", "high"),
    "service_tier": ("auto", "default"),
    "modalities": (["text"], ["text", "audio"]),
    "user": ("a", "b"),
    "store": (True, False),
    "prompt_cache_key": ("a", "b"),
    "prompt_cache_options": ({"ttl": "1h"}, {"ttl": "5m"}),
}
WAYS = ["chat", "stream_chat", "complete", "stream_complete"]


@pytest.mark.parametrize("name", SENT)
def test_a_parameter_is_sent_and_can_be_overridden_per_call(
    gateway: Gateway, endpoint: Endpoint, name: str
) -> None:
    ours, per_call = SENT[name]
    gateway.misbehave(Fault(body={"choices": [{"index": 0, "message": {"content": "ok"}}]}), times=3)
    model = llm(endpoint, **{name: ours})

    model.chat(HELLO)
    model.chat(HELLO, **{name: per_call})
    llm(endpoint, additional_kwargs={name: ours}).complete("Hello")

    assert [request.body[name] for request in gateway.requests] == [ours, per_call, ours]


def test_every_parameter_is_tested() -> None:
    of_other_tests = {
        "top_logprobs",
        "extra_body",
        "stream_usage",
        "replay_reasoning",
        "tool_media",
        "history",
        "cache_prompts",
    }

    parameters = set(ChatParameters.model_fields) - set(AccountingParameters.model_fields)
    assert parameters == set(SENT) | of_other_tests


@pytest.mark.parametrize("way", WAYS)
def test_request_options_per_call(gateway: Gateway, endpoint: Endpoint, way: str) -> None:
    configured = llm(endpoint, default_headers={"X-A": "1", "X-B": "1"}, default_query={"a": "1"})
    options: dict[str, Any] = {
        "extra_headers": {"X-B": "2"},
        "extra_query": {"b": "2"},
        "extra_body": {"c": 3},
    }

    response = getattr(configured, way)(HELLO if "chat" in way else "Hello", model="gpt-5.2", **options)
    list(response)

    (request,) = gateway.requests
    assert (request.headers["x-a"], request.headers["x-b"]) == ("1", "2")
    assert request.query == {"a": "1", "b": "2"}
    assert (request.body["model"], request.body["c"]) == ("gpt-5.2", 3)


def test_extra_bodies_of_the_constructor_and_of_the_call(gateway: Gateway, endpoint: Endpoint) -> None:
    configured = llm(
        endpoint, extra_body={"a": 1, "b": 1}, additional_kwargs={"extra_body": {"b": 2, "c": 2}}
    )

    configured.chat(HELLO, extra_body={"c": 3})

    body = gateway.requests[0].body
    assert (body["a"], body["b"], body["c"]) == (1, 2, 3)


def test_two_names_for_the_address(endpoint: Endpoint) -> None:
    model = TexAPI("gpt-5.2", base_url=endpoint.base_url, api_key=endpoint.api_key)

    assert model.api_base == endpoint.base_url
    with pytest.raises(TexAPISettingsError, match="`api_base` and `base_url`"):
        TexAPI("m", api_key="k", base_url="https://a.example", api_base="https://b.example")


async def test_the_user_s_http_clients(gateway: Gateway, endpoint: Endpoint) -> None:
    with openai.DefaultHttpxClient(headers={"X-Client": "sync"}) as own:
        llm(endpoint, http_client=own).chat(HELLO)
    for name in ("http_async_client", "async_http_client"):
        async with openai.DefaultAsyncHttpxClient(headers={"X-Client": "async"}) as asynchronous:
            await llm(endpoint, **{name: asynchronous}).achat(HELLO)

    assert [request.headers["x-client"] for request in gateway.requests] == ["sync", "async", "async"]


def test_arguments_of_the_framework(gateway: Gateway, endpoint: Endpoint) -> None:
    counter, limiter = TokenCountingHandler(), TokenBucketRateLimiter(requests_per_minute=1000)
    model = llm(
        endpoint,
        callback_manager=CallbackManager([counter]),
        rate_limiter=limiter,
        system_prompt="Be brief.",
        completion_to_prompt=lambda prompt: f"Say {prompt}",
        pydantic_program_mode=PydanticProgramMode.LLM,
    )

    model.predict(PromptTemplate("Hello {name}"), name="Lan")
    answer = model.complete("one")

    assert gateway.requests[0].body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert answer.text == "one"
    assert len(counter.llm_token_counts) == 2
    assert model.rate_limiter is limiter


def test_a_rate_limiter_is_used_before_each_request(endpoint: Endpoint) -> None:
    class Counting(TokenBucketRateLimiter):
        asked: int = 0

        def acquire(self, *args: Any, **kwargs: Any) -> None:
            self.asked += 1

    limiter = Counting(requests_per_minute=1000)
    model = llm(endpoint, rate_limiter=limiter)

    model.chat(HELLO)
    list(model.stream_complete("Hello"))

    assert limiter.asked == 2


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("temprature", "temperature"),
        ("max_token", "max_tokens"),
        ("default_header", "default_headers"),
        ("context_windows", "context_window"),
        ("is_function_calling", "is_function_calling_model"),
    ],
)
def test_a_typo_is_an_error_with_a_suggestion(typed: str, meant: str) -> None:
    wrong: dict[str, Any] = {typed: 1}
    with pytest.raises(TexAPISettingsError, match=f"no argument `{typed}`. Did you mean `{meant}`"):
        TexAPI("m", api_key="k", **wrong)


async def _last(responses: Any) -> Any:
    return [response async for response in await responses][-1]


CALLS: dict[str, Callable[..., Any]] = {
    "chat": lambda llm, **kwargs: llm.chat(HELLO, **kwargs),
    "achat": lambda llm, **kwargs: asyncio.run(llm.achat(HELLO, **kwargs)),
    "stream_chat": lambda llm, **kwargs: list(llm.stream_chat(HELLO, **kwargs)),
    "astream_chat": lambda llm, **kwargs: asyncio.run(_last(llm.astream_chat(HELLO, **kwargs))),
    "complete": lambda llm, **kwargs: llm.complete("Hello", **kwargs),
    "acomplete": lambda llm, **kwargs: asyncio.run(llm.acomplete("Hello", **kwargs)),
    "stream_complete": lambda llm, **kwargs: list(llm.stream_complete("Hello", **kwargs)),
    "astream_complete": lambda llm, **kwargs: asyncio.run(_last(llm.astream_complete("Hello", **kwargs))),
}
OF_THE_CONSTRUCTOR = {
    "api_key": "sk-tex-of-another",
    "base_url": "https://elsewhere.example/v1",
    "api_base": "https://elsewhere.example/v1",
    "system_prompt": "Be brief.",
    "default_headers": {"X-Token": "of-another"},
    "context_window": 1000,
    **dict.fromkeys(AccountingParameters.model_fields, 1),
}


@pytest.mark.parametrize("name", OF_THE_CONSTRUCTOR)
def test_constructor_arguments_are_refused_per_call(gateway: Gateway, endpoint: Endpoint, name: str) -> None:
    argument: Any = {name: OF_THE_CONSTRUCTOR[name]}

    with pytest.raises(TexAPISettingsError, match=f"`{name}` cannot be changed for one call") as raised:
        llm(endpoint).chat(HELLO, **argument)
    with pytest.raises(TexAPISettingsError, match=f"`{name}` cannot be changed for one call"):
        llm(endpoint, additional_kwargs=argument)

    assert "of-another" not in str(raised.value)
    assert gateway.requests == []


@pytest.mark.parametrize("way", CALLS)
def test_a_key_passed_to_a_call_is_never_sent(gateway: Gateway, endpoint: Endpoint, way: str) -> None:
    with pytest.raises(TexAPISettingsError, match="`api_key` cannot be changed"):
        CALLS[way](llm(endpoint), api_key="sk-tex-of-another")

    assert gateway.requests == []


def test_none_means_not_set(gateway: Gateway, endpoint: Endpoint) -> None:
    llm(endpoint, additional_kwargs={"extra_headers": None}).chat(HELLO, api_key=None, temperature=None)

    assert set(gateway.requests[0].body) == {"model", "messages"}


@pytest.mark.parametrize(
    ("name", "instead"), [("extra_headers", "default_headers"), ("extra_query", "default_query")]
)
def test_additional_kwargs_contain_no_secret(endpoint: Endpoint, name: str, instead: str) -> None:
    """They are shown by `repr`, `to_dict` and `to_json`."""
    with pytest.raises(TexAPISettingsError, match=f"`{name}` in .*Pass `{instead}=") as raised:
        llm(endpoint, additional_kwargs={name: {"X-Token": "SECRET-VALUE"}})

    assert "SECRET" not in str(raised.value)


def test_replay_settings_can_be_overridden_per_call(gateway: Gateway, endpoint: Endpoint) -> None:
    call = ToolCallBlock(tool_call_id="c1", tool_name="draw", tool_kwargs={})
    image = ImageBlock(url="https://example.com/a.png")
    history = [
        *HELLO,
        ChatMessage(role="assistant", blocks=[ThinkingBlock(content="hm"), call]),
        ChatMessage(
            role="tool", blocks=[TextBlock(text="Here"), image], additional_kwargs={"tool_call_id": "c1"}
        ),
    ]
    gateway.misbehave(Fault(body={"choices": [{"index": 0, "message": {"content": "ok"}}]}), times=2)

    llm(endpoint).chat(history)
    llm(endpoint).chat(history, replay_reasoning="never", tool_media="tool_message")

    ours, per_call = (request.body for request in gateway.requests)
    assert ours["messages"][1]["reasoning_content"] == "hm"
    assert "reasoning_content" not in per_call["messages"][1]
    assert [message["role"] for message in ours["messages"]] == ["user", "assistant", "tool", "user"]
    assert [message["role"] for message in per_call["messages"]] == ["user", "assistant", "tool"]
    assert set(per_call) == set(ours) == {"model", "messages"}
    wrong: Any = "sometimes"
    with pytest.raises(TexAPISettingsError, match="`replay_reasoning`"):
        llm(endpoint).chat(history, replay_reasoning=wrong)


@pytest.mark.parametrize("way", CALLS)
def test_a_call_s_limit_of_tokens_replaces_the_constructor_s_under_either_name(
    gateway: Gateway, endpoint: Endpoint, way: str
) -> None:
    CALLS[way](llm(endpoint, max_tokens=100), max_completion_tokens=50)
    CALLS[way](llm(endpoint, max_tokens=100, additional_kwargs={"max_completion_tokens": 60}))
    CALLS[way](llm(endpoint, additional_kwargs={"max_completion_tokens": 60}), max_tokens=70)

    limits = [
        {name: value for name, value in request.body.items() if "tokens" in name}
        for request in gateway.requests
    ]
    assert limits == [
        {"max_completion_tokens": 50},
        {"max_completion_tokens": 60},
        {"max_tokens": 70},
    ]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_prompt_sizes_use_the_limit_that_is_sent(name: str) -> None:
    limit: dict[str, Any] = {name: 500}

    assert TexAPI("m", api_key="k").metadata.num_output == -1
    assert TexAPI("m", api_key="k", **limit).metadata.num_output == 500
    assert TexAPI("m", api_key="k", max_tokens=9, additional_kwargs=limit).metadata.num_output == 500


@pytest.mark.parametrize("way", CALLS)
def test_more_than_one_answer_is_refused(gateway: Gateway, endpoint: Endpoint, way: str) -> None:
    """The second answer would be billed and never returned."""
    for given in ({"n": 2}, {"extra_body": {"n": 2}}):
        with pytest.raises(TexAPISettingsError, match=r"`n` is 2, but .* one answer"):
            CALLS[way](llm(endpoint), **given)
    with pytest.raises(TexAPISettingsError, match="`n` is 2"):
        llm(endpoint, additional_kwargs={"n": 2})
    assert gateway.requests == []

    CALLS[way](llm(endpoint), n=1)

    assert "n" not in gateway.requests[0].body
