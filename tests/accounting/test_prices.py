"""Costs of calls: exact by the price list, or unknown if any part is unknown."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests import texapi_command
from tests.accounting.filled import call, fill
from tests.conftest import Endpoint
from tests.gateway import Gateway
from texapi_core import TexAPISettingsError, TokenUsage
from texapi_core.accounting.prices import (
    ModelPrice,
    _of_gateways,
    bundled_prices,
    note_listed_prices,
    parse_prices,
)
from texapi_core.catalog import ModelInfo, capability_table

PRICE = ModelPrice(
    input=Decimal("3"),
    output=Decimal("15"),
    cached_input=Decimal("0.3"),
    cache_creation=Decimal("3.75"),
    max_input_tokens=200_000,
)


def usage(input_tokens: int | None = 1000, output_tokens: int | None = 100, **kwargs: Any) -> TokenUsage:
    return TokenUsage(input_tokens=input_tokens, output_tokens=output_tokens, **kwargs)


@pytest.mark.parametrize(
    ("tokens", "cost"),
    [
        (usage(), "0.0045"),
        (usage(cached_tokens=1000), "0.0018"),
        (usage(cached_tokens=600, cache_creation_tokens=100), "0.002955"),
        (usage(1, 0), "0.000003"),
        (usage(0, 0), "0"),
        (usage(200_000, 0), "0.6"),
    ],
)
def test_a_cost_is_exact(tokens: TokenUsage, cost: str) -> None:
    assert PRICE.cost(tokens) == Decimal(cost)


@pytest.mark.parametrize(
    "tokens",
    [
        TokenUsage(),
        usage(None, 5),
        usage(5, None),
        usage(200_001, 0),
        usage(10, 1, cached_tokens=11),
        usage(input_audio_tokens=3),
        usage(output_audio_tokens=3),
    ],
)
def test_a_cost_that_cannot_be_computed_is_unknown(tokens: TokenUsage) -> None:
    assert PRICE.cost(tokens) is None


def test_tokens_without_a_price_make_a_cost_unknown() -> None:
    plain = ModelPrice(input=Decimal(1), output=Decimal(2))

    assert plain.cost(usage()) == Decimal("0.0012")
    assert plain.cost(usage(cached_tokens=1)) is None
    assert plain.cost(usage(cache_creation_tokens=1)) is None


def test_the_bundled_list_has_its_source_and_date() -> None:
    prices = bundled_prices()

    assert "not TexAPI's" in prices.source
    assert prices.date >= "2026-11-27"
    assert len(prices.models) > 200
    assert all(0 < price.input < 1000 and 0 < price.output < 2000 for price in prices.models.values())
    cached = [price for price in prices.models.values() if price.cached_input is not None]
    assert all(price.cached_input <= price.input for price in cached if price.cached_input is not None)


@pytest.mark.parametrize(
    "name", ["claude-sonnet-4-6", "anthropic/claude-sonnet-4.6", "Claude-Sonnet-4-6-20260110"]
)
def test_a_model_is_found_however_it_is_spelled(name: str) -> None:
    price = bundled_prices().price(name)

    assert price is not None
    assert (price.input, price.output, price.cached_input) == (Decimal(3), Decimal(15), Decimal("0.3"))


def test_a_model_that_is_not_listed_has_no_price() -> None:
    assert bundled_prices().price("no-such-model") is None
    assert bundled_prices().cost(usage(), "no-such-model", None) is None
    assert bundled_prices().cost(usage(), None, "claude-sonnet-4-6") == Decimal("0.0045")


def test_user_defined_prices_override_the_list() -> None:
    prices = parse_prices(
        {"claude-sonnet-4.6": {"input": 1, "output": 2.5}, "mine": {"input": "1", "output": "1"}}
    )

    assert prices.cost(usage(), "claude-sonnet-4-6") == Decimal("0.00125")
    assert prices.cost(usage(), "mine") == Decimal("0.0011")
    assert prices.price("gpt-5-mini") == bundled_prices().price("gpt-5-mini")


def test_a_file_replaces_the_list_and_is_reloaded_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text('{"models": {"mine": {"input": 0.1, "output": 0.2}}}', "utf-8")
    assert parse_prices(path).cost(usage(), "mine") == Decimal("0.00012")
    assert parse_prices(path).price("claude-sonnet-4-6") is None

    path.write_text('{"models": {"mine": {"input": 1, "output": 2}}}', "utf-8-sig")  # as Windows writes it
    os.utime(path, ns=(1, 1))

    assert parse_prices(str(path)).cost(usage(), "mine") == Decimal("0.0012")


def test_a_file_that_is_removed_or_broken_later_does_not_fail_calls(
    endpoint: Endpoint, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "prices.json"
    path.write_text('{"models": {"qwen3-235b": {"input": 1, "cached_input": 1, "output": 1}}}', "utf-8")
    model = ChatTexAPI(model="qwen3-235b", prices=path, **endpoint.for_langchain())
    path.write_text('{"models":', "utf-8")
    os.utime(path, ns=(1, 1))
    for _ in range(3):
        assert model.invoke("Hello").response_metadata["cost"] > 0
    assert caplog.text.count("cannot be read again") == 1
    path.unlink()

    assert model.invoke("Hello").response_metadata["cost"] > 0
    assert caplog.text.count("cannot be read again") == 2


def test_a_price_file_set_in_the_environment(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "prices.json"
    path.write_text(
        json.dumps({"models": {"qwen3-235b": {"input": 1, "cached_input": 1, "output": 1}}}), "utf-8"
    )
    monkeypatch.setenv("TEXAPI_PRICES", str(path))

    message = ChatTexAPI(model="qwen3-235b", **endpoint.for_langchain()).invoke("Hello")
    response = TexAPI(model="qwen3-235b", **endpoint.for_llama_index()).complete("Hello")

    assert message.usage_metadata is not None
    assert message.response_metadata["cost"] == message.usage_metadata["total_tokens"] / 1_000_000
    assert response.additional_kwargs["cost_source"] == "prices"


@pytest.mark.parametrize(
    "bad",
    [
        {"m": {"input": 1}},
        {"m": {"input": 1, "output": 1, "colour": 1}},
        {"m": {"input": -1, "output": 1}},
        {"m": {"input": "cheap", "output": 1}},
        {"m": {"input": "NaN", "output": 1}},
        {"m": 3},
        {5: {"input": 1, "output": 1}},
        {"m": {"input": float("inf"), "output": 1}},
        {"m": {"input": "1e400000", "output": 1}},
        {"m": {"input": 10**5000, "output": 1}},
        {"m": {"input": True, "output": 1}},
        {"m": {"input": [1], "output": 1}},
        {"m": {"input": 1, "output": 1, "max_input_tokens": "long"}},
        5,
        [],
        "/nowhere/prices.json",
        "a\0file",
    ],
)
def test_invalid_prices_are_an_error_at_construction(endpoint: Endpoint, bad: Any) -> None:
    with pytest.raises(ValueError, match=r"price"):
        ChatTexAPI(model="m", prices=bad, **endpoint.for_langchain())
    with pytest.raises(ValueError, match=r"price"):
        TexAPI(model="m", prices=bad, **endpoint.for_llama_index())


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b"\xff\xfe",
        b"[]",
        b'{"models": []}',
        b'{"models": {}, "unpriced": ["m"]}',
        b'{"models": {"m": {"input": Infinity, "output": 1}}}',
        b'{"models": {"m": {"input": 1, "output": 1}, "m": {"input": 0, "output": 0}}}',
    ],
)
def test_a_file_that_is_no_price_list_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "prices.json"
    path.write_bytes(content)

    with pytest.raises(ValueError, match="price"):
        parse_prices(path)


def test_a_bad_file_in_the_environment_is_an_error_that_names_it(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prices.json").write_text("{", "utf-8")
    monkeypatch.setenv("TEXAPI_PRICES", str(tmp_path / "prices.json"))

    with pytest.raises(TexAPISettingsError, match="TEXAPI_PRICES"):
        ChatTexAPI(model="m", **endpoint.for_langchain())


def test_every_text_model_of_the_table_has_a_price_or_a_reason() -> None:
    prices = bundled_prices()

    for model in capability_table():
        assert prices.price(model) or prices.reason(model), model
    assert set(prices.unpriced.values()) == {
        "its weights are open, and each host sets its own price",
        "its images or music are not charged by the token",
        "the source lists no price of its maker's",
    }


@pytest.mark.parametrize(
    "listed",
    [
        {"pricing": {"prompt": "0.000001", "completion": "0.000002", "input_cache_read": None}},
        {"pricing": {"input": 1, "output": 2, "hourly": 0}},
        {"input_cost_per_token": 1e-06, "output_cost_per_token": "2e-06"},
    ],
)
def test_prices_that_the_gateway_lists_win(
    gateway: Gateway, endpoint: Endpoint, listed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"id": "qwen3-235b", **listed}, {"id": "odd", "pricing": {"prompt": "free", "completion": 1}}]
    note_listed_prices(endpoint.base_url, [ModelInfo(id=row.pop("id"), extras=row) for row in rows])
    try:
        answer = ChatTexAPI(model="qwen3-235b", max_cost=1, **endpoint.for_langchain()).invoke("Hello")
        usage = answer.usage_metadata
        assert usage is not None
        assert answer.response_metadata["cost"] == pytest.approx(
            (usage["input_tokens"] + 2 * usage["output_tokens"]) / 1e6
        )
        own = {"qwen3-235b": {"input": 0, "output": 0, "cached_input": 0}}
        theirs = ChatTexAPI(model="qwen3-235b", prices=own, **endpoint.for_langchain()).invoke("Hello")
        assert theirs.response_metadata["cost"] == 0
    finally:
        _of_gateways.clear()


@pytest.mark.parametrize(
    "listed",
    [
        {"pricing": {"prompt": "0.07", "completion": "0.3", "currency": "VND"}},
        {"pricing": {"prompt": "0.07", "completion": "0.3"}, "currency": "VND"},
    ],
)
def test_listed_prices_in_another_currency_are_not_used(listed: dict[str, Any]) -> None:
    note_listed_prices("https://vnd.example", [ModelInfo(id="m", extras=listed)])

    assert "https://vnd.example" not in _of_gateways


def test_the_command_checks_the_list(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/usage.db"
    fill(url, [call(1), call(2, model="qwen3-235b", cost=None), call(3, model="mine", cost=None)])

    shown = texapi_command.run(["prices", "claude-opus-4-1"])
    checked = texapi_command.run(["prices", "--check", "--ledger", url, "--format", "json"])

    assert "claude-opus-4-1" in shown.stdout
    assert bundled_prices().date in shown.stdout
    assert checked.exit_code == 1
    assert [fault["fault"] for fault in json.loads(checked.stdout)] == [
        "mine has no price: 1 of its 1 calls in the ledger have no cost.",
        "qwen3-235b has no price (its weights are open, and each host sets its own price): 1 of its 1 calls "
        "in the ledger have no cost.",
    ]
