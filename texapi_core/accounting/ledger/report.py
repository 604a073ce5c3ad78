"""Queries on a ledger: usage by group, and calls."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, and_, case, func, inspect, select
from sqlalchemy.exc import SQLAlchemyError

from texapi_core.accounting.ledger.schema import (
    LedgerURLError,
    LedgerVersionError,
    call_tags,
    calls,
    check_version,
    open_ledger,
    parse_url,
    schema_versions,
)

NO_GROUP = "-"
"""The group of calls without a value to group by."""
_METADATA = "metadata:"
_TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
_GROUPS: dict[str, ColumnElement[Any]] = {
    "model": func.coalesce(calls.c.served_model, calls.c.model, NO_GROUP),
    "day": calls.c.day,
    "key-hint": calls.c.key_hint,
    "tag": func.coalesce(call_tags.c.tag, NO_GROUP),
}
GROUPINGS = (*_GROUPS, f"{_METADATA}NAME")

_IS_REFUSED = and_(calls.c.outcome == "error", calls.c.response_id.is_(None), calls.c.input_tokens.is_(None))
"""A call that failed before an answer began costs nothing; others of unknown cost may cost something."""


class LedgerUnreadableError(Exception):
    """There is no ledger at the URL, or it cannot be read."""


@dataclass(frozen=True, slots=True)
class UsageLine:
    """Usage of one group of calls."""

    group: tuple[str, ...]
    """One value per grouping."""
    calls: int
    failed: int
    """Calls without a complete answer."""
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost: Decimal | None
    """USD of the calls of known cost, `None` if there are none."""
    unpriced: int
    """Calls whose cost is unknown and may not be zero."""


@contextmanager
def open_for_reading(url: str) -> Generator[Engine]:
    """The engine of an existing ledger, disposed of at the end of the block.

    Raises:
        LedgerUnreadableError: there is no ledger, or it has another schema version.
    """
    engine = None
    try:
        parsed = parse_url(url)
        if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists():
            raise LedgerUnreadableError(f"There is no ledger at {parsed.database}.")
        engine = open_ledger(parsed)
        if not inspect(engine).has_table(schema_versions.name):
            raise LedgerUnreadableError("The database does not contain a ledger.")
        with engine.connect() as connection:
            check_version(connection.scalars(select(schema_versions.c.version)).all())
        yield engine
    except LedgerURLError as error:
        raise LedgerUnreadableError(f"Invalid ledger URL: {error}.") from None
    except (ImportError, SQLAlchemyError, LedgerVersionError) as error:
        reason = getattr(error, "orig", None) or error
        raise LedgerUnreadableError(f"The ledger cannot be read: {reason}") from error
    finally:
        if engine is not None:
            engine.dispose()


def check_grouping(by: str) -> None:
    """Raise `ValueError` if `by` is not one of `GROUPINGS`."""
    if by not in _GROUPS and not (by.startswith(_METADATA) and len(by) > len(_METADATA)):
        raise ValueError(f"Calls can be grouped by {', '.join(GROUPINGS)}, not by {by!r}.")


def read_usage(
    engine: Engine, by: Sequence[str], *, since: datetime | None = None, until: datetime | None = None
) -> list[UsageLine]:
    """Usage from `since` until before `until`, a line per group. A call with two tags counts under both."""
    groups = [_group(name).label(f"group_{number}") for number, name in enumerate(by)]
    statement: Select[Any] = select(
        *groups,
        func.count(calls.c.call_id.distinct()).label("calls"),
        _count_if(calls.c.outcome != "ok").label("failed"),
        *(func.coalesce(func.sum(calls.c[name]), 0).label(name) for name in _TOKENS),
        func.sum(calls.c.cost).label("cost"),
        _count_if(and_(calls.c.cost.is_(None), ~_IS_REFUSED)).label("unpriced"),
    ).select_from(calls.outerjoin(call_tags) if "tag" in by else calls)
    statement = _in_time(statement, since, until).group_by(*groups).order_by(*groups)
    with engine.connect() as connection:
        return [_line(row, len(by)) for row in connection.execute(statement)]


def read_calls(
    engine: Engine,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    only_failed: bool = False,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Calls from `since` until before `until` as rows of the table, latest first."""
    statement = _in_time(select(calls), since, until).order_by(calls.c.started_at.desc())
    if only_failed:
        statement = statement.where(calls.c.outcome != "ok")
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(statement.limit(limit)).mappings()]


def as_mapping(line: UsageLine, by: Sequence[str]) -> Mapping[str, Any]:
    """A line for JSON and CSV output, with the cost as exact decimal text."""
    fields = {name: getattr(line, name) for name in UsageLine.__slots__ if name not in ("group", "cost")}
    cost = None if line.cost is None else f"{line.cost:f}"
    return {**dict(zip(by, line.group, strict=True)), **fields, "cost_usd": cost}


def _group(by: str) -> ColumnElement[Any]:
    if by in _GROUPS:
        return _GROUPS[by]
    return func.coalesce(calls.c.metadata[by.removeprefix(_METADATA)].as_string(), NO_GROUP)


def _count_if(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _in_time(statement: Select[Any], since: datetime | None, until: datetime | None) -> Select[Any]:
    if since is not None:
        statement = statement.where(calls.c.started_at >= since)
    if until is not None:
        statement = statement.where(calls.c.started_at < until)
    return statement


def _line(row: Any, groups: int) -> UsageLine:
    counts = {name: int(getattr(row, name)) for name in ("calls", "failed", *_TOKENS, "unpriced")}
    return UsageLine(group=tuple(map(str, row[:groups])), cost=row.cost, **counts)
