"""What the constructors of both adapters take for accounting: ledger, prices, budget, spans.

`texapi_core.accounting` imports its parts when a model first asks for one: most models use none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

import texapi_core.accounting
from texapi_core.settings_checks import check_flag, settings_error

if TYPE_CHECKING:
    from texapi_core.accounting import Accounting, Budget, RedisPlace, Sink

USAGE_LEDGER_ENV = "TEXAPI_USAGE_LEDGER"
PRICES_ENV = "TEXAPI_PRICES"
OTEL_ENV = "TEXAPI_OTEL"


def _text(name: str, default: Any = None) -> Callable[[], Any]:
    """Reads an environment variable."""
    return lambda: os.environ.get(name, "").strip() or default


def _number(name: str, kind: type) -> Callable[[], Any]:
    def read() -> Any:
        text = os.environ.get(name, "").strip()
        try:
            return kind(text) if text else None
        except ValueError:
            raise settings_error(f"`{name}` is a number, not {text!r}.") from None

    return read


def _fractions() -> tuple[float, ...]:
    text = os.environ.get("TEXAPI_BUDGET_WARNINGS", "")
    try:
        return tuple(float(one) for one in text.split(",") if one.strip())
    except ValueError:
        raise settings_error(f"`TEXAPI_BUDGET_WARNINGS` is like 0.8,0.95, not {text!r}.") from None


_CHOICES = ("unpriced", "on_ledger_error")
"""Fields whose text from the environment is one of their `Literal`s."""
_OF_BUDGETS = {"budget_window", "budget_scope", "budget_timezone"}
FROM_ENVIRONMENT: dict[str, Callable[[], Any]] = {
    "usage_ledger": _text(USAGE_LEDGER_ENV),
    "prices": _text(PRICES_ENV),
    "otel": lambda: check_flag(OTEL_ENV, os.environ.get(OTEL_ENV, "")),
    "max_cost": _number("TEXAPI_MAX_COST", float),
    "max_tokens_total": _number("TEXAPI_MAX_TOKENS_TOTAL", int),
    "budget_window": _text("TEXAPI_BUDGET_WINDOW", "24h"),
    "budget_scope": _text("TEXAPI_BUDGET_SCOPE", "all"),
    "budget_timezone": _text("TEXAPI_TIMEZONE", "UTC"),
    "budget_warnings": _fractions,
    "budgets": _text("TEXAPI_BUDGETS"),
    "unpriced": _text("TEXAPI_UNPRICED", "refuse"),
    "on_ledger_error": _text("TEXAPI_ON_LEDGER_ERROR", "closed"),
}
"""Field -> what reads its default. A worker process reads its own environment."""


class AccountingParameters(BaseModel):
    """What both adapters' constructors take for accounting. Nothing of it is sent."""

    # For this class and those between it and the adapters': no object is made of them, so an import need
    # not build their validators.
    model_config = ConfigDict(defer_build=True)

    usage_ledger: str | None = Field(
        default_factory=FROM_ENVIRONMENT["usage_ledger"],
        exclude=True,
        repr=False,
        description="URL of the ledger, e.g. sqlite:///texapi-usage.db; default the environment's "
        "TEXAPI_USAGE_LEDGER, and no ledger. Needs the extra `ledger`.",
    )
    prices: Any = Field(
        default_factory=FROM_ENVIRONMENT["prices"],
        exclude=True,
        repr=False,
        description="Prices for the cost of calls: a file, or a dict of rows over the list that comes with "
        "this package; default the environment's TEXAPI_PRICES.",
    )
    otel: bool = Field(
        default_factory=FROM_ENVIRONMENT["otel"],
        exclude=True,
        description="Whether each call becomes a span and metrics of OpenTelemetry; default the "
        "environment's TEXAPI_OTEL, and no. Needs the extra `otel`.",
    )

    max_cost: float | None = Field(
        default_factory=FROM_ENVIRONMENT["max_cost"],
        ge=0,
        description="USD that may be spent in `budget_window`; a call that would exceed it is not sent. "
        "Default the environment's TEXAPI_MAX_COST, and no limit.",
    )
    max_tokens_total: int | None = Field(
        default_factory=FROM_ENVIRONMENT["max_tokens_total"],
        ge=0,
        description="Tokens, in and out, that may be spent in `budget_window`; default the environment's "
        "TEXAPI_MAX_TOKENS_TOTAL, and no limit.",
    )
    budget_window: str = Field(
        default_factory=FROM_ENVIRONMENT["budget_window"],
        description="The time that a budget is for: the last minutes, hours, days or weeks, e.g. 30d, or the "
        "current `hour`, `day`, `week` or `month`; default the environment's TEXAPI_BUDGET_WINDOW, and 24h.",
    )
    budget_scope: str = Field(
        default_factory=FROM_ENVIRONMENT["budget_scope"],
        description="Whose calls a budget is for: `all`, or each `key`, `model`, value of `tag:NAME` or of "
        "`metadata:NAME`, which each have the whole limit; default the environment's TEXAPI_BUDGET_SCOPE.",
    )
    budget_timezone: str = Field(
        default_factory=FROM_ENVIRONMENT["budget_timezone"],
        description="Time zone of the calendar windows, e.g. Asia/Ho_Chi_Minh; default the environment's "
        "TEXAPI_TIMEZONE, and UTC.",
    )
    budget_warnings: tuple[float, ...] = Field(
        default_factory=FROM_ENVIRONMENT["budget_warnings"],
        description="Fractions of a budget at which to warn, e.g. (0.8, 0.95); default the environment's "
        "TEXAPI_BUDGET_WARNINGS, e.g. 0.8,0.95.",
    )
    budgets: Any = Field(
        default_factory=FROM_ENVIRONMENT["budgets"],
        exclude=True,
        description="More budgets, all of which hold: a list of dicts with `max_cost`, `max_tokens_total`, "
        "`scope`, `window`, `timezone` and `warnings`, or its JSON; default the environment's "
        "TEXAPI_BUDGETS.",
    )
    unpriced: Literal["refuse", "count_tokens"] = Field(
        default_factory=FROM_ENVIRONMENT["unpriced"],
        description="What to do under `max_cost` with a call to a model without a price: refuse it, or count "
        "only its tokens, under `max_tokens_total`; default the environment's TEXAPI_UNPRICED.",
    )
    on_ledger_error: Literal["closed", "open"] = Field(
        default_factory=FROM_ENVIRONMENT["on_ledger_error"],
        description="What to do with calls under a budget while the ledger cannot be written: refuse them "
        "(`closed`), or count in this process (`open`); default the environment's TEXAPI_ON_LEDGER_ERROR.",
    )

    @field_validator("max_cost", "max_tokens_total", mode="before")
    @classmethod
    def _check_number(cls, number: Any) -> Any:
        """`True` is no amount: pydantic would take it for 1."""
        if isinstance(number, bool):
            raise ValueError(f"a number, not {number}")
        return number

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
        local = {name: None for name in FROM_ENVIRONMENT if name not in self.model_fields_set}
        return {**state, "__dict__": {**state["__dict__"], **local}}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        for name, read in FROM_ENVIRONMENT.items():
            if name not in self.model_fields_set:
                self.__dict__[name] = read()
        if self.usage_ledger:
            with suppress(ImportError):  # the first record says so, in the log
                # Imported now: it takes longer than an event loop may stand still.
                texapi_core.accounting.watch_sigterm()

    @field_validator("budgets")
    @classmethod
    def _parse_budgets(cls, budgets: Any) -> Any:
        """Text stays text, so that its defaults may be set later; a list becomes budgets when it is used."""
        if budgets is None or isinstance(budgets, str):
            return budgets
        texapi_core.accounting.parse_budgets(budgets)
        return tuple(budgets)

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
        if self.max_cost is not None or self.max_tokens_total is not None or self.budgets:
            sinks.append(self._budget_sink())
        return sinks

    def _budget_sink(self) -> Sink:
        accounting = texapi_core.accounting
        ledger = accounting.LedgerSink(self.usage_ledger) if self.usage_ledger else None
        return accounting.BudgetSink(
            budgets=self._all_budgets(),
            prices=accounting.parse_prices(self.prices),
            ledger=ledger,
            redis=self._redis(),
            unpriced=self.unpriced,
            on_ledger_error=self.on_ledger_error,
        )

    def _redis(self) -> RedisPlace | None:
        """Where budgets are kept in place of the ledger's database."""
        return None

    def _all_budgets(self) -> tuple[Budget, ...]:
        """The budget of the single arguments, if there is one, and those of `budgets`."""
        timezone, warnings = self.budget_timezone, tuple(self.budget_warnings)
        short = self.max_cost, self.max_tokens_total, self.budget_scope, self.budget_window
        own = _own_budget(*short, timezone, warnings) if short[:2] != (None, None) else ()
        budgets = self.budgets or ()
        if not isinstance(budgets, str):
            return (*own, *texapi_core.accounting.parse_budgets(budgets, timezone, warnings))
        return (*own, *_budgets_in_text(budgets, timezone, warnings))

    def _check_budgets(self) -> None:
        given = _OF_BUDGETS & self.model_fields_set
        if not given and self.max_cost is None and self.max_tokens_total is None and not self.budgets:
            return
        try:
            budgets = self._all_budgets()
            if not budgets:  # its arguments are checked all the same
                _own_budget(0, None, self.budget_scope, self.budget_window, self.budget_timezone, ())
        except ValueError as error:
            raise settings_error(
                f"{error} Correct the budget's arguments, or its `TEXAPI_` variables."
            ) from error
        if self.unpriced == "count_tokens" and all(one.max_tokens_total is None for one in budgets):
            raise settings_error(
                '`unpriced="count_tokens"` needs a budget with `max_tokens_total`: nothing else would limit '
                "calls to models without a price."
            )
        for name in _CHOICES:
            known = get_args(AccountingParameters.model_fields[name].annotation)
            if getattr(self, name) not in known:
                raise settings_error(f"`{name}` is {' or '.join(known)}, not {getattr(self, name)!r}.")

    def check_accounting(self) -> None:
        """Raise `TexAPISettingsError` for a ledger, a budget, prices or spans that cannot work."""
        try:
            texapi_core.accounting.parse_prices(self.prices)
        except ValueError as error:
            raise settings_error(f"{error} Correct `prices`, or `{PRICES_ENV}`.") from error
        self._check_budgets()
        if self.usage_ledger:
            _check_ledger(self.usage_ledger)
        _ = self.accounting
        if self.otel and find_spec("opentelemetry") is None:
            raise settings_error(
                f"`otel`, or `{OTEL_ENV}`, needs OpenTelemetry. "
                'Install it with: pip install "texapi-integrations[otel]"'
            )


@lru_cache
def _own_budget(
    max_cost: Any, max_tokens_total: Any, scope: str, window: str, timezone: str, warnings: tuple[float, ...]
) -> tuple[Budget, ...]:
    return (
        texapi_core.accounting.make_budget(
            max_cost=max_cost,
            max_tokens_total=max_tokens_total,
            scope=scope,
            window=window,
            timezone=timezone,
            warnings=warnings,
        ),
    )


@lru_cache
def _budgets_in_text(text: str, timezone: str, warnings: tuple[float, ...]) -> tuple[Budget, ...]:
    return texapi_core.accounting.parse_budgets(text, timezone, warnings)


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
