"""Two weeks of made-up calls, the same every time: the data of `05_usage_and_cost`."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from random import Random

from tests.accounting.filled import call, fill
from texapi_core.accounting.record import CallRecord

_CALLS = {"claude-sonnet-4-6": 12, "gpt-5-mini": 40, "gemini-3-flash": 18}
"""The number of calls on a working day."""
_TAGS = {"claude-sonnet-4-6": "support", "gpt-5-mini": "search", "gemini-3-flash": "labels"}
_PRICES: dict[str, tuple[str, str]] = {
    "claude-sonnet-4-6": ("3", "15"),
    "gpt-5-mini": ("0.25", "2"),
    "gemini-3-flash": ("0.5", "3"),
}
"""USD per million input and output tokens, made up like the calls."""
_DAYS = range(9, 23)
"""Days of November 2026, starting on a Monday."""
_RUNAWAY_DAY, _RUNAWAY_CALLS = 18, 40
_COLUMNS = ("request_id", "created_at", "model", "prompt_tokens", "completion_tokens", "cost")


def write_sample(url: str, statement: Path) -> None:
    """Write a ledger of the two weeks, and a statement of the second week that differs in three calls."""
    records = list(_records(Random(2026)))
    fill(url, records)
    billed = [record for record in records if record.started_at.day >= _DAYS[7]]
    doubled, _left_out, *rest = billed
    extra = call(9999, day=_DAYS[-1], model="gpt-5-mini", tokens=(812, 77), cost="0.000357")
    with statement.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        writer.writerow(_line(doubled, times=2))
        writer.writerows(_line(record) for record in (*rest, extra))


def _records(chance: Random) -> Iterator[CallRecord]:
    number = 0
    for day in _DAYS:
        is_weekend = day % 7 in (0, 1)
        for model, usual in _CALLS.items():
            calls = usual // 4 if is_weekend else usual - chance.randint(0, usual // 3)
            for _ in range(calls):
                number += 1
                yield _call(number, day, model, chance.randint(400, 5000), chance.randint(50, 900))
        if day == _RUNAWAY_DAY:
            for turn in range(_RUNAWAY_CALLS):
                number += 1
                yield _call(number, day, "claude-sonnet-4-6", 1500 + 220 * turn, 200, tag="runaway")


def _call(number: int, day: int, model: str, asked: int, answered: int, tag: str = "") -> CallRecord:
    price_in, price_out = map(Decimal, _PRICES[model])
    cost = (asked * price_in + answered * price_out) / 1_000_000
    tokens = (asked, answered)
    return call(number, day=day, model=model, tokens=tokens, cost=str(cost), tags=(tag or _TAGS[model],))


def _line(record: CallRecord, times: int = 1) -> tuple[str, ...]:
    usage, cost = record.usage, (record.cost or Decimal(0)) * times
    said = (record.request_id, record.started_at.isoformat(), record.model)
    return tuple(map(str, (*said, usage.input_tokens, usage.output_tokens, cost)))
