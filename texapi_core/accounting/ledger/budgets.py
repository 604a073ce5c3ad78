"""Queries on the budgets that processes keep in a ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from texapi_core.accounting.accounts import PICO, Account, pico, value_in_calls
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
    return fullest_first(lines)


def fullest_first(lines: Iterable[BudgetLine]) -> list[BudgetLine]:
    """The lines sorted by the share of their limit that is spent or reserved."""
    return sorted(lines, key=lambda line: (-share(line), line.scope, line.value, line.window))


def share(line: BudgetLine) -> Decimal:
    """The share of the limit that is spent or reserved; infinite of a limit of zero."""
    return (line.spent + line.reserved) / line.limit if line.limit else Decimal("Infinity")


def _lines(engine: sa.Engine, connection: sa.Connection, row: Any, now: datetime) -> Iterator[BudgetLine]:
    window = Window(row["budget_window"], row["timezone"])
    start = window.start(now)
    value = value_in_calls(row["value"])
    recorded = read_spending(engine, row["scope"], value, start)
    of_day = read_spending(engine, row["scope"], value, now - _DAY)
    (cost, tokens), reserved = unrecorded(connection, row["account"], start.timestamp())
    if row["carried_at"] >= start.timestamp():
        cost, tokens = cost + row["carried_cost"], tokens + row["carried_tokens"]
    return budget_lines(
        Account(row["scope"], row["value"], window),
        (row["max_cost"], row["max_tokens"]),
        spent=(pico(recorded.cost or Decimal(0)) + cost, recorded.tokens + tokens),
        reserved=reserved,
        of_day=(pico(of_day.cost or Decimal(0)), of_day.tokens),
        now=now,
    )


def budget_lines(
    account: Account,
    limits: tuple[int | None, int | None],
    *,
    spent: tuple[int, int],
    reserved: tuple[int, int],
    of_day: tuple[int, int],
    now: datetime,
) -> Iterator[BudgetLine]:
    """A line per limit of an account. The pairs are 10⁻¹² USD and tokens; `of_day` is of 24 hours."""
    window = account.window
    end = window.end(now)
    days_left = Decimal((end - now if end else now - window.start(now)) / _DAY)
    for column, (unit, one) in enumerate((("USD", PICO), ("tokens", Decimal(1)))):
        if limits[column] is None:
            continue
        cap, gone, held, rate = (
            Decimal(pair[column] or 0) / one for pair in (limits, spent, reserved, of_day)
        )
        left = cap - gone - held
        gone_at = now if left <= 0 else None
        if left > 0 and rate and (days := left / rate) < days_left:
            gone_at = now + _DAY * float(days)
        yield BudgetLine(
            scope=account.scope,
            value=account.value,
            window=window.text,
            timezone=window.timezone,
            unit=unit,
            limit=cap,
            spent=gone,
            reserved=held,
            left=left,
            gone_at=gone_at,
            resets_at=end,
        )
