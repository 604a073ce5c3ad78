"""A ledger with known calls."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import insert

from texapi_core.accounting.ledger.rollups import RollUps
from texapi_core.accounting.ledger.schema import call_tags, calls, open_ledger, parse_url, prepare
from texapi_core.accounting.ledger.writer import row_of
from texapi_core.accounting.record import CallLabels, CallRecord
from texapi_core.wire.usage import TokenUsage


def call(
    number: int,
    *,
    day: int = 20,
    model: str = "claude-sonnet-4-6",
    tokens: tuple[int, int] | None = (100, 10),
    cost: str | None = "0.001",
    tags: tuple[str, ...] = (),
    metadata: dict[str, Any] | None = None,
    **kwargs: Any,
) -> CallRecord:
    """The call `req_<number>`, made on a day of November 2026."""
    usage = TokenUsage(input_tokens=tokens[0], output_tokens=tokens[1]) if tokens else TokenUsage()
    known: dict[str, Any] = {
        "outcome": "ok",
        "total_ms": 1000.0 + number,
        "key_hint": "…abcd",
        "request_id": f"req_{number}",
        "response_id": f"chatcmpl-{number}",
        "served_model": model,
        "cost_source": "prices" if cost else None,
    }
    return CallRecord(
        call_id=f"{number:032d}",
        started_at=datetime(2026, 11, day, 12, 0, number % 60, tzinfo=UTC),
        streamed=False,
        attempts=1,
        model=model,
        usage=usage,
        cost=None if cost is None else Decimal(cost),
        labels=CallLabels(tags=tags, metadata=metadata or {}),
        **{**known, **kwargs},
    )


RECORDS = [
    call(1, day=18, tags=("shop", "vip"), metadata={"customer": "acme"}),
    call(2, day=18, model="gpt-5-mini", cost="0.0000001", tags=("shop",)),
    call(3, day=20, tokens=(1000, 100), cost="0.0045"),
    call(4, day=20, model="qwen3-235b", cost=None),
    call(
        5,
        day=20,
        tokens=None,
        cost=None,
        outcome="error",
        response_id=None,
        served_model=None,
        error="TexAPIRateLimitError",
        error_code="rate_limited",
    ),
    call(6, day=20, tokens=None, cost=None, outcome="closed"),
]
"""Calls of two days: priced, unpriced, failed and closed, with tags and without."""


def fill(url: str, records: Iterable[CallRecord]) -> None:
    """Insert the calls directly, without the background writer."""
    engine = open_ledger(parse_url(url))
    prepare(engine)
    written = list(records)
    rows = [row_of(record) for record in written]
    tags = {record.call_id: record.labels.tags for record in written}
    with engine.begin() as connection:
        if rows:
            connection.execute(insert(calls), rows)
        for call_id, its_tags in tags.items():
            for tag in its_tags:
                connection.execute(insert(call_tags).values(call_id=call_id, tag=tag))
        RollUps().add(connection, rows, tags)
    engine.dispose()
