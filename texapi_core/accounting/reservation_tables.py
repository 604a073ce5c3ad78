"""The tables of budgets and reservations, and their statements for SQLite, which PostgreSQL takes with `%s`.

They stand beside the ledger's tables in the same database, and need no SQLAlchemy.
"""

from __future__ import annotations

from typing import Any

from texapi_core.accounting.accounts import KNOWN, OPEN

AMOUNTS = (
    "ledger_cost",
    "ledger_tokens",
    "carried_cost",
    "carried_tokens",
    "settled_cost",
    "settled_tokens",
    "reserved_cost",
    "reserved_tokens",
)
TABLES = (
    f"""CREATE TABLE IF NOT EXISTS texapi_budgets (
account TEXT PRIMARY KEY, scope TEXT NOT NULL, value TEXT NOT NULL, budget_window TEXT NOT NULL,
timezone TEXT NOT NULL, since DOUBLE PRECISION NOT NULL, read_at DOUBLE PRECISION NOT NULL,
carried_at DOUBLE PRECISION NOT NULL, warned TEXT NOT NULL, max_cost BIGINT, max_tokens BIGINT,
{", ".join(f"{name} BIGINT NOT NULL" for name in AMOUNTS)})""",
    """CREATE TABLE IF NOT EXISTS texapi_reservations (
account TEXT NOT NULL, call_id TEXT NOT NULL, started_at DOUBLE PRECISION NOT NULL, state INTEGER NOT NULL,
cost BIGINT NOT NULL, tokens BIGINT NOT NULL, PRIMARY KEY (account, call_id))""",
)
COLUMNS = ("account", "since", "read_at", "carried_at", "warned", "max_cost", "max_tokens", *AMOUNTS)
SELECT = f"SELECT {', '.join(COLUMNS)} FROM texapi_budgets WHERE account IN (%s) ORDER BY account"
UPDATE = f"UPDATE texapi_budgets SET {', '.join(f'{name} = ?' for name in COLUMNS[1:])} WHERE account = ?"
CREATE = (
    "INSERT INTO texapi_budgets (account, scope, value, budget_window, timezone, since, read_at, carried_at, "
    f"warned, {', '.join(AMOUNTS)}) VALUES (?, ?, ?, ?, ?, 0, 0, 0, ?{', 0' * len(AMOUNTS)}) "
    "ON CONFLICT DO NOTHING"
)
SELECT_CALL = (
    "SELECT call_id, state, cost, tokens FROM texapi_reservations WHERE account = ? AND call_id IN (?, ?)"
)
DELETE_CALL = "DELETE FROM texapi_reservations WHERE account = ? AND call_id = ?"
PUT = (
    "INSERT INTO texapi_reservations (account, call_id, started_at, state, cost, tokens) "
    "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (account, call_id) DO UPDATE SET state = excluded.state, "
    "cost = excluded.cost, tokens = excluded.tokens"
)
DELETE_PASSED = (
    f"DELETE FROM texapi_reservations WHERE account = ? AND (started_at < ? "
    f"OR (state = {OPEN} AND started_at < ?))"
)
IS_RECORDED = f"""EXISTS (SELECT 1 FROM texapi_calls
WHERE texapi_calls.call_id = texapi_reservations.call_id
AND (texapi_reservations.state = {KNOWN} OR texapi_calls.cost IS NOT NULL))"""
DELETE_RECORDED = f"DELETE FROM texapi_reservations WHERE account = ? AND {IS_RECORDED}"
SUM = "SELECT state, sum(cost), sum(tokens) FROM texapi_reservations WHERE account = ? GROUP BY state"


def unrecorded(connection: Any, account: str, since: float) -> tuple[tuple[int, int], tuple[int, int]]:
    """Cost (10⁻¹² USD) and tokens of ended calls that are not in the ledger, and of reservations.

    `connection` is SQLAlchemy's: this is for reports.
    """
    statement = f"""SELECT state, sum(cost), sum(tokens) FROM texapi_reservations
WHERE account = ? AND started_at >= ? AND NOT {IS_RECORDED} GROUP BY state"""
    sign = "%s" if connection.dialect.name == "postgresql" else "?"
    ended, reserved = [0, 0], [0, 0]
    for state, cost, tokens in connection.exec_driver_sql(statement.replace("?", sign), (account, since)):
        amounts = reserved if state == OPEN else ended
        amounts[0] += int(cost)
        amounts[1] += int(tokens)
    return (ended[0], ended[1]), (reserved[0], reserved[1])


def drop_recorded(engine: Any) -> None:
    """Drop the reservations of calls that are in the ledger, whose sums count them; `engine` is SQLAlchemy's.

    Otherwise the next call under the budget does it, which must find those calls.
    """
    is_postgresql = engine.dialect.name == "postgresql"
    sign = "%s" if is_postgresql else "?"
    with engine.begin() as connection:
        select = f"SELECT DISTINCT account FROM texapi_reservations WHERE {IS_RECORDED}"
        accounts = [row[0] for row in connection.exec_driver_sql(select)]
    for account in accounts:
        with engine.begin() as connection:
            if is_postgresql:  # in the order of calls, which lock the budget first
                lock = "SELECT 1 FROM texapi_budgets WHERE account = %s FOR UPDATE"
                connection.exec_driver_sql(lock, (account,))
            connection.exec_driver_sql(DELETE_RECORDED.replace("?", sign), (account,))
