"""The state of a rate limit, and its one step. No I/O: `redis_store.py` has the same step as a script.

Two clocks, of requests and of tokens, say until when what was permitted uses up the limit. A request may go
once both have passed, and moves them on by its share of a minute. What a limit lets pile up is learned from
`x-ratelimit-remaining-*`. Rates are limits, configured or learned from `x-ratelimit-limit-*`, times `share`.
A refusal (429) blocks everybody for a while and lowers `share`, once for all requests under way; permits that
had to wait raise it again. Without any limit the rate is `START` times `share`, which has no upper bound.

A process that is alone with its state does not know who else uses the limit, but sees what they leave: the
rate falls while less than `LEFT` is left and rises while more is, at once by `pull` and for good by `share`.
So processes that share nothing share the limit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from texapi_core.limits.plan import Plan

START = 5.0
"""Requests per second before any limit is known."""
USED = 0.97
"""The part of a known limit that is used."""
GROWTH = 0.25
"""Slow start, from the first answer to the first 429: the rate grows by this part of itself in a second."""
INCREASE = 0.015
"""After a 429: the rate grows by this fraction of what it was lowered to in a second."""
BURST = 0.5
"""The part of what a limit has piled up that may be used at once."""
HORIZON = 0.2
"""Seconds ahead for which a permit is given. Whoever would wait longer asks again: a 429 may come."""
FIRST_BLOCK = 0.5
"""Seconds for which a 429 without `Retry-After` blocks, doubled by each before the next answer."""
MAX_BLOCK = 8.0
JITTER = 0.1
MAX_WAIT = 60.0
"""Seconds. The others wait no longer than that after a 429, then ask the server themselves."""
MAX_BLOCKED = MAX_WAIT * (1 + JITTER)
MAX_TOKENS = 1e7
"""No call reserves more."""
MIN_MEASURE = 0.5
"""Seconds between two 429s from which the rate that the server allowed is measured."""


ALONE_START = 3.0
"""What `START` is to a process that is alone with its state."""
LEFT = 0.6
"""The part of what piles up that should be left, for others who come at the same moment."""
PULL = (0.7, 5.0)
"""How strongly a rate follows what is left: with the seconds for which a limit piles up, within these."""
SLOW_GAIN, QUICK_GAIN = 0.2, 0.7
"""How fast `share` follows what is left, each second; quickly until others have left too little once."""
GROWTH_SECONDS = 6.0
"""Without headers: the rate of a process alone grows ever faster when it was not refused for longer."""


BOUNDS = {
    "share": (1e-6, 1e9, 1.0),
    "lowered_to": (0.0, 1e9, 0.0),
    "lowered_at": (0.0, 1e12, 0.0),
    "epoch": (0.0, 2.0**52, 0.0),
    "permitted": (0.0, 1e15, 0.0),
    "permitted_tokens": (0.0, 1e15, 0.0),
    "in_vain": (0.0, 1000.0, 0.0),
    "has_answers": (0.0, 1.0, 0.0),
    "requests_at": (0.0, 1e12, 0.0),
    "tokens_at": (0.0, 1e12, 0.0),
    "blocked_until": (0.0, 1e12, 0.0),
    "stepped_at": (0.0, 1e12, 0.0),
    "limit": (0.0, 1e12, 0.0),
    "token_limit": (0.0, 1e12, 0.0),
    "left": (0.0, 1e12, 0.0),
    "left_tokens": (0.0, 1e12, 0.0),
}
"""What is read from a store: the least and the most that it may be, and what it is if it is not."""


class Seen(NamedTuple):
    """Limits per minute from headers, and the most that was left of them; 0 for unknown."""

    requests: float = 0.0
    tokens: float = 0.0
    left_requests: float = 0.0
    left_tokens: float = 0.0


@dataclass(slots=True)
class Step:
    """What a process reports, and what it asks for."""

    requests: int = 0
    """Permits asked for."""
    tokens: float = 0.0
    """Their estimated tokens."""
    returned: int = 0
    """Permits that were not used."""
    settled: float = 0.0
    """Tokens that were used less those that were reserved."""
    answered: int = 0
    refused_epoch: int = -1
    """The epoch of a permit whose request got a 429; -1 for none."""
    refused_wait: float = 0.0
    """Seconds that the server asked to wait, 0 if it named none."""
    held: int = 0
    """Calls of this process in progress."""
    jitter: float = 0.0
    """A random number below 1."""
    seen: Seen = field(default_factory=Seen)
    left: float = -1.0
    """The part of a limit that the last answer says is left, of the most that ever was; -1 if unknown."""
    is_new: bool = False
    """Whether `seen` has come since the last step; else it counts only where nothing is known."""


class Grant(NamedTuple):
    """The answer to a `Step`."""

    granted: bool
    wait: float
    """Seconds until the permits may be used, or until it is worth asking again."""
    epoch: int
    """429s that lowered the rate so far: a permit belongs to an epoch."""
    blocked: float
    """Seconds for which a 429 still blocks everybody."""
    requests_per_second: float
    """0 for unlimited."""
    tokens_per_second: float
    share: float
    processes: int
    held: int
    """Calls of all processes in progress."""
    seen: Seen


@dataclass(slots=True)
class State:
    """The state of one limit."""

    stepped_at: float = 0.0
    """When the last step was."""
    requests_at: float = 0.0
    """The clock of requests: when what was permitted has used up the limit."""
    tokens_at: float = 0.0
    blocked_until: float = 0.0
    share: float = 1.0
    lowered_to: float = 0.0
    """`share` after the last 429; 0 before the first."""
    lowered_at: float = 0.0
    epoch: int = 0
    permitted: float = 0.0
    """Requests since the last 429."""
    permitted_tokens: float = 0.0
    in_vain: int = 0
    """429s in a row without an answer."""
    has_answers: int = 0
    seen: Seen = field(default_factory=Seen)
    parts: int = 1
    """By how many processes the limit is divided."""
    is_alone: bool = False
    """Whether others may use the same limit of whom nothing is known but what they leave."""
    pull: float = 1.0
    """What the rate of a process alone is multiplied by for now."""
    watched_at: float = 0.0
    """When what is left last came; 0 before the first limit is known."""
    was_short: bool = False
    """Whether less than `LEFT` was ever left."""

    @classmethod
    def read(cls, fields: Mapping[str, object]) -> State:
        """The state that a store gives, as far as it can be one."""
        known: Any = {name: _bounded(fields.get(name), *bounds) for name, bounds in BOUNDS.items()}
        seen = Seen(*(known.pop(name) for name in ("limit", "token_limit", "left", "left_tokens")))
        whole: Any = {name: int(known.pop(name)) for name in ("epoch", "in_vain", "has_answers")}
        return cls(**known, **whole, seen=seen)

    def fields(self) -> dict[str, float]:
        """What `read` reads."""
        seen = dict(zip(("limit", "token_limit", "left", "left_tokens"), self.seen, strict=True))
        return {name: seen[name] if name in seen else getattr(self, name) for name in BOUNDS}

    def step(self, now: float, plan: Plan, step: Step, *, others_held: int = 0) -> Grant:
        """Take a report and give permits. `now`: seconds on any clock."""
        if step.is_new or not (self.seen.requests or self.seen.tokens):
            self.seen = step.seen
        limit = _least(plan.requests_per_minute, self.seen.requests)
        token_limit = _least(plan.tokens_per_minute, self.seen.tokens)
        is_known = bool(limit or token_limit)
        if is_known:
            self.share = min(self.share, 1.0)
        full = (limit / 60 * USED if limit else 0.0 if is_known else self._start()) / self.parts
        full_tokens = token_limit / 60 * USED / self.parts
        self._watch(now, plan, step.left, full, full_tokens)
        rate, token_rate = self._rates(full, full_tokens)
        self._set_clocks(now, rate, token_rate)
        if step.answered:
            self.in_vain, self.has_answers = 0, 1
        if token_rate:
            self.tokens_at += step.settled / token_rate
        if rate:
            self.requests_at -= step.returned / rate
        if step.refused_epoch >= 0:
            self._refused(now, step, full, full_tokens, is_known=is_known)
            rate, token_rate = self._rates(full, full_tokens)
        start = max(now, self.blocked_until)
        burst = BURST / self.parts
        if rate:
            self.requests_at = max(self.requests_at, now - self.seen.left_requests * burst / rate)
            start = max(start, self.requests_at)
        if token_rate:
            self.tokens_at = max(self.tokens_at, now - self.seen.left_tokens * burst / token_rate)
            start = max(start, self.tokens_at)
        wait = start - now
        held = others_held + step.held
        granted = step.requests > 0 and wait <= HORIZON
        if granted and plan.max_concurrency and held + step.requests > plan.max_concurrency:
            granted, wait = False, max(wait, HORIZON / 4)
        if granted:
            self._permit(now, step, rate, token_rate, is_known=is_known)
            held += step.requests
        blocked = max(self.blocked_until - now, 0.0)
        return Grant(
            granted, wait, self.epoch, blocked, rate, token_rate, self.share, self.parts, held, self.seen
        )

    def _set_clocks(self, now: float, rate: float, token_rate: float) -> None:
        """Let no clock be later than the rates allow; an unset one begins now."""
        if now < self.stepped_at:  # the clock of a store that took over is behind
            ahead = self.stepped_at - now
            self.requests_at -= ahead
            self.tokens_at -= ahead
            self.blocked_until -= ahead
            self.lowered_at -= ahead
        self.stepped_at = now
        if not 0 < self.requests_at <= now + MAX_BLOCKED + (1 + 2 / rate if rate else 0.0):
            self.requests_at = now  # what is left may be others', who went on without Redis
        if not 0 < self.tokens_at <= now + MAX_BLOCKED + (MAX_TOKENS / token_rate if token_rate else 0.0):
            self.tokens_at = now
        if self.blocked_until > now + MAX_BLOCKED:
            self.blocked_until = 0.0

    def _start(self) -> float:
        return ALONE_START if self.is_alone else START

    def _rates(self, full: float, full_tokens: float) -> tuple[float, float]:
        part = self.share if self.pull == 1.0 else min(self.share * self.pull, 1.0)
        return full * part, full_tokens * part

    def _watch(self, now: float, plan: Plan, left: float, full: float, full_tokens: float) -> None:
        if not self.is_alone or left < 0:
            return
        is_configured = plan.requests_per_minute or plan.tokens_per_minute
        if not self.watched_at and not is_configured:  # it goes on as fast as before the limit was known
            calls = self.permitted * full_tokens / self.permitted_tokens if self.permitted_tokens else 0.0
            self.share = min([self.share, *(ALONE_START / rate for rate in (full, calls) if rate)])
        seconds = min(now - self.watched_at, 2.0) if self.watched_at else 0.0
        self.watched_at = now
        piled = self.seen.left_requests / full if full else 0.0
        if full_tokens:
            piled = max(piled, self.seen.left_tokens / full_tokens)
        more = left - LEFT
        if more < 0 and not self.was_short:
            self.was_short = True
            self.share *= 0.5
        gain = SLOW_GAIN if self.was_short else QUICK_GAIN
        growth = gain * seconds * more / (1 - LEFT if more > 0 else LEFT)
        self.share = min(max(self.share * math.exp(growth), 0.005), 1.0)
        weakest, strongest = PULL
        self.pull = min(max(1.0 + min(max(piled, weakest), strongest) * more, 0.2), 2.0)

    def _refused(self, now: float, step: Step, full: float, full_tokens: float, *, is_known: bool) -> None:
        wait = step.refused_wait or min(FIRST_BLOCK * 2.0 ** min(self.in_vain, 9), MAX_BLOCK)
        self.blocked_until = max(self.blocked_until, now + wait * (1 + JITTER * step.jitter))
        self.requests_at = max(self.requests_at, self.blocked_until)  # after it nothing has piled up
        self.tokens_at = max(self.tokens_at, self.blocked_until)
        if step.refused_epoch != self.epoch:
            return  # sent before the last 429 was known
        seconds = now - self.lowered_at
        share = (0.85 if self.lowered_to else 0.5) * self.share
        if is_known and (self.lowered_to or not self.is_alone):
            share = 0.95 * self.share
        if self.lowered_to and seconds >= MIN_MEASURE:
            # The limit was used up at both 429s: what passed between them is what the server allows.
            passed = (self.permitted - 1) / seconds / full if full else 0.0
            if full_tokens:
                passed = max(passed, self.permitted_tokens / seconds / full_tokens)
            share = min(share, 0.95 * passed)
        self.share = self.lowered_to = max(share, 0.5 * self.share)
        self.lowered_at = now
        self.epoch += 1
        self.in_vain += 1
        self.permitted = self.permitted_tokens = 0.0

    def _permit(self, now: float, step: Step, rate: float, token_rate: float, *, is_known: bool) -> None:
        self.permitted += step.requests
        self.permitted_tokens += step.tokens
        seconds = max(step.requests / rate if rate else 0.0, step.tokens / token_rate if token_rate else 0.0)
        latest = max(self.requests_at if rate else 0.0, self.tokens_at if token_rate else 0.0)
        if latest > now - HORIZON - seconds:  # the limit is what slows the calls down
            if is_known:
                self.share = min(1.0, self.share + INCREASE * self.lowered_to * seconds)
            elif self.lowered_to:
                calm = (now - self.lowered_at) / GROWTH_SECONDS if self.is_alone else 0.0
                self.share += INCREASE * (1 + calm * calm) * self.lowered_to * seconds
            elif self.has_answers:
                self.share += GROWTH * self.share * seconds
        if rate:
            self.requests_at += step.requests / rate
        if token_rate:
            self.tokens_at += step.tokens / token_rate


def _bounded(value: object, least: float, most: float, default: float) -> float:
    return value if isinstance(value, int | float) and least <= value <= most else default


def _least(configured: float | None, seen: float) -> float:
    return min(configured, seen) if configured and seen else configured or seen
