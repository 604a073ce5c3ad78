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

from texapi_core.accounting.record import logger
from texapi_core.limits.demand import Demand
from texapi_core.limits.plan import Plan
from texapi_core.limits.state import HORIZON, Grant, Seen, Step
from texapi_core.limits.state_place import StatePlace, Store

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


class Ticket(Future[None]):
    """A request that waits, then one that may go."""

    def __init__(self, tokens: float) -> None:
        super().__init__()
        self.tokens = tokens
        """Those reserved."""
        self.epoch = -1
        self.is_claimed = False
        """Whether the call that waited goes on: an event loop that is busy may take seconds."""


class _Permits:
    """Permits that a step gave ahead, for the calls that come next."""

    def __init__(self) -> None:
        self.count = 0
        self.last_block = 1
        """How many the last step gave."""
        self._balance = 0.0
        """Tokens reserved in the state less those of the calls that passed."""
        self._until = 0.0

    def are_valid(self, now: float) -> bool:
        """Whether a call may pass with one of them."""
        return self.count > 0 and now < self._until

    def add(self, step: Step, until: float) -> None:
        """Add those that a step asked for."""
        self.count += step.requests
        self.last_block = step.requests
        self._balance += step.tokens
        self._until = until

    def take(self, tokens: float) -> None:
        """Take one for a call that reserves so many tokens."""
        self.count -= 1
        self._balance -= tokens

    def give_back(self, step: Step, now: float) -> None:
        """Put into a step the permits that are too old, and once there are none the tokens left over."""
        if now >= self._until:
            step.returned += self.count
            self.count = 0
        if not self.count:
            step.settled -= self._balance
            self._balance = 0.0


class Gate:
    """The gate of one limit. Its methods may be called in any thread."""

    def __init__(self, plan: Plan, store: Store | None = None) -> None:
        self._plan = plan
        self._place = StatePlace(plan, store)
        self._demand = Demand()
        self._permits = _Permits()
        self._changed = threading.Condition()
        """Its lock guards all but `_place`, in which the thread alone takes steps."""
        self._queue: deque[Ticket] = deque()
        self._report = Step()
        self._has_report = self._is_urgent = False
        self._held = 0
        self._unclaimed = 0
        self._stepped_at = time.monotonic()
        self._seen = Seen()
        self._thread: threading.Thread | None = None

    @property
    def grant(self) -> Grant | None:
        """The last one."""
        return self._place.grant

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
            ticket = Ticket(self._demand.reservation_of(estimate))
            if not self._queue and self._permits.are_valid(time.monotonic()):
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
            if self._unclaimed == self._permits.last_block:
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
                self._demand.learn(estimate, tokens)
            self._end()

    def close(self) -> None:
        """Report what the end of the process would leave in the store: calls in progress, tokens."""
        if not self._place.has_reported:
            return
        with self._changed:
            self._held = 0
            step = self._take_report(asks=False)
        self._place.close(step)

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
        self._place.wait_for_store()
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
                is_open = self._held or self._permits.count or self._has_report
                if self._changed.wait(_FLUSH_SECONDS if is_open else _LINGER_SECONDS):
                    continue
                if self._is_due():
                    break
                if not is_open:
                    self._thread = None
                    return False
            # Else what is permitted while an event loop is busy would be sent at once when it goes on.
            self._changed.wait_for(
                lambda: self._is_urgent or self._unclaimed <= self._permits.last_block, timeout=_MAX_PAUSE
            )
            step = self._take_report()
        grant = self._place.step(step)
        if not step.requests:
            return True
        if grant.granted:
            self._pause(grant.wait, until_end=True)
            self._let_pass(step)
        else:
            wait = min(grant.wait - HORIZON - self._place.round_trip, _MAX_PAUSE) + _jitter() * _SPREAD
            self._pause(max(wait, _MIN_PAUSE), until_end=False)
        return True

    def _is_due(self) -> bool:
        """Whether there is something to report without a call that waits; the lock is held."""
        late = time.monotonic() - self._stepped_at > _HEARTBEAT_SECONDS
        return self._has_report or self._permits.count > 0 or (self._held > 0 and late)

    def _take_report(self, *, asks: bool = True) -> Step:
        """What is reported and asked for next; the lock is held."""
        step, self._report = self._report, Step()
        self._has_report = self._is_urgent = False
        self._stepped_at = now = time.monotonic()
        self._permits.give_back(step, now)
        step.held = self._held
        step.jitter = _jitter()
        step.seen = self._seen
        while self._queue and self._queue[0].cancelled():
            self._queue.popleft()
        if asks and self._queue:
            block = self._demand.block(now, self.grant, len(self._queue), self._place.round_trip)
            step.requests = 1 if self._plan.max_concurrency else block
            waiting = [ticket.tokens for ticket, _ in zip(self._queue, range(step.requests), strict=False)]
            step.tokens = sum(waiting) + self._demand.mean_tokens * (step.requests - len(waiting))
        return step

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
            grant = self._place.step(step)
            if until_end:
                deadline = max(deadline, time.monotonic() + grant.blocked)

    def _let_pass(self, step: Step) -> None:
        passed = []
        with self._changed:
            self._permits.add(step, until=time.monotonic() + _FLUSH_SECONDS)
            while self._permits.count and self._queue:
                ticket = self._queue.popleft()
                if ticket.set_running_or_notify_cancel():
                    self._pass(ticket)
                    self._unclaimed += 1
                    passed.append(ticket)
        for ticket in passed:
            ticket.set_result(None)

    def _pass(self, ticket: Ticket) -> None:
        self._permits.take(ticket.tokens)
        self._held += 1
        ticket.epoch = self.grant.epoch if self.grant else -1
