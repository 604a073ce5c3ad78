"""Roll-ups: sums by hour and minute, kept in the transaction that writes the calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from operator import add
from typing import Any

import sqlalchemy as sa

from texapi_core.accounting.ledger.schema import (
    INSERTS,
    SUMS,
    call_tags,
    calls,
    hours,
    labels,
    minutes,
    state,
    to_pico,
)
from texapi_core.accounting.record import bounded_text, tag_name

ALL = "all"
METADATA = "metadata:"
NO_GROUP = "-"
"""The group of calls without a value to group by."""
MAX_VALUES = 2_000
"""Values of a name that are summed. A name with more, e.g. the id of a session, is counted from the calls."""
MAX_NAMES = 200
"""Names of metadata that are summed."""
UNSUMMED = "unsummed"
_FOLD_SIZE = 2_000
NAMED = "named"
"""Calls by the names of their tags and metadata, e.g. `tag:team`, and every call by `""`.

What is without a name is the rest of all calls. Before these sums were written, the rest has others too.
"""
_ALWAYS = (ALL, "model", "requested-model", "key-hint", "tag", NAMED)

_UNSUMMED_NAMES = sa.select(state.c.name).where(state.c.kind == UNSUMMED)

Row = Mapping[str, Any]
Label = tuple[str, str]
Cells = dict[tuple[str, str, int], list[int]]


def values_of(name: str, row: Row, tags: Sequence[str]) -> Sequence[str]:
    """The values by which a call counts under a name: several tags, or one, or no metadata."""
    if name.startswith(METADATA):
        value = row["metadata"].get(name.removeprefix(METADATA))
        return () if value is None else (bounded_text(value),)
    if name == "tag":
        return tags or (NO_GROUP,)
    if name == "model":
        return (row["served_model"] or row["model"] or NO_GROUP,)
    if name == "requested-model":
        return (row["model"] or NO_GROUP,)
    if name == NAMED:
        named = {f"tag:{tag_name(tag)}" for tag in tags}
        named.update(METADATA + one for one, value in row["metadata"].items() if value is not None)
        return ("", *sorted(named))
    return ("",) if name == ALL else (row["key_hint"],)


def sums_of(row: Row) -> tuple[int, ...]:
    """One call as `SUMS`. A call that failed before an answer began costs nothing."""
    cost, tokens = row["cost"], row["input_tokens"]
    is_refused = row["outcome"] == "error" and row["response_id"] is None and tokens is None
    return (
        1,
        int(row["outcome"] != "ok"),
        tokens or 0,
        row["output_tokens"] or 0,
        row["cached_tokens"] or 0,
        row["reasoning_tokens"] or 0,
        0 if cost is None else to_pico(cost),
        int(cost is not None),
        int(cost is None and not is_refused),
        0 if row["cache_savings"] is None else to_pico(row["cache_savings"]),
    )


def hour_of(row: Row) -> int:
    """Hours since 1970."""
    return _minute_of(row) // 60


def _minute_of(row: Row) -> int:
    return int(row["started_at"].timestamp() // 60)


class RollUps:
    """Adds calls to the roll-ups of one ledger. Not thread-safe."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, str], int] = {}

    def forget(self) -> None:
        """The transaction failed, or the ledger is another: what is known of it may be wrong."""
        self._ids.clear()

    def add(self, connection: sa.Connection, rows: Iterable[Row], tags: Mapping[str, Sequence[str]]) -> None:
        """Count calls that the same transaction has written."""
        unsummed = set(connection.scalars(_UNSUMMED_NAMES))
        alike: dict[tuple[int, tuple[Label, ...]], list[int]] = {}
        for row in rows:
            names = list(_ALWAYS)
            if METADATA not in unsummed:
                names += [METADATA + name for name in row["metadata"]]
            its_tags = tags.get(row["call_id"], ())
            its_labels = tuple(
                (name, value)
                for name in names
                if name not in unsummed
                for value in values_of(name, row, its_tags)
            )
            _add(alike, (_minute_of(row), its_labels), sums_of(row))
        cells: Cells = {}
        for (minute, its_labels), sums in alike.items():
            for name, value in its_labels:
                _add(cells, (name, value, minute), sums)
        if cells:
            self._write(connection, cells)

    def count_uncounted(self, connection: sa.Connection) -> bool:
        """Count some of the calls that a process on version 1 has written; whether there may be more."""
        statement = sa.select(calls).where(calls.c.hour.is_(None)).limit(_FOLD_SIZE)
        found = connection.execute(statement.with_for_update(skip_locked=True))
        rows = [dict(row) for row in found.mappings()]
        if not rows:
            return False
        ids = [row["call_id"] for row in rows]
        tags: dict[str, list[str]] = {}
        of_these = sa.select(call_tags).where(call_tags.c.call_id.in_(ids))
        for call_id, tag in connection.execute(of_these):
            tags.setdefault(call_id, []).append(tag)
        update = calls.update().where(calls.c.call_id == sa.bindparam("id")).values(hour=sa.bindparam("its"))
        connection.execute(update, [{"id": row["call_id"], "its": hour_of(row)} for row in rows])
        self.add(connection, rows, tags)
        return len(rows) == _FOLD_SIZE

    def _write(self, connection: sa.Connection, cells: Cells) -> None:
        """In one order in every process, so that they cannot deadlock."""
        needed = {(name, value) for name, value, _ in cells}
        self._forget_gone(connection, needed)
        wanted = sorted(needed - self._ids.keys())
        too_many = self._add_labels(connection, wanted)
        by_hour: dict[tuple[int, int], list[int]] = {}
        by_minute: dict[tuple[int, int], list[int]] = {}
        for (name, value, minute), sums in cells.items():
            if not _is_among(name, too_many):
                label_id = self._ids[name, value]
                by_minute[label_id, minute] = sums
                _add(by_hour, (label_id, minute // 60), sums)
        for table, its_sums in ((hours, by_hour), (minutes, by_minute)):
            names = [column.name for column in table.c]
            rows = [dict(zip(names, (*key, *sums), strict=True)) for key, sums in sorted(its_sums.items())]
            connection.execute(_upsert(table, connection.dialect.name), rows)

    def _forget_gone(self, connection: sa.Connection, needed: set[tuple[str, str]]) -> None:
        """Another client may have emptied the tables. What is there stays until the transaction ends."""
        ids = sorted(one for label, one in self._ids.items() if label in needed)
        there = sa.select(labels.c.name, labels.c.value, labels.c.id).where(labels.c.id.in_(ids))
        locked = there.order_by(labels.c.id).with_for_update(read=True, key_share=True)
        found = {(name, value): label_id for name, value, label_id in connection.execute(locked)}
        for label in needed & self._ids.keys():
            if found.get(label) != self._ids[label]:
                del self._ids[label]

    def _add_labels(self, connection: sa.Connection, wanted: Sequence[tuple[str, str]]) -> set[str]:
        """Learn the ids of labels; the names that have too many."""
        if not wanted:
            return set()
        insert = INSERTS[connection.dialect.name]
        rows = [{"name": name, "value": value} for name, value in wanted]
        connection.execute(insert(labels).on_conflict_do_nothing(), rows)
        for name in sorted({name for name, _ in wanted}):
            values = [value for other, value in wanted if other == name]
            statement = sa.select(labels.c.value, labels.c.id).where(labels.c.name == name)
            for value, label_id in connection.execute(statement.where(labels.c.value.in_(values))):
                self._ids[name, value] = label_id
        too_many = self._names_of_too_many(connection, {name for name, _ in wanted} - {ALL})
        for name in sorted(too_many):
            connection.execute(insert(state).values(kind=UNSUMMED, name=name).on_conflict_do_nothing())
            theirs = (
                labels.c.name.startswith(name, autoescape=True) if name == METADATA else labels.c.name == name
            )
            ids = sa.select(labels.c.id).where(theirs)
            for table in (hours, minutes):
                connection.execute(table.delete().where(table.c.label_id.in_(ids)))
            connection.execute(labels.delete().where(theirs))
        if too_many:
            self._ids = {label: one for label, one in self._ids.items() if not _is_among(label[0], too_many)}
        return too_many

    def _names_of_too_many(self, connection: sa.Connection, names: set[str]) -> set[str]:
        count = sa.select(labels.c.name).where(labels.c.name.in_(names)).group_by(labels.c.name)
        found = set(connection.scalars(count.having(sa.func.count() > MAX_VALUES)))
        if any(name.startswith(METADATA) for name in names):
            known = sa.select(sa.func.count(labels.c.name.distinct()))
            if (connection.scalar(known) or 0) > MAX_NAMES + len(_ALWAYS):
                found.add(METADATA)
        return found


def _add(cells: dict[Any, list[int]], key: Any, sums: Sequence[int]) -> None:
    cell = cells.get(key)
    cells[key] = list(sums) if cell is None else list(map(add, cell, sums))


@cache
def _upsert(table: sa.Table, dialect: str) -> Any:
    insert = INSERTS[dialect](table)
    total = {name: table.c[name] + insert.excluded[name] for name in SUMS}
    return insert.on_conflict_do_update(index_elements=list(table.primary_key), set_=total)


def _is_among(name: str, names: set[str]) -> bool:
    return name in names or (METADATA in names and name.startswith(METADATA))
