"""Rows of `texapi budget` and `texapi prices`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn

from texapi_core import accounting
from texapi_core.accounting.prices import PriceList
from texapi_core.accounting.windows import zone
from texapi_core.cli.language import say

if TYPE_CHECKING:
    from texapi_core.accounting.ledger.budgets import BudgetLine
    from texapi_core.accounting.ledger.report import UsageLine

OLD_DAYS = 180
"""After so many days a price list is called old."""


def budget_rows(lines: Iterable[BudgetLine]) -> list[dict[str, Any]]:
    """A row per limit, amounts as exact text, times in the budget's time zone."""
    return [
        {
            "budget": f"{line.scope} {line.value}".strip(),
            "window": line.window,
            "unit": line.unit,
            "limit": _exact(line.limit),
            "spent": _exact(line.spent),
            "reserved": _exact(line.reserved),
            "left": _exact(line.left),
            "gone_at": _local(line.gone_at, line.timezone),
            "resets_at": _local(line.resets_at, line.timezone),
        }
        for line in lines
    ]


def is_reached(line: BudgetLine, fraction: float) -> bool:
    """Whether spending and reservations have reached a fraction of the limit."""
    return line.spent + line.reserved >= line.limit * Decimal(str(fraction))


def _exact(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


def _local(moment: datetime | None, timezone: str) -> str | None:
    return None if moment is None else moment.astimezone(zone(timezone)).isoformat(timespec="minutes")


def price_rows(prices: PriceList, name: str) -> list[dict[str, Any]]:
    """A row per model whose name contains `name`: its prices, or why it has none."""
    rows: list[dict[str, Any]] = []
    for model in sorted({*prices.models, *prices.listed, *prices.unpriced}):
        price = prices.price(model)
        if name.lower() in model:
            row: dict[str, Any] = {"model": model}
            for field in ("input", "cached_input", "output"):
                amount = getattr(price, field, None)
                row[f"{field}_usd"] = None if amount is None else f"{amount:f}"
            rows.append({**row, "no_price_because": prices.reason(model) or None})
    return rows


def faults(prices: PriceList, used: Iterable[UsageLine]) -> list[str]:
    """What is wrong with a price list, one sentence each; `used` are the ledger's lines by model."""
    found = [
        say("{model} has a higher price for cached tokens than for others.", model=model)
        for model, price in prices.models.items()
        if price.cached_input is not None and price.cached_input > price.input
    ]
    try:
        age = (datetime.now(UTC).date() - date.fromisoformat(prices.date)).days
    except ValueError:
        found.append(say("The list has no date."))
    else:
        if age > OLD_DAYS:
            found.append(say("The list is {age} days old.", age=age))
    for line in used:
        (model,) = line.group
        if prices.price(model) is None:
            reason = prices.reason(model)
            text = (
                "{model} has no price{reason}: {unpriced:,} of its {calls:,} calls in the ledger "
                "have no cost."
            )
            why = f" ({reason})" if reason else ""
            found.append(say(text, model=model, reason=why, unpriced=line.unpriced, calls=line.calls))
    return found


def used_models(url: str, fail: Callable[[str], NoReturn]) -> list[UsageLine]:
    """Usage by model of a ledger; `fail` gets the reason if it cannot be read."""
    try:
        with accounting.open_for_reading(url) as engine:
            return accounting.read_usage(engine, ["model"])
    except accounting.LedgerUnreadableError as error:
        fail(str(error))
