"""A limit to what is spent in a time: the call that would exceed it is refused before it is sent.

What was spent comes from the ledger, that of other processes too, or without one from this process alone.
What a call will take is estimated: its text at four characters a token, and as long an answer as it allows.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from texapi_core.accounting.prices import PriceList
from texapi_core.accounting.record import CallRecord, Spending, StartedCall
from texapi_core.accounting.sinks import CallRefused, LedgerSink, Observer, Sink
from texapi_core.wire.usage import TokenUsage

REFRESH_SECONDS = 5.0
"""How old the spending of other processes may be, as it was read from the ledger."""
_CHARACTERS_PER_TOKEN = 4
_NOT_TEXT = frozenset({"url", "data", "file_data", "signature", "thought_signature"})
"""Members of a payload that hold media or signatures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Most that may be spent in the last `window`."""

    max_cost: Decimal | None
    """USD."""
    max_tokens_total: int | None
    window: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSink(Sink):
    """Refuses the calls that would exceed a budget. One tracker per ledger, or per key without a ledger."""

    budget: Budget
    prices: PriceList
    ledger: LedgerSink | None = None
    """Where the spending of other processes is read."""

    def preparation(self) -> Callable[[], None] | None:
        """Read the ledger, when what is known of it is old."""
        if self.ledger is None:
            return None
        tracker = self._tracker("")
        return tracker.refresh if tracker.is_stale else None

    def begin(self, call: StartedCall) -> Observer:
        """Reserve what a call may take.

        Raises:
            CallRefused: it would exceed the budget.
        """
        tracker = self._tracker(call.key_digest)
        refusal = tracker.admit(call.call_id, estimate(call.payload, self.prices))
        if refusal:
            raise CallRefused(refusal)
        return _Reservation(tracker)

    def _tracker(self, key_digest: str) -> BudgetTracker:
        key = (self.budget, self.ledger, "" if self.ledger else key_digest)
        with _lock:
            return _trackers.setdefault(key, BudgetTracker(self.budget, self.ledger))


@dataclass(frozen=True, slots=True)
class _Reservation(Observer):
    tracker: BudgetTracker

    def end(self, record: CallRecord) -> None:
        self.tracker.settle(record)


def estimate(payload: Mapping[str, Any], prices: PriceList) -> Spending:
    """What a call may take at most, as far as that can be told before it is sent."""
    answer = payload.get("max_completion_tokens") or payload.get("max_tokens") or 0
    asked = _text_length([payload.get("messages"), payload.get("tools")]) // _CHARACTERS_PER_TOKEN
    usage = TokenUsage(input_tokens=asked, output_tokens=int(answer))
    return Spending(prices.cost(usage, payload.get("model")), asked + int(answer))


def _text_length(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_text_length(item) for name, item in value.items() if name not in _NOT_TEXT)
    if isinstance(value, (list, tuple)):
        return sum(_text_length(item) for item in value)
    return 0


class BudgetTracker:
    """What is left of a budget in this process."""

    def __init__(self, budget: Budget, ledger: LedgerSink | None) -> None:
        self._budget = budget
        self._ledger = ledger
        self._lock = threading.RLock()
        self._spent: deque[tuple[float, Spending]] = deque()
        """Calls of this process, those that the ledger has counted left out."""
        self._under_way: dict[str, Spending] = {}
        self._in_ledger = Spending(Decimal(0), 0)
        self._refreshed = float("-inf")

    @property
    def is_stale(self) -> bool:
        """Whether to look into the ledger before the next call."""
        return self._ledger is not None and time.monotonic() - self._refreshed > REFRESH_SECONDS

    def refresh(self) -> None:
        """Read what was spent out of the ledger. Blocks for a query; an error leaves all as it was."""
        if self._ledger is None:
            return
        started = time.monotonic()
        found = self._ledger.read_spending(datetime.now(UTC) - self._budget.window)
        with self._lock:
            self._refreshed = time.monotonic()
            if found is not None:
                self._in_ledger = found
                while self._spent and self._spent[0][0] < started:
                    self._spent.popleft()

    def admit(self, call_id: str, asked: Spending) -> str:
        """Why a call must not be sent, `""` when it may, and is counted from now on."""
        budget = self._budget
        with self._lock:
            spent = self._total()
            if budget.max_cost is not None:
                if asked.cost is None:
                    return (
                        "The price of the model is not known, so `max_cost` cannot be kept. "
                        "Give its price in `prices`, or use `max_tokens_total`."
                    )
                cost = spent.cost or Decimal(0)
                if cost + asked.cost > budget.max_cost:
                    return self._refusal(*(f"{usd:f} USD" for usd in (cost, asked.cost, budget.max_cost)))
            most = budget.max_tokens_total
            if most is not None and spent.tokens + asked.tokens > most:
                return self._refusal(f"{spent.tokens} tokens", f"{asked.tokens} tokens", f"{most} tokens")
            self._under_way[call_id] = asked
        return ""

    def settle(self, record: CallRecord) -> None:
        """Count what a call took, or what was estimated where that is not known."""
        with self._lock:
            asked = self._under_way.pop(record.call_id, None)
            if asked is None:
                return
            usage = record.usage
            known = usage.total_tokens is not None
            is_refused = record.outcome == "error" and record.response_id is None and not known
            if is_refused:
                return
            tokens = (usage.total_tokens or 0) if known else asked.tokens
            cost = record.cost if record.cost is not None else asked.cost
            self._spent.append((time.monotonic(), Spending(cost, tokens)))

    def _total(self) -> Spending:
        """All that counts now, calls under way included."""
        start = time.monotonic() - self._budget.window.total_seconds()
        while self._spent and self._spent[0][0] < start:
            self._spent.popleft()
        every = [self._in_ledger, *(spending for _, spending in self._spent), *self._under_way.values()]
        cost = sum((one.cost for one in every if one.cost is not None), Decimal(0))
        return Spending(cost, sum(one.tokens for one in every))

    def _refusal(self, spent: str, asked: str, limit: str) -> str:
        hours = self._budget.window.total_seconds() / 3600
        return (
            f"The call may take {asked}; {spent} of {limit} are spent in {hours:g} hours or under way. "
            "Nothing was sent."
        )


_trackers: dict[tuple[Budget, LedgerSink | None, str], BudgetTracker] = {}
_lock = threading.RLock()


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()
    _trackers.clear()


os.register_at_fork(after_in_child=_after_fork)
