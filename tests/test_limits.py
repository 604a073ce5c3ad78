"""Unsupported uses raise an error that names an alternative, before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import openai
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, VideoBlock

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.conftest import Endpoint
from tests.gateway import Gateway

_WRONG: list[tuple[str, Any, str]] = [
    ("model", "", "model.*at least 1 character"),
    ("model", 5, "model.*string"),
    ("temperature", 2.1, "temperature.*less than or equal to 2"),
    ("temperature", float("nan"), "temperature.*finite"),
    ("top_p", -0.1, "top_p.*greater than or equal to 0"),
    ("max_tokens", 0, "max_tokens.*greater than or equal to 1"),
    ("max_tokens", 1.5, "max_tokens.*integer"),
    ("max_completion_tokens", -1, "max_completion_tokens.*greater than or equal to 1"),
    ("presence_penalty", 3, "presence_penalty.*less than or equal to 2"),
    ("frequency_penalty", -3, "frequency_penalty.*greater than or equal to -2"),
    ("top_logprobs", 21, "top_logprobs.*less than or equal to 20"),
    ("logit_bias", {"50256": 101}, "logit_bias.*less than or equal to 100"),
    ("logit_bias", [1], "logit_bias.*dictionary"),
    ("stop", 5, "stop.*list"),
    ("seed", "x", "seed.*integer"),
    ("reasoning_effort", 5, "reasoning_effort.*string"),
    ("reasoning", "high", "reasoning.*dictionary"),
    ("extra_body", "x", "extra_body.*dictionary"),
    ("timeout", 0, "timeout.*more than 0 seconds"),
    ("timeout", "1", "timeout.*seconds or an `openai.Timeout`"),
    ("max_retries", -1, "max_retries.*between 0 and 100"),
]
_WRONG_IN_CONSTRUCTORS: list[tuple[str, Any, str]] = [
    *_WRONG,
    ("stream_idle_timeout", 0, "stream_idle_timeout.*more than 0 seconds"),
    ("max_retries", "2x", "max_retries.*(whole number|integer)"),
    ("default_headers", "x", "default_headers.*dictionary"),
    ("default_headers", {"X A": "b"}, "default_headers.*invalid header name: 'X A'"),
    ("default_query", "x", "default_query.*dictionary"),
    ("replay_reasoning", "x", "replay_reasoning.*'auto', 'always' or 'never'"),
    ("tool_media", "x", "tool_media.*'user_message' or 'tool_message'"),
    ("history", "x", "history.*'mend' or 'as_is'"),
    ("cache_prompts", "2h", 'cache_prompts.*True, False, "5m", "1h" or "key"'),
    ("stream_usage", "maybe", "stream_usage.*boolean"),
    ("http_client", object(), "http_client.*openai.DefaultHttpxClient.*not object"),
    ("http_client", "http://proxy", "http_client.*openai.DefaultHttpxClient.*not str"),
    ("http_async_client", object(), "http_async_client.*openai.DefaultAsyncHttpxClient.*not object"),
    ("api_key", 5, "api_key.*string"),
    ("temprature", 1, "no argument `temprature`. Did you mean `temperature`"),
    ("top_k", 1, "no argument `top_k`.*extra_body"),
]
_WRONG_IN_CALLS: list[tuple[str, Any, str]] = [
    *_WRONG,
    ("n", 0, "n.*greater than or equal to 1"),
    ("tools", "search", "tools.*list"),
    ("tool_media", "x", "tool_media.*'user_message' or 'tool_message'"),
    ("history", "x", "history.*'mend' or 'as_is'"),
    ("cache_prompts", "2h", 'cache_prompts.*True, False, "5m", "1h" or "key"'),
    ("tool_choice", 5, "tool_choice.*string"),
    ("max_retries", "x", "max_retries.*whole number"),
    ("extra_headers", {"X-A": 5}, "extra_headers.*names to strings"),
    ("extra_headers", "X-A: 5", "extra_headers.*names to strings"),
    ("extra_query", 5, "extra_query.*map names"),
]


@pytest.mark.parametrize("make", [ChatTexAPI, TexAPI])
@pytest.mark.parametrize(("name", "value", "says"), _WRONG_IN_CONSTRUCTORS)
def test_a_constructor_rejects_unsupported_arguments(
    make: Callable[..., Any], name: str, value: Any, says: str
) -> None:
    with pytest.raises(ValueError, match=re.compile(says, re.DOTALL)):
        make(**{"model": "gpt-5.2", "api_key": "sk-tex-1", name: value})


@pytest.mark.parametrize("make", [ChatTexAPI, TexAPI])
def test_an_http_client_passed_as_the_wrong_kind_names_the_right_argument(make: Callable[..., Any]) -> None:
    with openai.DefaultHttpxClient() as sync_client:
        with pytest.raises(ValueError, match=r"Did you mean `http_client=\.\.\.`"):
            make(model="m", api_key="sk-tex-1", http_async_client=sync_client)
        make(model="m", api_key="sk-tex-1", http_client=sync_client)
    with pytest.raises(ValueError, match=r"Did you mean `http_async_client=\.\.\.`"):
        make(model="m", api_key="sk-tex-1", http_client=openai.DefaultAsyncHttpxClient())


@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
@pytest.mark.parametrize(("name", "value", "says"), _WRONG_IN_CALLS)
def test_a_call_rejects_unsupported_arguments(
    gateway: Gateway, endpoint: Endpoint, framework: str, name: str, value: Any, says: str
) -> None:
    chat = ChatTexAPI(**endpoint.for_langchain(model="gpt-5.2"))
    llm = TexAPI(**endpoint.for_llama_index(model="gpt-5.2"))
    asks: dict[str, Callable[..., Any]] = {
        "langchain": lambda **wrong: chat.invoke("Hello", **wrong),
        "llama_index": lambda **wrong: llm.chat([ChatMessage("Hello")], **wrong),
    }

    with pytest.raises(ValueError, match=re.compile(says, re.DOTALL)):
        asks[framework](**{name: value})

    assert gateway.requests == []


def test_what_only_the_gateway_can_check_is_sent(gateway: Gateway, endpoint: Endpoint) -> None:
    ChatTexAPI(**endpoint.for_langchain(model="gpt-5.2")).invoke("Hello", route="cheap")

    assert gateway.requests[0].body["route"] == "cheap"


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        (None, "NoneType"),
        (5, "int"),
        ([], "messages.*at least one message"),
        ([5], "int"),
        ([("wizard", "x")], "wizard"),
        ([{"role": "user"}], "content"),
        ([HumanMessage([{"type": "hologram"}])], "HumanMessage.*'hologram'.*image_url"),
        ([HumanMessage([{"x": "no type"}])], "HumanMessage.*None.*image_url"),
        ([HumanMessage([{"type": "image"}])], "'image'.*url"),
        ([HumanMessage([{"type": "image_url"}])], "'image_url'.*url"),
        ([HumanMessage([{"type": "image_url", "image_url": {"detail": "low"}}])], "'image_url'.*url"),
        ([HumanMessage([{"type": "input_audio"}])], "'input_audio'.*data"),
        ([HumanMessage([{"type": "file"}])], "'file'.*base64"),
        ([ToolMessage([{"type": "hologram"}], tool_call_id="a")], "ToolMessage.*'hologram'"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_langchain_prompts(
    gateway: Gateway, endpoint: Endpoint, prompt: Any, says: str, streamed: bool
) -> None:
    chat = ChatTexAPI(**endpoint.for_langchain(model="gpt-5.2"))

    with pytest.raises((ValueError, NotImplementedError), match=re.compile(says, re.DOTALL)):
        list(chat.stream(prompt)) if streamed else chat.invoke(prompt)

    assert gateway.requests == []


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        (None, "messages.*list"),
        ("Hello", "messages.*list"),
        ([], "messages.*at least one message"),
        (["Hello"], "messages.*ChatMessage"),
        ([None], "messages.*ChatMessage"),
        ([HumanMessage("Hello")], "messages.*ChatMessage"),
        ([{"role": "user", "content": "Hello"}], "messages.*`ChatMessage`s, not dict"),
        ([ChatMessage(blocks=[VideoBlock()])], "VideoBlock needs one of video"),
        ([ChatMessage(blocks=[ImageBlock()])], "ImageBlock needs one of image, path, url"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_llama_index_prompts(
    gateway: Gateway, endpoint: Endpoint, prompt: Any, says: str, streamed: bool
) -> None:
    llm = TexAPI(**endpoint.for_llama_index(model="gpt-5.2"))

    with pytest.raises(ValueError, match=re.compile(says, re.DOTALL)):
        list(llm.stream_chat(prompt)) if streamed else llm.chat(prompt)

    assert gateway.requests == []


@pytest.mark.parametrize("prompt", [None, 5, ChatMessage("Hello")])
def test_llama_index_completions(gateway: Gateway, endpoint: Endpoint, prompt: Any) -> None:
    with pytest.raises(ValueError, match="`prompt` must be a string"):
        TexAPI(**endpoint.for_llama_index(model="gpt-5.2")).complete(prompt)

    assert gateway.requests == []
