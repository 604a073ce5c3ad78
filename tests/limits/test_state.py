"""The step of a limit: a fleet in simulated time, and the same answers from the script in Redis."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.limits.simulation import Fleet
from texapi_core.limits import state, store_module
from texapi_core.limits.plan import Plan, parse_limits
from texapi_core.limits.state import Seen, State, Step

AUTO = Plan("auto")


@pytest.mark.parametrize("burst", [1, 6, 60])
@pytest.mark.parametrize("seed", range(5))
def test_with_headers_almost_nothing_is_refused_and_the_limit_is_used(burst: float, seed: int) -> None:
    fleet = Fleet(burst, headers=True, seed=seed).run()

    assert fleet.refused / fleet.requests < 0.02
    assert fleet.used > 0.9


@pytest.mark.parametrize("burst", [1, 6])
@pytest.mark.parametrize("headers", [True, False])
def test_processes_that_share_nothing_see_what_the_others_leave(burst: float, headers: bool) -> None:
    fleets = [Fleet(burst, headers=headers, seed=seed, alone=True).run() for seed in range(3)]

    assert sum(fleet.refused for fleet in fleets) / sum(fleet.requests for fleet in fleets) < (
        0.02 if headers else 0.08
    )
    assert min(fleet.used for fleet in fleets) > (0.85 if headers else 0.6)


def test_one_process_alone_gets_the_whole_limit() -> None:
    fleet = Fleet(1, headers=True, alone=True, processes=1).run()

    assert fleet.refused == 0
    assert fleet.used > 0.9


@pytest.mark.parametrize("burst", [1, 6])
@pytest.mark.parametrize("seed", range(5))
def test_without_headers_the_limit_is_found(burst: float, seed: int) -> None:
    fleet = Fleet(burst, headers=False, seed=seed).run()

    assert fleet.refused / fleet.requests < 0.08
    assert fleet.used > 0.9


def test_long_answers_do_not_delay_learning() -> None:
    fleet = Fleet(1, headers=False, documents=1500, latency=(5, 15)).run()

    assert fleet.refused / fleet.requests < 0.08
    assert fleet.used > 0.8


def test_a_rate_that_is_never_refused_has_no_bound() -> None:
    limit = State()
    now = 0.0
    for _ in range(20_000):
        grant = limit.step(now, AUTO, Step(requests=1, answered=1))
        now += grant.wait if grant.granted else max(grant.wait - state.HORIZON, 0.001)

    assert grant.requests_per_second > 100 * state.START


def test_one_429_lowers_the_rate_once_for_all_requests_under_way() -> None:
    limit = State()
    grants = [limit.step(i / 10, AUTO, Step(requests=1)) for i in range(3)]
    assert {grant.epoch for grant in grants} == {0}

    first = limit.step(1, AUTO, Step(refused_epoch=0, refused_wait=2))
    second = limit.step(1.1, AUTO, Step(refused_epoch=0, refused_wait=3))

    assert first.share == second.share == 0.5
    assert second.blocked == pytest.approx(3)
    assert not limit.step(1.2, AUTO, Step(requests=1)).granted


def test_429s_without_an_answer_block_for_longer_and_longer() -> None:
    limit = State()
    blocked = []
    for epoch in range(7):
        grant = limit.step(float(100 * epoch), AUTO, Step(refused_epoch=epoch))
        blocked.append(grant.blocked)

    assert blocked == [0.5, 1, 2, 4, 8, 8, 8]
    limit.step(800, AUTO, Step(answered=1))
    assert limit.step(801, AUTO, Step(refused_epoch=7)).blocked == 0.5


def test_the_true_usage_settles_the_estimate() -> None:
    plan = parse_limits("auto?tokens_per_minute=60000")
    limit = State()
    limit.step(1, plan, Step(requests=1, tokens=10_000))
    assert limit.step(1, plan, Step(requests=1)).wait == pytest.approx(10_000 / 970)

    assert limit.step(1, plan, Step(requests=1, settled=-9_900)).wait == pytest.approx(100 / 970)


def test_a_new_state_gives_no_burst_and_idle_time_does() -> None:
    limit, seen = State(), Step(requests=1, seen=Seen(600, 0, 10), is_new=True)

    waits = [limit.step(1000, AUTO, seen).wait for _ in range(3)]
    assert waits == pytest.approx([0, 1 / 9.7, 2 / 9.7])
    assert [limit.step(1100, AUTO, seen).wait for _ in range(5)] == [0] * 5


def test_the_smaller_of_a_configured_and_a_stated_limit_counts() -> None:
    seen = Step(seen=Seen(60, 0), is_new=True)

    assert State().step(0, parse_limits("auto?requests_per_minute=600"), seen).requests_per_second == 0.97
    assert State().step(
        0, parse_limits("auto?requests_per_minute=6"), seen
    ).requests_per_second == pytest.approx(0.097)


def test_no_more_calls_at_once_than_max_concurrency() -> None:
    plan = parse_limits("auto?max_concurrency=2")
    limit = State()

    assert limit.step(0, plan, Step(requests=1, held=1)).granted
    assert not limit.step(10, plan, Step(requests=1, held=2)).granted
    assert limit.step(20, plan, Step(requests=1, held=0)).granted


steps = st.builds(
    Step,
    requests=st.integers(0, 3),
    tokens=st.floats(0, 500),
    returned=st.integers(0, 1),
    settled=st.floats(-200, 200),
    answered=st.integers(0, 2),
    refused_epoch=st.sampled_from([-1, -1, -1, 0, 1, 2]),
    refused_wait=st.sampled_from([0.0, 1.0, 7.5]),
    held=st.integers(0, 4),
    jitter=st.floats(0, 0.99),
    seen=st.builds(
        Seen,
        st.sampled_from([0.0, 60.0, 600.0]),
        st.sampled_from([0.0, 6e4]),
        st.floats(0, 50),
        st.floats(0, 500),
    ),
    is_new=st.booleans(),
)
plans = st.builds(
    Plan,
    url=st.just("auto"),
    requests_per_minute=st.sampled_from([None, 30, 6000]),
    tokens_per_minute=st.sampled_from([None, 30_000]),
    max_concurrency=st.sampled_from([None, 3]),
)


@given(plan=plans, steps=st.lists(st.tuples(st.floats(0, 3), steps), min_size=1, max_size=12))
@settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_store_gives_the_same_grants(
    shared_url: str, plan: Plan, steps: list[tuple[float, Step]]
) -> None:
    shared = replace(plan, url=parse_limits(shared_url).url)
    store = store_module(shared.kind).open_store(shared, f"test-{uuid4().hex}")
    store._open()
    local, now = State(), 1_795_824_000.0
    for passed, step in steps:
        now += passed

        ours, theirs = local.step(now, plan, step), store.step(step, now=now)

        assert theirs is not None, store.failure
        assert _flat(ours) == pytest.approx(_flat(theirs), rel=1e-6, abs=1e-4)
    store._close()


def _flat(grant: state.Grant) -> tuple[float, ...]:
    return (*grant[:-1], *grant.seen)
