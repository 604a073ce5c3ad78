"""How much the calls of a process ask of a limit: how many come, and how many tokens each takes."""

from __future__ import annotations

import time

from texapi_core.limits.state import Grant

_BLOCK_SECONDS = 0.1
"""Permits for this long are asked for at once, for longer where a step takes longer."""
_MAX_BLOCK = 500
_LEARNING = 0.1
"""The part by which a mean follows its last value."""


class Demand:
    """What has come until now, by which permits are asked for ahead."""

    def __init__(self) -> None:
        self.mean_tokens = 0.0
        """Tokens that a call reserves."""
        self._ratio = 1.0
        """Tokens that a call took, for each that it was estimated to take."""
        self._has_ratio = False
        self._entered = 0
        self._asked_at = time.monotonic()

    def reservation_of(self, estimate: float) -> float:
        """Count a call of about `estimate` tokens. Returns the tokens to reserve for it."""
        tokens = estimate * self._ratio
        self._entered += 1
        self.mean_tokens += _LEARNING * (tokens - self.mean_tokens)
        return tokens

    def learn(self, estimate: float, tokens: int) -> None:
        """Take the tokens of an answer that were estimated."""
        ratio = min(max(tokens / estimate, 0.01), 10.0)
        self._ratio += (_LEARNING if self._has_ratio else 1.0) * (ratio - self._ratio)
        self._has_ratio = True

    def block(self, now: float, grant: Grant | None, waiting: int, round_trip: float) -> int:
        """How many permits to ask for: those for the calls that wait and for those that come in a moment.

        One while nothing is known; at most what the last grant's rates give in that moment.
        """
        seconds = max(_BLOCK_SECONDS, round_trip + min(round_trip, _BLOCK_SECONDS))
        used = self._entered / max(now - self._asked_at, 0.001) * seconds
        self._asked_at, self._entered = now, 0
        if grant is None:
            return 1
        most = float(_MAX_BLOCK)
        if grant.requests_per_second:
            most = min(most, grant.requests_per_second * seconds)
        if grant.tokens_per_second:
            most = min(most, grant.tokens_per_second * seconds / max(self.mean_tokens, 1.0))
        return max(1, int(min(most, max(waiting, used))))
