"""What users of other classes pass is taken, or the error says what to do instead."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
from openai.resources.chat.completions import Completions
from openai.resources.responses import Responses
from pydantic import ValidationError

from langchain_texapi import ChatTexAPI, TexAPISettingsError
from llama_index_texapi import TexAPI
from llama_index_texapi._arguments import OTHER_NAMES
from tests.conftest import Endpoint
from tests.gateway import Gateway
from texapi_core.adapter_base.parameters import NOT_IN_PAYLOAD, SENT, argument_names
from texapi_core.settings import arguments_of_others

RECORDED = json.loads((Path(__file__).parent / "peer_arguments.json").read_text("utf-8"))
"""Read from langchain-openai 1.7.4, langchain-openrouter 0.2.9, langchain-litellm 0.11.2, the LlamaIndex
packages openai 0.8.3, openai-like 0.8.1 and openrouter 0.6.0, and openai 3.57."""
MODULES = {
    "ChatOpenAI": "langchain_openai",
    "AzureChatOpenAI": "langchain_openai",
    "ChatOpenRouter": "langchain_openrouter",
    "ChatLiteLLM": "langchain_litellm",
    "OpenAI": "llama_index.llms.openai",
    "OpenAILike": "llama_index.llms.openai_like",
    "OpenRouter": "llama_index.llms.openrouter",
}
OWN: dict[bool, frozenset[str]] = {
    True: argument_names(ChatTexAPI),
    False: argument_names(TexAPI, *OTHER_NAMES),
}
_BEGINNINGS = ("Use ", "Pass ", "Delete it: ", "Not possible: ")
_PAYLOAD = {
    *("audio", "function_call", "functions", "messages", "moderation", "parallel_tool_calls", "prediction"),
    *("prompt_cache_retention", "response_format", "safety_identifier", "stream_options", "tool_choice"),
    *("tools", "web_search_options"),
}
"""Parameters of chat completions that are sent as they are, or that the frameworks' own methods set."""


def installed(name: str) -> set[str]:
    """The constructor's arguments of a class that is installed."""
    model_class: Any = getattr(pytest.importorskip(MODULES[name]), name)
    names = set(model_class.model_fields)
    names |= {field.alias for field in model_class.model_fields.values() if field.alias}
    for base in model_class.__mro__:
        if "__init__" in vars(base) and base.__module__.startswith("llama_index"):
            parameters = inspect.signature(base.__init__).parameters.values()
            names |= {one.name for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)}
    return names - {"self"}


def test_each_row_says_what_to_do() -> None:
    for rows in arguments_of_others().values():
        for name, advice in rows.items():
            assert advice.startswith(_BEGINNINGS), (name, advice)
            assert advice.endswith("."), (name, advice)


def test_the_rows_name_arguments_that_exist() -> None:
    known = OWN[True] | OWN[False] | SENT | NOT_IN_PAYLOAD | _PAYLOAD
    for rows in arguments_of_others().values():
        for name, advice in rows.items():
            if advice.startswith("Use "):
                first = re.findall(r"`(\w+)", advice)[0]
                assert first in known, (name, advice)
    assert sum(map(len, arguments_of_others().values())) > 60


@pytest.mark.parametrize("name", MODULES)
def test_every_constructor_argument_is_taken_or_has_a_row(name: str) -> None:
    own = OWN[name.startswith(("Chat", "Azure"))]
    without = set(RECORDED["constructors"][name]) - own - arguments_of_others()["constructor"].keys()

    assert without == set()


@pytest.mark.parametrize("name", MODULES)
def test_the_recorded_arguments_are_those_of_the_installed_class(name: str) -> None:
    own = OWN[name.startswith(("Chat", "Azure"))]

    assert installed(name) - own - arguments_of_others()["constructor"].keys() == set()


def test_every_argument_of_a_call_is_taken_or_has_a_row() -> None:
    """Read from the SDK that is installed: its methods are what the other classes pass them to."""
    chat = set(inspect.signature(Completions.create).parameters) - {"self"}
    responses = set(inspect.signature(Responses.create).parameters) - {"self"}
    taken = SENT | NOT_IN_PAYLOAD | _PAYLOAD | arguments_of_others()["call"].keys()

    assert (chat | set(RECORDED["calls"]["chat completions"])) - taken == set()
    assert (responses | set(RECORDED["calls"]["responses"])) - taken == set()


@pytest.mark.parametrize("model_class", [ChatTexAPI, TexAPI])
def test_the_error_says_what_to_do(model_class: Any) -> None:
    with pytest.raises(TexAPISettingsError, match=r"`use_responses_api`. Delete it: TexAPI has one endpoint"):
        model_class(model="m", api_key="sk-tex-1", use_responses_api=False)
    with pytest.raises(TexAPISettingsError, match="Did you mean `temperature`"):
        model_class(model="m", api_key="sk-tex-1", temprature=0)


@pytest.mark.parametrize("model_class", [ChatTexAPI, TexAPI])
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"azure_deployment": "d", "api_version": "v"}, "Use `model`: TexAPI has no deployments"),
        ({"temprature": 0}, "Did you mean `temperature`"),
        ({"model": "m", "tools": []}, "Pass it to a call, or in `extra_body"),
        ({"model": "m", "response_format": {}}, "Pass it to a call, or in `extra_body"),
        ({"model": "m", "provider": {}}, r"no argument `provider`\. Parameters that only the gateway knows"),
    ],
)
def test_the_error_comes_before_others_and_guesses_no_other_word(
    model_class: Any, arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(TexAPISettingsError, match=says):
        model_class(api_key="sk-tex-1", **arguments)


@pytest.mark.parametrize("model_class", [ChatTexAPI, TexAPI])
def test_a_model_without_a_name_is_refused(model_class: Any) -> None:
    with pytest.raises(ValidationError, match="model\n  Field required"):
        model_class(api_key="sk-tex-1")


@pytest.mark.parametrize(
    "arguments",
    [
        {"model": "m", "model_name": "n"},
        {"model": "m", "stop": ["a"], "stop_sequences": ["b"]},
        {"model": "m", "timeout": 3, "request_timeout": 4},
        {"model": "m", "base_url": "https://a.example/v1", "texapi_api_base": "https://b.example/v1"},
    ],
)
def test_two_names_of_one_setting_with_two_values_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(TexAPISettingsError, match="are one setting: pass one"):
        ChatTexAPI(api_key="sk-tex-1", **arguments)


def test_so_they_are_in_a_call(endpoint: Endpoint, gateway: Gateway) -> None:
    model = ChatTexAPI(model="gpt-5.2", **endpoint.for_langchain())
    with pytest.raises(TexAPISettingsError, match="`timeout` and `request_timeout` are one setting"):
        model.invoke("Hello", timeout=3, request_timeout=4)
    assert model.invoke("Hello", timeout=30, request_timeout=30).text
    assert len(gateway.requests) == 1


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("temprature", "Did you mean `temperature`"),
        ("tool_choise", "Did you mean `tool_choice`"),
        ("max_token", "Did you mean `max_tokens`"),
        ("custom_llm_provider", "Delete it"),
        ("openai_api_key", "Use `api_key`"),
    ],
)
def test_a_typo_or_a_name_of_another_class_in_a_call_is_not_sent(
    name: str, says: str, endpoint: Endpoint, gateway: Gateway
) -> None:
    wrong: Any = {name: "1"}
    for ask in (
        lambda: ChatTexAPI(model="gpt-5.2", **endpoint.for_langchain()).invoke("Hello", **wrong),
        lambda: TexAPI(model="gpt-5.2", **endpoint.for_llama_index()).complete("Hello", **wrong),
    ):
        with pytest.raises(TexAPISettingsError, match=says):
            ask()
    assert gateway.requests == []


@pytest.mark.parametrize("name", ["models", "min_tokens", "top_k", "reasoning_format", "user_id", "provider"])
def test_what_only_a_gateway_knows_is_sent(name: str, endpoint: Endpoint, gateway: Gateway) -> None:
    given: Any = {name: 1}
    ChatTexAPI(model="gpt-5.2", **endpoint.for_langchain()).invoke("Hello", **given)
    TexAPI(model="gpt-5.2", **endpoint.for_llama_index()).complete("Hello", **given)

    assert [request.body[name] for request in gateway.requests] == [1, 1]


def test_so_does_that_of_a_call(endpoint: Endpoint) -> None:
    with pytest.raises(TexAPISettingsError, match="Not possible: it is of OpenAI's Responses API"):
        ChatTexAPI(model="m", **endpoint.for_langchain()).invoke("Hello", previous_response_id="r")
    with pytest.raises(TexAPISettingsError, match="Use `max_tokens`"):
        TexAPI(model="m", **endpoint.for_llama_index()).complete("Hello", max_output_tokens=5)
