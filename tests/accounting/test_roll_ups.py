"""Roll-ups agree with the calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from tests.accounting.filled import fill
from tests.accounting.mixed_run import read_rows
from texapi_core.accounting import UsageLine, open_for_reading, read_usage
from texapi_core.accounting.accounts import tag_value, value_in_calls
from texapi_core.accounting.ledger import periods, report, rollups, schema, upkeep
from texapi_core.accounting.ledger.spending import read_spending
from texapi_core.accounting.ledger.writer import row_of
from texapi_core.accounting.record import CallLabels, CallRecord
from texapi_core.wire.usage import TokenUsage

START = datetime(2026, 11, 18, 22, 30, tzinfo=UTC)
GROUPINGS: list[list[str]] = [
    [],
    ["model"],
    ["day"],
    ["key-hint"],
    ["tag"],
    ["metadata:customer"],
    ["metadata:rare"],
    ["day", "model"],
    ["metadata:customer", "day"],
    ["model", "tag"],
]


def records(count: int, seed: int = 1) -> list[CallRecord]:
    """Calls of two days of every kind, in no order."""
    random = Random(seed)
    made = []
    for number in range(count):
        outcome = random.choice(["ok", "ok", "ok", "error", "cancelled"])
        known = outcome == "ok" or random.random() < 0.3
        cost = Decimal(random.randrange(10**9)).scaleb(-12) if known and random.random() < 0.8 else None
        metadata: dict[str, Any] = {}
        if random.random() < 0.7:
            metadata["customer"] = random.choice(["acme", "Ônix", 7, 1.5, True, False, None, "-", "7"])
        model = random.choice(["claude-sonnet-4-6", "gpt-5-mini", None])
        made.append(
            CallRecord(
                call_id=f"{seed}-{number}",
                started_at=START + timedelta(seconds=random.randrange(48 * 3600)),
                streamed=False,
                outcome=outcome,  # type: ignore[arg-type]
                total_ms=1.0,
                response_id="x" if known else None,
                model=model,
                served_model=model if known else None,
                usage=TokenUsage(input_tokens=random.randrange(1000), output_tokens=5, cached_tokens=2)
                if known
                else TokenUsage(),
                cost=cost,
                cost_source=None if cost is None else "prices",
                cache_savings=cost / 2 if cost else None,
                key_hint=random.choice(["…abcd", "…efgh"]),
                labels=CallLabels(
                    tags=tuple(random.sample(["shop", "vip", "-", "vip:gold"], random.randrange(3))),
                    metadata=metadata,
                ),
            )
        )
    return made


def from_calls(engine: sa.Engine, by: Sequence[str], period: Any) -> list[UsageLine]:
    """The usage that the calls alone give."""
    groups: report.Groups = {} if by else {(): [0] * len(schema.SUMS)}
    with engine.connect() as connection:
        report._add_calls(connection, groups, by, periods.in_time(*period), schema.SCHEMA_VERSION)
    return [report._line(group, groups[group]) for group in sorted(groups)]


PERIODS = [
    (None, None),
    (START + timedelta(minutes=47), None),
    (None, START + timedelta(hours=20, seconds=1)),
    (START + timedelta(hours=3, minutes=1), START + timedelta(hours=30, minutes=29)),
    (START + timedelta(minutes=31), START + timedelta(minutes=50)),
    (START + timedelta(hours=5, seconds=1), START + timedelta(hours=9, minutes=25, seconds=59)),
    (START + timedelta(hours=5, minutes=31, seconds=20), START + timedelta(hours=6, minutes=20, seconds=40)),
    (START + timedelta(minutes=30), START + timedelta(hours=24, minutes=30)),
]


def assert_agrees(url: str) -> None:
    with open_for_reading(url) as engine:
        for by in GROUPINGS:
            for period in PERIODS:
                found = read_usage(engine, by, since=period[0], until=period[1])
                assert found == from_calls(engine, by, period), (by, period)


def test_usage_from_roll_ups_is_that_of_the_calls(url: str) -> None:
    fill(url, records(150))
    fill(url, records(50, seed=2))

    assert_agrees(url)


def test_any_period_is_that_of_the_calls(url: str) -> None:
    """Also one in a minute, in an hour and over the end of an hour."""
    random = Random(3)
    moments = [START + timedelta(seconds=random.randrange(2 * 3600)) for _ in range(300)]
    fill(url, [replace(one, started_at=at) for one, at in zip(records(300), moments, strict=True)])

    with open_for_reading(url) as engine:
        for seconds in (10, 100, 1_000, 5_000):
            for _ in range(6):
                since = START + timedelta(seconds=random.randrange(2 * 3600))
                period = (since, since + timedelta(seconds=random.randrange(seconds)))
                for by in (["model"], ["metadata:customer", "day"]):
                    found = read_usage(engine, by, since=period[0], until=period[1])
                    assert found == from_calls(engine, by, period), (by, period)


def test_days_before_1970_are_those_of_the_calls(url: str) -> None:
    """A machine without a clock may begin anywhere."""
    times = ("1969-12-31T23:59:59.9", "1969-12-31T00:00", "1970-01-01T00:00", "1969-12-30T22:00")
    moments = [datetime.fromisoformat(f"{time}+00:00") for time in times]
    fill(url, [replace(one, started_at=time) for one, time in zip(records(4), moments, strict=True)])

    with open_for_reading(url) as engine:
        found = read_usage(engine, ["day"])

        assert found == from_calls(engine, ["day"], (None, None))
    assert {line.group[0]: line.calls for line in found} == {
        "1969-12-30": 1,
        "1969-12-31": 2,
        "1970-01-01": 1,
    }


def test_roll_ups_that_another_client_emptied_are_counted_under_labels_that_exist(url: str) -> None:
    """The writer knows labels by ids, which are gone, or are other labels' now."""
    engine = schema.open_ledger(schema.parse_url(url))
    schema.prepare(engine)
    writer = rollups.RollUps()

    def write(model: str, number: int) -> None:
        row = {**row_of(records(1)[0]), "call_id": str(number), "model": model, "served_model": model}
        with engine.begin() as connection:
            connection.execute(sa.insert(schema.calls), [row])
            writer.add(connection, [row], {})

    write("first", 1)
    write("second", 2)
    with engine.begin() as connection:
        connection.execute(schema.hours.delete())
        connection.execute(schema.labels.delete())
        connection.execute(sa.insert(schema.labels), [{"id": 2, "name": "model", "value": "another"}])
    write("first", 3)
    write("second", 4)
    engine.dispose()

    with open_for_reading(url) as reading:
        found = {line.group[0]: line.calls for line in read_usage(reading, ["model"])}
        (every,) = read_usage(reading, [])
    assert found == {"first": 1, "second": 1}
    assert every.calls == 2


def test_names_of_too_many_values_are_counted_from_the_calls(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollups, "MAX_VALUES", 5)
    fill(url, records(60))
    with open_for_reading(url) as engine, engine.connect() as connection:
        assert not report.is_summed(connection, "metadata:customer")
        assert report.is_summed(connection, "model")
    fill(url, records(60, seed=2))

    assert_agrees(url)


def test_too_many_names_of_metadata_are_counted_from_the_calls(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollups, "MAX_NAMES", 0)
    fill(url, records(60))
    fill(url, records(60, seed=2))
    with open_for_reading(url) as engine, engine.connect() as connection:
        assert not report.is_summed(connection, "metadata:customer")

    assert_agrees(url)


@pytest.mark.parametrize(
    ("scope", "value"),
    [
        ("all", ""),
        ("key", "…abcd"),
        ("model", "gpt-5-mini"),
        ("tag:shop", "shop"),
        ("metadata:customer", "acme"),
        ("metadata:customer", "true"),
        ("metadata:customer", "-"),
        ("tag:shop", "-"),
        ("tag:vip", "vip=gold"),
        ("tag:vip", "-"),
        ("tag:vip=gold", "-"),
        ("tag:other", "-"),
        ("metadata:other", "-"),
    ],
)
def test_a_budget_reads_what_the_calls_cost(url: str, scope: str, value: str) -> None:
    fill(url, records(300))
    since = START + timedelta(hours=5, minutes=1)
    engine = schema.open_ledger(schema.parse_url(url))
    found = read_spending(engine, scope, value_in_calls(value), since)
    engine.dispose()

    def is_of(row: dict[str, Any]) -> bool:
        kind, _, name = scope.partition(":")
        if kind == "tag":
            its = {tag_value(name, tag) for tag in tags[row["call_id"]]} - {None}
            return value in its if value != "-" else not its
        if kind == "metadata":
            its = row["metadata"].get(name)
            return (
                its is None if value == "-" and its != "-" else its == ("acme" if value == "acme" else True)
            )
        return {"all": True, "key": row["key_hint"] == value, "model": row["model"] == value}[kind]

    tags = {one.call_id: one.labels.tags for one in records(300)}
    wanted = [row for row in read_rows(url) if row["started_at"] >= since and is_of(row)]
    assert len(wanted) > 10
    assert found.cost == sum((row["cost"] for row in wanted if row["cost"] is not None), Decimal(0))
    assert found.tokens == sum((row["input_tokens"] or 0) + (row["output_tokens"] or 0) for row in wanted)


def test_pruning_deletes_the_minutes(url: str) -> None:
    """Periods that begin earlier count whole hours."""
    fill(url, records(60))
    before = START + timedelta(hours=20)
    upkeep.prune(url, before)

    with open_for_reading(url) as engine, engine.connect() as connection:
        (first,) = connection.execute(sa.select(sa.func.min(schema.minutes.c.minute))).one()
        assert first * 60 >= (before - timedelta(hours=1)).timestamp()
