"""The tables of a ledger and its engine: SQLite for one machine, PostgreSQL for many."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    URL,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Engine,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    Text,
    create_engine,
    event,
    make_url,
    select,
)
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

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class _USD(TypeDecorator[Decimal]):
    """Integers of 10⁻¹² USD, so that sums are exact: SQLite has no decimal type."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        return None if value is None else int((value * _PICO).to_integral_value())

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value) / _PICO


metadata = MetaData()

schema_versions = Table("texapi_schema", metadata, Column("version", Integer, primary_key=True))

calls = Table(
    "texapi_calls",
    metadata,
    Column("call_id", Text, primary_key=True),
    Column("started_at", _UTCDateTime, nullable=False, index=True),
    Column("day", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("request_id", Text, index=True),
    Column("response_id", Text),
    Column("model", Text),
    Column("served_model", Text),
    Column("streamed", Boolean, nullable=False),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("cached_tokens", BigInteger),
    Column("cache_creation_tokens", BigInteger),
    Column("reasoning_tokens", BigInteger),
    Column("cost", _USD),
    Column("cost_source", Text),
    Column("finish_reason", Text),
    Column("first_token_ms", Float),
    Column("total_ms", Float, nullable=False),
    Column("attempts", Integer),
    Column("error", Text),
    Column("error_code", Text),
    Column("key_hint", Text, nullable=False),
    Column("run_id", Text),
    Column("metadata", JSON, nullable=False),
)

call_tags = Table(
    "texapi_call_tags",
    metadata,
    Column("call_id", Text, ForeignKey("texapi_calls.call_id"), primary_key=True),
    Column("tag", Text, primary_key=True, index=True),
)


def parse_url(text: str) -> URL:
    """The URL of a ledger, with an absolute path for SQLite and the driver for PostgreSQL.

    Raises:
        LedgerURLError: the URL is malformed or not of SQLite or PostgreSQL.
    """
    try:
        url = make_url(text)
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


def open_ledger(url: URL) -> Engine:
    """The engine of a ledger, not yet connected.

    Raises:
        ImportError: the driver is not installed.
        LedgerURLError: the driver is unknown or async.
    """
    is_sqlite = url.get_backend_name() == "sqlite"
    wait = {"timeout": _BUSY_SECONDS} if is_sqlite else {"connect_timeout": _CONNECT_SECONDS}
    try:
        engine = create_engine(url, connect_args=wait, pool_pre_ping=not is_sqlite)
    except (ArgumentError, NoSuchModuleError):
        raise LedgerURLError(f"SQLAlchemy does not know {url.drivername}") from None
    if engine.dialect.is_async:
        raise LedgerURLError(f"a thread writes the ledger; remove the async driver {engine.driver}")
    if is_sqlite:
        event.listen(engine, "connect", _set_up_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _: Any) -> None:
    """Allow reading while writing. A commit survives a crash of the process, but not a power failure."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def prepare(engine: Engine) -> None:
    """Create the tables if there are none.

    Raises:
        LedgerVersionError: the tables have another schema version.
        sqlalchemy.exc.DBAPIError: also when another process creates them at the same time; try again.
    """
    with engine.begin() as connection:
        metadata.create_all(connection)
        insert = INSERTS[engine.dialect.name]
        found = connection.scalars(select(schema_versions.c.version)).all()
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
