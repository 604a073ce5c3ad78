"""The ledger as a database of reservations, and the sum of its calls that a budget is for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from texapi_core.accounting.accounts import Account, tags_of_value, value_in_calls
from texapi_core.accounting.ledger.deadline import Deadline
from texapi_core.accounting.ledger.periods import Conditions, Part, in_time, read_period
from texapi_core.accounting.ledger.report import is_summed, snapshot
from texapi_core.accounting.ledger.rollups import ALL, METADATA, NAMED
from texapi_core.accounting.ledger.schema import (
    call_tags,
    calls,
    from_pico,
    identity,
    labels,
    open_ledger,
    parse_url,
    prepare,
)
from texapi_core.accounting.record import TAG_SEPARATORS, Spending, tag_name

_BUSY_MILLISECONDS = 5_000
_READ_SECONDS = 1.0
"""How long reading waits for a locked file, and so does opening it: both are tried again."""
_BUSY_CODES, _BUSY_STATES = frozenset({5, 6}), frozenset({"40001", "40P01", "55P03", "57014"})
"""SQLite's BUSY and LOCKED; SQLSTATE of a deadlock, a lock and a statement that was in time for none."""


class LedgerDatabase:
    """Reservations of all processes, in the database of the ledger at a URL."""

    is_shared = True

    def __init__(self, url: str) -> None:
        parsed = parse_url(url)
        self.is_postgresql = parsed.get_backend_name() == "postgresql"
        self.shown_url = parsed.render_as_string(hide_password=True)
        if self.is_postgresql:
            given = parsed.query
            # Without these a call would wait for a server that has vanished as long as TCP does.
            waits = {
                "tcp_user_timeout": str(_BUSY_MILLISECONDS),
                "options": f"-c statement_timeout={_BUSY_MILLISECONDS}",
            }
            parsed = parsed.update_query_dict({name: waits[name] for name in waits if name not in given})
        self._url = parsed
        self._engine = open_ledger(parsed, busy_seconds=_READ_SECONDS)
        self._deadline = Deadline(self._engine) if self.is_postgresql else None

    def connect(self) -> Any:
        """A DB-API connection in autocommit mode. Creates the ledger's tables if there are none."""
        self._engine.dispose()
        prepare(self._engine)
        pooled = self._engine.raw_connection()
        connection: Any = pooled.dbapi_connection
        pooled.detach()
        if self.is_postgresql:
            connection.autocommit = True
        else:
            connection.isolation_level = None
            connection.execute(f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}")
        return connection

    def expect(self, until: float | None) -> None:
        """Break off what is not done until a time, or nothing any more."""
        if self._deadline is not None:
            self._deadline.set(until)

    def limit_wait(self, connection: Any, seconds: float) -> None:
        """Let a connection wait for others at most this long."""
        milliseconds = max(min(int(seconds * 1000), _BUSY_MILLISECONDS), 1)
        setting = "SET statement_timeout" if self.is_postgresql else "PRAGMA busy_timeout"
        connection.execute(f"{setting} = {milliseconds}")

    def is_busy(self, error: Exception) -> bool:
        """Whether others had the database locked."""
        plain: Any = getattr(error, "orig", None) or error
        code = getattr(plain, "sqlite_errorcode", None) or 0
        return code & 0xFF in _BUSY_CODES or getattr(plain, "sqlstate", None) in _BUSY_STATES

    def disconnect(self) -> None:
        """Close the connections that read the ledger."""
        self._engine.dispose()

    def identity(self) -> object:
        """What changes when the database is another one."""
        return identity(self._url)

    def read_ledger(self, account: Account, since: datetime) -> Spending:
        """Spending of the recorded calls of an account since a time."""
        return read_spending(self._engine, account.scope, value_in_calls(account.value), since)


def read_spending(engine: sa.Engine, scope: str, value: str | None, since: datetime) -> Spending:
    """Spending of the calls with one value of a scope since a time; unknown costs and counts are 0.

    `None` is for the calls without a value. The sum comes from the roll-ups, and from the calls for the
    first, incomplete minute.
    """
    label = _label_of(scope, value)
    with snapshot(engine) as (connection, version):
        if label is None or not is_summed(connection, label[0]):
            return _spending(_sums_of_calls(connection, scope, value, [in_time(since, None)]))

        def read(parts: Sequence[Part]) -> list[Sequence[int]]:
            return _sums(connection, [_sum_of_part(part, *label) for part in parts])

        summed, others = read_period(connection, since, None, version, read)
        if any(unknown for *_, unknown in summed):
            others, summed = [in_time(since, None)], []
        return _spending([*summed, *_sums_of_calls(connection, scope, value, others)])


def _spending(sums: Sequence[Sequence[int]]) -> Spending:
    cost, tokens = (sum(one[place] for one in sums) for place in (1, 2))
    return Spending(from_pico(cost), tokens)


def _sums(connection: sa.Connection, selects: Sequence[sa.Select[*tuple[Any, ...]]]) -> list[Sequence[int]]:
    """The sums that each of the selects gives, in one statement."""
    numbered = [one.add_columns(sa.literal_column(str(number))) for number, one in enumerate(selects)]
    rows = {number: sums for *sums, number in connection.execute(sa.union_all(*numbered))}
    return [[int(one or 0) for one in rows[number]] for number in range(len(selects))]


def _sum_of_part(part: Part, name: str, values: Sequence[str]) -> sa.Select[*tuple[Any, ...]]:
    """Calls, cost and tokens of a label, and how many calls may or may not be among them.

    Under `NAMED` they are those of the rest: of all calls without those of the label.
    """
    table, first, end = part
    label_id, time = table.primary_key.columns
    columns: Any = (table.c.calls, table.c.cost, table.c.input_tokens + table.c.output_tokens)
    wanted = sa.and_(labels.c.name == name, labels.c.value.in_(values))
    unknown: Any = sa.literal_column("0")
    if name == NAMED:
        is_all = labels.c.name == ALL
        is_known = sa.and_(labels.c.name == NAMED, labels.c.value == "")
        unknown = sa.case((is_all, table.c.calls), (is_known, -table.c.calls), else_=0)
        columns = [sa.case((is_all, one), (wanted, -one), else_=0) for one in columns]
        wanted = sa.or_(is_all, is_known, wanted)
    return (
        sa.select(*map(sa.func.sum, (*columns, unknown)))
        .join_from(table, labels, label_id == labels.c.id)
        .where(wanted, time >= first, time < end)
    )


def _sums_of_calls(
    connection: sa.Connection, scope: str, value: str | None, periods: Sequence[Conditions]
) -> list[Sequence[int]]:
    tokens = sa.func.coalesce(calls.c.input_tokens, 0) + sa.func.coalesce(calls.c.output_tokens, 0)
    cost = sa.type_coerce(calls.c.cost, sa.BigInteger)
    statement = sa.select(sa.func.count(), sa.func.sum(cost), sa.func.sum(tokens)).select_from(calls)
    if (condition := _of_scope(scope, value, is_sqlite=connection.dialect.name == "sqlite")) is not None:
        statement = statement.where(condition)
    return _sums(connection, [statement.where(*period) for period in periods])


def _label_of(scope: str, value: str | None) -> tuple[str, tuple[str, ...]] | None:
    """The roll-ups' name and values of a scope, `None` for what they do not have."""
    kind, _, name = scope.partition(":")
    if kind == "all":
        return ALL, ("",)
    if value is None:
        return (NAMED, (scope,)) if kind == "metadata" or (kind == "tag" and tag_name(name) == name) else None
    if kind in ("key", "model"):
        return {"key": "key-hint", "model": "requested-model"}[kind], (value,)
    if kind == "tag":
        return "tag", tags_of_value(name, value)
    return (METADATA + name, (value,)) if kind == "metadata" else (ALL, ("",))


def _of_scope(scope: str, value: str | None, *, is_sqlite: bool) -> sa.ColumnElement[bool] | None:
    kind, _, name = scope.partition(":")
    if kind == "key":
        return calls.c.key_hint == value
    if kind == "model":
        return calls.c.model == value
    if kind == "metadata":
        member = sa.cast(calls.c.metadata[name].as_string(), sa.Text)
        if value is None:
            return member.is_(None)
        # SQLite has JSON's true and false as 1 and 0, and spells fractions in its own way.
        same = member.in_({"true": ("true", "1"), "false": ("false", "0")}.get(value, (value,)))
        if is_sqlite and (number := _fraction(value)) is not None:
            return sa.or_(same, calls.c.metadata[name].as_float() == number)
        return same
    if kind == "tag":
        tag = call_tags.c.tag
        if value is not None:
            wanted: Any = tag.in_(tags_of_value(name, value))
        else:
            starts = [tag.startswith(name + separator, autoescape=True) for separator in TAG_SEPARATORS]
            wanted = sa.or_(tag == name, *starts)
        tagged = sa.exists().where(call_tags.c.call_id == calls.c.call_id, wanted)
        return ~tagged if value is None else tagged
    return None


def _fraction(value: str) -> float | None:
    if value.lstrip("-").isdigit():
        return None
    try:
        return float(value)
    except ValueError:
        return None
