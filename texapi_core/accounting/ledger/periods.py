"""What of a period is in the roll-ups: its full hours, and the full minutes of the hours at its ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import sqlalchemy as sa

from texapi_core.accounting.ledger.schema import MINUTES_VERSION, calls, hours, minutes, state

PRUNED = "pruned"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_HOUR, _LAST_HOUR = -(2**31), 2**31 - 1
_HOUR, _MINUTE = timedelta(hours=1), timedelta(minutes=1)

Conditions = list[sa.ColumnElement[bool]]
Sums = TypeVar("Sums")


def read_period(
    connection: sa.Connection,
    since: datetime | None,
    until: datetime | None,
    version: int,
    read: Callable[[sa.Table, int, int], Sums],
) -> tuple[list[Sums], list[Conditions]]:
    """What `read` finds in roll-ups from `since` until before `until`, and conditions for all other calls.

    `read` is given the table `hours` or `minutes`, the first of them and the one after the last. Minutes are
    used where they have the sums of their whole hour: a process on version 4 writes none. In a period from
    which calls were pruned, `since` and `until` count from the start of their hour.
    """
    pruned = pruned_before(connection)
    since, until = (
        EPOCH + (time - EPOCH) // _HOUR * _HOUR if time and pruned and time < pruned else time
        for time in (since, until)
    )
    first = _FIRST_HOUR if since is None else _rounded_up(since, _HOUR)
    end = _LAST_HOUR if until is None else (until - EPOCH) // _HOUR
    found = [read(hours, first, end)] if first < end else []
    others = [[calls.c.hour.is_(None), *in_time(since, until)]]
    for start, stop in _ends(since, until, first, end):
        low, high, hour = _rounded_up(start, _MINUTE), (stop - EPOCH) // _MINUTE, (start - EPOCH) // _HOUR
        pieces = [(start, stop)]
        if low < high and version >= MINUTES_VERSION:
            whole = read(minutes, hour * 60, hour * 60 + 60)
            if whole == read(hours, hour, hour + 1):
                found.append(read(minutes, low, high))
                pieces = [(start, EPOCH + low * _MINUTE), (EPOCH + high * _MINUTE, stop)]
        others += [[calls.c.hour.is_not(None), *in_time(*one)] for one in pieces if one[0] < one[1]]
    return found, others


def _ends(
    since: datetime | None, until: datetime | None, first: int, end: int
) -> Iterator[tuple[datetime, datetime]]:
    """The incomplete hours at the ends of a period, or the period if it is in one hour."""
    if since and until and first > end:
        yield since, until
        return
    if since:
        yield since, EPOCH + first * _HOUR
    if until:
        yield EPOCH + end * _HOUR, until


def _rounded_up(time: datetime, unit: timedelta) -> int:
    return -(-(time - EPOCH) // unit)


def in_time(since: datetime | None, until: datetime | None) -> Conditions:
    """Conditions for calls from `since` until before `until`."""
    conditions = [] if since is None else [calls.c.started_at >= since]
    return conditions if until is None else [*conditions, calls.c.started_at < until]


def pruned_before(connection: sa.Connection) -> datetime | None:
    """The time before which calls were deleted."""
    found = connection.scalar(sa.select(sa.func.max(state.c.name)).where(state.c.kind == PRUNED))
    return datetime.fromisoformat(found) if found else None
