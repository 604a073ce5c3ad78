"""Accounting of calls: records, listeners, prices, budgets, the usage ledger and OpenTelemetry spans."""

from __future__ import annotations

from typing import TYPE_CHECKING

from texapi_core._lazy import lazy_names

if TYPE_CHECKING:
    from texapi_core.accounting.budget import (
        Budget,
        BudgetSink,
        BudgetWarning,
        RedisPlace,
        add_budget_listener,
        flush_budgets,
        remove_budget_listener,
    )
    from texapi_core.accounting.budget_checks import make_budget, parse_budgets
    from texapi_core.accounting.ledger import check_ledger, flush_ledgers, watch_sigterm
    from texapi_core.accounting.ledger.reconciliation import Difference, reconcile
    from texapi_core.accounting.ledger.report import (
        LedgerUnreadableError,
        UsageLine,
        open_for_reading,
        read_calls,
        read_usage,
    )
    from texapi_core.accounting.ledger.schema import LedgerURLError
    from texapi_core.accounting.ledger.statement import (
        Entry,
        StatementError,
        StatementFormat,
        read_format,
        read_statement,
    )
    from texapi_core.accounting.prices import ModelPrice, PriceList, bundled_prices, parse_prices
    from texapi_core.accounting.record import CallLabels, CallRecord, StartedCall
    from texapi_core.accounting.sinks import (
        Accounting,
        BudgetUnavailable,
        CallRefused,
        LedgerSink,
        Observer,
        Sink,
        SpanSink,
        add_listener,
        remove_listener,
    )

__all__ = [
    "Accounting",
    "Budget",
    "BudgetSink",
    "BudgetUnavailable",
    "BudgetWarning",
    "CallLabels",
    "CallRecord",
    "CallRefused",
    "Difference",
    "Entry",
    "LedgerSink",
    "LedgerURLError",
    "LedgerUnreadableError",
    "ModelPrice",
    "Observer",
    "PriceList",
    "RedisPlace",
    "Sink",
    "SpanSink",
    "StartedCall",
    "StatementError",
    "StatementFormat",
    "UsageLine",
    "add_budget_listener",
    "add_listener",
    "bundled_prices",
    "check_ledger",
    "flush_budgets",
    "flush_ledgers",
    "make_budget",
    "open_for_reading",
    "parse_budgets",
    "parse_prices",
    "read_calls",
    "read_format",
    "read_statement",
    "read_usage",
    "reconcile",
    "remove_budget_listener",
    "remove_listener",
    "watch_sigterm",
]

_LIGHT = ("record", "prices", "sinks", "budget", "budget_checks")
_WITH_SQLALCHEMY = ("ledger", "ledger.schema", "ledger.report", "ledger.reconciliation", "ledger.statement")
__getattr__ = lazy_names(__name__, __all__, [f"{__name__}.{home}" for home in (*_LIGHT, *_WITH_SQLALCHEMY)])
