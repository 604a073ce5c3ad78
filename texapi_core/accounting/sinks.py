"""Sinks: what follows the calls of a model. Listeners, ledger and spans are here, the budget in its file.

A sink is asked once per call to `begin`, and may refuse the call there. What it returns is told when the
request goes out and, with the call's record, when it has ended. To add one: a class in a file of its own,
and a field of `texapi_core.adapter_base.accounting_parameters` that makes one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from types import ModuleType
from typing import Protocol

from texapi_core.accounting.prices import PriceList
from texapi_core.accounting.record import (
    CallRecord,
    CostSource,
    Listener,
    Spending,
    StartedCall,
    log_call,
    logger,
)
from texapi_core.wire.usage import TokenUsage

_NOTHING = nullcontext()


class CallRefused(Exception):
    """A sink does not let a call be sent; its text says why. The caller gets `TexAPIBudgetExceededError`."""


class Observer(Protocol):
    """Follows one call. Whatever else it raises is logged and fails no call."""

    def sending(self) -> AbstractContextManager[None]:
        """Around the request, to the head of its response."""
        return _NOTHING

    def end(self, record: CallRecord) -> None:
        """The call has ended, with or without an answer. Called once, in the context in which it began."""


class Sink(Protocol):
    """Follows the calls of a model, or of all models of a process. One object serves many calls at once."""

    def preparation(self) -> Callable[[], None] | None:
        """What must be done before the next call and may block; async calls do it in a thread."""
        return None

    def begin(self, call: StartedCall) -> Observer:
        """An observer of a call that begins.

        Raises:
            CallRefused: the call must not be sent.
        """
        ...


@dataclass(frozen=True, slots=True)
class ListenerSink(Sink, Observer):
    """Hands each record to a function."""

    listener: Listener

    def begin(self, call: StartedCall) -> Observer:
        """Itself, for it keeps nothing of a call."""
        return self

    def end(self, record: CallRecord) -> None:
        """Hand the record over."""
        self.listener(record)


@dataclass(frozen=True, slots=True)
class LedgerSink(Sink, Observer):
    """Writes each record into the ledger at a URL."""

    url: str = field(repr=False)
    """It may hold a password."""

    def begin(self, call: StartedCall) -> Observer:
        """Itself, for it keeps nothing of a call."""
        return self

    def end(self, record: CallRecord) -> None:
        """Have the record written soon."""
        _ledger().write_record(self.url, record)

    def read_spending(self, since: datetime) -> Spending | None:
        """What all who write to the ledger have spent since a moment, `None` when it cannot be read."""
        spending: Spending | None = _ledger().read_spending(self.url, since)
        return spending


def _ledger() -> ModuleType:
    from texapi_core.accounting import ledger  # SQLAlchemy is an extra, which a worker may lack

    return ledger


@dataclass(frozen=True, slots=True)
class SpanSink(Sink):
    """Makes each call a span and metrics of OpenTelemetry."""

    def begin(self, call: StartedCall) -> Observer:
        """The span."""
        from texapi_core.accounting.otel import CallSpan  # OpenTelemetry is an extra

        return CallSpan(call)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounting:
    """Prices and sinks of one model object, resolved and checked. Holds no connection."""

    prices: PriceList
    sinks: tuple[Sink, ...] = ()

    def cost(self, usage: TokenUsage, *models: str | None) -> tuple[Decimal | None, CostSource | None]:
        """USD for a call and the source of the figure: the gateway itself, else the price list."""
        cost, source = gateway_cost(usage)
        if cost is not None:
            return cost, source
        cost = self.prices.cost(usage, *models)
        return cost, None if cost is None else "prices"


def gateway_cost(usage: TokenUsage) -> tuple[Decimal | None, CostSource | None]:
    """USD for a call as the gateway reports it."""
    return (None, None) if usage.cost is None else (Decimal(str(usage.cost)), "gateway")


_listeners: tuple[ListenerSink, ...] = ()
_LOG = ListenerSink(log_call)


def add_listener(listener: Listener) -> None:
    """Have `listener` called with the record of each call of this process. It must not block."""
    global _listeners
    _listeners = (*_listeners, ListenerSink(listener))


def remove_listener(listener: Listener) -> None:
    """Undo `add_listener`."""
    global _listeners
    _listeners = tuple(one for one in _listeners if one.listener != listener)


def process_sinks() -> tuple[Sink, ...]:
    """The sinks of every call of this process: its listeners, and the log when its level asks for it."""
    return (*_listeners, _LOG) if logger.isEnabledFor(logging.INFO) else _listeners
