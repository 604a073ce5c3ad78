"""Looks after a ledger: what is in it, and deleting old calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from texapi_core.accounting.ledger.periods import PRUNED, in_time, pruned_before
from texapi_core.accounting.ledger.rejected import rejected_path
from texapi_core.accounting.ledger.report import open_for_reading, snapshot
from texapi_core.accounting.ledger.rollups import UNSUMMED, RollUps
from texapi_core.accounting.ledger.schema import (
    INSERTS,
    begin_writing,
    call_tags,
    calls,
    check_version,
    columns_of_calls,
    hours,
    minutes,
    open_ledger,
    parse_url,
    prepare,
    read_versions,
    state,
)
from texapi_core.accounting.reservation_tables import drop_recorded

_KEPT = timedelta(days=1)
"""The youngest calls stay: budgets may not have seen them."""


@dataclass(frozen=True, slots=True)
class LedgerInfo:
    """What is in a ledger."""

    version: int
    calls: int
    first: datetime | None
    last: datetime | None
    bytes: int
    """Size of the database."""
    uncounted: int
    """Calls that no roll-up counts yet."""
    pruned_before: datetime | None
    """Calls before this time were deleted; their sums remain."""
    unsummed: tuple[str, ...]
    """Groupings of too many values for roll-ups."""
    rejected: int
    """Records in the file of rejected records."""
    rejected_path: Path


def read_info(url: str) -> LedgerInfo:
    """What is in the ledger at a URL.

    Raises:
        LedgerUnreadableError: there is no ledger, or it cannot be read.
    """
    parsed = parse_url(url)
    rejected = rejected_path(parsed)
    with open_for_reading(url) as engine, snapshot(engine) as (connection, version):
        bounds = sa.select(sa.func.count(), sa.func.min(calls.c.started_at), sa.func.max(calls.c.started_at))
        count, first, last = connection.execute(bounds.select_from(calls)).one()
        uncounted, pruned, unsummed = count, None, ()
        if version > 1:
            uncounted = connection.scalar(sa.select(sa.func.count()).where(calls.c.hour.is_(None)))
            pruned = pruned_before(connection)
            unsummed = tuple(connection.scalars(sa.select(state.c.name).where(state.c.kind == UNSUMMED)))
        size = "pg_database_size(current_database())"
        if engine.dialect.name == "sqlite":
            size = "page_count * page_size FROM pragma_page_count, pragma_page_size"
        return LedgerInfo(
            version=version,
            calls=count,
            first=first,
            last=last,
            bytes=connection.scalar(sa.text(f"SELECT {size}")) or 0,
            uncounted=uncounted or 0,
            pruned_before=pruned,
            unsummed=unsummed,
            rejected=sum(1 for _ in rejected.open("rb")) if rejected.exists() else 0,
            rejected_path=rejected,
        )


def prune(url: str, before: datetime, *, sums: bool = False, compact: bool = False) -> int:
    """Delete the calls before the hour of a time, and with `sums` their roll-ups; how many calls.

    With `compact` an SQLite file becomes smaller. PostgreSQL reuses the space by itself.

    Raises:
        ValueError: `before` is later than a day ago.
        LedgerUnreadableError: there is no ledger, or it cannot be read.
        sqlalchemy.exc.SQLAlchemyError: it cannot be written.
    """
    if before > datetime.now(UTC) - _KEPT:
        raise ValueError("Calls of the last 24 hours stay, since budgets count them.")
    before = before.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    with open_for_reading(url):
        pass
    engine = open_ledger(parse_url(url))
    try:
        prepare(engine)
        count_all(engine)
        if sa.inspect(engine).has_table("texapi_reservations"):
            drop_recorded(engine)
        with engine.begin() as connection:
            begin_writing(connection)
            old = sa.select(calls.c.call_id).where(calls.c.started_at < before)
            connection.execute(call_tags.delete().where(call_tags.c.call_id.in_(old)))
            deleted = connection.execute(calls.delete().where(calls.c.started_at < before)).rowcount
            hour = int(before.timestamp() // 3600)
            connection.execute(minutes.delete().where(minutes.c.minute < hour * 60))
            if sums:
                connection.execute(hours.delete().where(hours.c.hour < hour))
            if deleted:
                insert = INSERTS[connection.dialect.name](state)
                row = insert.values(kind=PRUNED, name=before.isoformat())
                connection.execute(row.on_conflict_do_nothing())
        if compact and engine.dialect.name == "sqlite":
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("VACUUM")
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        return deleted
    finally:
        engine.dispose()


def count_all(engine: sa.Engine) -> None:
    """Bring every call into the roll-ups, also those that version 1 has written."""
    roll_ups, has_more = RollUps(), True
    while has_more:
        with engine.begin() as connection:
            begin_writing(connection)
            has_more = roll_ups.count_uncounted(connection)


def export_calls(
    engine: sa.Engine, since: datetime | None, until: datetime | None
) -> Iterator[dict[str, Any]]:
    """The calls from `since` until before `until` with their tags, oldest first, one at a time."""
    with engine.connect() as reading, engine.connect() as tagging:
        columns = columns_of_calls(check_version(read_versions(reading)))
        statement = sa.select(*columns).where(*in_time(since, until)).order_by(calls.c.started_at)
        for batch in reading.execution_options(yield_per=500).execute(statement).mappings().partitions():
            ids = [row["call_id"] for row in batch]
            tags: dict[str, list[str]] = {}
            found = sa.select(call_tags).where(call_tags.c.call_id.in_(ids)).order_by(call_tags.c.tag)
            for call_id, tag in tagging.execute(found):
                tags.setdefault(call_id, []).append(tag)
            for row in batch:
                yield {**row, "tags": tags.get(row["call_id"], [])}
