"""The tables of a ledger and its engine: SQLite for one machine, PostgreSQL for many."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.types import TypeDecorator

SCHEMA_VERSION = 1
_BUSY_SECONDS = 30
"""How long SQLite waits for other processes that write to the same file."""
_CONNECT_SECONDS = 5
_PICO = Decimal(10) ** 12

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


class _USD(TypeDecorator[Decimal]):
    """Integers of 10⁻¹² USD, so that sums are exact: SQLite has no decimal type."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: sa.Dialect) -> int | None:
        return None if value is None else int((value * _PICO).to_integral_value())

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Decimal | None:
        return None if value is None else Decimal(value) / _PICO


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
    sa.Column("finish_reason", sa.Text),
    sa.Column("first_token_ms", sa.Float),
    sa.Column("total_ms", sa.Float, nullable=False),
    sa.Column("attempts", sa.Integer),
    sa.Column("error", sa.Text),
    sa.Column("error_code", sa.Text),
    sa.Column("key_hint", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text),
    sa.Column("metadata", sa.JSON, nullable=False),
)

call_tags = sa.Table(
    "texapi_call_tags",
    metadata,
    sa.Column("call_id", sa.Text, sa.ForeignKey("texapi_calls.call_id"), primary_key=True),
    sa.Column("tag", sa.Text, primary_key=True, index=True),
)


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
        url = url.set(database=str(Path(url.database).absolute()))
    return url


def open_ledger(url: sa.URL) -> sa.Engine:
    """The engine of a ledger, not yet connected.

    Raises:
        ImportError: the driver is not installed.
        LedgerURLError: the driver is unknown or async.
    """
    is_sqlite = url.get_backend_name() == "sqlite"
    wait = {"timeout": _BUSY_SECONDS} if is_sqlite else {"connect_timeout": _CONNECT_SECONDS}
    try:
        engine = sa.create_engine(url, connect_args=wait, pool_pre_ping=not is_sqlite)
    except (ArgumentError, NoSuchModuleError):
        raise LedgerURLError(f"SQLAlchemy does not know {url.drivername}") from None
    if engine.dialect.is_async:
        raise LedgerURLError(f"a thread writes the ledger; remove the async driver {engine.driver}")
    if is_sqlite:
        sa.event.listen(engine, "connect", _set_up_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _: Any) -> None:
    """Allow reading while writing. A commit survives a crash of the process, but not a power failure."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def prepare(engine: sa.Engine) -> None:
    """Create the tables if there are none.

    Raises:
        LedgerVersionError: the tables have another schema version.
        sqlalchemy.exc.DBAPIError: also when another process creates them at the same time; try again.
    """
    with engine.begin() as connection:
        metadata.create_all(connection)
        insert = INSERTS[engine.dialect.name]
        found = connection.scalars(sa.select(schema_versions.c.version)).all()
        if not found:
            statement = insert(schema_versions).values(version=SCHEMA_VERSION)
            connection.execute(statement.on_conflict_do_nothing())
    check_version(found or [SCHEMA_VERSION])


def check_version(found: Any) -> None:
    """Raise `LedgerVersionError` unless `found` is this package's version alone."""
    if list(found) != [SCHEMA_VERSION]:
        versions = ", ".join(map(str, found)) or "none"
        raise LedgerVersionError(
            f"The ledger has schema version {versions}; this texapi-integrations writes {SCHEMA_VERSION}. "
            "Use the version that created it, or another database."
        )
