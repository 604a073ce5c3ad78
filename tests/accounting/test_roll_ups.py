"""Roll-ups agree with the calls, also in ledgers that version 1 has written."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from tests.accounting.filled import fill
from tests.accounting.mixed_run import read_rows
from tests.forked import Process
from texapi_core.accounting import UsageLine, open_for_reading, read_usage
from texapi_core.accounting.accounts import value_in_calls
from texapi_core.accounting.ledger import report, rollups, schema, upkeep
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


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.combination)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/usage.db"
    found: str = request.getfixturevalue("postgresql_url")
    return found


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
                    tags=tuple(random.sample(["shop", "vip", "-"], random.randrange(3))), metadata=metadata
                ),
            )
        )
    return made


def from_calls(engine: sa.Engine, by: Sequence[str], period: Any) -> list[UsageLine]:
    """The usage that the calls alone give."""
    groups: report.Groups = {} if by else {(): [0] * len(schema.SUMS)}
    with engine.connect() as connection:
        report._add_calls(connection, groups, by, report.in_time(*period), schema.SCHEMA_VERSION)
    return [report._line(group, groups[group]) for group in sorted(groups)]


PERIODS = [
    (None, None),
    (START + timedelta(minutes=47), None),
    (None, START + timedelta(hours=20, seconds=1)),
    (START + timedelta(hours=3, minutes=1), START + timedelta(hours=30, minutes=29)),
    (START + timedelta(minutes=31), START + timedelta(minutes=50)),
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
            has = "shop" in tags[row["call_id"]]
            return has if value == "shop" else not has
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


# Version 1

VERSION_1 = Path(__file__).parent / "data" / "version1.db"
"""120 calls that the code of version 1 has written."""


@pytest.fixture
def old(tmp_path: Path) -> str:
    shutil.copy(VERSION_1, tmp_path / "usage.db")
    return f"sqlite:///{tmp_path}/usage.db"


def test_a_ledger_of_version_1_can_be_read_as_it_is(old: str) -> None:
    with open_for_reading(old) as engine:
        (line,) = read_usage(engine, [])
        by_tag = read_usage(engine, ["tag"])
        calls = report.read_calls(engine)

    assert (line.calls, len(calls)) == (120, 120)
    assert {one.group[0]: one.calls for one in by_tag} == {"-": 40, "shop": 80, "vip": 40}


def test_a_ledger_of_version_1_becomes_the_newest_in_place(old: str) -> None:
    with open_for_reading(old) as engine:
        before = {tuple(by): read_usage(engine, by) for by in GROUPINGS}
    fill(old, [])

    with open_for_reading(old) as engine:
        assert {tuple(by): read_usage(engine, by) for by in GROUPINGS} == before
    assert_agrees(old)
    engine = schema.open_ledger(schema.parse_url(old))
    with engine.begin() as connection:
        schema.begin_writing(connection)
        assert not rollups.RollUps().count_uncounted(connection)
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).where(schema.calls.c.hour.is_(None))) == 0
    engine.dispose()
    with open_for_reading(old) as engine:
        assert {tuple(by): read_usage(engine, by) for by in GROUPINGS} == before


def test_what_a_running_process_of_version_1_writes_later_counts(old: str) -> None:
    """Its statement names its columns, and `hour` is not among them."""
    fill(old, records(50))
    path = old.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(texapi_calls)") if row[1] != "hour"]
        columns = ", ".join(names)
        values = columns.replace("call_id", "'late-' || call_id")
        connection.execute(f"INSERT INTO texapi_calls ({columns}) SELECT {values} FROM texapi_calls LIMIT 20")
    connection.close()

    assert_agrees(old)


# Version 2


def make_version_2(url: str) -> None:
    """Take away what versions 3 and 4 have added."""
    engine = schema.open_ledger(schema.parse_url(url))
    with engine.begin() as connection:
        for table in (schema.calls, schema.hours):
            connection.exec_driver_sql(f"ALTER TABLE {table.name} DROP COLUMN cache_savings")
        connection.exec_driver_sql(f"ALTER TABLE {schema.calls.name} DROP COLUMN waited_ms")
        connection.execute(schema.schema_versions.update().values(version=2))
    engine.dispose()


def test_a_ledger_of_version_2_is_read_as_it_is_and_goes_on_as_the_newest(url: str) -> None:
    fill(url, records(60))
    make_version_2(url)

    with open_for_reading(url) as engine:
        found = {tuple(by): read_usage(engine, by, since=PERIODS[1][0]) for by in GROUPINGS}
        exported = list(upkeep.export_calls(engine, None, None))
        assert read_usage(engine, [])[0].calls == len(report.read_calls(engine)) == len(exported) == 60
        assert {(row["cache_savings"], row["waited_ms"]) for row in exported} == {(None, None)}
    assert {line.cache_savings for lines in found.values() for line in lines} == {Decimal(0)}

    fill(url, [])
    with open_for_reading(url) as engine:
        assert {tuple(by): read_usage(engine, by, since=PERIODS[1][0]) for by in GROUPINGS} == found
    fill(url, records(60, seed=2))
    assert_agrees(url)
    with open_for_reading(url) as engine:
        (line,) = read_usage(engine, [])
    saved = [one.cache_savings for one in records(60, seed=2) if one.cache_savings is not None]
    assert line.cache_savings == sum(map(schema.to_pico, saved)) * Decimal("1e-12") > 0


def test_what_a_running_process_of_version_2_writes_later_counts(url: str) -> None:
    """It names the columns that it knows, in the calls and in the sums of an hour."""
    fill(url, records(20))
    make_version_2(url)
    fill(url, [])
    engine = schema.open_ledger(schema.parse_url(url))
    tables = (schema.calls, "'late-' || call_id"), (schema.hours, "label_id + 100000")
    with engine.begin() as connection:
        for table, first_value in tables:
            later = ("cache_savings", "waited_ms")
            first, *others = [column.name for column in table.c if column.name not in later]
            names = ", ".join(others)
            connection.exec_driver_sql(
                f"INSERT INTO {table.name} ({first}, {names}) SELECT {first_value}, {names} FROM {table.name}"
            )
        found = connection.execute(sa.select(sa.func.count(), sa.func.sum(schema.hours.c.cache_savings)))
        count, savings = found.one()
    engine.dispose()

    assert count > 20
    assert savings == 0


MIGRATES = """
import sys
from texapi_core.accounting.ledger.schema import open_ledger, parse_url, prepare
prepare(open_ledger(parse_url(sys.argv[1])))
"""


@pytest.mark.parametrize("start", ["old", pytest.param("new", marks=pytest.mark.combination)])
def test_four_processes_prepare_one_ledger_at_once(url: str, start: str) -> None:
    if start == "old":
        make_version_1(url)
    processes = [Process(MIGRATES, url) for _ in range(4)]
    said = [process.communicate()[1] for process in processes]

    assert [process.returncode for process in processes] == [0] * 4, said
    with open_for_reading(url) as engine, engine.connect() as connection:
        assert schema.read_versions(connection) == [schema.SCHEMA_VERSION]
    fill(url, records(30))
    with open_for_reading(url) as engine:
        assert read_usage(engine, [])[0].calls == (150 if start == "old" else 30)


def make_version_1(url: str) -> None:
    if url.startswith("sqlite"):
        shutil.copy(VERSION_1, url.removeprefix("sqlite:///"))
        return
    source = sa.create_engine(f"sqlite:///{VERSION_1}")
    target = sa.create_engine(schema.parse_url(url))
    old = sa.MetaData()
    for table in (schema.schema_versions, schema.calls, schema.call_tags):
        later = ("hour", "cache_savings", "waited_ms")
        columns = [
            sa.Column(c.name, c.type, primary_key=c.primary_key) for c in table.c if c.name not in later
        ]
        made = sa.Table(table.name, old, *columns)
        made.create(target)
        with source.connect() as reading, target.begin() as writing:
            writing.execute(made.insert(), [dict(row) for row in reading.execute(sa.select(made)).mappings()])
    source.dispose()
    target.dispose()


def test_a_newer_version_says_what_to_do(old: str) -> None:
    fill(old, [])
    with sqlite3.connect(old.removeprefix("sqlite:///")) as connection:
        connection.execute("UPDATE texapi_schema SET version = 5")
    connection.close()

    with (
        pytest.raises(report.LedgerUnreadableError, match=r"version 5; .* Update texapi-integrations"),
        open_for_reading(old),
    ):
        pass
