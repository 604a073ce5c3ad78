"""Where the steps of a limit are taken: in its store, or in this process if it has none or that is away."""

from __future__ import annotations

import time
from typing import Protocol

from texapi_core.accounting.record import logger
from texapi_core.limits.plan import Plan
from texapi_core.limits.state import Grant, State, Step
from texapi_core.limits.store import ANSWER_SECONDS, reason_of

_FIRST_WAIT = 1.5
"""Seconds that the first call gives the store to answer."""
_WARN_SECONDS = 60.0
_UNKNOWN_PROCESSES = 4
"""By how many processes a limit is divided if the store has never answered."""
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


class StatePlace:
    """Takes the steps of a limit; one thread at a time."""

    def __init__(self, plan: Plan, store: Store | None) -> None:
        self._plan = plan
        self._store = store
        self._local = State(is_alone=store is None)
        self._is_away = False
        self._warned_at = -_WARN_SECONDS
        self.grant: Grant | None = None
        """The last one."""
        self.round_trip = 0.0
        """Seconds that the last steps of the store took."""

    def wait_for_store(self) -> None:
        """Give the store time to answer for the first time."""
        if self._store is not None:
            self._store.is_ready(_FIRST_WAIT)

    def step(self, step: Step) -> Grant:
        """The grant of a step, in the store if it answers."""
        self.grant = self._shared_step(step) or self._local.step(time.monotonic(), self._plan, step)
        return self.grant

    @property
    def has_reported(self) -> bool:
        """Whether a store keeps what this process reported."""
        return self._store is not None and self.grant is not None and self._store.is_ready()

    def close(self, last: Step) -> None:
        """Take the last step of this process in the store, and close the connection."""
        if self._store is not None:
            self._store.step(last)
            self._store.close()

    def _shared_step(self, step: Step) -> Grant | None:
        if self._store is None:
            return None
        start = time.monotonic()
        if self._store.is_ready() and (grant := self._store.step(step)) is not None:
            took = min(time.monotonic() - start, ANSWER_SECONDS)
            self.round_trip += (took - self.round_trip) / 2
            if self._is_away:
                self._is_away = False
                logger.info("%s answers again: the limits are shared as before.", self._store.kind)
            return grant
        if not self._is_away:
            self._go_alone(self._store)
        return None

    def _go_alone(self, store: Store) -> None:
        """Go on with this process's part of the last known rate."""
        self._is_away = True
        self.round_trip = 0.0
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
