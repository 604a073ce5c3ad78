"""Ledgers that earlier versions have written, and processes of those versions that go on writing."""

from __future__ import annotations

import shutil
import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.accounting.filled import fill
from tests.accounting.test_roll_ups import GROUPINGS, PERIODS, START, assert_agrees, records
from tests.forked import Process
from texapi_core.accounting import open_for_reading, read_usage
from texapi_core.accounting.ledger import report, rollups, schema, spending, upkeep

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


# Version 4

VERSION_4 = Path(__file__).parent / "data" / "version4.db"
"""60 calls that the code of version 4 has written."""


@pytest.fixture
def version_4(tmp_path: Path) -> str:
    shutil.copy(VERSION_4, tmp_path / "usage.db")
    return f"sqlite:///{tmp_path}/usage.db"


def assert_rest_agrees(url: str) -> None:
    """A budget for calls without a tag or metadata reads what they cost, with sums of them or without."""
    engine = schema.open_ledger(schema.parse_url(url))
    for scope in ("tag:shop", "metadata:customer"):
        with engine.connect() as connection:
            ((count, cost, tokens),) = spending._sums_of_calls(connection, scope, None, [[]])
        found = spending.read_spending(engine, scope, None, START)
        assert (found.cost, found.tokens) == (schema.from_pico(cost), tokens)
        assert count > 10
    engine.dispose()


def test_a_ledger_of_version_4_is_read_as_it_is_and_goes_on_as_the_newest(version_4: str) -> None:
    """Its hours have no minutes, so in them the calls are counted, also beside calls that have."""
    assert_agrees(version_4)
    assert_rest_agrees(version_4)
    fill(version_4, [])
    assert_agrees(version_4)
    fill(version_4, records(60, seed=2))
    assert_agrees(version_4)
    assert_rest_agrees(version_4)


def test_what_a_running_process_of_version_4_writes_later_counts(url: str) -> None:
    """It adds calls to hours, and to no minutes."""
    fill(url, records(60))
    engine = schema.open_ledger(schema.parse_url(url))
    with engine.begin() as connection:
        minutes = [dict(row) for row in connection.execute(sa.select(schema.minutes)).mappings()]
    fill(url, records(60, seed=2))
    with engine.begin() as connection:
        connection.execute(schema.minutes.delete())
        connection.execute(schema.minutes.insert(), minutes)
    engine.dispose()
    fill(url, records(60, seed=3))

    assert_agrees(url)


# Version 2


def make_version_2(url: str) -> None:
    """Take away what later versions have added."""
    engine = schema.open_ledger(schema.parse_url(url))
    with engine.begin() as connection:
        schema.minutes.drop(connection)
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
        connection.execute("UPDATE texapi_schema SET version = 6")
    connection.close()

    with (
        pytest.raises(report.LedgerUnreadableError, match=r"version 6; .* Update texapi-integrations"),
        open_for_reading(old),
    ):
        pass
