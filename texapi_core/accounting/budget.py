"""Budgets: a call that would exceed a limit on spending is refused before it is sent.

A call is reserved at its upper bound (see `estimate`) and settled at its cost. With a ledger all processes
reserve in its database, or in Redis where one is named; without them each process counts its own calls.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from types import ModuleType
from typing import Any, Literal

from texapi_core.accounting.accounts import (
    NO_VALUE,
    PICO,
    Account,
    Balance,
    Crossing,
    Limit,
    Reservation,
    Settlement,
    account_value,
    pico,
    tag_value,
)
from texapi_core.accounting.estimate import upper_bound
from texapi_core.accounting.prices import PriceList
from texapi_core.accounting.record import CallRecord, Spending, StartedCall, bounded, bounded_text
from texapi_core.accounting.reservation_database import Accounts, MemoryDatabase
from texapi_core.accounting.reservation_stores import settle_all, store_of
from texapi_core.accounting.reservation_transactions import Transactions
from texapi_core.accounting.reservations import ReservationStore, StoreError
from texapi_core.accounting.sinks import BudgetUnavailable, CallRefused, LedgerSink, Observer, Sink
from texapi_core.accounting.windows import Window

OnLedgerError = Literal["closed", "open"]
Unpriced = Literal["refuse", "count_tokens"]
_SENDING = nullcontext()
_DAY = Window("24h")
_OF_THIS_PROCESS = " Now what this process last saw there counts as spent, and its calls since ({})."

logger = logging.getLogger("texapi.budget")


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A limit on the spending in a window, for all calls together or for each value of a scope."""

    max_cost: Decimal | None = None
    """USD."""
    max_tokens_total: int | None = None
    """Tokens, in and out."""
    window: Window = _DAY
    """The time that the limit is for."""
    scope: str = "all"
    """`all`, `key`, `model`, `tag:NAME` or `metadata:NAME`. Each value has the whole limit."""
    warnings: tuple[float, ...] = ()
    """Fractions of the limit at which to warn."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "scope", bounded(self.scope))

    def values(self, call: StartedCall) -> tuple[str, ...]:
        """The values of the scope that a call has; `-` for none."""
        kind, _, name = self.scope.partition(":")
        if kind == "all":
            return ("",)
        if kind == "key":
            return (account_value(bounded(call.key_hint)),)
        if kind == "model":
            return (account_value(bounded(call.model)) if call.model else NO_VALUE,)
        if kind == "metadata":
            metadata = call.labels.metadata
            value = next((metadata[one] for one in metadata if bounded(one) == name), None)
            return (NO_VALUE if value is None else account_value(bounded_text(value)),)
        values = dict.fromkeys(tag_value(name, bounded(tag)) for tag in call.labels.tags)
        return tuple(account_value(value) for value in values if value is not None) or (NO_VALUE,)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetWarning:
    """Spending has reached a fraction of a budget."""

    scope: str
    """The budget's scope, e.g. `tag:service`."""
    value: str
    """The value of the scope, `""` for the scope `all`."""
    window: str
    """The budget's window, e.g. `month`."""
    fraction: float
    """The fraction of `budget_warnings` that was reached."""
    spent: Decimal
    """What the window has cost, reserved calls included."""
    limit: Decimal
    """The budget's limit."""
    unit: str
    """`USD` or `tokens`, of `spent` and `limit`."""

    def __str__(self) -> str:
        of_value = f" of {self.scope} {self.value}" if self.value else ""
        return (
            f"{self.spent:f} of {self.limit:f} {self.unit}{of_value} are spent in {self.window}: "
            f"{self.fraction:.0%} of the budget is reached."
        )


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """Where budgets are kept in Redis."""

    url: str = field(repr=False)
    """For redis-py. It may contain a password."""
    name: str | None = None
    """What shares the budgets; default all that use the same Redis."""

    def accounts(self, ledger: Callable[[], Any] | None) -> Accounts:
        """The accounts; `ledger` makes the database of a ledger whose sums are what a Redis has lost."""
        made: Accounts = _redis().RedisAccounts(self.url, self.name, ledger)
        return made

    def read(self, now: datetime) -> list[Any]:
        """The accounts as `KeptAccount`, in their windows at a time. Raises `ConnectionError`."""
        kept: list[Any] = _redis().read_accounts(self.url, self.name, now)
        return kept


def _redis() -> ModuleType:
    from texapi_core.accounting import redis_accounts  # Redis is an extra

    return redis_accounts


BudgetListener = Callable[[BudgetWarning], None]
_listeners: tuple[BudgetListener, ...] = ()


def add_budget_listener(listener: BudgetListener) -> None:
    """Call `listener` with each `BudgetWarning`, once per window over all processes. It must not block."""
    global _listeners
    _listeners = (*_listeners, listener)


def remove_budget_listener(listener: BudgetListener) -> None:
    """Undo `add_budget_listener` with the same `listener`."""
    global _listeners
    _listeners = tuple(one for one in _listeners if one != listener)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSink(Sink):
    """Refuses calls that would exceed a budget."""

    budgets: tuple[Budget, ...]
    """All of which hold."""
    prices: PriceList
    """What estimates are made from."""
    ledger: LedgerSink | None = None
    """In whose database all processes reserve. Without it only this process's calls with the key count."""
    redis: RedisPlace | None = None
    """Where all processes reserve in place of the ledger. The ledger then says what a Redis has lost."""
    unpriced: Unpriced = "refuse"
    """What is done with a model without a price: `refuse` or `count_tokens`."""
    on_ledger_error: OnLedgerError = "closed"
    """While the ledger cannot be written, `closed` refuses calls, `open` counts in this process."""

    @property
    def may_block(self) -> bool:
        """Whether `begin` waits for a database."""
        return self.ledger is not None or self.redis is not None

    def begin(self, call: StartedCall) -> Observer:
        """Reserve the estimated spending of a call.

        Raises:
            CallRefused: the call would exceed a budget.
            BudgetUnavailable: the ledger, or Redis, cannot be written, so the budget cannot be enforced.
        """
        try:
            return self._begin(call)
        except CallRefused:
            raise
        except Exception as error:  # a budget that does not work must not let calls pass
            logger.exception("The budget of a call could not be computed.")
            raise BudgetUnavailable(
                f"The budget could not be computed ({error!r}). Nothing was sent."
            ) from error

    def _begin(self, call: StartedCall) -> Observer:
        prices = self.prices.of_gateway(call.base_url)
        one = upper_bound(call.payload, prices)
        has_cap = any(budget.max_cost is not None for budget in self.budgets)
        if one.cost is None and has_cap and self.unpriced == "refuse":
            reason = prices.reason(call.model)
            raise CallRefused(
                f"The price of the model is not known, so `max_cost` cannot be enforced ({call.model}"
                f"{reason and f': {reason}'}). "
                'Give its price in `prices`, or pass `unpriced="count_tokens"` with `max_tokens_total`.'
            )
        needed = Spending((one.cost or Decimal(0)) * call.max_requests, one.tokens * call.max_requests)
        reservation = Reservation(call.call_id, call.started_at.timestamp(), _limits(self.budgets, call))
        store = _store(self.ledger, call.key_digest, self.redis)
        stores: tuple[ReservationStore, ...] = (store,)
        note = ""
        try:
            found = store.reserve(reservation, needed)
        except StoreError as error:
            if self.on_ledger_error == "closed":
                raise BudgetUnavailable(
                    f"The budget cannot be checked: {store.trouble} ({error}). Nothing was sent."
                ) from error
            logger.warning("The budget counts this process alone: %s (%s).", store.trouble, error)
            stores, note = (store.alone(), store), _OF_THIS_PROCESS.format(store.trouble)
            found = stores[0].reserve(reservation, needed)
        if isinstance(found, tuple):
            raise CallRefused(_refusal(*found, needed) + note)
        return _ReservedCall(stores, reservation, one, needed, found)


def _limits(budgets: tuple[Budget, ...], call: StartedCall) -> tuple[Limit, ...]:
    return tuple(
        Limit(
            Account(budget.scope, value, budget.window),
            None if budget.max_cost is None else pico(budget.max_cost),
            budget.max_tokens_total,
            budget.warnings,
        )
        for budget in budgets
        for value in budget.values(call)
    )


class _ReservedCall(Observer):
    """Settles a call when it has ended, also in the ledger that could not be written when it began."""

    def __init__(
        self,
        stores: Sequence[ReservationStore],
        reservation: Reservation,
        one: Spending,
        needed: Spending,
        balances: Mapping[str, Balance],
    ) -> None:
        self._stores = stores
        self._reservation = reservation
        self._one = one
        """Upper bound of one request."""
        self._left = [_left(limit, balances[limit.account.name], needed) for limit in reservation.limits]
        self._was_sent = False

    def sending(self) -> AbstractContextManager[None]:
        """Note that the request goes out: from now on it may be charged."""
        self._was_sent = True
        return _SENDING

    def end(self, record: CallRecord) -> Mapping[str, Any]:
        """Replace the reservation by the cost, and what may have been charged by its estimate."""
        usage = record.usage
        uncertain = record.uncertain_requests if self._was_sent else 0
        known = Spending(record.cost or Decimal(0), usage.total_tokens or 0)
        is_unpriced = record.cost is None and usage.total_tokens is not None
        cost = (self._one.cost or Decimal(0)) * (uncertain + is_unpriced)
        estimated = Spending(cost, self._one.tokens * uncertain)
        settlement = Settlement(self._reservation, known, estimated)
        for store in self._stores:
            store.settle(settlement)
        spent = Spending((known.cost or Decimal(0)) + cost, known.tokens + estimated.tokens)
        usd = [left.cost - (spent.cost or 0) for left in self._left if left.cost is not None]
        tokens = [left.tokens - spent.tokens for left in self._left if left.tokens >= 0]
        left: dict[str, Any] = {}
        if usd:
            left["cost"] = float(max(min(usd), Decimal(0)))
        if tokens:
            left["tokens"] = max(min(tokens), 0)
        return {"budget_left": left}


def _left(limit: Limit, balance: Balance, reserved: Spending) -> Spending:
    """What a limit leaves without the reservation of this call; -1 tokens for no limit of tokens."""
    cost = None
    if limit.max_cost is not None:
        cost = Decimal(limit.max_cost - balance.total_cost) / PICO + (reserved.cost or Decimal(0))
    tokens = -1
    if limit.max_tokens is not None:
        tokens = limit.max_tokens - balance.total_tokens + reserved.tokens
    return Spending(cost, tokens)


def _refusal(limit: Limit, balance: Balance, needed: Spending) -> str:
    account = limit.account
    cost = pico(needed.cost or Decimal(0))
    if limit.max_cost is not None and balance.total_cost + cost > limit.max_cost:
        usd = (cost, balance.spent_cost, balance.reserved_cost, limit.max_cost)
        amounts = [f"{_usd(amount):f} USD" for amount in usd]
    else:
        counts = (needed.tokens, balance.spent_tokens, balance.reserved_tokens, limit.max_tokens)
        amounts = [f"{count} tokens" for count in counts]
    need, spent, reserved, cap = amounts
    of_value = f" for {account.scope} {account.value}" if account.value else ""
    return (
        f"The call may take {need}; in {account.window} {spent} are spent and {reserved} reserved by calls "
        f"in flight, of {cap}{of_value}. Nothing was sent."
    )


def _usd(amount: int) -> Decimal:
    return (Decimal(amount) / PICO).normalize()


def _report(crossing: Crossing) -> None:
    limit, is_cost = crossing.limit, crossing.unit == "USD"
    cap = limit.max_cost if is_cost else limit.max_tokens
    warning = BudgetWarning(
        scope=limit.account.scope,
        value=limit.account.value,
        window=str(limit.account.window),
        fraction=crossing.fraction,
        spent=_usd(crossing.spent) if is_cost else Decimal(crossing.spent),
        limit=_usd(cap or 0) if is_cost else Decimal(cap or 0),
        unit=crossing.unit,
    )
    logger.warning("%s", warning)
    for listener in _listeners:
        try:
            listener(warning)
        except Exception:
            logger.warning("%r failed.", listener, exc_info=True)


def _store(ledger: LedgerSink | None, key_digest: str, redis: RedisPlace | None = None) -> ReservationStore:
    if redis:
        name = f"redis:{redis.url}\n{redis.name}\n{ledger.url if ledger else ''}"
        return store_of(name, lambda: redis.accounts(ledger.database if ledger else None), _report)
    if ledger:
        return store_of(f"ledger:{ledger.url}", lambda: Transactions(ledger.database()), _report)
    return store_of(f"key:{key_digest}", lambda: Transactions(MemoryDatabase()), _report)


def flush_budgets(timeout: float = 10.0) -> bool:
    """Commit the settlements of all ended calls; `False` if that was not possible in `timeout` seconds."""
    return settle_all(time.monotonic() + timeout)
