"""The bundled tables of models and prices: how they are made, and what holds for each row."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any, get_type_hints

import pytest
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.language_models import ModelProfile
from llama_index.core.indices.prompt_helper import PromptHelper
from llama_index.core.prompts import PromptTemplate

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.conftest import Endpoint
from tests.model_table.__main__ import model_table, price_table
from tests.model_table.merge import decide, limits_of, merge, read_sources
from tests.model_table.sources import LITELLM, PROFILES, installed
from texapi_core import capabilities
from texapi_core.accounting.prices import bundled_prices
from texapi_core.catalog import FLAGS, capability_table

SEASON = {
    "gpt-6-astra": 922_000,
    "gpt-6-sol": 922_000,
    "gpt-6-luna": 922_000,
    "gpt-6.1-sol": 922_000,
    "gpt-6.1-terra": 922_000,
    "gpt-5.6": 922_000,
    "gpt-5": 272_000,
    "gpt-5.2": 272_000,
    "claude-opus-5-5": 1_000_000,
    "claude-sonnet-5-5": 1_000_000,
    "claude-haiku-5-5": 1_000_000,
    "claude-fable-5-1": 1_000_000,
    "claude-mythos-5-1": 1_000_000,
    "gemini-4-argon": 1_048_576,
    "gemini-3.8-flash": 1_048_576,
    "grok-4.7": 500_000,
    "deepseek-flash": 1_000_000,
    "deepseek-v4-pro": 1_000_000,
    "kimi-k3": 1_048_576,
    "glm-5.3": 1_000_000,
    "qwen3.8-flash": 991_808,
}
"""This season's models, and two of which the window is longer than a prompt may be -> tokens of a prompt."""


def _table(name: str) -> dict[str, Any]:
    table: dict[str, Any] = json.loads(
        resources.files("texapi_core").joinpath("data", name).read_text("utf-8")
    )
    return table


@pytest.mark.parametrize("model", SEASON)
def test_this_season_s_models_are_known(model: str) -> None:
    known = capabilities(model)

    assert known.max_input_tokens == SEASON[model]
    assert known.tool_calling
    assert known.reasoning_output
    assert known.max_output_tokens
    assert bundled_prices().price(model)


@pytest.mark.parametrize("model", SEASON)
def test_fractions_of_a_context_are_of_the_longest_prompt(model: str, endpoint: Endpoint) -> None:
    chat = ChatTexAPI(model=model, **endpoint.for_langchain())
    middleware = SummarizationMiddleware(chat, trigger=("fraction", 0.8), keep=("fraction", 0.3))

    assert middleware._get_profile_limits() == SEASON[model]


@pytest.mark.parametrize("max_tokens", [None, 1_000, 128_000])
@pytest.mark.parametrize("model", SEASON)
def test_llama_index_plans_no_longer_prompt_than_the_model_takes(
    model: str, max_tokens: int | None, endpoint: Endpoint
) -> None:
    llm = TexAPI(model=model, max_tokens=max_tokens, **endpoint.for_llama_index())
    helper = PromptHelper.from_llm_metadata(llm.metadata)
    room = helper._get_available_chunk_size(PromptTemplate(""), num_chunks=1, padding=0)

    assert SEASON[model] * 0.7 < room <= SEASON[model]


def test_every_row_is_read_and_its_limits_agree() -> None:
    for name in capability_table():
        known = capabilities(name)
        assert known.tool_calling is not False or not known.tool_choice, name
        if known.context_window is not None:
            assert known.max_input_tokens is not None, name
            assert 0 < known.max_input_tokens <= known.context_window, name
        assert known.max_output_tokens is None or known.max_output_tokens > 0, name
        assert known.text_outputs is not False, name
        assert known.reasoning_output or not known.reasoning_effort_levels, name


def test_a_model_is_in_both_tables_or_has_a_reason() -> None:
    prices = bundled_prices()
    for name in capability_table():
        assert bool(prices.price(name)) != bool(prices.reason(name)), name
    for name in prices.models:
        assert capabilities(name).text_outputs is not False, name
        assert capabilities(name) is not capabilities("no-such-model"), name


def test_both_tables_name_sources_of_one_day() -> None:
    models, prices = _table("models.json"), _table("prices.json")

    assert models["date"] == prices["date"] == bundled_prices().date
    assert set(models["packages"]) == {*PROFILES, LITELLM}
    assert models["packages"][LITELLM] in prices["source"]
    assert models["flags"].split() == list(FLAGS)


def test_a_profile_has_every_member_that_holds_for_the_protocol(endpoint: Endpoint) -> None:
    found: set[str] = set()
    for name in capability_table():
        profile = ChatTexAPI(model=name, **endpoint.for_langchain()).profile
        assert profile is not None
        found |= profile.keys()

    assert found == get_type_hints(ModelProfile).keys() - {"mid_conversation_tools"}


@pytest.mark.parametrize(
    ("inputs", "outputs", "limits"),
    [
        ([272_000, 400_000, 272_000], [128_000], (400_000, 272_000)),
        ([200_000, 1_000_000, 200_000], [64_000], (200_000, 200_000)),
        ([272_000, 128_000], [16_384], (128_000, 128_000)),
        ([1_000_000], [], (1_000_000, 1_000_000)),
    ],
)
def test_limits_are_the_smaller_unless_the_answer_makes_the_difference(
    inputs: list[int], outputs: list[int], limits: tuple[int, int]
) -> None:
    assert tuple(limits_of(inputs, outputs).values()) == limits


def test_the_maker_decides_what_a_model_can_do() -> None:
    says = {"langchain-openrouter": False, "litellm": True}

    assert decide("image_inputs", says)
    assert not decide("image_inputs", {**says, "langchain-xai": False})
    assert decide("structured_output", {**says, "langchain-xai": True}) is False
    assert decide("structured_output", {"langchain-openrouter": True}) is None
    assert decide("structured_output", {"langchain-openrouter": True, "litellm": True})
    assert decide("temperature", {}) is None


def test_the_smaller_answer_and_the_disagreement_are_kept() -> None:
    row = {"max_input_tokens": 10, "max_output_tokens": 5, "text_outputs": True}
    merged = merge(
        {"m": {"langchain-openai": row, LITELLM: {"max_input_tokens": 10, "max_output_tokens": 3}}}
    )

    assert merged.rows["m"]["max_output_tokens"] == 3
    assert merged.differ == {"max_output_tokens": {"m": {"langchain-openai": 5, LITELLM: 3}}}
    assert (merged.counts["langchain-openai"], merged.counts[LITELLM]) == (1, 1)


def test_a_dated_name_has_a_row_only_if_it_differs() -> None:
    row, other = {"max_input_tokens": 10}, {"max_input_tokens": 9}
    said = {"m": row, "m-2026-01-02": row, "n": row, "n-20260102": other}
    merged = merge({name: {LITELLM: facts} for name, facts in said.items()})

    assert merged.rows.keys() == {"m", "n", "n-20260102"}


def test_the_tables_are_those_of_the_installed_packages() -> None:
    models, prices = _table("models.json"), _table("prices.json")
    packages = installed()
    if packages != models["packages"]:
        pytest.skip(f"made from {models['packages']}, installed are {packages}: run `make models`")
    merged = merge(read_sources())

    assert json.loads(json.dumps(model_table(merged, packages, models["date"]))) == models
    assert price_table(merged, packages, prices["date"]) == prices
