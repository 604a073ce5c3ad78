"""Reading a ledger: what was spent, by whatever the user asks, and the calls themselves."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Engine,
    Select,
    and_,
    case,
    func,
    inspect,
    select,
)
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

NOT_SAID = "-"
"""The group of calls that have nothing to group them by."""
_METADATA = "metadata:"
_GROUPS: dict[str, ColumnElement[Any]] = {
    "model": func.coalesce(calls.c.served_model, calls.c.model, NOT_SAID),
    "day": calls.c.day,
    "key-hint": calls.c.key_hint,
    "tag": func.coalesce(call_tags.c.tag, NOT_SAID),
}
GROUPINGS = (*_GROUPS, f"{_METADATA}NAME")

_IS_REFUSED = and_(calls.c.outcome == "error", calls.c.response_id.is_(None), calls.c.input_tokens.is_(None))
"""A call that failed before an answer began costs nothing; any other of unknown cost may cost something."""


class LedgerUnreadableError(Exception):
    """There is no ledger at the URL, or none that can be read."""


@dataclass(frozen=True, slots=True)
class UsageLine:
    """What one group of calls took."""

    group: tuple[str, ...]
    """One value for each grouping."""
    calls: int
    failed: int
    """Calls that ended otherwise than with a whole answer."""
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost: Decimal | None
    """USD of the calls whose cost is known; `None` when that is none of them."""
    unpriced: int
    """Calls whose cost is not known and may not be zero."""


@contextmanager
def open_for_reading(url: str) -> Generator[Engine]:
    """The engine of a ledger that is there, closed at the end of the block.

    Raises:
        LedgerUnreadableError: there is none, or it is another version's.
    """
    engine = None
    try:
        parsed = parse_url(url)
        if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists():
            raise LedgerUnreadableError(f"There is no ledger at {parsed.database}.")
        engine = open_ledger(parsed)
        if not inspect(engine).has_table(schema_versions.name):
            raise LedgerUnreadableError("The database holds no ledger.")
        with engine.connect() as connection:
            check_version(connection.scalars(select(schema_versions.c.version)).all())
        yield engine
    except LedgerUnreadableError:
        raise
    except LedgerURLError as error:
        raise LedgerUnreadableError(f"No ledger can be at that URL: {error}.") from None
    except (ImportError, SQLAlchemyError, LedgerVersionError) as error:
        reason = getattr(error, "orig", None) or error
        raise LedgerUnreadableError(f"The ledger cannot be read: {reason}") from error
    finally:
        if engine is not None:
            engine.dispose()


def check_grouping(by: str) -> None:
    """Raise `ValueError` for something that calls cannot be grouped by."""
    if by not in _GROUPS and not (by.startswith(_METADATA) and len(by) > len(_METADATA)):
        raise ValueError(f"Calls can be grouped by {', '.join(GROUPINGS)}, not by {by!r}.")


def read_usage(
    engine: Engine,
    by: Sequence[str],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[UsageLine]:
    """What was spent in a time, a line for each group. A call with two tags counts under both."""
    groups = [_group(name).label(f"group_{number}") for number, name in enumerate(by)]
    statement: Select[Any] = select(
        *groups,
        func.count(calls.c.call_id.distinct()).label("calls"),
        _count_if(calls.c.outcome != "ok").label("failed"),
        *(
            func.coalesce(func.sum(calls.c[name]), 0).label(name)
            for name in ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
        ),
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
    """The calls of a time as rows of the table, the latest first."""
    statement = _in_time(select(calls), since, until).order_by(calls.c.started_at.desc())
    if only_failed:
        statement = statement.where(calls.c.outcome != "ok")
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(statement.limit(limit)).mappings()]


def as_mapping(line: UsageLine, by: Sequence[str]) -> Mapping[str, Any]:
    """A line as JSON and CSV show it: the cost as decimal text, for nothing is rounded."""
    fields = {name: getattr(line, name) for name in UsageLine.__slots__ if name not in ("group", "cost")}
    cost = None if line.cost is None else f"{line.cost:f}"
    return {**dict(zip(by, line.group, strict=True)), **fields, "cost_usd": cost}


def _group(by: str) -> ColumnElement[Any]:
    if by in _GROUPS:
        return _GROUPS[by]
    name = by.removeprefix(_METADATA)
    return func.coalesce(calls.c.metadata[name].as_string(), NOT_SAID)


def _count_if(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _in_time(statement: Select[Any], since: datetime | None, until: datetime | None) -> Select[Any]:
    if since is not None:
        statement = statement.where(calls.c.started_at >= since)
    if until is not None:
        statement = statement.where(calls.c.started_at < until)
    return statement


def _line(row: Any, groups: int) -> UsageLine:
    return UsageLine(
        group=tuple(map(str, row[:groups])),
        calls=int(row.calls),
        failed=int(row.failed),
        input_tokens=int(row.input_tokens),
        output_tokens=int(row.output_tokens),
        cached_tokens=int(row.cached_tokens),
        reasoning_tokens=int(row.reasoning_tokens),
        cost=row.cost,
        unpriced=int(row.unpriced),
    )
