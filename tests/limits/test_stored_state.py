"""What a store gives back is trusted only as far as it can be a state, and clocks may go back."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from texapi_core.limits import store_module
from texapi_core.limits.database_store import DatabaseStore
from texapi_core.limits.permit import Permit
from texapi_core.limits.plan import parse_limits
from texapi_core.limits.state import BOUNDS, MAX_TOKENS, State, Step
from texapi_core.limits.store import SharedStore

NOW = 1_795_824_000.0


def opened(url: str, name: str) -> Any:
    plan = parse_limits(f"{url}&requests_per_minute=1200&tokens_per_minute=1e6")
    store: SharedStore = store_module(plan.kind).open_store(plan, name)
    store._open()
    return store


def overwrite(store: Any, value: str) -> None:
    """Each field of the state becomes `value`."""
    if not isinstance(store, DatabaseStore):
        store._client.hset(store._keys[0], mapping=dict.fromkeys(BOUNDS, value))
        return
    text = json.dumps(dict.fromkeys([*BOUNDS, "held_by", "rates"], 0)).replace("0", value or '""')
    update = store._spelled("UPDATE texapi_limits SET state = ? WHERE name = ?")
    store._connection.execute(update, (text, store._name))


def granted(store: Any, seconds: float, now: float) -> int:
    """The calls that pass in so many seconds of one that asks again and again."""
    count, end = 0, now + seconds
    while now < end:
        grant = store.step(Step(requests=1, tokens=10), now=now)
        assert grant is not None, store.failure
        count += grant.granted
        now += 0.01
    return count


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e300", "-1e300", "0", "-1", "", '"x"'])
def test_no_value_lifts_a_limit_or_stalls_calls(shared_url: str, value: str) -> None:
    store = opened(shared_url, f"test-{uuid4().hex}")
    granted(store, 1.0, NOW)
    overwrite(store, value)

    calls = granted(store, 3.0, NOW + 1.0)

    store._close()
    assert 50 <= calls <= 65  # of 58


@pytest.mark.parametrize("behind", [0.5, 100.0, 1e6])
def test_a_store_that_takes_over_with_a_clock_behind_stalls_no_call(shared_url: str, behind: float) -> None:
    store = opened(shared_url, f"test-{uuid4().hex}")
    granted(store, 1.0, NOW)

    calls = granted(store, 3.0, NOW + 1.0 - behind)

    store._close()
    assert 50 <= calls <= 65


def test_a_dead_process_counts_no_longer_where_the_clock_went_back(shared_url: str) -> None:
    plan = parse_limits(f"{shared_url}&max_concurrency=1")
    name = f"test-{uuid4().hex}"
    dead, alive = (store_module(plan.kind).open_store(plan, name) for _ in range(2))
    dead._open()
    alive._open()

    assert dead.step(Step(requests=1), now=NOW).granted
    assert not alive.step(Step(requests=1), now=NOW - 1000).granted
    assert alive.step(Step(requests=1), now=NOW - 980).granted
    dead._close()
    alive._close()


def test_two_thousand_429s_in_a_row_are_counted() -> None:
    limit = State()
    for epoch in range(2000):
        grant = limit.step(NOW + 100 * epoch, parse_limits("auto"), Step(refused_epoch=epoch))

    assert grant.blocked == 8


def test_no_call_reserves_more_than_a_state_can_hold() -> None:
    class Gate:
        def acquire(self, tokens: float, *, first: bool) -> None:
            assert tokens == MAX_TOKENS

    permit = Permit(Gate(), {"messages": [], "max_tokens": 10**9})  # type: ignore[arg-type]
    permit.acquire()
