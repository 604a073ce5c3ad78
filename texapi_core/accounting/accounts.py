"""Accounts of budgets: limits, balances, the calls under them, and the warnings that are due."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_CEILING, Decimal

from texapi_core.accounting.record import TAG_SEPARATORS, Spending
from texapi_core.accounting.windows import Window

PICO = Decimal(10) ** 12
OPEN, KNOWN, UNCERTAIN = range(3)
"""States of a reservation: in flight; ended at a known cost; ended, and may have been charged."""
_UNCERTAIN_PART = "?"
"""Suffix of the call id under which the part of a call that may have been charged is kept."""


def tag_value(name: str, tag: str) -> str | None:
    """The value of an account for a tag of a name: the tag, spelled with the first separator.

    `team=a` and `team:a` are one value. `None` for a tag of another name.
    """
    if tag == name:
        return tag
    if tag.startswith(tuple(name + separator for separator in TAG_SEPARATORS)):
        return f"{name}{TAG_SEPARATORS[0]}{tag[len(name) + 1 :]}"
    return None


def tags_of_value(name: str, value: str) -> tuple[str, ...]:
    """The tags of which `tag_value` makes a value."""
    start = name + TAG_SEPARATORS[0]
    if not value.startswith(start) or value == name:
        return (value,)
    return tuple(name + separator + value.removeprefix(start) for separator in TAG_SEPARATORS)


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

    def parts(self) -> tuple[tuple[str, int, int, int], ...]:
        """What is kept of the call: id, state, cost in 10⁻¹² USD and tokens of each part."""
        call_id = self.reservation.call_id
        both = ((call_id, KNOWN, self.known), (call_id + _UNCERTAIN_PART, UNCERTAIN, self.uncertain))
        return tuple((part, state, pico(one.cost or Decimal(0)), one.tokens) for part, state, one in both)


def limits_of(settlements: Iterable[Settlement], reservation: Reservation | None) -> list[Limit]:
    """All limits that a step concerns, of the calls that ended and of the one that begins."""
    calls = [*(one.reservation for one in settlements), *([reservation] if reservation else ())]
    return [limit for call in calls for limit in call.limits]


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
    mark: str
    """What is noted of it, so that it is reported once."""


Reserved = dict[str, Balance] | tuple[Limit, Balance]
"""The balances with the call reserved, or the limit that it would exceed with its balance."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one step of the accounts has done."""

    reserved: Reserved | None
    """`None` for a step that only settled."""
    crossings: Sequence[Crossing]


def exceeded(
    limits: Iterable[Limit], balances: Mapping[str, Balance], cost: int, tokens: int
) -> Limit | None:
    """The first limit that a call would exceed."""
    for limit in limits:
        balance = balances[limit.account.name]
        if limit.max_cost is not None and balance.total_cost + cost > limit.max_cost:
            return limit
        if limit.max_tokens is not None and balance.total_tokens + tokens > limit.max_tokens:
            return limit
    return None


class LastSeen:
    """The accounts as this process last saw them: what is left of them when their database is lost."""

    def __init__(self, lost: Mapping[str, Balance] | None = None) -> None:
        self.balances: dict[str, Balance] = {}
        """At the last commit of this process."""
        self._lost = dict(lost or {})
        """Of a database that has been deleted or replaced since."""
        self.store_id = ""

    def found(self, store_id: str) -> None:
        """Note which database this is: another than before has lost what was in it."""
        if self.store_id and store_id != self.store_id:
            self._lost = dict(self.balances)
        self.store_id = store_id

    def is_lost(self, name: str) -> bool:
        """Whether an account was in another database."""
        return name in self._lost

    def carried(self, limit: Limit, start: datetime, *, is_gone: bool = False) -> Balance | None:
        """What to count on for an account that is lost, or gone, if it was seen in the window."""
        name, since = limit.account.name, start.timestamp()
        seen = self._lost.get(name) or (self.balances.get(name) if is_gone else None)
        if seen is None or seen.read_at < since:
            return None
        return seen if limit.account.window.end(start) is None or seen.since == since else None

    def committed(self, balances: Mapping[str, Balance]) -> None:
        """Note the accounts of a commit."""
        self.balances.update(balances)
        for name in balances:
            self._lost.pop(name, None)


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
                yield Crossing(limit, fraction, unit, spent, mark)


def pico(usd: Decimal) -> int:
    """USD in 10⁻¹² USD, rounded up."""
    return int((usd * PICO).to_integral_value(ROUND_CEILING))
