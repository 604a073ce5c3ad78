"""How long complete answers took, by model: percentiles, which the database ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine

from texapi_core.accounting.ledger.periods import in_time
from texapi_core.accounting.ledger.report import snapshot
from texapi_core.accounting.ledger.rollups import NO_GROUP
from texapi_core.accounting.ledger.schema import calls


@dataclass(frozen=True, slots=True)
class LatencyLine:
    """How long the complete answers of one model took, in milliseconds: at most so many in half or 95 %."""

    model: str
    calls: int
    """Complete answers."""
    total_p50: float
    total_p95: float
    first_token_p50: float | None
    """`None` if no answer was streamed."""
    first_token_p95: float | None


def read_latency(
    engine: Engine, *, since: datetime | None = None, until: datetime | None = None
) -> list[LatencyLine]:
    """Times of complete answers from `since` until before `until`, a line per model, most calls first.

    The database ranks the calls, since roll-ups have sums alone; calls that were pruned are left out.
    """
    conditions = [calls.c.outcome == "ok", *in_time(since, until)]
    with snapshot(engine) as (connection, _):
        totals = _percentiles(connection, calls.c.total_ms, conditions)
        first = _percentiles(connection, calls.c.first_token_ms, conditions)
    none = (0, None, None)
    lines = [
        LatencyLine(model, count, p50, p95, *first.get(model, none)[1:])
        for model, (count, p50, p95) in totals.items()
    ]
    return sorted(lines, key=lambda line: (-line.calls, line.model))


def _percentiles(
    connection: sa.Connection, column: sa.ColumnElement[Any], conditions: Sequence[sa.ColumnElement[bool]]
) -> dict[str, tuple[int, Any, Any]]:
    """Model -> how many calls have the figure, and the figures at 50 and 95 % of them (nearest rank)."""
    empty = sa.literal("")
    names = (sa.func.nullif(calls.c.served_model, empty), sa.func.nullif(calls.c.model, empty))
    named = sa.select(sa.func.coalesce(*names, NO_GROUP).label("model"), column.label("ms"))
    of_calls = named.where(column.is_not(None), *conditions).subquery()
    model, figure = of_calls.c.model, of_calls.c.ms
    rank = sa.func.row_number().over(partition_by=model, order_by=figure)
    count = sa.func.count().over(partition_by=model)
    ranked = sa.select(model, figure, rank.label("rank"), count.label("calls")).subquery()
    at = {percent: (ranked.c.calls * percent + 99) // 100 for percent in (50, 95)}
    statement = sa.select(ranked).where(sa.or_(*(ranked.c.rank == one for one in at.values())))
    found: dict[str, tuple[int, Any, Any]] = {}
    for name, milliseconds, _, number in connection.execute(statement.order_by(ranked.c.rank)):
        low = found[name][1] if name in found else milliseconds
        found[name] = (number, low, milliseconds)
    return found
