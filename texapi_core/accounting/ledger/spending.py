"""The ledger as a database of reservations, and the sum of its calls that a budget is for."""

from __future__ import annotations

import os
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from texapi_core.accounting.ledger.schema import call_tags, calls, open_ledger, parse_url, prepare
from texapi_core.accounting.record import Spending
from texapi_core.accounting.reservations import Account

NO_VALUE = "-"
"""The value of calls without the tag or the metadata that a budget is split by."""
TAG_SEPARATORS = ("=", ":")
"""Between the name of a tag and its value, e.g. `team=search`."""
_BUSY_MILLISECONDS = 5_000


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
        self._path = None if self.is_postgresql else parsed.database
        self._engine = open_ledger(parsed)
        self._is_prepared_for: object = None

    def connect(self) -> Any:
        """A DB-API connection in autocommit mode. Creates the ledger's tables if there are none."""
        if self._is_prepared_for is None or self.identity() != self._is_prepared_for:
            self._engine.dispose()
            prepare(self._engine)
            self._is_prepared_for = self.identity()
        pooled = self._engine.raw_connection()
        connection: Any = pooled.dbapi_connection
        pooled.detach()
        if self.is_postgresql:
            connection.autocommit = True
        else:
            connection.isolation_level = None
            connection.execute(f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}")
        return connection

    def disconnect(self) -> None:
        """Close the connections that read the ledger."""
        self._engine.dispose()

    def identity(self) -> object:
        """Device and inode of an SQLite file, `None` while there is none; the URL of a server."""
        if self._path is None or self._path.startswith((":", "file:")):
            return self.shown_url
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def read_ledger(self, account: Account, since: datetime) -> Spending:
        """Spending of the recorded calls of an account since a time."""
        return read_spending(self._engine, account.scope, account.value, since)


def read_spending(engine: sa.Engine, scope: str, value: str, since: datetime) -> Spending:
    """Spending of the calls with one value of a scope since a time; unknown costs and counts are 0."""
    tokens = sa.func.coalesce(calls.c.input_tokens, 0) + sa.func.coalesce(calls.c.output_tokens, 0)
    statement = sa.select(sa.func.sum(calls.c.cost), sa.func.coalesce(sa.func.sum(tokens), 0)).where(
        calls.c.started_at >= since
    )
    if (condition := _of_scope(scope, value)) is not None:
        statement = statement.where(condition)
    with engine.connect() as connection:
        cost, count = connection.execute(statement).one()
    return Spending(cost or Decimal(0), int(count))


def _of_scope(scope: str, value: str) -> sa.ColumnElement[bool] | None:
    kind, _, name = scope.partition(":")
    if kind == "key":
        return calls.c.key_hint == value
    if kind == "model":
        return calls.c.model == value
    if kind == "metadata":
        member = sa.cast(calls.c.metadata[name].as_string(), sa.Text)
        # SQLite has JSON's true and false as 1 and 0.
        same = {"true": ("true", "1"), "false": ("false", "0")}.get(value, (value,))
        return member.is_(None) if value == NO_VALUE else member.in_(same)
    if kind == "tag":
        tag = call_tags.c.tag
        wanted = tag == value
        if value == NO_VALUE:
            starts = [tag.startswith(name + separator, autoescape=True) for separator in TAG_SEPARATORS]
            wanted = sa.or_(tag == name, *starts)
        tagged = sa.exists().where(call_tags.c.call_id == calls.c.call_id, wanted)
        return ~tagged if value == NO_VALUE else tagged
    return None
