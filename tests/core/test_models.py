"""Known facts about models, and the models available to the key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
from pydantic import SecretStr

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.conftest import Endpoint
from tests.gateway import Gateway
from texapi_core import (
    ModelInfo,
    TexAPIAuthenticationError,
    TexAPIResponseError,
    TexAPISettingsError,
    alist_models,
    capabilities,
    catalog,
    list_models,
    models,
    resolve_settings,
)
from texapi_core.accounting import prices
from texapi_core.catalog import UNKNOWN_MODEL, note_listed_facts
from texapi_core.settings import Settings


def settings(endpoint: Endpoint, **changes: Any) -> Settings:
    arguments = {"api_key": endpoint.api_key, "base_url": endpoint.base_url, "timeout": 5, "max_retries": 0}
    return resolve_settings(**{**arguments, **changes})


@pytest.mark.parametrize(
    "name",
    [
        "claude-sonnet-4-6",
        "claude-sonnet-4.6",
        "anthropic/claude-sonnet-4.6",
        "Claude-Sonnet-4-6-20260101",
        "claude-sonnet-4-6@20260101",
        "claude-sonnet-4-6@latest",
        "anthropic.claude-sonnet-4-6",
        "anthropic.claude-sonnet-4-6-v1",
        "us.anthropic.claude-sonnet-4-6-20260101-v1:0",
        "arn:aws:bedrock:us-east-1:1:inference-profile/eu.anthropic.claude-sonnet-4-6-v1:0",
        "claude-sonnet-4.6-001",
    ],
)
def test_a_model_is_found_under_each_spelling(name: str) -> None:
    assert capabilities(name).context_window == 1_000_000


@pytest.mark.parametrize("alias", ["gpt-5", "gpt-5.2", "gpt-5-mini", "gpt-4o", "gpt-5-pro"])
def test_a_dated_name_has_no_larger_limits_than_its_model(alias: str) -> None:
    dates = [
        name for name in catalog.capability_table() if name.startswith(f"{catalog.normal_name(alias)}-20")
    ]
    assert dates
    for fact in ("context_window", "max_input_tokens", "max_output_tokens"):
        of_alias = getattr(capabilities(alias), fact)
        assert all(getattr(capabilities(name), fact) <= of_alias for name in dates)


@pytest.mark.parametrize("name", ["", ".", "us.", "@", "-v1:0", "4.6", "my-model", "claude", "sonnet"])
def test_an_unknown_model_is_not_an_error(name: str) -> None:
    assert capabilities(name) is UNKNOWN_MODEL


def test_list_models(recorded: Endpoint) -> None:
    listed = list_models(settings(recorded))

    assert [model.id for model in listed][:2] == ["claude-sonnet-4-6", "claude-haiku-4-5"]
    assert {model.owned_by for model in listed} == {"texapi"}


async def test_alist_models(recorded: Endpoint) -> None:
    listed = await alist_models(settings(recorded))

    assert "claude-sonnet-4-6" in [model.id for model in listed]


def test_a_wrong_key_is_an_authentication_error(endpoint: Endpoint) -> None:
    with pytest.raises(TexAPIAuthenticationError, match="TEXAPI_API_KEY"):
        list_models(settings(endpoint, api_key="sk-tex-wrong"))


def test_an_answer_that_is_not_a_list_is_an_error(gateway: Gateway, endpoint: Endpoint) -> None:
    with pytest.raises(TexAPIResponseError):
        list_models(settings(endpoint, default_headers={"X-Standin-Fault": '{"body": {"data": null}}'}))


# What a gateway lists


@pytest.fixture
def forgotten() -> Iterator[None]:
    """No list of models has been read, neither before nor after the test."""
    lists: tuple[dict[str, Any], ...] = (catalog._of_gateways, prices._of_gateways, models._read_at)
    for read in lists:
        read.clear()
    yield
    for read in lists:
        read.clear()


ADDRESS = "https://gateway.example/v1"


@pytest.mark.parametrize(
    ("listed", "known"),
    [
        ({"context_length": 300_000}, {"context_window": 300_000, "max_input_tokens": 300_000}),
        ({"context_length": 400_000}, {"context_window": 400_000, "max_input_tokens": 272_000}),
        (
            {"max_model_len": 32_768.0},
            {"context_window": 32_768, "max_input_tokens": 32_768, "max_output_tokens": 32_768},
        ),
        ({"context_length": " 300000"}, {"context_window": 300_000, "max_input_tokens": 300_000}),
        (
            {"context_length": 300_000, "top_provider": {"context_length": 200_000}},
            {"context_window": 200_000, "max_input_tokens": 200_000},
        ),
        ({"max_output_tokens": 900_000}, {"max_output_tokens": 400_000}),
        ({"max_input_tokens": 200_000}, {"context_window": 400_000, "max_input_tokens": 200_000}),
        ({"top_provider": {"max_completion_tokens": 64_000}}, {"max_output_tokens": 64_000}),
        (
            {"architecture": {"input_modalities": ["text", "file"], "output_modalities": ["text"]}},
            {"image_inputs": False, "pdf_inputs": True, "text_outputs": True, "audio_outputs": False},
        ),
        (
            {"supported_parameters": ["tools", "temperature"]},
            {
                "tool_calling": True,
                "tool_choice": False,
                "temperature": True,
                "structured_output": False,
                "reasoning_output": False,
            },
        ),
        ({"context_length": True, "max_output_tokens": "many", "top_provider": 1, "architecture": []}, {}),
        ({"context_length": float("nan"), "max_output_tokens": 10**12, "supported_parameters": None}, {}),
    ],
)
@pytest.mark.usefixtures("forgotten")
def test_what_a_gateway_lists_wins_over_the_table(listed: dict[str, Any], known: dict[str, Any]) -> None:
    table = asdict(capabilities("gpt-5"))
    note_listed_facts(ADDRESS, [ModelInfo(id="openai/gpt-5", extras=listed)])

    assert asdict(capabilities("gpt-5", f"{ADDRESS}/")) == {**table, **known}
    assert asdict(capabilities("gpt-5", "https://other.example/v1")) == table
    assert asdict(capabilities("gpt-5")) == table


@pytest.mark.usefixtures("forgotten")
def test_a_gateway_tells_of_models_that_are_not_in_the_table() -> None:
    note_listed_facts(ADDRESS, [ModelInfo(id="of-tomorrow", extras={"context_window": 5_000})])

    assert capabilities("of-tomorrow", ADDRESS).max_input_tokens == 5_000


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.usefixtures("forgotten")
def test_of_contradicting_rows_the_smaller_limit_counts_in_both_frameworks(order: int) -> None:
    rows: list[dict[str, Any]] = [
        {"context_length": 90_000, "max_output_tokens": 500_000, "supported_parameters": ["tools"]},
        {"context_length": "100000", "max_input_tokens": 95_000, "supported_parameters": ["temperature"]},
    ]
    names = ("openai/gpt-5", "azure/gpt-5")
    listed = [ModelInfo(id=name, extras=row) for name, row in zip(names, rows, strict=True)]
    note_listed_facts(ADDRESS, listed[::order])

    known = capabilities("gpt-5", ADDRESS)
    assert (known.context_window, known.max_input_tokens, known.max_output_tokens) == (90_000, 90_000, 90_000)
    assert (known.tool_calling, known.temperature) == (False, False)
    chat: Any = ChatTexAPI(model="gpt-5", api_key=SecretStr("k"), base_url=ADDRESS)
    assert chat.profile["max_input_tokens"] == 90_000
    assert TexAPI(model="gpt-5", api_key="k", base_url=ADDRESS).metadata.context_window == 90_000


@pytest.mark.parametrize("max_age", ["1h", None, True, -1, float("nan")])
def test_a_max_age_that_is_no_number_of_seconds_is_refused(endpoint: Endpoint, max_age: Any) -> None:
    for model in (
        ChatTexAPI(model="m", **endpoint.for_langchain()),
        TexAPI("m", **endpoint.for_llama_index()),
    ):
        with pytest.raises(TexAPISettingsError, match="`max_age`"):
            model.refresh_models(max_age=max_age)


LISTED = [{"id": "gpt-5", "context_length": 50_000, "pricing": {"prompt": "0.000001", "completion": "0"}}]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.usefixtures("forgotten")
async def test_refreshed_models_know_what_the_gateway_lists(
    gateway: Gateway, endpoint: Endpoint, is_async: bool
) -> None:
    headers = {"X-Standin-Fault": json.dumps({"body": {"object": "list", "data": LISTED}})}
    chat = ChatTexAPI(model="gpt-5", default_headers=headers, **endpoint.for_langchain())
    own = ChatTexAPI(model="gpt-5", profile={"max_input_tokens": 7}, **endpoint.for_langchain())
    llm = TexAPI(model="gpt-5", default_headers=headers, **endpoint.for_llama_index())
    assert chat.profile is not None
    assert (chat.profile["max_input_tokens"], llm.metadata.context_window) == (272_000, 272_000)

    before = len(gateway.requests)
    for refreshed in (chat, llm, own):
        if is_async:
            await refreshed.arefresh_models()
        else:
            refreshed.refresh_models()

    assert chat.profile["max_input_tokens"] == 50_000
    assert own.profile == {"max_input_tokens": 7}
    assert llm.metadata.context_window == 50_000
    later = ChatTexAPI(model="openai/gpt-5", **endpoint.for_langchain()).profile
    assert later is not None
    assert later["max_input_tokens"] == 50_000
    assert len(gateway.requests) - before == 1
    llm.refresh_models(max_age=0)
    assert len(gateway.requests) - before == 2


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("place", ["itself", "extra_body", "additional_kwargs", "both"])
def test_llama_index_plans_with_the_token_limit_wherever_it_is_set(name: str, place: str) -> None:
    limit = {name: 5_000}
    places: dict[str, dict[str, Any]] = {
        "itself": limit,
        "extra_body": {"extra_body": limit},
        "additional_kwargs": {"additional_kwargs": limit},
        "both": {"additional_kwargs": {"extra_body": limit}},
    }

    assert TexAPI(model="gpt-5", api_key="k", **places[place]).metadata.num_output == 5_000
