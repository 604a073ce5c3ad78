"""Every chat completions parameter of ChatOpenAI and ChatOpenRouter, as sent."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from openai.types.chat.completion_create_params import CompletionCreateParamsBase

from langchain_texapi import ChatTexAPI, TexAPITimeoutError
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from tests.langchain.test_chat import WAYS, Way, model
from texapi_core.adapter_base.accounting_parameters import AccountingParameters
from texapi_core.adapter_base.parameters import ChatParameters

ANSWER = Fault(body={"choices": [{"index": 0, "message": {"content": "Hi."}, "finish_reason": "stop"}]})
WEATHER = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}

SENT: list[tuple[dict[str, Any], bytes]] = [
    ({"model": "gpt-5.2"}, b'"model":"gpt-5.2"'),
    ({"model_name": "gpt-5.2"}, b'"model":"gpt-5.2"'),
    ({"temperature": 0.5}, b'"temperature":0.5'),
    ({"temperature": 0}, b'"temperature":0'),
    ({"top_p": 0.25}, b'"top_p":0.25'),
    ({"max_tokens": 7}, b'"max_tokens":7'),
    ({"max_completion_tokens": 7}, b'"max_completion_tokens":7'),
    ({"stop": ["END", "HẾT"]}, '"stop":["END","HẾT"]'.encode()),
    ({"stop": "END"}, b'"stop":"END"'),
    ({"stop_sequences": ["END"]}, b'"stop":["END"]'),
    ({"presence_penalty": 0.5}, b'"presence_penalty":0.5'),
    ({"frequency_penalty": -0.5}, b'"frequency_penalty":-0.5'),
    ({"logit_bias": {"50256": -100}}, b'"logit_bias":{"50256":-100'),
    ({"seed": 42}, b'"seed":42'),
    ({"n": 2}, b'"n":2'),
    ({"logprobs": True}, b'"logprobs":true'),
    ({"logprobs": True, "top_logprobs": 3}, b'"top_logprobs":3'),
    ({"reasoning_effort": "low"}, b'"reasoning_effort":"low"'),
    ({"reasoning": {"effort": "high"}}, b'"reasoning":{"effort":"high"}'),
    ({"verbosity": "low"}, b'"verbosity":"low"'),
    ({"service_tier": "flex"}, b'"service_tier":"flex"'),
    ({"modalities": ["text"]}, b'"modalities":["text"]'),
    ({"user": "u-1"}, b'"user":"u-1"'),
    ({"store": False}, b'"store":false'),
    ({"prompt_cache_key": "k"}, b'"prompt_cache_key":"k"'),
    ({"prompt_cache_options": {"mode": "explicit"}}, b'"prompt_cache_options":{"mode":"explicit"}'),
    ({"extra_body": {"provider": {"order": ["a"]}}}, b'"provider":{"order":["a"]}'),
]
"""Arguments of the constructor or of one call -> the resulting body fields."""

NOT_IN_MODEL_KWARGS = {"model", "model_name", "stop_sequences", "extra_body"}
"""Arguments that cannot be passed in `model_kwargs`."""

OTHERS: list[tuple[dict[str, Any], bytes]] = [
    ({"prediction": {"type": "content", "content": "x"}}, b'"prediction":{"type":"content","content":"x"}'),
    ({"response_format": {"type": "json_object"}}, b'"response_format":{"type":"json_object"}'),
    ({"tools": [WEATHER], "tool_choice": "none"}, b'"tool_choice":"none"'),
    ({"tools": [WEATHER], "parallel_tool_calls": False}, b'"parallel_tool_calls":false'),
    ({"safety_identifier": "s"}, b'"safety_identifier":"s"'),
    ({"web_search_options": {}}, b'"web_search_options":{}'),
]
"""Parameters without a constructor argument."""

GIVEN = [
    (given_to, arguments, sent)
    for arguments, sent in [*SENT, *OTHERS]
    for given_to in ("constructor", "call", "bind", "model_kwargs")
    if not (given_to == "constructor" and (arguments, sent) in OTHERS)
    and not (given_to == "model_kwargs" and NOT_IN_MODEL_KWARGS.intersection(arguments))
]

NOT_OURS = [
    "openai_api_key",
    "openai_api_base",
    "organization",
    "openai_proxy",
    "tiktoken_model_name",
    "http_socket_options",
    "stream_chunk_timeout",
    "disabled_params",
    "context_management",
    "include",
    "truncation",
    "use_previous_response_id",
    "use_responses_api",
    "openrouter_api_key",
    "openrouter_provider",
    "app_url",
    "app_title",
    "app_categories",
    "route",
    "plugins",
    "session_id",
    "trace",
]
"""The remaining parameters: for the Responses API, other gateways, or covered by another argument."""


@pytest.mark.parametrize(
    ("given_to", "arguments", "sent"),
    GIVEN,
    ids=[f"{given_to} {arguments}" for given_to, arguments, _ in GIVEN],
)
def test_a_parameter_reaches_the_wire(
    gateway: Gateway, endpoint: Endpoint, given_to: str, arguments: dict[str, Any], sent: bytes
) -> None:
    gateway.misbehave(ANSWER)  # only the request is tested here, not the gateway's answer
    chat: Any = model(endpoint)
    if given_to == "constructor":
        model_name = {} if "model_name" in arguments else {"model": "claude-sonnet-4-6"}
        ChatTexAPI(**endpoint.for_langchain(**{**model_name, **arguments})).invoke("Hello")
    elif given_to == "call":
        chat.invoke("Hello", **arguments)
    elif given_to == "bind":
        chat.bind(**arguments).invoke("Hello")
    else:
        model(endpoint, model_kwargs=arguments).invoke("Hello")

    (request,) = gateway.requests
    assert sent in request.raw
    assert set(request.body) <= {"model", "messages", *arguments, "stop", "provider"}
    assert request.body["messages"] == [{"role": "user", "content": "Hello"}]


def test_the_table_has_every_parameter_of_the_constructor() -> None:
    sent = {name for arguments, _ in SENT for name in arguments}

    never_sent = {
        "stream_usage",
        "replay_reasoning",
        "tool_media",
        "history",
        "cache_prompts",
        *AccountingParameters.model_fields,
    }
    assert set(ChatParameters.model_fields) - never_sent <= sent


ELSEWHERE = {
    "messages",
    "model",
    "metadata",  # LangChain's, per call
    "stream_options",  # only beside `stream`
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
}
KNOWN_TO_THE_SDK = sorted(set(CompletionCreateParamsBase.__annotations__) - ELSEWHERE)


@pytest.mark.parametrize("name", KNOWN_TO_THE_SDK)
def test_every_parameter_of_the_openai_sdk_reaches_the_wire(
    gateway: Gateway, endpoint: Endpoint, name: str
) -> None:
    gateway.misbehave(ANSWER)
    chat: Any = model(endpoint)

    value = next((arguments[name] for arguments, _ in SENT if name in arguments), ["x"])

    chat.invoke("Hello", **{name: value})

    assert gateway.requests[0].body.get(name, 1) == value


def test_the_documentation_names_every_argument() -> None:
    page = (Path(__file__).parents[2] / "docs" / "langchain.md").read_text("utf-8")
    table = page[page.index("## API reference") :]

    for name, field in ChatTexAPI.model_fields.items():
        if name not in BaseChatModel.model_fields:
            assert f"`{field.alias if name != 'stop' and field.alias else name}`" in table


def test_metadata_of_the_provider_goes_into_model_kwargs(gateway: Gateway, endpoint: Endpoint) -> None:
    """Because `metadata` of the constructor and of a call belongs to LangChain."""
    model(endpoint, metadata={"mine": 1}, model_kwargs={"metadata": {"trip": "1"}}).invoke("Hello")

    assert gateway.requests[0].body["metadata"] == {"trip": "1"}


@pytest.mark.parametrize("way", WAYS)
def test_request_options_reach_the_wire(gateway: Gateway, endpoint: Endpoint, way: Way) -> None:
    chat = model(
        endpoint,
        default_headers={"X-Tenant": "a", "X-Kept": "k"},
        default_query={"region": "vn", "kept": "k"},
    )

    way(chat, "Hello", extra_headers={"X-Tenant": "b"}, extra_query={"region": "eu"})

    (request,) = gateway.requests
    assert (request.headers["x-tenant"], request.headers["x-kept"]) == ("b", "k")
    assert request.query == {"region": "eu", "kept": "k"}
    assert set(request.body) <= {"model", "messages", "stream", "stream_options"}


@pytest.mark.parametrize("name", ["timeout", "request_timeout"])
@pytest.mark.parametrize("per_call", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_a_timeout_is_enforced(
    gateway: Gateway, endpoint: Endpoint, name: str, per_call: bool, way: Way
) -> None:
    gateway.misbehave(Fault(delay=5.0))
    began = time.monotonic()

    of_model = {} if per_call else {name: openai.Timeout(0.2)}
    of_call = {name: 0.2} if per_call else {}
    with pytest.raises(TexAPITimeoutError):
        way(model(endpoint, **of_model), "Hello", **of_call)

    assert time.monotonic() - began < 3


def test_retries_of_one_call(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.misbehave(Fault(status=503, headers={"retry-after-ms": "1"}), times=1)

    assert model(endpoint).invoke("Say one", max_retries=1).text == "one"


def test_the_user_s_http_client_is_used(gateway: Gateway, endpoint: Endpoint) -> None:
    with openai.DefaultHttpxClient(headers={"X-From": "mine"}) as own:
        model(endpoint, http_client=own).invoke("Hello")

    assert gateway.requests[0].headers["x-from"] == "mine"


async def test_the_user_s_async_http_client_is_used(gateway: Gateway, endpoint: Endpoint) -> None:
    async with openai.DefaultAsyncHttpxClient(headers={"X-From": "mine"}) as own:
        await model(endpoint, http_async_client=own).ainvoke("Hello")

    assert gateway.requests[0].headers["x-from"] == "mine"


@pytest.mark.parametrize(
    ("arguments", "streamed"),
    [
        ({}, True),
        ({"disable_streaming": True}, False),
        ({"disable_streaming": "tool_calling"}, True),
        ({"streaming": False}, False),
    ],
)
def test_streaming_may_be_disabled(
    gateway: Gateway, endpoint: Endpoint, arguments: dict[str, Any], streamed: bool
) -> None:
    text = "".join(chunk.text for chunk in model(endpoint, **arguments).stream("Say one"))

    assert text == "one"
    assert gateway.requests[0].body.get("stream", False) is streamed


def test_streaming_may_be_disabled_for_tools_alone(gateway: Gateway, endpoint: Endpoint) -> None:
    list(model(endpoint, disable_streaming="tool_calling").bind_tools([WEATHER]).stream("Hello"))

    assert "stream" not in gateway.requests[0].body


def test_a_model_with_streaming_enabled(gateway: Gateway, endpoint: Endpoint) -> None:
    message = model(endpoint, streaming=True).invoke("Say one")

    assert message.text == "one"
    assert gateway.requests[0].body["stream"] is True


@pytest.mark.parametrize(
    ("of_model", "of_call", "asked"),
    [
        ({}, {}, {"include_usage": True}),
        ({"stream_usage": False}, {}, None),
        ({}, {"stream_usage": False}, None),
        ({"stream_usage": False}, {"stream_usage": True}, {"include_usage": True}),
        ({}, {"stream_options": {"include_usage": False}}, {"include_usage": False}),
        (
            {"model_kwargs": {"stream_options": {"include_usage": False}}},
            {},
            {"include_usage": False},
        ),
    ],
)
def test_stream_usage_of_call_and_constructor(
    gateway: Gateway, endpoint: Endpoint, of_model: dict[str, Any], of_call: dict[str, Any], asked: Any
) -> None:
    chat = model(endpoint, **of_model)
    list(chat.stream("Say one", **of_call))
    chat.invoke("Say one", **of_call)

    streamed, whole = gateway.requests
    assert streamed.body.get("stream_options") == asked
    assert "stream_options" not in whole.body


@pytest.mark.parametrize(
    ("of_model", "of_call", "sent"),
    [
        ({"max_tokens": 9}, {"max_completion_tokens": 5}, {"max_completion_tokens": 5}),
        ({"max_completion_tokens": 9}, {"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_tokens": 9}, {"max_tokens": 5}, {"max_tokens": 5}),
    ],
)
def test_a_limit_of_one_call_replaces_the_model_s(
    gateway: Gateway,
    endpoint: Endpoint,
    of_model: dict[str, Any],
    of_call: dict[str, Any],
    sent: dict[str, Any],
) -> None:
    chat = model(endpoint, **of_model)
    chat.invoke("Say one", **of_call)

    body = gateway.requests[0].body
    assert {name: body[name] for name in body if name.startswith("max_")} == sent
    assert chat._get_ls_params(**of_call)["ls_max_tokens"] == 5


@pytest.mark.parametrize("name", NOT_OURS)
def test_unknown_parameters_raise(name: str) -> None:
    with pytest.raises(
        ValueError, match=rf"no argument `{name}`\. .*(extra_body|Use|Pass|Delete it: |Not possible: )"
    ):
        model(Endpoint("http://127.0.0.1:1/v1", "sk-tex-1"), **{name: "x"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 1, "model_kwargs": {"temperature": 0}}, "`temperature` was given twice"),
        ({"model_kwargs": {"default_headers": {}}}, "`default_headers` in `model_kwargs` is no parameter"),
        ({"model_kwargs": {"timeout": 5}}, "`timeout` in `model_kwargs` is no parameter"),
        ({"model_kwargs": {"tool_media": "x"}}, "`tool_media` in `model_kwargs` is no parameter"),
        ({"model_kwargs": {"extra_headers": {"X-Key": "s"}}}, "Pass `default_headers` to the constructor"),
        ({"model_kwargs": {"extra_query": {"key": "s"}}}, "Pass `default_query` to the constructor"),
        ({"model_kwargs": {"extra_body": {"a": 1}}}, "`extra_body` in `model_kwargs` is no parameter"),
        ({"model_kwargs": {"max_cost": 1.0}}, "`max_cost` in `model_kwargs` is no parameter"),
        ({"model_kwargs": {"max_retries": 0}}, "Pass `max_retries` to the constructor"),
        ({"max_tokens": 9, "model_kwargs": {"max_completion_tokens": 9}}, "are one limit"),
        ({"max_completion_tokens": 9, "model_kwargs": {"max_tokens": 9}}, "are one limit"),
        ({"model_kwargs": {"max_tokens": 9, "max_completion_tokens": 9}}, "are one limit"),
        ({"max_tokens": 9, "max_completion_tokens": 9}, "are one limit"),
        ({"n": 0}, "n"),
        ({"n": 2, "streaming": True}, "`n` above 1 cannot be streamed"),
    ],
)
def test_invalid_arguments_raise_at_construction(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model(Endpoint("http://127.0.0.1:1/v1", "sk-tex-1"), **arguments)


@pytest.mark.parametrize(
    "name",
    [
        "api_key",
        "base_url",
        "default_headers",
        "streaming",
        "model_kwargs",
        *AccountingParameters.model_fields,
    ],
)
def test_arguments_that_cannot_change_per_call_raise(gateway: Gateway, endpoint: Endpoint, name: str) -> None:
    chat: Any = model(endpoint)

    with pytest.raises(ValueError, match=f"`{name}` cannot be changed for one call"):
        chat.invoke("Hello", **{name: "x"})

    assert gateway.requests == []


def test_replaying_reasoning_can_be_set_per_call(gateway: Gateway, endpoint: Endpoint) -> None:
    earlier = AIMessage("Hello.", additional_kwargs={"reasoning_content": "Be kind."})
    history: list[Any] = [HumanMessage("Hi"), earlier, HumanMessage("Say one")]

    model(endpoint).invoke(history)
    model(endpoint).invoke(history, replay_reasoning="always")

    sent = [request.body["messages"][1].get("reasoning_content") for request in gateway.requests]
    assert sent == [None, "Be kind."]
    assert set(gateway.requests[1].body) == {"model", "messages"}


@pytest.mark.parametrize("way", WAYS)
def test_response_headers_are_opt_in(endpoint: Endpoint, way: Way) -> None:
    plain = way(model(endpoint), "Say one")
    answer = way(model(endpoint, include_response_headers=True), "Say one")

    assert "headers" not in plain.response_metadata
    assert answer.response_metadata["headers"]["x-request-id"] == answer.response_metadata["request_id"]


# Several answers


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_several_answers(gateway: Gateway, endpoint: Endpoint, asynchronous: bool) -> None:
    usage = UsageMetadataCallbackHandler()
    chat = model(endpoint, n=3, callbacks=[usage])
    prompts: Any = [[HumanMessage("Say one")], [HumanMessage("Say two")]]

    result = await chat.agenerate(prompts) if asynchronous else chat.generate(prompts)

    assert [[generation.text for generation in generations] for generations in result.generations] == [
        [word, f"{word} (answer 2 of 3)", f"{word} (answer 3 of 3)"] for word in ("one", "two")
    ]
    assert result.llm_output == {"model_name": "claude-sonnet-4-6"}
    generations: Any = [generation for of_prompt in result.generations for generation in of_prompt]
    messages = [generation.message for generation in generations]
    for message in messages:
        assert message.response_metadata["model_name"] == "claude-sonnet-4-6"
        assert message.response_metadata["finish_reason"] == "stop"
    assert [message.usage_metadata is not None for message in messages] == [True, False, False] * 2
    assert usage.usage_metadata["claude-sonnet-4-6"]["output_tokens"] == sum(
        entry.completion_tokens for entry in gateway.ledger
    )


def test_several_answers_invoked_are_the_first(endpoint: Endpoint) -> None:
    message = model(endpoint).invoke("Say one", n=2)

    assert message.text == "one"
    assert message.usage_metadata is not None


@pytest.mark.parametrize(
    "ask",
    [
        lambda chat: list(chat.stream("Say one")),
        lambda chat: list(chat.stream_events("Say one", version="v3")),
        lambda chat: list(chat.bind(n=3).stream("Say one")),
    ],
)
@pytest.mark.filterwarnings("ignore:.*beta:langchain_core._api.LangChainBetaWarning")
def test_several_answers_streamed_are_refused(gateway: Gateway, endpoint: Endpoint, ask: Any) -> None:
    with pytest.raises(ValueError, match="`n` above 1 cannot be streamed"):
        ask(model(endpoint, n=2))

    assert gateway.requests == []
