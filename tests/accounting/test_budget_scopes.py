"""Whose calls a budget is for, when its window begins, and who is warned."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.instrumentation.dispatcher import instrument_tags

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests import texapi_command
from tests.accounting.filled import call, fill
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from texapi_core import TexAPIBudgetExceededError, TexAPIError, TexAPISettingsError
from texapi_core.accounting import (
    BudgetWarning,
    LedgerSink,
    add_budget_listener,
    budget,
    flush_budgets,
    flush_ledgers,
    parse_budgets,
    remove_budget_listener,
    reservation_stores,
)
from texapi_core.accounting.accounts import Account, Limit, Reservation
from texapi_core.accounting.ledger.schema import open_ledger, parse_url
from texapi_core.accounting.ledger.spending import read_spending
from texapi_core.accounting.record import Spending
from texapi_core.accounting.windows import Window

MODEL = "claude-sonnet-4-6"
QUESTION = "What is the capital of Vietnam?"
ROOM_FOR_ONE = 60
"""Tokens: enough for one such question, whose upper bound is 51, and not for two."""


@pytest.fixture(autouse=True)
def _fresh_stores() -> Iterator[None]:
    reservation_stores.stores.clear()
    yield
    flush_ledgers()
    flush_budgets()


def answers(model: ChatTexAPI, **config: Any) -> bool:
    try:
        model.invoke(QUESTION, config)  # type: ignore[arg-type] # a config
    except TexAPIBudgetExceededError:
        return False
    return True


@pytest.mark.parametrize("is_shared", [False, True])
@pytest.mark.parametrize(
    ("scope", "one", "another"),
    [
        ("tag:team", {"tags": ["team=a", "x"]}, {"tags": ["team=b"]}),
        ("tag:team", {"tags": ["team:a"]}, {"tags": []}),
        ("tag:vip", {"tags": ["vip"]}, {"tags": ["vipx"]}),
        ("metadata:customer", {"metadata": {"customer": "a"}}, {"metadata": {"customer": 7}}),
        ("metadata:paid", {"metadata": {"paid": True}}, {"metadata": {"paid": False}}),
        ("metadata:customer", {"metadata": {"customer": 42}}, {}),
        ("metadata:customer", {"metadata": {"customer": "-"}}, {}),
        ("metadata:customer", {"metadata": {"customer": "a\0b\ud800"}}, {"metadata": {"customer": "b"}}),
        ("metadata:share", {"metadata": {"share": 1e-07}}, {"metadata": {"share": 0.1}}),
        ("tag:-", {"tags": ["-"]}, {"tags": ["--"]}),
    ],
)
def test_each_value_of_a_scope_has_the_whole_limit(
    endpoint: Endpoint, tmp_path: Path, scope: str, one: Any, another: Any, *, is_shared: bool
) -> None:
    """With a ledger also for another process, which knows them from the ledger alone."""
    url = f"sqlite:///{tmp_path}/usage.db" if is_shared else None
    arguments = endpoint.for_langchain(max_tokens_total=ROOM_FOR_ONE, budget_scope=scope, usage_ledger=url)

    def model() -> ChatTexAPI:
        return ChatTexAPI(model=MODEL, **arguments)

    assert answers(model(), **one)
    assert not answers(model(), **one)
    if is_shared:
        assert flush_ledgers()
        assert flush_budgets()
        reservation_stores.stores.clear()
        with_sums_read_again(tmp_path)
        assert not answers(model(), **one)
    assert answers(model(), **another)
    assert not answers(model(), **another)


def test_both_spellings_of_a_tag_are_one_value(endpoint: Endpoint, tmp_path: Path) -> None:
    """`team=a` and `team:a` share a limit, in the process and by the ledger's sums."""
    arguments = endpoint.for_langchain(
        max_tokens_total=ROOM_FOR_ONE, budget_scope="tag:team", usage_ledger=f"sqlite:///{tmp_path}/usage.db"
    )
    model = ChatTexAPI(model=MODEL, **arguments)

    assert answers(model, tags=["team:a"])
    assert not answers(model, tags=["team=a"])
    assert flush_ledgers()
    reservation_stores.stores.clear()
    with_sums_read_again(tmp_path)
    assert not answers(model, tags=["team=a"])
    assert answers(model, tags=["team=a:b"])
    assert not answers(model, tags=["team:a:b"])


def test_a_call_with_both_spellings_of_a_tag_counts_once(endpoint: Endpoint, tmp_path: Path) -> None:
    """Its row has the first of the two, and so it is in the sums once."""
    ledger = f"sqlite:///{tmp_path}/usage.db"
    model = ChatTexAPI(model=MODEL, **endpoint.for_langchain(usage_ledger=ledger))
    yesterday = datetime.now(UTC) - timedelta(days=1)

    used = model.invoke("Hello", config={"tags": ["team:a", "team=a", "night"]}).usage_metadata
    assert flush_ledgers()
    spent = [
        read_spending(open_ledger(parse_url(ledger)), scope, value, yesterday).tokens
        for scope, value in (("all", None), ("tag:team", "team=a"), ("tag:night", "night"))
    ]

    assert used
    assert spent == [used["total_tokens"]] * 3


def with_sums_read_again(folder: Path) -> None:
    """Let the next process read the sums in the ledger instead of the last reading."""
    import sqlite3  # only this helper needs it

    connection = sqlite3.connect(folder / "usage.db")
    connection.execute("UPDATE texapi_budgets SET read_at = 0")
    connection.commit()
    connection.close()


def test_each_model_has_the_whole_limit(endpoint: Endpoint) -> None:
    arguments = endpoint.for_langchain(max_tokens_total=ROOM_FOR_ONE, budget_scope="model")

    assert answers(ChatTexAPI(model=MODEL, **arguments))
    assert not answers(ChatTexAPI(model=MODEL, **arguments))
    assert answers(ChatTexAPI(model="gpt-5-mini", **arguments))


def test_a_budget_by_instrument_tags(endpoint: Endpoint) -> None:
    arguments = endpoint.for_llama_index(max_tokens_total=ROOM_FOR_ONE, budget_scope="metadata:customer")
    llm = TexAPI(model=MODEL, **arguments)

    with instrument_tags({"customer": "acme"}):
        llm.complete(QUESTION)
        with pytest.raises(TexAPIBudgetExceededError, match="metadata:customer acme"):
            llm.complete(QUESTION)
    llm.complete(QUESTION)


def test_all_of_several_budgets_hold(gateway: Gateway, endpoint: Endpoint) -> None:
    budgets = [
        {"max_tokens_total": 10_000, "window": "month", "timezone": "Asia/Ho_Chi_Minh"},
        {"max_tokens_total": ROOM_FOR_ONE, "scope": "tag:team", "window": "day"},
    ]
    model = ChatTexAPI(model=MODEL, budgets=budgets, **endpoint.for_langchain())
    copied = pickle.loads(pickle.dumps(model))  # made in this test

    assert answers(model, tags=["team=a"])
    assert not answers(copied, tags=["team=a"])
    assert answers(copied, tags=["team=b"])
    assert len(gateway.requests) == 2


def test_the_environment_sets_budgets(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXAPI_BUDGETS", json.dumps([{"max_tokens_total": ROOM_FOR_ONE, "scope": "model"}]))
    monkeypatch.setenv("TEXAPI_MAX_COST", "0.5")
    monkeypatch.setenv("TEXAPI_BUDGET_WINDOW", "month")
    monkeypatch.setenv("TEXAPI_TIMEZONE", "Asia/Ho_Chi_Minh")
    monkeypatch.setenv("TEXAPI_BUDGET_WARNINGS", "0.8, 0.95")
    monkeypatch.setenv("TEXAPI_BUDGET_SCOPE", "key")
    model = ChatTexAPI(model=MODEL, **endpoint.for_langchain())
    (sink,) = model.accounting.sinks if model.accounting else ()

    assert isinstance(sink, budget.BudgetSink)
    zone = "Asia/Ho_Chi_Minh"
    assert [(str(one.max_cost), one.scope, one.window, one.warnings) for one in sink.budgets] == [
        ("0.5", "key", Window("month", zone), (0.8, 0.95)),
        ("None", "model", Window("24h", zone), (0.8, 0.95)),
    ]
    monkeypatch.setenv("TEXAPI_MAX_COST", "much")
    with pytest.raises(TexAPISettingsError, match="TEXAPI_MAX_COST"):
        ChatTexAPI(model=MODEL, **endpoint.for_langchain())


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ({"budget_scope": "customer"}, "budget_scope"),
        ({"max_cost": 1, "budget_timezone": "Hanoi"}, "Hanoi"),
        ({"budgets": {"max_cost": 1}}, "budgets"),
        ({"budgets": "[{"}, "JSON"),
        ({"budgets": [{"scope": "key"}]}, "max_cost"),
        ({"budgets": [{"max_cots": 1}]}, "max_cots"),
        ({"budgets": [{"max_cost": "NaN"}]}, "max_cost"),
        ({"max_cost": 1, "budget_warnings": (80,)}, "budget_warnings"),
        ({"max_cost": 1, "unpriced": "count_tokens"}, "max_tokens_total"),
        ({"max_cost": 1, "on_ledger_error": "ignore"}, "on_ledger_error"),
    ],
)
def test_a_wrong_budget_is_named_at_construction(endpoint: Endpoint, bad: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ChatTexAPI(model=MODEL, **endpoint.for_langchain(**bad))


@pytest.mark.parametrize(
    ("text", "zone", "now", "start", "end"),
    [
        ("month", "Asia/Ho_Chi_Minh", "2026-11-30T18:00", "2026-11-30T17:00", "2026-12-31T17:00"),
        ("month", "UTC", "2026-12-31T23:59", "2026-12-01T00:00", "2027-01-01T00:00"),
        ("week", "UTC", "2026-11-29T12:00", "2026-11-23T00:00", "2026-11-30T00:00"),
        ("day", "America/New_York", "2026-11-01T20:00", "2026-11-01T04:00", "2026-11-02T05:00"),
        ("hour", "Asia/Kathmandu", "2026-11-01T12:05", "2026-11-01T11:15", "2026-11-01T12:15"),
        # The clock there is set back by half an hour at 15:00 UTC, after which hours begin at half past.
        ("hour", "Australia/Lord_Howe", "2026-04-04T14:50", "2026-04-04T14:00", "2026-04-04T15:00"),
        ("hour", "Australia/Lord_Howe", "2026-04-04T15:10", "2026-04-04T14:30", "2026-04-04T15:30"),
        ("hour", "Australia/Lord_Howe", "2026-04-04T15:40", "2026-04-04T15:30", "2026-04-04T16:30"),
        ("hour", "Australia/Lord_Howe", "2026-10-03T15:40", "2026-10-03T15:00", "2026-10-03T16:00"),
        ("90m", "UTC", "2026-11-01T12:05", "2026-11-01T10:35", None),
    ],
)
def test_when_a_window_begins_and_ends(text: str, zone: str, now: str, start: str, end: str | None) -> None:
    moment = datetime.fromisoformat(f"{now}+00:00")
    window = Window(text, zone)

    assert window.start(moment) == datetime.fromisoformat(f"{start}+00:00")
    assert window.end(moment) == (datetime.fromisoformat(f"{end}+00:00") if end else None)


def test_a_warning_comes_once_over_all_processes(
    endpoint: Endpoint, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    warnings: list[BudgetWarning] = []
    arguments = endpoint.for_langchain(
        max_tokens_total=100,
        budget_warnings=(0.1, 0.3),
        budget_window="month",
        usage_ledger=f"sqlite:///{tmp_path}/usage.db",
    )
    add_budget_listener(warnings.append)
    with caplog.at_level(logging.WARNING, "texapi.budget"):
        for _ in range(3):
            answers(ChatTexAPI(model=MODEL, **arguments))
            assert flush_budgets()
            reservation_stores.stores.clear()  # as another process
    remove_budget_listener(warnings.append)

    assert [one.fraction for one in warnings] == [0.1, 0.3]
    assert all(one.limit == 100 and one.unit == "tokens" for one in warnings)
    assert caplog.text.count("of the budget is reached") == 2


ASKS: dict[str, Callable[[Endpoint, dict[str, Any]], Any]] = {
    "invoke": lambda endpoint, given: (
        ChatTexAPI(**endpoint.for_langchain(**given)).invoke(QUESTION).response_metadata
    ),
    "ainvoke": lambda endpoint, given: (
        asyncio.run(ChatTexAPI(**endpoint.for_langchain(**given)).ainvoke(QUESTION)).response_metadata
    ),
    "stream": lambda endpoint, given: (
        reduce(add, ChatTexAPI(**endpoint.for_langchain(**given)).stream(QUESTION)).response_metadata
    ),
    "complete": lambda endpoint, given: (
        TexAPI(**endpoint.for_llama_index(**given)).complete(QUESTION).additional_kwargs
    ),
    "stream_complete": lambda endpoint, given: (
        list(TexAPI(**endpoint.for_llama_index(**given)).stream_complete(QUESTION))[-1].additional_kwargs
    ),
}


@pytest.mark.parametrize("way", ASKS)
def test_each_answer_says_what_is_left(endpoint: Endpoint, way: str) -> None:
    given = {"model": MODEL, "max_cost": 1, "max_tokens_total": 1000}

    metadata = ASKS[way](endpoint, given)

    left = metadata["budget_left"]
    assert left["tokens"] == 1000 - 22
    assert Decimal(str(left["cost"])) == 1 - Decimal(str(metadata["cost"]))


@pytest.mark.parametrize(
    ("fault", "counted"),
    [
        (Fault(delay=30), 51),  # timed out
        (Fault(raw=b'{"id": "x", "choi'), 51),  # broken off
        (Fault(body={"id": "x", "choices": []}), 51),  # answered, with no usage
        (Fault(status=400), 0),
        (Fault(status=429), 0),
        (Fault(status=504), 0),
        (Fault(status=408), 51),
    ],
)
def test_what_may_have_been_charged_counts_by_its_estimate(
    gateway: Gateway, endpoint: Endpoint, fault: Fault, counted: int
) -> None:
    arguments = endpoint.for_langchain(max_tokens_total=1000, timeout=1)
    gateway.misbehave(fault)
    with pytest.raises(TexAPIError):
        ChatTexAPI(model=MODEL, **arguments).invoke(QUESTION)

    left = ChatTexAPI(model=MODEL, **arguments).invoke(QUESTION).response_metadata["budget_left"]

    assert left["tokens"] == 1000 - 22 - counted


def test_each_retry_after_a_time_out_may_have_been_charged(gateway: Gateway, endpoint: Endpoint) -> None:
    arguments = {
        **endpoint.for_langchain(max_tokens_total=1000, timeout=1),
        "max_retries": 2,
        "retry_timeouts": True,
    }
    gateway.misbehave(Fault(delay=30))
    gateway.misbehave(Fault(status=503, headers={"retry-after-ms": "1"}))

    answer = ChatTexAPI(model=MODEL, **arguments).invoke(QUESTION)

    assert answer.response_metadata["budget_left"]["tokens"] == 1000 - 22 - 51


def test_a_model_without_a_price_may_count_tokens_only(endpoint: Endpoint) -> None:
    arguments = endpoint.for_langchain(max_cost=1, max_tokens_total=ROOM_FOR_ONE, unpriced="count_tokens")
    model = ChatTexAPI(model="qwen3-235b", **arguments)

    assert answers(model)
    assert not answers(model)


def test_the_command_shows_what_is_left(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/usage.db"
    fill(url, [])
    empty = texapi_command.run(["budget", "--ledger", url])
    assert "No call has been made under a budget" in empty.stdout
    record = call(1, cost="0.25", tags=("team=a",))
    object.__setattr__(record, "started_at", datetime.now(UTC))
    fill(url, [record])
    (limit,) = parse_budgets([{"max_cost": 1, "scope": "tag:team", "window": "month"}])
    account = Account(limit.scope, "team=a", limit.window)
    store = budget._store(LedgerSink(url), "")
    reservation = Reservation("1" * 32, datetime.now(UTC).timestamp(), (Limit(account, 10**12, None),))
    store.reserve(reservation, Spending(Decimal("0.5"), 10))

    result = texapi_command.run(["budget", "--ledger", url, "--json"])
    (row,) = json.loads(result.stdout)
    assert (row["budget"], row["window"], row["unit"]) == ("tag:team team=a", "month", "USD")
    assert (row["limit"], row["spent"], row["reserved"], row["left"]) == ("1", "0.25", "0.5", "0.25")
    assert texapi_command.run(["budget", "--ledger", url, "--check"]).exit_code == 0
    at = texapi_command.run(["budget", "--ledger", url, "--check", "--at", "0.7"])
    assert at.exit_code == 1
    assert "tag:team team=a" in at.stdout
