"""The constructor arguments of both adapters for accounting: ledger, prices, budget, spans.

Most models use none of them, so the code behind them is imported by the first model that does.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from texapi_core.settings import settings_error

if TYPE_CHECKING:
    from texapi_core.accounting.budget import Budget
    from texapi_core.accounting.sinks import Accounting

USAGE_LEDGER_ENV = "TEXAPI_USAGE_LEDGER"
PRICES_ENV = "TEXAPI_PRICES"
OTEL_ENV = "TEXAPI_OTEL"
_OFF = ("", "0", "false", "no", "off")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _env_usage_ledger() -> str | None:
    return os.environ.get(USAGE_LEDGER_ENV) or None


def _env_prices() -> str | None:
    return os.environ.get(PRICES_ENV) or None


def _env_otel() -> bool:
    return os.environ.get(OTEL_ENV, "").strip().lower() not in _OFF


_FROM_ENVIRONMENT: dict[str, Callable[[], str | bool | None]] = {
    "usage_ledger": _env_usage_ledger,
    "prices": _env_prices,
    "otel": _env_otel,
}


class AccountingParameters(BaseModel):
    """Constructor arguments for accounting. None of them is sent."""

    # Classes between this one and the adapters' are never instantiated: an import need not build their
    # validators.
    model_config = ConfigDict(defer_build=True)

    usage_ledger: str | None = Field(
        default_factory=_env_usage_ledger,
        exclude=True,
        repr=False,
        description="URL of the ledger, e.g. sqlite:///texapi-usage.db; default the environment's "
        "TEXAPI_USAGE_LEDGER, and no ledger. Needs the extra `ledger`.",
    )
    prices: Any = Field(
        default_factory=_env_prices,
        exclude=True,
        repr=False,
        description="Prices for the cost of calls: a file, or a dict of rows over the list that comes with "
        "this package; default the environment's TEXAPI_PRICES.",
    )
    otel: bool = Field(
        default_factory=_env_otel,
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
        """A dict is parsed now; a file when it is first needed, in each process."""
        if isinstance(prices, os.PathLike):
            prices = os.fspath(prices)
        if prices is not None:
            from texapi_core.accounting.prices import parse_prices

            parsed = parse_prices(prices)
            return prices if isinstance(prices, str) else parsed
        return None

    def __getstate__(self) -> dict[Any, Any]:
        """The state to pickle. Values from the environment are left out: a worker reads its own."""
        state = super().__getstate__()
        stays = {name: None for name in _FROM_ENVIRONMENT if name not in self.model_fields_set}
        return {**state, "__dict__": {**state["__dict__"], **stays}}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        for name, read in _FROM_ENVIRONMENT.items():
            if name not in self.model_fields_set:
                self.__dict__[name] = read()
        if self.usage_ledger:
            with suppress(ImportError):  # the first record says so, in the log
                from texapi_core.accounting import (
                    ledger,  # imported here, since the import would block an event loop for too long
                )

                ledger.watch_sigterm()

    @property
    def accounting(self) -> Accounting | None:
        """What records of calls are written to; `None` when there is nothing."""
        ledger, prices, budget = self.usage_ledger or None, self.prices, self._budget
        if ledger is None and prices is None and budget is None and not self.otel:
            return None
        from texapi_core.accounting.prices import parse_prices
        from texapi_core.accounting.sinks import Accounting

        return Accounting(prices=parse_prices(prices), usage_ledger=ledger, budget=budget, otel=self.otel)

    @property
    def _budget(self) -> Budget | None:
        if self.max_cost is None and self.max_tokens_total is None:
            return None
        from texapi_core.accounting.budget import Budget

        count, unit = int(self.budget_window[:-1]), _UNITS[self.budget_window[-1]]
        return Budget(
            max_cost=None if self.max_cost is None else Decimal(str(self.max_cost)),
            max_tokens_total=self.max_tokens_total,
            window=timedelta(**{unit: count}),
        )

    def check_accounting(self) -> None:
        """Raise `TexAPISettingsError` for accounting that cannot work, before the first call."""
        try:
            accounting = self.accounting
        except ValueError as error:
            raise settings_error(f"{error} Correct `prices`, or `{PRICES_ENV}`.") from error
        if accounting is not None and accounting.usage_ledger is not None:
            _check_ledger(accounting.usage_ledger)
        if self.otel and find_spec("opentelemetry") is None:
            raise settings_error(
                f"`otel`, or `{OTEL_ENV}`, needs OpenTelemetry. "
                'Install it with: pip install "texapi-integrations[otel]"'
            )


def _check_ledger(url: str) -> None:
    way_out = f"Correct `usage_ledger`, or `{USAGE_LEDGER_ENV}`."
    try:
        from texapi_core.accounting import ledger
    except ImportError as error:
        raise settings_error(
            'A usage ledger needs SQLAlchemy. Install it with: pip install "texapi-integrations[ledger]"'
        ) from error
    try:
        ledger.check_ledger(url)
    except ImportError as error:
        raise settings_error(
            f"The database of the usage ledger needs the package `{error.name}`. For PostgreSQL: "
            'pip install "texapi-integrations[postgresql]"'
        ) from error
    except ledger.LedgerURLError as error:
        raise settings_error(f"`usage_ledger` cannot be used: {error}. {way_out}") from None
    ledger.watch_sigterm()
