"""A fleet of processes against a server with limits, in simulated time: only `State.step` is real."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from texapi_core.limits.plan import Plan
from texapi_core.limits.state import HORIZON, Seen, State, Step

REQUESTS, TOKENS = 600, 60_000
_TOKENS_PER_CALL = 131


class Bucket:
    """A limit per minute that lets `burst` seconds of it pile up."""

    def __init__(self, per_minute: float, burst: float) -> None:
        self.rate = per_minute / 60
        self.capacity = self.level = max(1.0, self.rate * burst)
        self._filled = 0.0

    def seconds_until(self, amount: float, now: float) -> float:
        self.level = min(self.capacity, self.level + (now - self._filled) * self.rate)
        self._filled = now
        return max(0.0, (min(amount, self.capacity) - self.level) / self.rate)


@dataclass
class Fleet:
    """Four processes with a queue of `documents` in common, or `alone` with a part of them each."""

    burst: float
    headers: bool
    seed: int = 0
    documents: int = 400
    latency: tuple[float, float] = (0.3, 0.6)
    processes: int = 4
    requests: int = 0
    refused: int = 0
    answered: int = 0
    seconds: float = 0.0
    alone: bool = False
    """Whether each process has a state of its own."""
    state: State = field(default_factory=State)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._limits = Bucket(REQUESTS, self.burst), Bucket(TOKENS, self.burst)
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._left = [self.documents] * self.processes
        if self.alone:
            self._left = [len(range(part, self.documents, self.processes)) for part in range(self.processes)]
        self._answers = [0] * self.processes
        self._states = [State(is_alone=True) if self.alone else self.state for _ in range(self.processes)]
        self._seen = [Seen()] * self.processes
        self._now_left = [-1.0] * self.processes

    @property
    def used(self) -> float:
        """The part of the token limit that was used."""
        return self.answered * _TOKENS_PER_CALL / self.seconds * 60 / TOKENS

    def run(self) -> Fleet:
        for process in range(self.processes):
            self._at(self._random.random() * 0.3, self._ask, process)
        while self.answered < self.documents:
            now, _, happen, arguments = heapq.heappop(self._events)
            happen(now, *arguments)
        return self

    def _at(self, moment: float, happen: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (moment, self._random.getrandbits(60), happen, arguments))

    def _step(self, now: float, process: int, step: Step) -> Any:
        step.jitter = self._random.random()
        if self.headers and self._seen[process].requests:
            step.seen, step.is_new = self._seen[process], True
            step.left, self._now_left[process] = self._now_left[process], -1.0
        return self._states[process].step(now, Plan("auto"), step)

    def _ask(self, now: float, process: int) -> None:
        asked = Step(
            requests=int(self._left[process] > 0), tokens=_TOKENS_PER_CALL, answered=self._answers[process]
        )
        self._answers[process] = 0
        grant = self._step(now, process, asked)
        if grant.granted:
            self._count(process, -1)
            self._at(now + grant.wait + self._random.random() * 0.02, self._send, process, grant.epoch)
            self._at(now + grant.wait + 0.001, self._ask, process)
        else:
            again = min(grant.wait - HORIZON, 1) + self._random.random() * 0.05
            self._at(now + max(again, 0.005), self._ask, process)

    def _count(self, process: int, change: int) -> None:
        for other in [process] if self.alone else range(self.processes):
            self._left[other] += change

    def _send(self, now: float, process: int, epoch: int) -> None:
        self.requests += 1
        amounts = (1, _TOKENS_PER_CALL)
        wait = max(
            limit.seconds_until(amount, now) for limit, amount in zip(self._limits, amounts, strict=True)
        )
        if wait > 0:
            self.refused += 1
            self._count(process, 1)
            after = max(1, math.ceil(wait)) if self.headers else 0
            self._step(now, process, Step(refused_epoch=epoch, refused_wait=after))
            return
        for limit, amount in zip(self._limits, amounts, strict=True):
            limit.level -= amount
        self._at(now + self._random.uniform(*self.latency), self._answer, process)

    def _answer(self, now: float, process: int) -> None:
        self.answered += 1
        self.seconds = now
        self._answers[process] += 1
        for limit in self._limits:
            limit.seconds_until(0, now)
        requests, tokens = self._limits
        for other in [process] if self.alone else range(self.processes):
            seen = self._seen[other]
            left = max(seen.left_requests, requests.level), max(seen.left_tokens, tokens.level)
            self._seen[other] = Seen(REQUESTS, TOKENS, *left)
            self._now_left[other] = min(requests.level / left[0], tokens.level / left[1])
