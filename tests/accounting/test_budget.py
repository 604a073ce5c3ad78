"""Budgets: a call that would exceed one is refused and not sent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from langchain_core.exceptions import ModelError

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.accounting.filled import call, fill
from tests.accounting.mixed_run import read_rows
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from texapi_core import TexAPIBudgetExceededError, TexAPIError
from texapi_core.accounting import ledger, reservation_stores
from texapi_core.accounting.estimate import upper_bound
from texapi_core.accounting.prices import bundled_prices, parse_prices
from texapi_core.accounting.reservations import ReservationStore
from texapi_core.wire.usage import TokenUsage

MODEL = "claude-sonnet-4-6"
QUESTION = "What is the capital of Vietnam?"


@pytest.fixture(autouse=True)
def _fresh_trackers() -> Iterator[None]:
    reservation_stores.stores.clear()
    yield
    ledger.flush_ledgers()


async def ask(way: str, endpoint: Endpoint, **kwargs: Any) -> None:
    if way == "invoke":
        ChatTexAPI(model=MODEL, **endpoint.for_langchain(**kwargs)).invoke(QUESTION)
    elif way == "astream":
        [_ async for _ in ChatTexAPI(model=MODEL, **endpoint.for_langchain(**kwargs)).astream(QUESTION)]
    elif way == "complete":
        TexAPI(model=MODEL, **endpoint.for_llama_index(**kwargs)).complete(QUESTION)
    else:
        await TexAPI(model=MODEL, **endpoint.for_llama_index(**kwargs)).acomplete(QUESTION)


@pytest.mark.parametrize("way", ["invoke", "astream", "complete", "acomplete"])
@pytest.mark.parametrize("limit", [{"max_tokens_total": 60}, {"max_cost": 0.0003}])
async def test_a_call_over_the_budget_is_not_sent(
    gateway: Gateway, endpoint: Endpoint, way: str, limit: dict[str, Any]
) -> None:
    await ask(way, endpoint, **limit)  # the first fits and uses it up

    with pytest.raises(TexAPIBudgetExceededError, match="Nothing was sent") as raised:
        await ask(way, endpoint, **limit)

    assert len(gateway.requests) == 1
    assert not raised.value.is_retryable
    assert isinstance(raised.value, TexAPIError)
    assert isinstance(raised.value, ModelError) is (way in ("invoke", "astream"))


async def test_the_maximum_answer_counts_before_the_call_is_sent(
    gateway: Gateway, endpoint: Endpoint
) -> None:
    with pytest.raises(TexAPIBudgetExceededError, match="may take"):
        await ask("invoke", endpoint, max_tokens_total=1000, max_tokens=950)

    assert not gateway.requests


async def test_concurrent_calls_do_not_exceed_the_budget_together(
    gateway: Gateway, endpoint: Endpoint
) -> None:
    model = ChatTexAPI(model=MODEL, max_tokens=400, max_tokens_total=1000, **endpoint.for_langchain())
    gateway.misbehave(Fault(delay=0.3), times=2)

    results = await asyncio.gather(*(model.ainvoke(QUESTION) for _ in range(5)), return_exceptions=True)

    assert len([one for one in results if isinstance(one, TexAPIBudgetExceededError)]) == 3
    assert len(gateway.requests) == 2


async def test_a_call_that_failed_costs_nothing(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.misbehave(Fault(status=400), times=20)
    for _ in range(20):
        with pytest.raises(TexAPIError, match="400"):
            await ask("invoke", endpoint, max_tokens_total=60)

    await ask("invoke", endpoint, max_tokens_total=60)


async def test_a_cost_budget_refuses_a_model_without_a_price(endpoint: Endpoint) -> None:
    model = ChatTexAPI(model="qwen3-235b", max_cost=100, **endpoint.for_langchain())

    with pytest.raises(TexAPIBudgetExceededError, match="price of the model is not known"):
        model.invoke(QUESTION)


@pytest.mark.parametrize("way", ["invoke", "acomplete"])
async def test_spending_of_other_processes_is_read_from_the_ledger(
    gateway: Gateway, endpoint: Endpoint, tmp_path: Path, way: str
) -> None:
    url = f"sqlite:///{tmp_path}/usage.db"
    now = datetime.now(UTC)
    others = call(1, cost="0.5", tokens=(90_000, 10_000))
    object.__setattr__(others, "started_at", now)
    fill(url, [others, call(2, day=1, cost="7")])

    with pytest.raises(TexAPIBudgetExceededError, match=r"0\.5 USD are spent .* of 0\.5 USD"):
        await ask(way, endpoint, usage_ledger=url, max_cost=0.5, budget_window="1h")
    await ask(way, endpoint, usage_ledger=url, max_cost=0.6, budget_window="1h")
    with pytest.raises(TexAPIBudgetExceededError, match="tokens"):
        await ask(way, endpoint, usage_ledger=url, max_tokens_total=100_000, budget_window="1h")

    assert len(gateway.requests) == 1
    ledger.flush_ledgers()
    refused = [row for row in read_rows(url) if row["error"] == "TexAPIBudgetExceededError"]
    assert [row["attempts"] for row in refused] == [0, 0]


def test_the_ledger_is_not_waited_for_in_the_event_loop(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers = []
    reserve = ReservationStore.reserve

    def note(*arguments: Any) -> Any:
        readers.append(threading.current_thread())
        return reserve(*arguments)

    monkeypatch.setattr(ReservationStore, "reserve", note)
    url = f"sqlite:///{tmp_path}/usage.db"
    asyncio.run(ask("acomplete", endpoint, usage_ledger=url, max_cost=1))

    assert readers
    assert threading.main_thread() not in readers


@pytest.mark.parametrize("dearest", ["input", "cached_input", "cache_creation"])
def test_whichever_price_of_input_is_the_highest_bounds_the_prompt(dearest: str) -> None:
    prices = parse_prices(
        {"m": {"input": 1, "cached_input": 1, "cache_creation": 1, "output": 1, dearest: 1000}}
    )
    prompt = {"model": "m", "messages": [{"role": "user", "content": QUESTION}]}
    most = TokenUsage(
        input_tokens=len(QUESTION),
        output_tokens=0,
        cached_tokens=len(QUESTION) if dearest == "cached_input" else 0,
        cache_creation_tokens=len(QUESTION) if dearest == "cache_creation" else 0,
    )

    bound, cost = upper_bound(prompt, prices).cost, prices.cost(most, "m")

    assert bound is not None
    assert cost is not None
    assert bound >= cost


def test_an_image_counts_by_a_fixed_bound() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    content = [{"type": "text", "text": "x" * 400}, image]
    payload = {"model": MODEL, "messages": [{"role": "user", "content": content}]}

    asked = upper_bound(payload, bundled_prices())

    assert 10_400 <= asked.tokens <= 10_500
    assert asked.cost == asked.tokens * Decimal("3.75") / 1_000_000


@pytest.mark.parametrize(
    "extra",
    [
        {"system": "x" * 400},
        {"documents": [{"text": "x" * 400}]},
        {"guided_json": {"properties": {"x" * 400: {"type": "string"}}}},
        {"max_completion_tokens": 10, "max_tokens": 410},
        {"max_completion_tokens": 410, "max_tokens": 10},
    ],
)
def test_whatever_a_request_adds_is_in_the_bound(extra: dict[str, Any]) -> None:
    payload = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 10}

    plain, more = upper_bound(payload, bundled_prices()), upper_bound(payload | extra, bundled_prices())

    assert more.tokens >= plain.tokens + 400


@pytest.mark.parametrize("bad", [{"max_cost": -1}, {"budget_window": "a week"}, {"max_tokens_total": -5}])
def test_an_invalid_budget_is_an_error_at_construction(endpoint: Endpoint, bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        ChatTexAPI(model=MODEL, **endpoint.for_langchain(**bad))
