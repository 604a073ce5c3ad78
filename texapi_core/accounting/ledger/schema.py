"""The tables of a ledger and its engine: SQLite for one machine, PostgreSQL for many."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.types import TypeDecorator

from texapi_core._files import identity_of
from texapi_core.accounting.accounts import PICO

SCHEMA_VERSION = 5
_OLDEST_READABLE = 1
_BUSY_SECONDS = 30
"""How long SQLite waits for other processes that write to the same file."""
_CONNECT_SECONDS = 5
_ADVISORY_LOCK = 0x7E8A91
"""The lock of PostgreSQL under which one process at a time creates or migrates the tables."""

INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
"""Supported database -> its `INSERT ... ON CONFLICT`."""


class LedgerURLError(ValueError):
    """The URL is invalid for a ledger. The message does not quote it, since it may contain a password."""


class LedgerVersionError(Exception):
    """The ledger was created by another version of this package."""


class _UTCDateTime(TypeDecorator[datetime]):
    """SQLite stores no time zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def to_pico(cost: Decimal) -> int:
    """USD in 10⁻¹² USD."""
    return int((cost * PICO).to_integral_value())


def from_pico(cost: int) -> Decimal:
    """10⁻¹² USD in USD."""
    return Decimal(cost) / PICO


class _USD(TypeDecorator[Decimal]):
    """Integers of 10⁻¹² USD, so that sums are exact: SQLite has no decimal type."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: sa.Dialect) -> int | None:
        return None if value is None else to_pico(value)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Decimal | None:
        return None if value is None else from_pico(int(value))


SUMS = (
    "calls",
    "failed",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "cost",
    "priced",
    "unpriced",
    "cache_savings",
)
"""Columns of the roll-ups. `priced` counts calls of known cost, `unpriced` those of unknown cost."""

metadata = sa.MetaData()

schema_versions = sa.Table("texapi_schema", metadata, sa.Column("version", sa.Integer, primary_key=True))

calls = sa.Table(
    "texapi_calls",
    metadata,
    sa.Column("call_id", sa.Text, primary_key=True),
    sa.Column("started_at", _UTCDateTime, nullable=False, index=True),
    sa.Column("day", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("request_id", sa.Text, index=True),
    sa.Column("response_id", sa.Text),
    sa.Column("model", sa.Text),
    sa.Column("served_model", sa.Text),
    sa.Column("streamed", sa.Boolean, nullable=False),
    sa.Column("input_tokens", sa.BigInteger),
    sa.Column("output_tokens", sa.BigInteger),
    sa.Column("cached_tokens", sa.BigInteger),
    sa.Column("cache_creation_tokens", sa.BigInteger),
    sa.Column("reasoning_tokens", sa.BigInteger),
    sa.Column("cost", _USD),
    sa.Column("cost_source", sa.Text),
    sa.Column("cache_savings", _USD),
    sa.Column("finish_reason", sa.Text),
    sa.Column("first_token_ms", sa.Float),
    sa.Column("total_ms", sa.Float, nullable=False),
    sa.Column("attempts", sa.Integer),
    sa.Column("error", sa.Text),
    sa.Column("error_code", sa.Text),
    sa.Column("key_hint", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text),
    sa.Column("metadata", sa.JSON, nullable=False),
    sa.Column("hour", sa.Integer),
    sa.Column("waited_ms", sa.Float),
)
"""`hour`: hours since 1970, `NULL` until the call is in the roll-ups."""

_uncounted = sa.Index(
    "ix_texapi_calls_uncounted",
    calls.c.started_at,
    sqlite_where=calls.c.hour.is_(None),
    postgresql_where=calls.c.hour.is_(None),
)

call_tags = sa.Table(
    "texapi_call_tags",
    metadata,
    sa.Column("call_id", sa.Text, sa.ForeignKey("texapi_calls.call_id"), primary_key=True),
    sa.Column("tag", sa.Text, primary_key=True, index=True),
)

labels = sa.Table(
    "texapi_labels",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("value", sa.Text, nullable=False),
    sa.UniqueConstraint("name", "value"),
)
"""What calls are counted by: `all`, `model`, `requested-model`, `key-hint`, `tag`, `metadata:NAME`."""


def _roll_ups(name: str, time: sa.Column[int]) -> sa.Table:
    """Sums of the calls with one label in a time, which is counted from 1970."""
    return sa.Table(
        name,
        metadata,
        sa.Column("label_id", sa.BigInteger, primary_key=True, autoincrement=False),
        time,
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in SUMS if name != "cache_savings"),
        sa.Column("cache_savings", sa.BigInteger, nullable=False, server_default="0"),
        sqlite_with_rowid=False,
    )


hours = _roll_ups("texapi_hours", sa.Column("hour", sa.Integer, primary_key=True, autoincrement=False))
"""Processes of version 2 that still run add none to `cache_savings`."""

minutes = _roll_ups(
    "texapi_minutes", sa.Column("minute", sa.BigInteger, primary_key=True, autoincrement=False)
)
"""For periods that begin or end within an hour. Earlier versions write none, so hours may have more."""

state = sa.Table(
    "texapi_state",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
)
"""`unsummed`: a name of too many labels for roll-ups. `pruned`: a time before which calls were deleted."""


def parse_url(text: str) -> sa.URL:
    """The URL of a ledger, with an absolute path for SQLite and the driver for PostgreSQL.

    Raises:
        LedgerURLError: the URL is malformed or not of SQLite or PostgreSQL.
    """
    try:
        url = sa.make_url(text)
    except (ArgumentError, ValueError):
        raise LedgerURLError("it must look like sqlite:///texapi-usage.db") from None
    backend = url.get_backend_name()
    if url.drivername in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if backend not in INSERTS:
        raise LedgerURLError(f"a ledger is SQLite or PostgreSQL, not {backend}")
    if backend == "sqlite" and url.database and not url.database.startswith((":", "file:")):
        path = Path(url.database).absolute()
        if not path.name:
            raise LedgerURLError("it names a folder; it must look like sqlite:///texapi-usage.db")
        url = url.set(database=str(path))
    return url


def open_ledger(url: sa.URL, *, read_only: bool = False, busy_seconds: float = _BUSY_SECONDS) -> sa.Engine:
    """The engine of a ledger, not yet connected. With `read_only`, an SQLite file is never written.

    Raises:
        ImportError: the driver is not installed.
        LedgerURLError: the driver is unknown or async.
    """
    is_sqlite = url.get_backend_name() == "sqlite"
    wait = {"timeout": busy_seconds} if is_sqlite else {"connect_timeout": _CONNECT_SECONDS}
    if read_only and sqlite_path(url) is not None:
        url = _read_only(url)
    try:
        engine = sa.create_engine(url, connect_args=wait, pool_pre_ping=not is_sqlite)
    except (ArgumentError, NoSuchModuleError):
        raise LedgerURLError(f"SQLAlchemy does not know {url.drivername}") from None
    if engine.dialect.is_async:
        raise LedgerURLError(f"a thread writes the ledger; remove the async driver {engine.driver}")
    if is_sqlite and not read_only:
        sa.event.listen(engine, "connect", _set_up_sqlite)
    return engine


def sqlite_path(url: sa.URL) -> Path | None:
    """The file of an SQLite ledger, `None` for another database or one in memory."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database.startswith((":", "file:")):
        return None
    return Path(url.database)


def identity(url: sa.URL) -> object:
    """What changes when a ledger is another one: device and inode of its files, the URL of a server.

    `None` while there is no file, or one that was emptied: SQLite then drops what its log still has.
    """
    path = sqlite_path(url)
    if path is None:
        return url.render_as_string(hide_password=True)
    try:
        return identity_of(path)
    except OSError:
        return None


def _read_only(url: sa.URL) -> sa.URL:
    """SQLite makes files beside the database to read it, unless it may take it for immutable."""
    path = Path(url.database or "")
    log = path.with_name(path.name + "-wal")
    is_immutable = not os.access(path.parent, os.W_OK) and not (log.exists() and log.stat().st_size)
    mode = "immutable=1" if is_immutable else "mode=ro"
    return url.set(database=f"file:{quote(str(path))}?{mode}").update_query_dict({"uri": "true"})


def _set_up_sqlite(connection: Any, _: Any) -> None:
    """Allow reading while writing. A commit survives a crash of the process, but not a power failure."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def begin_writing(connection: sa.Connection) -> None:
    """Take SQLite's lock for writing first, so that what the transaction reads stays true."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def prepare(engine: sa.Engine) -> None:
    """Create the tables, or migrate those of an older version. Processes that start together take turns.

    Raises:
        LedgerVersionError: the tables have a newer schema version.
    """
    with engine.connect() as connection:
        found = read_versions(connection)
    if found == [SCHEMA_VERSION]:
        return
    with engine.begin() as connection:
        begin_writing(connection)
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
        found = read_versions(connection)
        if not found:
            metadata.create_all(connection)
            connection.execute(schema_versions.insert().values(version=SCHEMA_VERSION))
            return
        check_version(found)
        for version in range(found[0] + 1, SCHEMA_VERSION + 1):
            _MIGRATIONS[version](connection)
        connection.execute(schema_versions.update().values(version=SCHEMA_VERSION))


def _to_version_2(connection: sa.Connection) -> None:
    """Add the roll-ups. Calls of version 1 have no hour: writers count them bit by bit."""
    hour = calls.c.hour.type.compile(connection.dialect)
    connection.exec_driver_sql(f"ALTER TABLE {calls.name} ADD COLUMN hour {hour}")
    _uncounted.create(connection)
    metadata.create_all(connection, tables=[labels, hours, state])


def _to_version_3(connection: sa.Connection) -> None:
    """Add what prompt caches saved, which is not known of earlier calls."""
    for table, constraint in ((calls, ""), (hours, " NOT NULL DEFAULT 0")):
        _add_column(connection, table.c.cache_savings, constraint)


def _to_version_4(connection: sa.Connection) -> None:
    """Add how long calls waited for their rate limit, which is not known of earlier calls."""
    _add_column(connection, calls.c.waited_ms)


def _to_version_5(connection: sa.Connection) -> None:
    """Add the sums by minute; hours that are there already have none."""
    metadata.create_all(connection, tables=[minutes])


def _add_column(connection: sa.Connection, column: sa.Column[Any], constraint: str = "") -> None:
    table = column.table.name
    if column.name not in {found["name"] for found in sa.inspect(connection).get_columns(table)}:
        declared = f"{column.name} {column.type.compile(connection.dialect)}{constraint}"
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {declared}")


MINUTES_VERSION = 5
_ADDED = {"cache_savings": 3, "waited_ms": 4}
"""Column -> the version that added it."""
_MIGRATIONS = {2: _to_version_2, 3: _to_version_3, 4: _to_version_4, 5: _to_version_5}
"""Version -> what makes the tables of the version before it into its own, in the caller's transaction."""


def columns_of_calls(version: int) -> list[sa.ColumnElement[Any]]:
    """What a ledger of a version has of a call; what later versions added is `NULL`."""
    return [
        sa.null().label(column.name) if version < _ADDED.get(column.name, 0) else column
        for column in calls.c
        if column.name != "hour"
    ]


def read_versions(connection: sa.Connection) -> list[int]:
    """The versions in the database: one, or none where there is no ledger."""
    if not sa.inspect(connection).has_table(schema_versions.name):
        return []
    return list(connection.scalars(sa.select(schema_versions.c.version)))


def check_version(found: Any) -> int:
    """The version of a ledger that this package can read.

    Raises:
        LedgerVersionError: it cannot read the ledger.
    """
    if len(found) == 1 and _OLDEST_READABLE <= found[0] <= SCHEMA_VERSION:
        return int(found[0])
    versions = ", ".join(map(str, found)) or "none"
    raise LedgerVersionError(
        f"The ledger has schema version {versions}; this texapi-integrations writes {SCHEMA_VERSION}. "
        "Update texapi-integrations in this process, or use another database."
    )
