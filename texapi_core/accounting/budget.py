"""Budgets: a call that would exceed a limit on recent spending is refused before it is sent.

Spending is read from the ledger, which includes other processes; without a ledger, only this process counts.
A call is estimated at four characters per token of its text, plus `max_tokens` for the answer.
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
"""Maximum age of the spending read from the ledger."""
_CHARACTERS_PER_TOKEN = 4
_NOT_TEXT = frozenset({"url", "data", "file_data", "signature", "thought_signature"})
"""Payload members that contain media or signatures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The limits on spending in the last `window`."""

    max_cost: Decimal | None
    """USD."""
    max_tokens_total: int | None
    window: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSink(Sink):
    """Refuses calls that would exceed a budget. Spending counts per ledger, or per key without a ledger."""

    budget: Budget
    prices: PriceList
    ledger: LedgerSink | None = None
    """Where the spending of other processes is read from."""

    def preparation(self) -> Callable[[], None] | None:
        """A function that reads the spending from the ledger, if the last reading is stale."""
        if self.ledger is None:
            return None
        tracker = self._tracker("")
        return tracker.refresh if tracker.is_stale else None

    def begin(self, call: StartedCall) -> Observer:
        """Reserve the estimated spending of a call.

        Raises:
            CallRefused: the call would exceed the budget.
        """
        tracker = self._tracker(call.key_digest)
        refusal = tracker.admit(call.call_id, estimate(call.payload, self.prices))
        if refusal:
            raise CallRefused(refusal)
        return tracker

    def _tracker(self, key_digest: str) -> BudgetTracker:
        key = (self.budget, self.ledger, "" if self.ledger else key_digest)
        with _lock:
            return _trackers.setdefault(key, BudgetTracker(self.budget, self.ledger))


def estimate(payload: Mapping[str, Any], prices: PriceList) -> Spending:
    """Estimated spending of a call. Without `max_tokens` its answer counts as 0 tokens."""
    output_tokens = int(payload.get("max_completion_tokens") or payload.get("max_tokens") or 0)
    input_tokens = _text_length([payload.get("messages"), payload.get("tools")]) // _CHARACTERS_PER_TOKEN
    usage = TokenUsage(input_tokens=input_tokens, output_tokens=output_tokens)
    return Spending(prices.cost(usage, payload.get("model")), input_tokens + output_tokens)


def _text_length(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_text_length(item) for name, item in value.items() if name not in _NOT_TEXT)
    if isinstance(value, (list, tuple)):
        return sum(_text_length(item) for item in value)
    return 0


class BudgetTracker(Observer):
    """Tracks the spending under one budget in this process."""

    def __init__(self, budget: Budget, ledger: LedgerSink | None) -> None:
        self._budget = budget
        self._ledger = ledger
        self._lock = threading.RLock()
        self._spent: deque[tuple[float, Spending]] = deque()
        """Ended calls of this process that the last reading of the ledger did not include."""
        self._in_flight: dict[str, Spending] = {}
        self._in_ledger = Spending(Decimal(0), 0)
        self._refreshed = float("-inf")

    @property
    def is_stale(self) -> bool:
        """Whether to read the ledger before the next call."""
        return self._ledger is not None and time.monotonic() - self._refreshed > REFRESH_SECONDS

    def refresh(self) -> None:
        """Read the spending from the ledger. Blocks for a query; after an error the old figures stay."""
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

    def admit(self, call_id: str, needed: Spending) -> str:
        """Reserve a call, or return the reason to refuse it."""
        budget = self._budget
        with self._lock:
            spent = self._total()
            if budget.max_cost is not None:
                if needed.cost is None:
                    return (
                        "The price of the model is not known, so `max_cost` cannot be enforced. "
                        "Give its price in `prices`, or use `max_tokens_total`."
                    )
                cost = spent.cost or Decimal(0)
                if cost + needed.cost > budget.max_cost:
                    return self._refusal(*(f"{usd:f} USD" for usd in (cost, needed.cost, budget.max_cost)))
            limit = budget.max_tokens_total
            if limit is not None and spent.tokens + needed.tokens > limit:
                return self._refusal(*(f"{count} tokens" for count in (spent.tokens, needed.tokens, limit)))
            self._in_flight[call_id] = needed
        return ""

    def end(self, record: CallRecord) -> None:
        """Replace the reservation of a call by its spending, or by its estimate if that is unknown."""
        with self._lock:
            estimated = self._in_flight.pop(record.call_id, None)
            tokens = record.usage.total_tokens
            is_refused = record.outcome == "error" and record.response_id is None and tokens is None
            if estimated is None or is_refused:
                return
            cost = record.cost if record.cost is not None else estimated.cost
            spending = Spending(cost, estimated.tokens if tokens is None else tokens)
            self._spent.append((time.monotonic(), spending))

    def _total(self) -> Spending:
        """The spending in the window, including calls in flight."""
        start = time.monotonic() - self._budget.window.total_seconds()
        while self._spent and self._spent[0][0] < start:
            self._spent.popleft()
        counted = [self._in_ledger, *(spending for _, spending in self._spent), *self._in_flight.values()]
        cost = sum((one.cost for one in counted if one.cost is not None), Decimal(0))
        return Spending(cost, sum(one.tokens for one in counted))

    def _refusal(self, spent: str, needed: str, limit: str) -> str:
        hours = self._budget.window.total_seconds() / 3600
        return (
            f"The call may take {needed}; {spent} of {limit} were spent in the last {hours:g} hours or are "
            "reserved by calls in flight. Nothing was sent."
        )


_trackers: dict[tuple[Budget, LedgerSink | None, str], BudgetTracker] = {}
_lock = threading.RLock()


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()
    _trackers.clear()


os.register_at_fork(after_in_child=_after_fork)
