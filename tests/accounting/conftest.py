"""A real PostgreSQL server for the tests, and a fresh database on it for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from tests.accounting import filled, postgresql
from texapi_core.accounting.ledger.schema import parse_url


@pytest.fixture(scope="session")
def _postgresql_server() -> Iterator[str]:
    if reason := postgresql.why_not():
        pytest.skip(reason)
    with postgresql.server() as url:
        yield url


@pytest.fixture
def postgresql_url(_postgresql_server: str) -> Iterator[str]:
    name = f"texapi_{uuid4().hex}"
    parsed = parse_url(_postgresql_server)
    engine = sa.create_engine(parsed, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
    yield parsed.set(database=name, drivername="postgresql").render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    engine.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.combination)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/usage.db"
    found: str = request.getfixturevalue("postgresql_url")
    return found


@pytest.fixture
def filled_ledger(tmp_path: Path) -> str:
    """The URL of a ledger with the known calls."""
    url = f"sqlite:///{tmp_path}/usage.db"
    filled.fill(url, filled.RECORDS)
    return url
