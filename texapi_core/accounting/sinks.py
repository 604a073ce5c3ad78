"""Sinks receive the calls of a model: listeners, ledger and spans here, budgets in `budget`.

`Sink.begin` is called before each call and returns an `Observer`, or refuses the call. The observer wraps
the sending of the request, and receives the record when the call has ended. To add a sink, write its class
in a new module and add a field of `texapi_core.adapter_base.accounting_parameters` that creates it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from decimal import Decimal
from types import ModuleType
from typing import Any, Protocol

from texapi_core.accounting.prices import PriceList
from texapi_core.accounting.record import (
    CallRecord,
    CostSource,
    Listener,
    StartedCall,
    log_call,
    logger,
)
from texapi_core.wire.usage import TokenUsage

_NULL_CONTEXT = nullcontext()


class CallRefused(Exception):
    """Raised by `Sink.begin` to refuse a call. The caller gets `TexAPIBudgetExceededError` with its text."""


class BudgetUnavailable(CallRefused):
    """Refuses a call whose budget cannot be checked. The caller gets `TexAPIBudgetUnavailableError`."""


class Observer(Protocol):
    """Observes one call."""

    def sending(self) -> AbstractContextManager[None]:
        """A context manager for sending the request, until the response headers arrive."""
        return _NULL_CONTEXT

    def end(self, record: CallRecord) -> Mapping[str, Any] | None:
        """Called once, when the call has ended, in the context in which it began. Exceptions are logged.

        The `record` is of the whole call. What it returns is added to the metadata of the answer.
        """


class Sink(Protocol):
    """Receives the calls of a model, or of all models of a process, many of them concurrently."""

    @property
    def may_block(self) -> bool:
        """Whether `begin` may wait for I/O: async calls then run it in a thread."""
        return False

    def begin(self, call: StartedCall) -> Observer:
        """The observer of a call that is about to be sent. Exceptions but `CallRefused` are logged.

        Raises:
            CallRefused: the call must not be sent.
        """
        ...


@dataclass(frozen=True, slots=True)
class ListenerSink(Sink, Observer):
    """Passes each record to a function."""

    listener: Listener

    def begin(self, call: StartedCall) -> Observer:
        """This object, which keeps no state per call."""
        return self

    def end(self, record: CallRecord) -> None:
        """Pass the record on."""
        self.listener(record)


@dataclass(frozen=True, slots=True)
class LedgerSink(Sink, Observer):
    """Writes each record to the ledger at a URL."""

    url: str = field(repr=False)
    """It may contain a password."""

    def begin(self, call: StartedCall) -> Observer:
        """This object, which keeps no state per call; its writer is there when the process exits."""
        _ledger().writer_of(self.url)
        return self

    def end(self, record: CallRecord) -> None:
        """Queue the record for writing."""
        _ledger().write_record(self.url, record)

    def database(self) -> Any:
        """The ledger's database as one of reservations (`LedgerDatabase`)."""
        return _ledger().LedgerDatabase(self.url)


def _ledger() -> ModuleType:
    from texapi_core.accounting import ledger  # SQLAlchemy is an extra, which a worker may lack

    return ledger


@dataclass(frozen=True, slots=True)
class SpanSink(Sink):
    """Creates an OpenTelemetry span and metrics for each call."""

    def begin(self, call: StartedCall) -> Observer:
        """The span of the call."""
        from texapi_core.accounting.otel import CallSpan  # OpenTelemetry is an extra

        return CallSpan(call)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounting:
    """Validated prices and sinks of one model object. Holds no connection."""

    prices: PriceList
    sinks: tuple[Sink, ...] = ()

    def cost(
        self, usage: TokenUsage, *models: str | None, base_url: str = ""
    ) -> tuple[Decimal | None, CostSource | None]:
        """USD of a call and its source: the gateway's figure, else the price list, else `(None, None)`.

        Args:
            usage: the call's tokens.
            models: names of the model; the first that has a price gives it.
            base_url: the gateway, whose own list of prices wins over the price list.
        """
        if usage.cost is not None:
            return Decimal(str(usage.cost)), "gateway"
        cost = self.prices.of_gateway(base_url).cost(usage, *models)
        return cost, None if cost is None else "prices"

    def cache_savings(self, usage: TokenUsage, *models: str | None, base_url: str = "") -> Decimal | None:
        """USD that the prompt cache saved, by the price in `cost`; `None` if nothing was read or unknown."""
        if not usage.cached_tokens:
            return None
        return self.prices.of_gateway(base_url).cache_savings(usage, *models)


NO_ACCOUNTING = Accounting(prices=PriceList(models={}))

_listeners: tuple[ListenerSink, ...] = ()
_LOG = ListenerSink(log_call)


def add_listener(listener: Listener) -> None:
    """Call `listener` with the record of each call that ends in this process. It must not block."""
    global _listeners
    _listeners = (*_listeners, ListenerSink(listener))


def remove_listener(listener: Listener) -> None:
    """Undo `add_listener` with the same `listener`."""
    global _listeners
    _listeners = tuple(one for one in _listeners if one.listener != listener)


def sinks_of(accounting: Accounting | None) -> tuple[Sink, ...]:
    """The sinks of a call: listeners of the process, the log if INFO is enabled, and those of the model."""
    sinks: tuple[Sink, ...] = (*_listeners, _LOG) if logger.isEnabledFor(logging.INFO) else _listeners
    return sinks if accounting is None else (*sinks, *accounting.sinks)
