"""Budgets that processes share in Redis: what holds, and what does when Redis is away, slow or emptied."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests import texapi_command
from tests.accounting.filled import call, fill
from tests.conftest import Endpoint
from tests.gateway import Gateway
from tests.limits.redis_server import Server
from texapi_core import TexAPIBudgetExceededError
from texapi_core.accounting import RedisPlace, add_budget_listener, flush_budgets, remove_budget_listener
from texapi_core.accounting.accounts import Account, Limit, Reservation, Reserved, Settlement
from texapi_core.accounting.ledger.spending import LedgerDatabase
from texapi_core.accounting.record import Spending
from texapi_core.accounting.reservation_stores import stores
from texapi_core.accounting.reservations import ReservationStore, StoreError
from texapi_core.accounting.windows import Window
from texapi_core.limits import permit

QUESTION = "What is the capital of Vietnam?"
MODEL = "claude-sonnet-4-6"
NOTHING = Spending(Decimal(0), 0)
ONE_CALL = 22
"""Tokens of the stand-in's answer to the question; with `max_tokens` of nothing at most 51 are reserved."""


@pytest.fixture(autouse=True)
def _fresh_stores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(permit, "_gates", {})
    stores.clear()
    yield
    for store in stores.values():
        store._accounts.close()
    stores.clear()


def new_store(url: str, ledger: str = "") -> ReservationStore:
    """The store of a process that has just begun."""
    base, _, name = url.partition("?name=")
    make = (lambda: LedgerDatabase(ledger)) if ledger else None
    return ReservationStore(RedisPlace(base, name or None).accounts(make), lambda crossing: None)


def limits(cap: int = 100, window: str = "month", scope: str = "all", value: str = "") -> tuple[Limit, ...]:
    return (Limit(Account(scope, value, Window(window)), None, cap),)


def reserve(store: ReservationStore, tokens: int, under: tuple[Limit, ...]) -> tuple[Reservation, Reserved]:
    reservation = Reservation(uuid4().hex, datetime.now(UTC).timestamp(), under)
    return reservation, store.reserve(reservation, Spending(Decimal(0), tokens))


def settle(store: ReservationStore, reservation: Reservation, tokens: int) -> None:
    store.settle(Settlement(reservation, Spending(Decimal(0), tokens), NOTHING))
    assert store.flush(time.monotonic() + 30)


def spend(store: ReservationStore, tokens: int, under: tuple[Limit, ...]) -> None:
    reservation, found = reserve(store, tokens, under)
    assert isinstance(found, dict)
    settle(store, reservation, tokens)


def spent(store: ReservationStore, under: tuple[Limit, ...]) -> tuple[int, int]:
    """Spent and reserved tokens, as a call without tokens sees them."""
    _, found = reserve(store, 0, under)
    assert isinstance(found, dict)
    (balance,) = found.values()
    return balance.spent_tokens, balance.reserved_tokens


def test_models_with_limits_in_redis_share_a_budget(
    gateway: Gateway, endpoint: Endpoint, own_redis: Server
) -> None:
    """Both frameworks, each value of a tag by itself, and a warning once for both.

    The name of a rate limit makes no budget of its own.
    """
    redis_url = own_redis.url
    warnings: list[Any] = []
    budget = {"max_tokens_total": 2 * ONE_CALL + 51, "scope": "tag:team", "warnings": [0.4]}
    shared: dict[str, Any] = {"budgets": [budget], "model": MODEL}
    shared["limits"] = f"{redis_url}?name=search"
    other = ChatTexAPI(**endpoint.for_langchain(**{**shared, "limits": redis_url}))
    model = ChatTexAPI(**endpoint.for_langchain(**shared))
    add_budget_listener(warnings.append)
    left = []
    for _ in range(2):
        answer = model.invoke(QUESTION, config={"tags": ["team=a"]})
        left.append(answer.response_metadata["budget_left"]["tokens"])
        assert flush_budgets()
        stores.clear()  # as another process
    other.invoke(QUESTION, config={"tags": ["team:a"]})
    with pytest.raises(TexAPIBudgetExceededError, match="tag:team team=a"):
        model.invoke(QUESTION, config={"tags": ["team=a"]})
    model.invoke(QUESTION, config={"tags": ["team=b"]})
    TexAPI(**endpoint.for_llama_index(**shared)).complete(QUESTION)
    remove_budget_listener(warnings.append)

    assert left == [ONE_CALL + 51, 51]
    assert [(one.value, one.fraction) for one in warnings] == [("team=a", 0.4)]
    assert len(gateway.requests) == 5
    rows = texapi_command.run(["budget", "--limits", redis_url, "--format", "csv"]).stdout
    assert f"tag:team team=a,24h,tokens,{2 * ONE_CALL + 51},{3 * ONE_CALL},0" in rows


def test_budgets_keep_no_secret_in_redis(endpoint: Endpoint, own_redis: Server) -> None:
    budget = {"max_cost": 1, "scope": "key"}
    arguments = endpoint.for_langchain(limits=own_redis.url, budgets=[budget])
    ChatTexAPI(model=MODEL, **arguments).invoke("A secret question")
    assert flush_budgets()

    client: Any = redis.Redis.from_url(own_redis.url)
    keys = client.keys("texapi:budgets:*")
    kept = b"".join([*keys, *(client.dump(key) or b"" for key in keys)])
    client.close()
    assert len(keys) >= 4
    assert endpoint.api_key[-4:].encode() in kept
    assert endpoint.api_key[-12:].encode() not in kept
    assert b"secret" not in kept


def test_a_call_takes_two_commands(redis_url: str) -> None:
    """One script reserves it and settles the one before; the last is settled by itself."""
    store = new_store(redis_url)
    spend(store, 1, limits())
    client: Any = store._accounts._client  # type: ignore[attr-defined]
    before = client.info("commandstats")["cmdstat_evalsha"]["calls"]
    for _ in range(10):
        reservation, _ = reserve(store, 1, limits())
        store.settle(Settlement(reservation, Spending(Decimal(0), 1), NOTHING))
    assert store.flush(time.monotonic() + 30)

    assert 10 <= client.info("commandstats")["cmdstat_evalsha"]["calls"] - before <= 20
    store._accounts.close()


@pytest.mark.parametrize("window", ["24h", "month"])
def test_redis_keeps_parts_of_the_window_and_no_call(redis_url: str, window: str) -> None:
    store, under = new_store(redis_url), limits(10**6, window)
    for _ in range(30):
        spend(store, 1, under)

    client: Any = store._accounts._client  # type: ignore[attr-defined]
    (amounts,) = client.keys(f"*{redis_url.partition('=')[2]}*:amounts")
    assert client.hlen(amounts) <= 3
    assert spent(store, under) == (30, 0)
    assert all(client.ttl(key) > 0 for key in client.keys(f"*{redis_url.partition('=')[2]}*:*:*"))
    store._accounts.close()


def test_a_settlement_that_is_sent_again_counts_once(redis_url: str) -> None:
    store, under = new_store(redis_url), limits()
    reservation, _ = reserve(store, 30, under)
    settle(store, reservation, 20)
    settle(store, reservation, 20)
    again = store.reserve(reservation, Spending(Decimal(0), 5)), store.reserve(reservation, Spending(None, 5))

    assert all(isinstance(one, dict) for one in again)
    assert spent(store, under) == (20, 5)
    store._accounts.close()


def test_the_reservation_of_a_dead_process_expires(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    under = limits(100, "30d")
    reserve(new_store(redis_url), 70, under)
    assert spent(new_store(redis_url), under) == (0, 70)
    monkeypatch.setattr("texapi_core.accounting.redis_accounts.EXPIRY_SECONDS", 0.0)

    assert spent(new_store(redis_url), under) == (0, 0)


def test_a_window_that_is_over_no_longer_counts(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rolling and calendar windows; a process that has not noticed cannot bring the last one back."""
    rolling, calendar = limits(100, "90m"), limits(100, "day")
    store, late = new_store(redis_url), new_store(redis_url)
    for under in (rolling, calendar):
        spend(store, 40, under)
    start = Window.start

    def later(window: Window, now: datetime) -> datetime:
        return start(window, now) + (timedelta(days=1) if window.text == "day" else timedelta(minutes=89))

    assert spent(late, calendar) == (40, 0)
    monkeypatch.setattr(Window, "start", later)
    assert spent(store, rolling) == (40, 0)
    monkeypatch.setattr(Window, "start", lambda window, now: start(window, now) + timedelta(minutes=92))
    assert spent(store, rolling) == (0, 0)
    store._accounts.close()


def test_an_emptied_redis_goes_on_with_what_is_known(own_redis: Server, tmp_path: Path) -> None:
    """A process carries on what it saw, and a new one begins with the ledger's sum, if there is one."""
    ledger = f"sqlite:///{tmp_path}/usage.db"
    record = call(1, tokens=(30, 0), cost="0")
    object.__setattr__(record, "started_at", datetime.now(UTC))
    under = limits()
    store = new_store(own_redis.url, ledger)
    fill(ledger, [record])
    assert spent(store, under) == (30, 0)  # the ledger's call, although Redis was new
    spend(store, 40, under)
    own_redis.stop()
    own_redis.start()

    assert spent(new_store(own_redis.url, ledger), under) == (30, 0)
    assert spent(store, under) == (70, 0)
    own_redis.stop()
    own_redis.start()
    assert spent(new_store(own_redis.url), under) == (0, 0)
    assert spent(store, under) == (70, 0)


def test_a_call_refused_by_a_slow_redis_leaves_nothing_reserved(
    own_redis: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("texapi_core.accounting.redis_accounts._ANSWER_SECONDS", 0.3)
    store, under = new_store(own_redis.url), limits()
    spend(store, 10, under)
    assert own_redis.process is not None
    own_redis.process.send_signal(signal.SIGSTOP)
    with pytest.raises(StoreError):
        reserve(store, 50, under)
    own_redis.process.send_signal(signal.SIGCONT)

    assert store.flush(time.monotonic() + 30)
    assert spent(store, under) == (10, 0)
    store._accounts.close()
