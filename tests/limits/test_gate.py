"""The queue of a process: turns, refusals, calls at once, cancelled calls, and a store that goes away."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from typing import Any

import pytest

from tests.limits.gates import shared
from tests.limits.redis_server import Server
from tests.waiting import wait_until
from texapi_core.limits import demand
from texapi_core.limits.gate import Gate, Ticket
from texapi_core.limits.plan import parse_limits
from texapi_core.limits.redis_store import RedisStore
from texapi_core.limits.state import Grant, Seen, State, Step
from texapi_core.limits.store import LEASE_SECONDS


def gate(text: str) -> Gate:
    return Gate(parse_limits(text))


def passed(one: Gate, estimate: float = 1.0) -> Ticket:
    return one.acquire(estimate)


def done(one: Gate, ticket: Ticket) -> None:
    ticket.result(timeout=60)
    one.claim(ticket)


def test_calls_pass_at_the_rate() -> None:
    one = gate("auto?requests_per_minute=1200")
    start = time.monotonic()

    tickets = [one.enter(1) for _ in range(20)]
    for ticket in tickets:
        done(one, ticket)

    assert time.monotonic() - start > 0.6  # of 0.98: a permit may be used up to 0.2 s early, never in a burst


def test_many_threads_and_loops_share_one_gate() -> None:
    one = gate("auto?requests_per_minute=6000")
    done: list[int] = []

    async def calls() -> None:
        async def call() -> None:
            await one.aacquire(1)
            done.append(1)

        await asyncio.gather(*(call() for _ in range(10)))

    def threaded() -> None:
        for _ in range(10):
            passed(one)
            done.append(1)

    threads = [threading.Thread(target=threaded) for _ in range(4)]
    threads += [threading.Thread(target=lambda: asyncio.run(calls())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(done) == 60


def test_a_429_makes_all_calls_wait_and_the_refused_one_goes_first() -> None:
    one = gate("auto?requests_per_minute=60000")
    first = passed(one)
    start = time.monotonic()
    one.refused(first, 0.5)

    order: list[str] = []
    others = [one.enter(1) for _ in range(3)]
    again = one.enter(1, first=True)
    for name, ticket in (("other", others[0]), ("again", again)):
        ticket.add_done_callback(lambda _, name=name: order.append(name))  # type: ignore[misc] # a default
    for ticket in (again, *others):
        done(one, ticket)

    assert time.monotonic() - start >= 0.5
    assert order == ["again", "other"]
    assert one.grant is not None
    assert one.grant.epoch == 1


def test_no_more_calls_at_once_than_max_concurrency() -> None:
    one = gate("auto?max_concurrency=2&requests_per_minute=60000")
    held = [passed(one), passed(one)]
    third = one.enter(1)
    time.sleep(0.3)
    assert not third.done()

    one.ended(held[0], 1, 5)

    done(one, third)


def test_a_cancelled_call_takes_no_permit_and_blocks_nobody() -> None:
    one = gate("auto?max_concurrency=1&requests_per_minute=60000")
    held = passed(one)
    waiting = [one.enter(1) for _ in range(3)]
    for ticket in waiting[:2]:
        one.leave(ticket)
    one.ended(held, 1, None)
    done(one, waiting[2])

    one.leave(waiting[2])  # cancelled as it was let pass

    passed(one)


def test_the_estimate_is_learned_from_the_answers() -> None:
    one = gate("auto?requests_per_minute=60000")
    for _ in range(3):
        one.ended(passed(one, 1000), 1000, 100)

    assert passed(one, 1000).tokens == pytest.approx(100, rel=0.1)


def test_what_was_not_used_is_given_back() -> None:
    one = gate("auto?requests_per_minute=600&tokens_per_minute=60000")
    ticket = passed(one, 5000)
    one.failed(ticket, was_charged=False)
    start = time.monotonic()

    passed(one, 1)

    assert time.monotonic() - start < 5.0  # 5,000 tokens are five seconds


class Slow:
    """A store that is away, as one whose name server does not answer."""

    kind = "Redis"
    failure: Exception | None = TimeoutError("no route\nto it")

    def is_ready(self, wait: float = 0.0) -> bool:
        time.sleep(wait)
        return False

    def step(self, step: Step) -> Grant | None:
        raise AssertionError("never asked")

    def close(self) -> None: ...


def test_a_store_that_never_answers_is_warned_of_once_and_no_call_waits_for_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = Gate(parse_limits("auto?requests_per_minute=6000"), Slow())
    with caplog.at_level(logging.WARNING, "texapi"):
        for _ in range(3):
            one.ended(passed(one), 1, 5)

    (warning,) = caplog.messages
    assert warning.startswith(
        "Redis does not answer (TimeoutError: no route): calls go on at 1/4 of the limits"
    )
    assert one.grant is not None
    assert one.grant.requests_per_second == pytest.approx(0.97 * 100 / 4)


def test_the_warning_quotes_no_password(caplog: pytest.LogCaptureFixture) -> None:
    store = Slow()
    store.failure = ValueError('invalid token: "hunter2"')
    one = Gate(parse_limits("redis://user:hunter2@cache?requests_per_minute=6000"), store)

    passed(one)

    assert caplog.messages[-1].startswith("Redis does not answer (ValueError): ")


def test_an_error_of_the_thread_leaves_no_call_waiting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one = gate("auto")
    step, failures = one._place.step, [ValueError("once")]

    def failing(asked: Step) -> Grant:
        if failures:
            raise failures.pop()
        return step(asked)

    monkeypatch.setattr(one._place, "step", failing)

    passed(one)

    assert "The limits failed for a moment." in caplog.text


def test_what_one_process_learns_holds_for_the_others(shared_url: str) -> None:
    one, other = shared(shared_url), shared(shared_url)
    ticket = passed(one)
    one.answered(Seen(600, 60_000, 9, 900))
    one.ended(ticket, 1, 5)
    wait_until(lambda: one.grant and one.grant.requests_per_second)
    passed(one)

    passed(other)

    assert other.grant is not None
    assert other.grant.requests_per_second == pytest.approx(9.7)
    assert other.grant.tokens_per_second == pytest.approx(970)
    assert other.grant.processes == 2


def test_a_429_of_one_process_makes_the_others_wait(shared_url: str) -> None:
    one, other = shared(shared_url), shared(shared_url)
    ticket = passed(one)
    passed(other)
    start = time.monotonic()
    one.refused(ticket, 1.0)
    wait_until(lambda: one.grant and one.grant.blocked)

    passed(other)

    assert time.monotonic() - start >= 1.0


def test_max_concurrency_is_shared_and_a_dead_process_holds_nothing(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = redis_url + "&max_concurrency=2&requests_per_minute=60000"
    dead, alive = shared(url), shared(url)
    for _ in range(2):
        passed(dead)
    store = dead._place._store
    assert isinstance(store, RedisStore)
    waiting = alive.enter(1)
    time.sleep(0.3)
    assert not waiting.done()
    monkeypatch.setattr(dead._place, "step", lambda step: dead.grant)  # as if it had been killed

    process = store._process
    key = store._keys[1]
    store._client.zadd(key, {process: time.time() - LEASE_SECONDS}, xx=True)

    waiting.result(timeout=60)


def test_redis_stops_and_comes_back_without_its_state(
    own_redis: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = shared(own_redis.url + "?name=a&requests_per_minute=6000")
    monkeypatch.setattr(one._place._store, "kind", "This Redis")  # gates of earlier tests may speak of theirs
    with caplog.at_level(logging.INFO, "texapi"):
        passed(one)
        own_redis.stop()
        for _ in range(20):
            passed(one)
        own_redis.start()
        store: Any = one._place._store
        wait_until(lambda: store.is_ready())
        for _ in range(20):
            passed(one)

    said = [message for message in caplog.messages if message.startswith("This Redis")]
    assert [message.partition(":")[0].partition(" (")[0] for message in said] == [
        "This Redis does not answer",
        "This Redis answers again",
    ]


def test_a_frozen_redis_holds_up_no_call_for_long(own_redis: Server) -> None:
    one = shared(own_redis.url + "?name=a&requests_per_minute=6000")
    passed(one)
    assert own_redis.process is not None
    own_redis.process.send_signal(signal.SIGSTOP)
    start = time.monotonic()
    try:
        for _ in range(20):
            passed(one)
    finally:
        own_redis.process.send_signal(signal.SIGCONT)

    assert time.monotonic() - start < 20.0


def test_a_call_costs_few_steps_where_the_rate_is_high(redis_url: str) -> None:
    one = shared(redis_url + "&requests_per_minute=600000")
    steps: list[Step] = []
    store: Any = one._place._store
    step = store.step

    def counted(asked: Step) -> Any:
        steps.append(asked)
        return step(asked)

    store.step = counted

    for _ in range(2000):
        one.ended(passed(one), 1, 1)

    assert len(steps) < 1000
    assert max(asked.requests for asked in steps) <= demand._MAX_BLOCK


def test_a_step_brings_permits_for_a_tenth_of_a_second(redis_url: str) -> None:
    """At 100 a second, where a step for each would cost more than the call's own CPU."""
    one = shared(redis_url + "&requests_per_minute=6000")
    done(one, one.enter(1))
    store: Any = one._place._store
    step, asked = store.step, []

    def counted(what: Step) -> Any:
        asked.append(what.requests)
        return step(what)

    store.step = counted
    tickets = [one.enter(1) for _ in range(50)]
    for ticket in tickets:
        done(one, ticket)

    assert sum(1 for requests in asked if requests) <= 25
    assert max(asked) <= 10


class Distant(Slow):
    """A store that answers, after a fifth of a second."""

    def __init__(self) -> None:
        self.state, self.asked = State(), list[int]()

    def is_ready(self, wait: float = 0.0) -> bool:
        return True

    def step(self, step: Step) -> Grant | None:
        time.sleep(0.1)
        grant = self.state.step(time.monotonic(), parse_limits("auto?requests_per_minute=1200"), step)
        time.sleep(0.1)
        if step.requests:
            self.asked.append(step.requests)
        return grant


def test_a_step_that_takes_long_brings_permits_until_the_next_one() -> None:
    """Else a distant store would slow calls down more than one that is away."""
    store = Distant()
    one = Gate(parse_limits("redis://cache?requests_per_minute=1200"), store)
    start = time.monotonic()

    tickets = [one.enter(1) for _ in range(40)]
    for ticket in tickets:
        done(one, ticket)
    seconds = time.monotonic() - start

    assert 4 <= max(store.asked) <= 1200 / 60 * 0.6  # two are a tenth of a second
    assert len(tickets) <= 1200 / 60 * seconds + max(store.asked)  # never faster than the limit


def test_a_process_that_ends_holds_nothing(shared_url: str) -> None:
    url = shared_url + "&max_concurrency=1&requests_per_minute=60000"
    ended, next_one = shared(url), shared(url)
    passed(ended)

    ended.close()

    passed(next_one)


def test_nothing_piles_up_for_an_event_loop_that_is_busy() -> None:
    one = gate("auto?requests_per_minute=600")
    tickets = [one.enter(1) for _ in range(20)]
    time.sleep(0.9)  # as if the loop computed something

    permitted = [ticket for ticket in tickets if ticket.done()]
    for ticket in tickets:
        one.leave(ticket)

    assert 1 <= len(permitted) <= 3
