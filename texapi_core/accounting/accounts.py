"""Accounts of budgets: limits, balances, the calls under them, and the warnings that are due."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal

from texapi_core.accounting.record import Spending
from texapi_core.accounting.windows import Window

PICO = Decimal(10) ** 12
OPEN, KNOWN, UNCERTAIN = range(3)
"""States of a reservation: in flight; ended at a known cost; ended, and may have been charged."""

TAG_SEPARATORS = ("=", ":")
"""Between the name of a tag and its value, e.g. `team=search`."""
NO_VALUE = "-"
"""The value of an account for calls without the tag, the metadata or the model that a budget is split by."""


def account_value(value: str) -> str:
    """The value of an account for a value in a call: one of dashes alone gets another, unlike `NO_VALUE`."""
    return value if value.strip("-") or not value else f"{value}-"


def value_in_calls(value: str) -> str | None:
    """The value in calls for the value of an account, `None` for `NO_VALUE`."""
    if value == NO_VALUE:
        return None
    return value if value.strip("-") or not value else value[:-1]


@dataclass(frozen=True, slots=True)
class Account:
    """What one cap is for: the calls with one value of a scope, in a window."""

    scope: str
    value: str
    window: Window
    name: str = field(init=False)

    def __post_init__(self) -> None:
        window = self.window
        name = f"{self.scope}\x1f{self.value}\x1f{window.text}\x1f{window.timezone}"
        object.__setattr__(self, "name", name)


@dataclass(frozen=True, slots=True)
class Limit:
    """A cap on an account. `None` is no cap."""

    account: Account
    max_cost: int | None
    """10⁻¹² USD."""
    max_tokens: int | None
    warnings: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Reservation:
    """One call under its limits."""

    call_id: str
    started_at: float
    """Seconds since 1970."""
    limits: tuple[Limit, ...]


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of a reserved call."""

    reservation: Reservation
    known: Spending
    """As the gateway reported it, zeros for a call that was refused or not sent."""
    uncertain: Spending
    """Estimate of requests that may have been charged."""


@dataclass(slots=True)
class Balance:
    """An account as the database has it, in 10⁻¹² USD and tokens."""

    account: str
    since: float
    read_at: float
    carried_at: float
    warned: str
    max_cost: int | None
    max_tokens: int | None
    ledger_cost: int
    ledger_tokens: int
    carried_cost: int
    carried_tokens: int
    settled_cost: int
    settled_tokens: int
    reserved_cost: int
    reserved_tokens: int

    @property
    def spent_cost(self) -> int:
        """Ended calls."""
        return self.ledger_cost + self.carried_cost + self.settled_cost

    @property
    def spent_tokens(self) -> int:
        """Ended calls."""
        return self.ledger_tokens + self.carried_tokens + self.settled_tokens

    @property
    def total_cost(self) -> int:
        """Ended calls, and those in flight."""
        return self.spent_cost + self.reserved_cost

    @property
    def total_tokens(self) -> int:
        """Ended calls, and those in flight."""
        return self.spent_tokens + self.reserved_tokens

    def add(self, state: int, cost: int, tokens: int) -> None:
        """Add a reservation, or take it off with negative amounts."""
        if state == OPEN:
            self.reserved_cost += cost
            self.reserved_tokens += tokens
        else:
            self.settled_cost += cost
            self.settled_tokens += tokens


@dataclass(frozen=True, slots=True)
class Crossing:
    """Spending that has reached a warning's fraction of a limit."""

    limit: Limit
    fraction: float
    unit: str
    """`USD` or `tokens`."""
    spent: int


def due_warnings(limit: Limit, balance: Balance) -> Iterable[Crossing]:
    """Warnings that are due, each noted in the balance, so that no other process repeats it."""
    for unit, cap, spent in (
        ("USD", limit.max_cost, balance.spent_cost),
        ("tokens", limit.max_tokens, balance.spent_tokens),
    ):
        for fraction in limit.warnings if cap else ():
            mark = f"{unit}:{cap}:{fraction}"
            if spent >= fraction * (cap or 0) and f"{mark}@" not in balance.warned:
                balance.warned = f"{balance.warned} {mark}@{time.time():.0f}".strip()
                yield Crossing(limit, fraction, unit, spent)


def pico(usd: Decimal) -> int:
    """USD in 10⁻¹² USD, rounded up."""
    return int((usd * PICO).to_integral_value(ROUND_CEILING))
