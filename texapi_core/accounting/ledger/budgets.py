"""Queries on the budgets that processes keep in a ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from texapi_core.accounting.accounts import PICO, value_in_calls
from texapi_core.accounting.ledger.spending import read_spending
from texapi_core.accounting.reservation_tables import unrecorded
from texapi_core.accounting.windows import Window

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLine:
    """One limit of one budget, in USD or tokens."""

    scope: str
    value: str
    """The value of the scope, `""` for the scope `all`."""
    window: str
    timezone: str
    unit: str
    """`USD` or `tokens`."""
    limit: Decimal
    """As the last process gave it that used the budget."""
    spent: Decimal
    reserved: Decimal
    """Of calls in flight, and for 24 hours of calls whose process died."""
    left: Decimal
    gone_at: datetime | None
    """When nothing will be left at the rate of the last 24 hours; `None` if not in this window."""
    resets_at: datetime | None
    """When a calendar window ends."""


def read_budgets(engine: sa.Engine, now: datetime) -> list[BudgetLine]:
    """The budgets that processes have used on a ledger, the fullest first."""
    if not sa.inspect(engine).has_table("texapi_budgets"):
        return []
    select = sa.text(
        "SELECT account, scope, value, budget_window, timezone, carried_at, carried_cost, carried_tokens, "
        "max_cost, max_tokens FROM texapi_budgets WHERE account <> ''"
    )
    with engine.connect() as connection:
        rows = connection.execute(select).mappings().all()
        lines = [line for row in rows for line in _lines(engine, connection, row, now)]
    return sorted(lines, key=lambda line: (-_share(line), line.scope, line.value, line.window))


def _share(line: BudgetLine) -> Decimal:
    return (line.spent + line.reserved) / line.limit if line.limit else Decimal("Infinity")


def _lines(engine: sa.Engine, connection: sa.Connection, row: Any, now: datetime) -> Iterator[BudgetLine]:
    window = Window(row["budget_window"], row["timezone"])
    start, end = window.start(now), window.end(now)
    value = value_in_calls(row["value"])
    recorded = read_spending(engine, row["scope"], value, start)
    of_day = read_spending(engine, row["scope"], value, now - _DAY)
    sums = unrecorded(connection, row["account"], start.timestamp())
    carried = row["carried_at"] >= start.timestamp()
    amounts = (
        ("USD", row["max_cost"], recorded.cost, of_day.cost, 0, row["carried_cost"], PICO),
        ("tokens", row["max_tokens"], recorded.tokens, of_day.tokens, 1, row["carried_tokens"], Decimal(1)),
    )
    for unit, cap, in_ledger, in_day, column, carry, one in amounts:
        if cap is None:
            continue
        limit, settled, reserved = (
            Decimal(amount) / one for amount in (cap, sums[0][column], sums[1][column])
        )
        spent = Decimal(in_ledger or 0) + settled + (Decimal(carry) / one if carried else 0)
        left = limit - spent - reserved
        rate = Decimal(in_day or 0)
        gone_at = now if left <= 0 else None
        if left > 0 and rate and (days := left / rate) < 36_500:
            gone_at = now + _DAY * float(days)
        yield BudgetLine(
            scope=row["scope"],
            value=row["value"],
            window=window.text,
            timezone=window.timezone,
            unit=unit,
            limit=limit,
            spent=spent,
            reserved=reserved,
            left=left,
            gone_at=None if gone_at and end and gone_at >= end else gone_at,
            resets_at=end,
        )
