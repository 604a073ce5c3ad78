"""What readings of a ledger touch, in counts that do not depend on the machine's load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from benchmarks.measure import count_calls
from tests.accounting.filled import call, fill
from tests.accounting.test_roll_ups import START, records
from texapi_core.accounting import Difference, Entry, open_for_reading, reconcile
from texapi_core.accounting.ledger import report, schema, spending
from texapi_core.accounting.ledger.reconciliation import wanted_by
from texapi_core.cli.table import table_lines

SCOPES: list[tuple[str, str | None]] = [
    ("all", ""),
    ("key", "…abcd"),
    ("model", "gpt-5-mini"),
    ("tag:shop", "shop"),
    ("tag:shop", None),
    ("metadata:customer", "acme"),
    ("metadata:customer", None),
]
STATEMENTS = 6
"""Of one reading of a budget: begin, version, two of the state, sums, calls."""


@pytest.mark.parametrize(("scope", "value"), SCOPES)
def test_a_budget_reads_the_calls_of_a_minute(
    url: str, scope: str, value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many the hour has in which its window begins."""
    times = [START + timedelta(minutes=30, seconds=3 * number) for number in range(1_200)]
    fill(url, [replace(one, started_at=at) for one, at in zip(records(1_200), times, strict=True)])
    engine = schema.open_ledger(schema.parse_url(url))
    statements: list[tuple[str, Any]] = []
    read = 0
    sums_of_calls = spending._sums_of_calls

    def counted(connection: sa.Connection, scope: str, value: str | None, periods: Sequence[Any]) -> Any:
        nonlocal read
        found = sums_of_calls(connection, scope, value, periods)
        asked = len(statements)
        count = sa.select(sa.func.count()).select_from(schema.calls)
        read += sum(connection.scalar(count.where(*one)) or 0 for one in periods)
        del statements[asked:]
        return found

    monkeypatch.setattr(spending, "_sums_of_calls", counted)
    sa.event.listen(
        engine, "before_cursor_execute", lambda _, __, text, values, *___: statements.append((text, values))
    )
    spending.read_spending(engine, scope, value, START + timedelta(minutes=40, seconds=31))

    asked = list(statements)
    assert read == 9
    assert len(asked) <= STATEMENTS, asked
    if engine.dialect.name == "sqlite":
        scans = tuple(f"SCAN texapi_{table}" for table in ("calls", "call_tags", "hours", "minutes"))
        with engine.connect() as connection:
            for text, values in asked[1:]:
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values).fetchall()
                assert not [one for one in plan if one[3].startswith(scans)], (text, plan)
    engine.dispose()


def lines_of(*request_ids: str | None, day: str = "2026-11-18") -> list[Entry]:
    return [Entry(one, day, "claude-sonnet-4-6", 100, 10, Decimal("0.001")) for one in request_ids]


@pytest.mark.parametrize(
    ("lines", "read"),
    [
        (lines_of("req_1", "req_2"), {"req_1", "req_2", "req_3"}),
        (lines_of("req_1", "req_21"), {"req_1", "req_2", "req_3", "req_21"}),
        (lines_of("req_1", "req_4"), {"req_1", "req_2", "req_3", "req_4"}),
        (lines_of("req_1", None), {"req_1", "req_2", "req_3", "req_4"}),
        (lines_of("\"'é\u2028", "req_\x00", "req_%"), {"\"'é\u2028", "req_1", "req_2", "req_3"}),
        ([], {"\"'é\u2028", *(f"req_{number}" for number in (1, 2, 3, 4, 21, 22))}),
    ],
)
def test_reconcile_reads_what_it_compares(url: str, lines: list[Entry], read: set[str]) -> None:
    """The calls of the statement's requests, and those of its days that it should have."""
    fill(
        url,
        [
            *(call(number, day=18) for number in (1, 2, 3)),
            call(4, day=18, outcome="error"),
            call(21, day=21),
            call(22, day=22),
            call(23, day=23, request_id="\"'é\u2028"),
        ],
    )

    with open_for_reading(url) as engine:
        found = list(report.read_charges(engine, wanted_by(lines)))
        every = report.read_calls(engine)

    assert {row["request_id"] for row in found} == read
    assert sorted(reconcile(lines, found), key=str) == sorted(reconcile(lines, every), key=str)


def test_reconcile_of_a_whole_ledger_looks_up_no_call_by_its_time(tmp_path: Path) -> None:
    """SQLite would, one by one, where rows are in another order."""
    url = f"sqlite:///{tmp_path}/usage.db"
    fill(url, [call(number, day=day) for number, day in enumerate((20, 18, 21, 19))])
    first, last = (datetime(2026, 11, day, 12, 0, second, tzinfo=UTC) for day, second in ((18, 1), (21, 2)))
    moment = timedelta(microseconds=1)
    read: dict[bool, list[int]] = {True: [], False: []}
    with open_for_reading(url) as engine:
        statements: list[str] = []
        sa.event.listen(engine, "before_cursor_execute", lambda _, __, text, *___: statements.append(text))
        for since, until in (
            (None, None),
            (first, last + moment),
            (first + moment, last + moment),
            (first, last),
        ):
            found = list(report.read_charges(engine, wanted_by([]), since=since, until=until))
            _, _, conditions = statements[-1].partition("WHERE")
            read["started_at" in conditions].append(len(found))

    assert read == {False: [4, 4], True: [3, 3]}


def test_the_cost_of_a_line_is_bounded() -> None:
    """Of one that agrees, and of a call that is missing: read, compared and printed."""
    rows: list[dict[str, Any]] = [
        {
            **dict.fromkeys(("model", "served_model"), "claude-sonnet-4-6"),
            "request_id": f"req_{number}",
            "day": "2026-11-18",
            "outcome": "ok",
            "input_tokens": 100,
            "output_tokens": 10,
            "cost": Decimal("0.001"),
        }
        for number in range(2_000)
    ]
    lines = lines_of(*(row["request_id"] for row in rows))
    titles = dict.fromkeys(Difference.__slots__, "title")
    missing = reconcile(lines[:1], rows)
    shown = [{name: str(getattr(one, name)) for name in titles} for one in missing]

    assert count_calls(lambda: reconcile(lines, rows)) <= 26 * 2_000
    assert count_calls(lambda: reconcile(lines[:1], rows)) <= 12 * 2_000
    assert count_calls(lambda: table_lines(shown, titles, str, 160)) <= 86 * 2_000
