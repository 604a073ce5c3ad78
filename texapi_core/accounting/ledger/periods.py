"""What of a period is in the roll-ups: its full hours, and the full minutes of the hours at its ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import sqlalchemy as sa

from texapi_core.accounting.ledger.schema import MINUTES_VERSION, calls, hours, minutes, state

PRUNED = "pruned"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_HOUR, _LAST_HOUR = -(2**31), 2**31 - 1
_HOUR, _MINUTE = timedelta(hours=1), timedelta(minutes=1)

Conditions = list[sa.ColumnElement[bool]]
Part = tuple[sa.Table, int, int]
"""The table `hours` or `minutes`, the first of them, and the one after the last."""
Sums = TypeVar("Sums")


def read_period(
    connection: sa.Connection,
    since: datetime | None,
    until: datetime | None,
    version: int,
    read: Callable[[Sequence[Part]], Sequence[Sums]],
) -> tuple[list[Sums], list[Conditions]]:
    """What `read` finds in roll-ups from `since` until before `until`, and conditions for all other calls.

    `read` gives the sums of each part of a table. Minutes are used where they have the sums of their whole
    hour: a process on version 4 writes none. In a period from which calls were pruned, `since` and `until`
    count from the start of their hour.
    """
    pruned = pruned_before(connection)
    since, until = (
        EPOCH + (time - EPOCH) // _HOUR * _HOUR if time and pruned and time < pruned else time
        for time in (since, until)
    )
    first = _FIRST_HOUR if since is None else _rounded_up(since, _HOUR)
    end = _LAST_HOUR if until is None else (until - EPOCH) // _HOUR
    full: Part = (hours, first, end)
    ends = [_End(*times) for times in _ends(since, until, first, end)]
    parts = [full] if first < end else []
    for one in ends if version >= MINUTES_VERSION else ():
        parts += [one.minutes, one.hour, one.minutes_of_hour]
    sums = dict(zip(parts, read(parts) if parts else (), strict=True))
    found = [sums[full]] if full in sums else []
    others = [[calls.c.hour.is_(None), *in_time(since, until)]]
    for one in ends:
        rest = [(one.start, one.stop)]
        if one.minutes in sums and sums[one.hour] == sums[one.minutes_of_hour]:
            found.append(sums[one.minutes])
            rest = one.rest
        others += [[calls.c.hour.is_not(None), *in_time(*times)] for times in rest if times[0] < times[1]]
    return found, others


@dataclass(frozen=True, slots=True)
class _End:
    """A part of an hour."""

    start: datetime
    stop: datetime

    @property
    def hour(self) -> Part:
        hour = (self.start - EPOCH) // _HOUR
        return hours, hour, hour + 1

    @property
    def minutes_of_hour(self) -> Part:
        _, hour, end = self.hour
        return minutes, hour * 60, end * 60

    @property
    def minutes(self) -> Part:
        """The full minutes."""
        first = _rounded_up(self.start, _MINUTE)
        return minutes, first, max((self.stop - EPOCH) // _MINUTE, first)

    @property
    def rest(self) -> list[tuple[datetime, datetime]]:
        """The time before the full minutes, and after them."""
        _, first, end = self.minutes
        middle = min(EPOCH + first * _MINUTE, self.stop)
        return [(self.start, middle), (max(EPOCH + end * _MINUTE, middle), self.stop)]


def _ends(
    since: datetime | None, until: datetime | None, first: int, end: int
) -> Iterator[tuple[datetime, datetime]]:
    """The incomplete hours at the ends of a period, or the period if it is in one hour."""
    if since and until and first > end:
        ends = [(since, until)]
    else:
        ends = [(since, EPOCH + first * _HOUR)] if since else []
        ends += [(EPOCH + end * _HOUR, until)] if until else []
    yield from (one for one in ends if one[0] < one[1])


def _rounded_up(time: datetime, unit: timedelta) -> int:
    return -(-(time - EPOCH) // unit)


def in_time(since: datetime | None, until: datetime | None) -> Conditions:
    """Conditions for calls from `since` until before `until`."""
    conditions = [] if since is None else [calls.c.started_at >= since]
    return conditions if until is None else [*conditions, calls.c.started_at < until]


def narrowed(
    connection: sa.Connection, since: datetime | None, until: datetime | None
) -> tuple[datetime | None, datetime | None]:
    """The period without a bound that leaves no call out: SQLite would look up each call by its time."""
    first, last = (
        connection.scalar(sa.select(one(calls.c.started_at))) for one in (sa.func.min, sa.func.max)
    )
    if first is None or last is None:
        return since, until
    return None if since and since <= first else since, None if until and until > last else until


def pruned_before(connection: sa.Connection) -> datetime | None:
    """The time before which calls were deleted."""
    found = connection.scalar(sa.select(sa.func.max(state.c.name)).where(state.c.kind == PRUNED))
    return datetime.fromisoformat(found) if found else None
