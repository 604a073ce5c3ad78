"""The gate of a limit in this process: calls queue, and one thread asks for permits and lets them pass.

Calls of all threads and event loops wait in one queue, so that each gets its turn, and only the thread talks
to the store. It asks for as many permits at once as are used in a tenth of a second, or until the next
answer. Where the store is away, the gate goes on with this process's share of the last known rate.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import Protocol

from texapi_core.accounting.record import logger
from texapi_core.limits.plan import Plan
from texapi_core.limits.state import HORIZON, Grant, Seen, State, Step
from texapi_core.limits.store import ANSWER_SECONDS, reason_of

_BLOCK_SECONDS = 0.1
"""Permits for this long are asked for at once, for longer where a step takes longer."""
_MAX_BLOCK = 500
_jitter = random.Random().random
"""Not the global one: the thread of a gate must not disturb the seed of a program."""
_MAX_PAUSE = 1.0
_MIN_PAUSE = 0.005
_SPREAD = 0.05
"""Seconds over which processes that wait for the same permit ask for it."""
_FLUSH_SECONDS = 0.5
"""How long a report waits for the next step, and permits asked for ahead for a call."""
_HEARTBEAT_SECONDS = 5.0
_LINGER_SECONDS = 10.0
"""The thread ends after so long without a call."""
_FIRST_WAIT = 1.5
"""Seconds that the first call gives the store to answer."""
_WARN_SECONDS = 60.0
_UNKNOWN_PROCESSES = 4
"""By how many processes a limit is divided if the store has never answered."""
_LEARNING = 0.1
_ALONE_EPOCH = 2**40
"""Epochs of the state without a store begin here: they are those of no other."""


class Store(Protocol):
    """Where the state is if not in this process."""

    kind: str
    failure: Exception | None

    def is_ready(self, wait: float = 0.0) -> bool:
        """Whether it answers, after at most `wait` seconds."""
        ...

    def step(self, step: Step) -> Grant | None:
        """The grant, `None` if it does not answer."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class Ticket(Future[None]):
    """A request that waits, then one that may go."""

    def __init__(self, tokens: float) -> None:
        super().__init__()
        self.tokens = tokens
        """Those reserved."""
        self.epoch = -1
        self.is_claimed = False
        """Whether the call that waited goes on: an event loop that is busy may take seconds."""


class Gate:
    """The gate of one limit. Its methods may be called in any thread."""

    def __init__(self, plan: Plan, store: Store | None = None) -> None:
        self._plan = plan
        self._store = store
        self._local = State(is_alone=store is None)
        self._changed = threading.Condition()
        self._queue: deque[Ticket] = deque()
        self._report = Step()
        self._has_report = self._is_urgent = False
        self._held = 0
        self._unclaimed = 0
        self._last_block = 1
        self._permits = 0
        self._balance = 0.0
        """Tokens reserved in the store less those of the tickets that passed."""
        self._permits_until = 0.0
        self._entered = 0
        self._asked_at = self._stepped_at = time.monotonic()
        self._round_trip = 0.0
        """Seconds that the last steps of the store took."""
        self._mean_tokens = 0.0
        self._ratio = 1.0
        self._has_ratio = False
        self._seen = Seen()
        self._thread: threading.Thread | None = None
        self._is_away = False
        self._warned_at = -_WARN_SECONDS
        self.grant: Grant | None = None
        """The last one."""

    # Called by calls

    def acquire(self, estimate: float, *, first: bool = False) -> Ticket:
        """Wait until a request of about `estimate` tokens may be sent. `first`: before all that wait."""
        ticket = self.enter(estimate, first=first)
        try:
            ticket.result()
        except BaseException:
            self.leave(ticket)
            raise
        self.claim(ticket)
        return ticket

    async def aacquire(self, estimate: float, *, first: bool = False) -> Ticket:
        """Async twin of `acquire`."""
        ticket = self.enter(estimate, first=first)
        if not ticket.done():
            try:
                await asyncio.wrap_future(ticket)
            except BaseException:
                self.leave(ticket)
                raise
        self.claim(ticket)
        return ticket

    def enter(self, estimate: float, *, first: bool = False) -> Ticket:
        """A ticket, which is done when the request may go, and then to be claimed."""
        with self._changed:
            ticket = Ticket(estimate * self._ratio)
            self._entered += 1
            self._mean_tokens += _LEARNING * (ticket.tokens - self._mean_tokens)
            if self._permits and not self._queue and time.monotonic() < self._permits_until:
                self._pass(ticket)
                ticket.is_claimed = True
                ticket.set_running_or_notify_cancel()
                ticket.set_result(None)
                return ticket
            (self._queue.appendleft if first else self._queue.append)(ticket)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="texapi-limits", daemon=True)
                self._thread.start()
            self._changed.notify()
        return ticket

    def claim(self, ticket: Ticket) -> None:
        """Say that the request of a ticket that is done goes now."""
        if ticket.is_claimed:
            return
        with self._changed:
            ticket.is_claimed = True
            self._unclaimed -= 1
            if self._unclaimed == self._last_block:
                self._changed.notify()

    def leave(self, ticket: Ticket) -> None:
        """Give back a ticket that is not used."""
        if ticket.cancel():
            return
        self.claim(ticket)
        with self._changed:
            self._report.returned += 1
            self._report.settled -= ticket.tokens
            self._end()

    def refused(self, ticket: Ticket, retry_after: float) -> None:
        """Report a 429: everybody waits for `retry_after` seconds, 0 if the server named none."""
        with self._changed:
            self._report.refused_epoch = max(self._report.refused_epoch, ticket.epoch)
            self._report.refused_wait = max(self._report.refused_wait, retry_after)
            self._report.settled -= ticket.tokens
            self._is_urgent = True
            self._end()

    def failed(self, ticket: Ticket, *, was_charged: bool) -> None:
        """Report another failure."""
        with self._changed:
            if not was_charged:
                self._report.settled -= ticket.tokens
            self._end()

    def answered(self, seen: Seen | None) -> None:
        """Report that an answer began, and the limits in its headers."""
        with self._changed:
            self._report.answered += 1
            if seen is not None:
                self._learn(seen)
            self._has_report = True

    def learn(self, seen: Seen) -> None:
        """Report the limits in the headers of a refusal."""
        with self._changed:
            self._learn(seen)

    def ended(self, ticket: Ticket, estimate: float, tokens: int | None) -> None:
        """Report the end of an answer and its tokens, if they are known."""
        with self._changed:
            if tokens is not None:
                self._report.settled += tokens - ticket.tokens
                ratio = min(max(tokens / estimate, 0.01), 10.0)
                self._ratio += (_LEARNING if self._has_ratio else 1.0) * (ratio - self._ratio)
                self._has_ratio = True
            self._end()

    def close(self) -> None:
        """Report what the end of the process would leave in the store: calls in progress, tokens."""
        if self._store is None or self.grant is None or not self._store.is_ready():
            return
        with self._changed:
            self._held = 0
            step = self._take_report(asks=False)
        self._store.step(step)
        self._store.close()

    def _end(self) -> None:
        self._held -= 1
        self._has_report = True
        if self._is_urgent or (self._plan.max_concurrency and self._queue):
            self._changed.notify()

    def _learn(self, seen: Seen) -> None:
        before, given = self._seen, seen
        if (seen.requests, seen.tokens) == (before.requests, before.tokens):
            seen = seen._replace(
                left_requests=max(seen.left_requests, before.left_requests),
                left_tokens=max(seen.left_tokens, before.left_tokens),
            )
        if seen != before:
            self._seen = seen
            self._report.is_new = True
        pairs = (given.left_requests, seen.left_requests), (given.left_tokens, seen.left_tokens)
        self._report.left = min((left / most for left, most in pairs if most), default=-1.0)

    # The thread

    def _run(self) -> None:
        if self._store is not None:
            self._store.is_ready(_FIRST_WAIT)
        while True:
            try:
                if not self._run_once():
                    return
            except Exception:  # the calls that wait must not wait for ever
                logger.warning("The limits failed for a moment.", exc_info=True)
                time.sleep(_SPREAD)

    def _run_once(self) -> bool:
        """One step. False after a long time without a call: the thread ends."""
        with self._changed:
            while not (self._queue or self._is_urgent):
                is_open = self._held or self._permits or self._has_report
                if self._changed.wait(_FLUSH_SECONDS if is_open else _LINGER_SECONDS):
                    continue
                if self._is_due():
                    break
                if not is_open:
                    self._thread = None
                    return False
            # Else what is permitted while an event loop is busy would be sent at once when it goes on.
            self._changed.wait_for(
                lambda: self._is_urgent or self._unclaimed <= self._last_block, timeout=_MAX_PAUSE
            )
            step = self._take_report()
        self.grant = grant = self._step(step)
        if not step.requests:
            return True
        if grant.granted:
            self._pause(grant.wait, until_end=True)
            self._let_pass(step)
        else:
            wait = min(grant.wait - HORIZON - self._round_trip, _MAX_PAUSE) + _jitter() * _SPREAD
            self._pause(max(wait, _MIN_PAUSE), until_end=False)
        return True

    def _is_due(self) -> bool:
        """Whether there is something to report without a call that waits; the lock is held."""
        late = time.monotonic() - self._stepped_at > _HEARTBEAT_SECONDS
        return self._has_report or self._permits > 0 or (self._held > 0 and late)

    def _take_report(self, *, asks: bool = True) -> Step:
        """What is reported and asked for next; the lock is held."""
        step, self._report = self._report, Step()
        self._has_report = self._is_urgent = False
        self._stepped_at = now = time.monotonic()
        if self._permits and now >= self._permits_until:
            step.returned += self._permits
            self._permits = 0
        if not self._permits:
            step.settled -= self._balance
            self._balance = 0.0
        step.held = self._held
        step.jitter = _jitter()
        step.seen = self._seen
        while self._queue and self._queue[0].cancelled():
            self._queue.popleft()
        if asks and self._queue:
            step.requests = self._block(now)
            waiting = [ticket.tokens for ticket, _ in zip(self._queue, range(step.requests), strict=False)]
            step.tokens = sum(waiting) + self._mean_tokens * (step.requests - len(waiting))
        return step

    def _block(self, now: float) -> int:
        """How many permits to ask for: those for the calls that wait and for those that come in a moment."""
        seconds = max(_BLOCK_SECONDS, self._round_trip + min(self._round_trip, _BLOCK_SECONDS))
        used = self._entered / max(now - self._asked_at, 0.001) * seconds
        self._asked_at, self._entered = now, 0
        if self._plan.max_concurrency or self.grant is None:
            return 1
        rate, token_rate = self.grant.requests_per_second, self.grant.tokens_per_second
        most = float(_MAX_BLOCK)
        if rate:
            most = min(most, rate * seconds)
        if token_rate:
            most = min(most, token_rate * seconds / max(self._mean_tokens, 1.0))
        return max(1, int(min(most, max(len(self._queue), used))))

    def _pause(self, seconds: float, *, until_end: bool) -> None:
        """Wait, but report refusals at once. With `until_end` also for as long as they block."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            with self._changed:
                if not self._is_urgent:
                    self._changed.wait(left)
                if not self._is_urgent:
                    if self._plan.max_concurrency and not until_end:
                        return  # a call may have ended
                    continue
                step = self._take_report(asks=False)
            self.grant = grant = self._step(step)
            if until_end:
                deadline = max(deadline, time.monotonic() + grant.blocked)

    def _let_pass(self, step: Step) -> None:
        passed = []
        with self._changed:
            self._permits += step.requests
            self._last_block = step.requests
            self._balance += step.tokens
            self._permits_until = time.monotonic() + _FLUSH_SECONDS
            while self._permits and self._queue:
                ticket = self._queue.popleft()
                if ticket.set_running_or_notify_cancel():
                    self._pass(ticket)
                    self._unclaimed += 1
                    passed.append(ticket)
        for ticket in passed:
            ticket.set_result(None)

    def _pass(self, ticket: Ticket) -> None:
        self._permits -= 1
        self._balance -= ticket.tokens
        self._held += 1
        ticket.epoch = self.grant.epoch if self.grant else -1

    # Without the store

    def _step(self, step: Step) -> Grant:
        if self._store is not None:
            start = time.monotonic()
            if self._store.is_ready() and (grant := self._store.step(step)) is not None:
                took = min(time.monotonic() - start, ANSWER_SECONDS)
                self._round_trip += (took - self._round_trip) / 2
                if self._is_away:
                    self._is_away = False
                    logger.info("%s answers again: the limits are shared as before.", self._store.kind)
                return grant
            if not self._is_away:
                self._go_alone(self._store)
        return self._local.step(time.monotonic(), self._plan, step)

    def _go_alone(self, store: Store) -> None:
        """Go on with this process's part of the last known rate."""
        self._is_away = True
        self._round_trip = 0.0
        known, parts = self.grant, _UNKNOWN_PROCESSES
        self._local = State(epoch=_ALONE_EPOCH)
        if known is not None:
            parts = known.processes
            self._local.share = known.share
            self._local.seen = known.seen
            self._local.blocked_until = time.monotonic() + known.blocked
        self._local.parts = parts
        if time.monotonic() - self._warned_at >= _WARN_SECONDS:
            self._warned_at = time.monotonic()
            logger.warning(
                "%s does not answer (%s): calls go on at 1/%d of the limits, the share of this process.",
                store.kind,
                reason_of(store.failure, self._plan.url) if store.failure else "no answer yet",
                parts,
            )
