"""Queries on a ledger: usage by group, and calls.

Usage by one group comes from the roll-ups, and from the calls only for the incomplete minutes at the ends of
the period, for calls that no roll-up counts yet, and for names of too many values.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from texapi_core.accounting.ledger.periods import EPOCH, Part, in_time, narrowed, read_period
from texapi_core.accounting.ledger.reconciliation import Wanted
from texapi_core.accounting.ledger.rollups import (
    ALL,
    METADATA,
    NO_GROUP,
    UNSUMMED,
    hour_of,
    sums_of,
    values_of,
)
from texapi_core.accounting.ledger.schema import (
    SUMS,
    LedgerURLError,
    LedgerVersionError,
    call_tags,
    calls,
    check_version,
    columns_of_calls,
    from_pico,
    hours,
    labels,
    open_ledger,
    parse_url,
    read_versions,
    schema_versions,
    sqlite_path,
    state,
)

GROUPINGS = ("model", "day", "key-hint", "tag", f"{METADATA}NAME")
_EARLIER_DAYS = EPOCH.toordinal()
"""From the first day of Python's calendar to 1970."""
_FOLDED_COLUMNS = (
    "call_id",
    "started_at",
    "outcome",
    "response_id",
    "model",
    "served_model",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "cost",
    "cache_savings",
    "key_hint",
    "metadata",
)

_MONEY = ("cost", "cache_savings")
"""The sums that are USD."""

Groups = dict[tuple[str, ...], list[int]]


class LedgerUnreadableError(Exception):
    """There is no ledger at the URL, or it cannot be read."""


@dataclass(frozen=True, slots=True)
class UsageLine:
    """Usage of one group of calls."""

    group: tuple[str, ...]
    """One value per grouping."""
    calls: int
    """Calls of the group."""
    failed: int
    """Calls without a complete answer."""
    input_tokens: int
    """Tokens of prompts."""
    output_tokens: int
    """Tokens of answers."""
    cached_tokens: int
    """Part of `input_tokens` read from prompt caches."""
    reasoning_tokens: int
    """Part of `output_tokens` spent on reasoning."""
    cost: Decimal | None
    """USD of the calls of known cost, `None` if there are none."""
    unpriced: int
    """Calls whose cost is unknown and may not be zero."""
    cache_savings: Decimal
    """USD that reading from prompt caches saved, by the price list."""


@contextmanager
def open_for_reading(url: str) -> Generator[Engine]:
    """The engine of the ledger at `url`, disposed of at the end of the block. It writes nothing.

    Raises:
        LedgerUnreadableError: there is no ledger, or it has a newer schema version.
    """
    try:
        engine = _open(url)
        try:
            yield engine
        finally:
            engine.dispose()
    except LedgerURLError as error:
        raise LedgerUnreadableError(f"Invalid ledger URL: {error}.") from None
    except (ImportError, SQLAlchemyError, LedgerVersionError) as error:
        reason = getattr(error, "orig", None) or error
        raise LedgerUnreadableError(f"The ledger cannot be read: {reason}") from error


def _open(url: str) -> Engine:
    parsed = parse_url(url)
    path = sqlite_path(parsed)
    try:
        if path is not None and not path.exists():
            raise LedgerUnreadableError(f"There is no ledger at {path}.")
        engine = open_ledger(parsed, read_only=True)
    except OSError as error:
        raise LedgerUnreadableError(f"The ledger cannot be read: {error}") from error
    try:
        with engine.connect() as connection:
            versions = read_versions(connection)
        if not versions:
            raise LedgerUnreadableError("The database does not contain a ledger.")
        check_version(versions)
    except BaseException:
        engine.dispose()
        raise
    return engine


def check_grouping(by: str) -> None:
    """Raise `ValueError` if `by` is not one of `GROUPINGS`."""
    is_metadata = by.startswith(METADATA) and len(by) > len(METADATA) and by.isprintable()
    if by not in GROUPINGS[:-1] and not is_metadata:
        raise ValueError(f"Calls can be grouped by {', '.join(GROUPINGS)}, not by {by!r}.")


def read_usage(
    engine: Engine, by: Sequence[str], *, since: datetime | None = None, until: datetime | None = None
) -> list[UsageLine]:
    """Usage from `since` until before `until`, a line per group. A call with two tags counts under both.

    `engine` is of `open_for_reading`; each of `by` is `model`, `day`, `key-hint`, `tag` or `metadata:NAME`.

    In a period from which calls were pruned, `since` and `until` count from the start of their hour.
    """
    with snapshot(engine) as (connection, version):
        groups = _read_groups(connection, by, since, until, version) if version > 1 else None
        if groups is None:
            groups = {}
            _add_calls(connection, groups, by, in_time(since, until), version)
    if not by and not groups:
        groups[()] = [0] * len(SUMS)
    return [_line(group, groups[group]) for group in sorted(groups)]


def read_calls(
    engine: Engine,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    only_failed: bool = False,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Calls from `since` until before `until` as rows of the table, latest first.

    `engine` is of `open_for_reading`; `only_failed` leaves out complete answers; `limit` is the most rows.
    """
    with snapshot(engine) as (connection, version):
        statement = sa.select(*columns_of_calls(version)).where(*in_time(since, until))
        statement = statement.order_by(calls.c.started_at.desc())
        if only_failed:
            statement = statement.where(calls.c.outcome != "ok")
        return [dict(row) for row in connection.execute(statement.limit(limit)).mappings()]


_CHARGES = ("request_id", "day", "model", "served_model", "outcome", "input_tokens", "output_tokens", "cost")


def read_charges(
    engine: Engine, wanted: Wanted, *, since: datetime | None = None, until: datetime | None = None
) -> Iterator[dict[str, Any]]:
    """What `reconcile` compares of the calls from `since` until before `until`, one at a time."""
    of_days = [calls.c.day >= wanted.first, calls.c.day <= wanted.last]
    if wanted.only_complete:
        of_days.append(calls.c.outcome == "ok")
    of_requests = calls.c.request_id.in_(_texts(wanted.request_ids, engine.dialect.name))
    statement = sa.select(*(calls.c[name] for name in _CHARGES))
    statement = statement.where(sa.or_(of_requests, sa.and_(*of_days)))
    with snapshot(engine) as (connection, _):
        statement = statement.where(*in_time(*narrowed(connection, since, until)))
        for row in connection.execution_options(yield_per=2000).execute(statement):
            yield dict(zip(_CHARGES, row, strict=True))


def _texts(texts: Iterable[str], dialect: str) -> sa.Select[str]:
    """Texts as rows, of one parameter however many they are; none in a ledger has a NUL."""
    listed = sa.literal(json.dumps([text for text in texts if "\0" not in text]), sa.Text)
    if dialect == "sqlite":
        return sa.select(sa.func.json_each(listed).table_valued("value").c.value)
    return sa.select(sa.func.json_array_elements_text(sa.cast(listed, sa.JSON)).column_valued())


def as_mapping(line: UsageLine, by: Sequence[str]) -> Mapping[str, Any]:
    """A line for JSON and CSV output, with USD as exact decimal text."""
    fields = {name: getattr(line, name) for name in UsageLine.__slots__ if name not in ("group", *_MONEY)}
    usd = {name: getattr(line, name) for name in _MONEY}
    texts = {f"{name}_usd": None if amount is None else f"{amount:f}" for name, amount in usd.items()}
    return {**dict(zip(by, line.group, strict=True)), **fields, **texts}


_VERSIONS = sa.select(schema_versions.c.version)


@contextmanager
def snapshot(engine: Engine) -> Generator[tuple[sa.Connection, int]]:
    """A connection whose queries all see one state of the ledger, and its version.

    Ledgers have roll-ups from version 2 on.
    """
    isolation = {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
    with engine.connect().execution_options(**isolation) as connection:
        if not isolation:
            connection.exec_driver_sql("BEGIN")
        yield connection, check_version(connection.scalars(_VERSIONS).all())


def _read_groups(
    connection: sa.Connection,
    by: Sequence[str],
    since: datetime | None,
    until: datetime | None,
    version: int,
) -> Groups | None:
    """Sums by group, `None` if roll-ups do not have them."""
    names = [name for name in by if name != "day"]
    name = names[0] if names else ALL
    if len(names) > 1 or not is_summed(connection, name):
        return None

    def read(parts: Sequence[Part]) -> list[Groups]:
        return [_rolled_up(connection, by, name, part, version) for part in parts]

    found, others = read_period(connection, since, until, version, read)
    groups: Groups = {}
    for one in found:
        for group, sums in one.items():
            _add(groups, group, sums)
    for conditions in others:
        _add_calls(connection, groups, by, conditions, version)
    return groups


def is_summed(connection: sa.Connection, name: str) -> bool:
    """Whether the roll-ups have the sums by a name."""
    names = [name, METADATA] if name.startswith(METADATA) else [name]
    unsummed = sa.select(state.c.name).where(state.c.kind == UNSUMMED, state.c.name.in_(names))
    return connection.scalar(unsummed) is None


def _rolled_up(connection: sa.Connection, by: Sequence[str], name: str, part: Part, version: int) -> Groups:
    """Sums by group from a table of roll-ups, of the calls without the metadata too."""
    groups = _labelled(connection, by, name, part, version)
    if name.startswith(METADATA):
        _add_rest(connection, groups, by, part, version)
    return groups


def _labelled(connection: sa.Connection, by: Sequence[str], name: str, part: Part, version: int) -> Groups:
    table, first, end = part
    label, time = table.primary_key.columns
    per_day = 24 if table is hours else 24 * 60
    # Databases divide towards zero, so what is before 1970 is divided as the time since an earlier day.
    day = (time + _EARLIER_DAYS * per_day) // per_day - _EARLIER_DAYS if "day" in by else sa.literal(0)
    statement = (
        sa.select(labels.c.value, day.label("day"), *_sums(table, version))
        .join_from(table, labels, label == labels.c.id)
        .where(labels.c.name == name, time >= first, time < end)
        .group_by(labels.c.value, sa.text("2"))
    )
    groups: Groups = {}
    for value, its_day, *sums in connection.execute(statement):
        group = tuple(_date(its_day) if one == "day" else value for one in by)
        _add(groups, group, _joined(sums))
    return groups


def _add_rest(
    connection: sa.Connection,
    groups: Groups,
    by: Sequence[str],
    part: Part,
    version: int,
) -> None:
    """Add the calls without the metadata: a call has at most one value of a name."""
    every = _labelled(connection, ["day" if one == "day" else ALL for one in by], ALL, part, version)
    for group, sums in every.items():
        rest = list(sums)
        for other, theirs in groups.items():
            if all(one != "day" or mine == its for one, mine, its in zip(by, group, other, strict=True)):
                rest = [left - taken for left, taken in zip(rest, theirs, strict=True)]
        if rest[0]:
            _add(
                groups,
                tuple(NO_GROUP if one != "day" else mine for one, mine in zip(by, group, strict=True)),
                rest,
            )


def _sums(table: sa.Table, version: int) -> list[sa.ColumnElement[int]]:
    """The sums, those of USD in two parts: SQLite's integers end at 9.2 million USD."""
    sums: list[sa.ColumnElement[int]] = []
    for name in SUMS:
        column = sa.literal(0) if name == "cache_savings" and version < 3 else table.c[name]
        parts = (column // 10**6, column % 10**6) if name in _MONEY else (column,)
        sums += map(sa.func.sum, parts)
    return sums


def _joined(sums: Sequence[Any]) -> list[int]:
    parts = iter(map(int, sums))
    return [next(parts) * 10**6 + next(parts) if name in _MONEY else next(parts) for name in SUMS]


def _add_calls(
    connection: sa.Connection,
    groups: Groups,
    by: Sequence[str],
    conditions: Sequence[sa.ColumnElement[bool]],
    version: int,
) -> None:
    columns = [column for column in columns_of_calls(version) if column.name in _FOLDED_COLUMNS]
    tags: dict[str, list[str]] = {}
    if "tag" in by:
        statement = sa.select(call_tags).join_from(call_tags, calls).where(*conditions)
        for call_id, tag in connection.execute(statement):
            tags.setdefault(call_id, []).append(tag)
    for values in connection.execute(sa.select(*columns).where(*conditions)):
        row = dict(zip([column.name for column in columns], values, strict=True))
        choices = [_values(name, row, tags.get(row["call_id"], ())) for name in by]
        for group in product(*choices):
            _add(groups, group, sums_of(row))


def _values(name: str, row: Any, tags: Sequence[str]) -> Sequence[str]:
    if name == "day":
        return (_date(hour_of(row) // 24),)
    return values_of(name, row, tags) or (NO_GROUP,)


def _add(groups: Groups, group: tuple[str, ...], sums: Sequence[int]) -> None:
    found = groups.setdefault(group, [0] * len(SUMS))
    found[:] = map(sum, zip(found, sums, strict=True))


def _date(day: int) -> str:
    return (EPOCH + timedelta(days=day)).date().isoformat()


def _line(group: tuple[str, ...], sums: Sequence[int]) -> UsageLine:
    named = dict(zip(SUMS, sums, strict=True))
    cost, priced, saved = named.pop("cost"), named.pop("priced"), named.pop("cache_savings")
    return UsageLine(
        group=group, cost=from_pico(cost) if priced else None, cache_savings=from_pico(saved), **named
    )
