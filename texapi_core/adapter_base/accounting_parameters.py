"""What the constructors of both adapters take for accounting: ledger, prices, budget, spans.

`texapi_core.accounting` imports its parts when a model first asks for one: most models use none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

import texapi_core.accounting
from texapi_core.settings_checks import settings_error

if TYPE_CHECKING:
    from texapi_core.accounting import Accounting, Sink

USAGE_LEDGER_ENV = "TEXAPI_USAGE_LEDGER"
PRICES_ENV = "TEXAPI_PRICES"
OTEL_ENV = "TEXAPI_OTEL"
_OFF = ("", "0", "false", "no", "off")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


_FROM_ENVIRONMENT: dict[str, Callable[[], Any]] = {
    "usage_ledger": lambda: os.environ.get(USAGE_LEDGER_ENV) or None,
    "prices": lambda: os.environ.get(PRICES_ENV) or None,
    "otel": lambda: os.environ.get(OTEL_ENV, "").strip().lower() not in _OFF,
}


class AccountingParameters(BaseModel):
    """What both adapters' constructors take for accounting. Nothing of it is sent."""

    # For this class and those between it and the adapters': no object is made of them, so an import need
    # not build their validators.
    model_config = ConfigDict(defer_build=True)

    usage_ledger: str | None = Field(
        default_factory=_FROM_ENVIRONMENT["usage_ledger"],
        exclude=True,
        repr=False,
        description="URL of the ledger, e.g. sqlite:///texapi-usage.db; default the environment's "
        "TEXAPI_USAGE_LEDGER, and no ledger. Needs the extra `ledger`.",
    )
    prices: Any = Field(
        default_factory=_FROM_ENVIRONMENT["prices"],
        exclude=True,
        repr=False,
        description="Prices for the cost of calls: a file, or a dict of rows over the list that comes with "
        "this package; default the environment's TEXAPI_PRICES.",
    )
    otel: bool = Field(
        default_factory=_FROM_ENVIRONMENT["otel"],
        exclude=True,
        description="Whether each call becomes a span and metrics of OpenTelemetry; default the "
        "environment's TEXAPI_OTEL, and no. Needs the extra `otel`.",
    )

    max_cost: float | None = Field(
        default=None,
        ge=0,
        description="USD that may be spent in `budget_window`; a call that would exceed it is not sent.",
    )
    max_tokens_total: int | None = Field(
        default=None,
        ge=0,
        description="Tokens, in and out, that may be spent in `budget_window`.",
    )
    budget_window: str = Field(
        default="24h",
        pattern=r"^[1-9]\d*[mhdw]$",
        description="The time that a budget is for, up to now: minutes, hours, days or weeks, e.g. 30d.",
    )

    @field_validator("prices")
    @classmethod
    def _parse_prices(cls, prices: Any) -> Any:
        """A dict is read once; a file when it is needed, by each process for itself."""
        if prices is None:
            return None
        if isinstance(prices, os.PathLike):
            prices = os.fspath(prices)
        parsed = texapi_core.accounting.parse_prices(prices)
        return prices if isinstance(prices, str) else parsed

    def __getstate__(self) -> dict[Any, Any]:
        """Values from the environment are not pickled: a worker reads its own environment."""
        state = super().__getstate__()
        local = {name: None for name in _FROM_ENVIRONMENT if name not in self.model_fields_set}
        return {**state, "__dict__": {**state["__dict__"], **local}}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        for name, read in _FROM_ENVIRONMENT.items():
            if name not in self.model_fields_set:
                self.__dict__[name] = read()
        if self.usage_ledger:
            with suppress(ImportError):  # the first record says so, in the log
                # Imported now: it takes longer than an event loop may stand still.
                texapi_core.accounting.watch_sigterm()

    @property
    def accounting(self) -> Accounting | None:
        """Prices and sinks of this model; `None` when it has neither."""
        prices, sinks = self.prices, self._sinks()
        if prices is None and not sinks:
            return None
        accounting = texapi_core.accounting
        return accounting.Accounting(prices=accounting.parse_prices(prices), sinks=tuple(sinks))

    def _sinks(self) -> Sequence[Sink]:
        """What follows each call. The budget is last: it reserves nothing for a call refused before."""
        sinks: list[Sink] = []
        if self.usage_ledger:
            sinks.append(texapi_core.accounting.LedgerSink(self.usage_ledger))
        if self.otel:
            sinks.append(texapi_core.accounting.SpanSink())
        if self.max_cost is not None or self.max_tokens_total is not None:
            sinks.append(self._budget_sink())
        return sinks

    def _budget_sink(self) -> Sink:
        accounting = texapi_core.accounting
        count, unit = int(self.budget_window[:-1]), _UNITS[self.budget_window[-1]]
        budget = accounting.Budget(
            max_cost=None if self.max_cost is None else Decimal(str(self.max_cost)),
            max_tokens_total=self.max_tokens_total,
            window=timedelta(**{unit: count}),
        )
        ledger = accounting.LedgerSink(self.usage_ledger) if self.usage_ledger else None
        return accounting.BudgetSink(
            budget=budget, prices=accounting.parse_prices(self.prices), ledger=ledger
        )

    def check_accounting(self) -> None:
        """Raise `TexAPISettingsError` for a ledger, prices or spans that cannot work."""
        try:
            _ = self.accounting
        except ValueError as error:
            raise settings_error(f"{error} Correct `prices`, or `{PRICES_ENV}`.") from error
        if self.usage_ledger:
            _check_ledger(self.usage_ledger)
        if self.otel and find_spec("opentelemetry") is None:
            raise settings_error(
                f"`otel`, or `{OTEL_ENV}`, needs OpenTelemetry. "
                'Install it with: pip install "texapi-integrations[otel]"'
            )


def _check_ledger(url: str) -> None:
    try:
        check = texapi_core.accounting.check_ledger
    except ImportError as error:
        raise settings_error(
            'A usage ledger needs SQLAlchemy. Install it with: pip install "texapi-integrations[ledger]"'
        ) from error
    try:
        check(url)
    except ImportError as error:
        raise settings_error(
            f"The database of the usage ledger needs the package `{error.name}`. For PostgreSQL: "
            'pip install "texapi-integrations[postgresql]"'
        ) from error
    except texapi_core.accounting.LedgerURLError as error:
        way_out = f"Correct `usage_ledger`, or `{USAGE_LEDGER_ENV}`."
        raise settings_error(f"`usage_ledger` cannot be used: {error}. {way_out}") from None
    texapi_core.accounting.watch_sigterm()
