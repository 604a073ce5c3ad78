"""The state of a limit in a database: SQLite for the processes of one machine, PostgreSQL for many.

A step is two statements: read the row, and write it if it has not changed since, else repeat. So no
process holds a lock between the two, and one that dies leaves none.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import time
from contextlib import suppress
from typing import Any

from texapi_core._files import identity_of
from texapi_core.limits.plan import Plan
from texapi_core.limits.state import Grant, State, Step
from texapi_core.limits.store import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    KEPT_SECONDS,
    LEASE_SECONDS,
    SharedStore,
    limit_row,
)

_TABLE = """CREATE TABLE IF NOT EXISTS texapi_limits (
name TEXT PRIMARY KEY, version BIGINT NOT NULL, at DOUBLE PRECISION NOT NULL, state TEXT NOT NULL)"""
_INSERT = "INSERT INTO texapi_limits (name, version, at, state) VALUES (?, 1, ?, ?) ON CONFLICT DO NOTHING"
_UPDATE = "UPDATE texapi_limits SET version = version + 1, at = ?, state = ? WHERE name = ? AND version = ?"
_DELETE_OLD = "DELETE FROM texapi_limits WHERE at < ?"
_SQLITE_CLOCK = "(julianday('now') - 2440587.5) * 86400.0"
_POSTGRESQL_CLOCK = "extract(epoch FROM clock_timestamp())::double precision"
_MAX_RETRY_SECONDS = 0.01
_jitter = random.Random().random


class DatabaseStore(SharedStore):
    """Steps in a table of a database, which may be that of the ledger."""

    def __init__(self, plan: Plan, name: str) -> None:
        super().__init__(plan, name)
        self._is_postgresql = plan.kind == "postgresql"
        self.kind = "PostgreSQL" if self._is_postgresql else "SQLite"
        self._path = plan.path
        self._connection: Any = None
        self._file: object = None
        clock = _POSTGRESQL_CLOCK if self._is_postgresql else _SQLITE_CLOCK
        self._select = self._spelled(f"SELECT version, at, state, {clock} FROM texapi_limits WHERE name = ?")
        self._clock = f"SELECT {clock}"
        self._insert, self._update = self._spelled(_INSERT), self._spelled(_UPDATE)

    def _spelled(self, statement: str) -> str:
        return statement.replace("?", "%s") if self._is_postgresql else statement

    def _open(self) -> None:
        self._close()
        self._connection = connection = connect(self._plan)
        with suppress(sqlite3.IntegrityError):  # PostgreSQL: two processes that create the table at once
            connection.execute(_TABLE)
        self._file = self._identity()
        (now,) = connection.execute(self._clock).fetchone()
        connection.execute(self._spelled(_DELETE_OLD), (now - KEPT_SECONDS,))

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _identity(self) -> object:
        """What changes when an SQLite file, or one beside it, was deleted or replaced."""
        return None if self._is_postgresql else identity_of(self._path)

    def _ask(self, step: Step, now: float | None) -> Grant:
        if self._identity() != self._file:
            raise FileNotFoundError("the file of the limits was replaced")
        until = time.monotonic() + ANSWER_SECONDS
        while True:
            row = self._connection.execute(self._select, (self._name,)).fetchone()
            if row is None:
                version, at, text = 0, 0.0, "{}"
                (clock,) = self._connection.execute(self._clock).fetchone()
            else:
                version, at, text, clock = row
            moment = clock if now is None else now
            state, held_by = _read(text if moment - at < KEPT_SECONDS else "{}", moment)
            held_by.pop(self._process, None)
            others = sum(held for _, held in held_by.values())
            grant = state.step(moment, self._plan, step, others_held=others)
            held = step.held + (step.requests if grant.granted else 0)
            held_by[self._process] = (moment + LEASE_SECONDS, held)
            written = _write(state, held_by, grant)
            if version:
                cursor = self._connection.execute(self._update, (moment, written, self._name, version))
            else:
                cursor = self._connection.execute(self._insert, (self._name, moment, written))
            if cursor.rowcount:
                return grant._replace(processes=len(held_by))
            if time.monotonic() > until:
                raise TimeoutError("other processes were always first")
            time.sleep(_jitter() * _MAX_RETRY_SECONDS)


Held = dict[str, tuple[float, int]]
"""Process -> until when it counts, and its calls in progress."""


def _read(text: str, now: float) -> tuple[State, Held]:
    fields = _object(text)
    found = fields.get("held_by")
    held_by = {}
    for process, lease in found.items() if isinstance(found, dict) else ():
        until, held = lease if isinstance(lease, list) and len(lease) == 2 else (0, 0)
        if isinstance(until, int | float) and until > now and isinstance(held, int) and held >= 0:
            held_by[process] = (min(until, now + LEASE_SECONDS), held)
    return State.read(fields), held_by


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _write(state: State, held_by: Held, grant: Grant) -> str:
    rates = {"rate": grant.requests_per_second, "token_rate": grant.tokens_per_second}
    return json.dumps({**state.fields(), "held_by": held_by, "rates": rates})


def connect(plan: Plan) -> Any:
    """A connection in autocommit mode that gives up soon."""
    if plan.kind == "sqlite":
        connection: Any = sqlite3.connect(
            plan.path, timeout=ANSWER_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection
    import psycopg  # an extra

    milliseconds = int(ANSWER_SECONDS * 1000)
    connection = psycopg.connect(
        plan.url,
        autocommit=True,
        connect_timeout=max(int(CONNECT_SECONDS), 2),
        tcp_user_timeout=milliseconds,
        application_name="texapi-limits",
    )
    # A limit that forgets its last moment when the server crashes does no harm.
    connection.execute(f"SET synchronous_commit = off; SET statement_timeout = {milliseconds}")
    return connection


open_store = DatabaseStore


def read_limits(plan: Plan) -> list[dict[str, Any]]:
    """A row for each limit in a database, sorted by name.

    Raises:
        ConnectionError: the database cannot be read.
    """
    store = DatabaseStore(plan, "")
    try:
        if not store._is_postgresql and not os.path.exists(plan.path):
            raise FileNotFoundError(f"there is no {plan.path}")
        store._open()
        (now,) = store._connection.execute(store._clock).fetchone()
        found = store._connection.execute("SELECT name, state FROM texapi_limits ORDER BY name").fetchall()
    except Exception as error:
        raise ConnectionError(type(error).__name__) from None
    finally:
        store._close()
    return [_row(name, text, now) for name, text in found]


def _row(name: str, text: str, now: float) -> dict[str, Any]:
    state, held_by = _read(text, now)
    rates = _object(text).get("rates")
    fields = {**state.fields(), **(rates if isinstance(rates, dict) else {})}
    calls = sum(held for _, held in held_by.values()) if held_by else None
    return limit_row(name, fields, now, len(held_by), calls)
