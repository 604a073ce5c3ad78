"""The rate limits in a Redis or a database, and the budgets in a Redis."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from texapi_core.accounting.budget import RedisPlace
from texapi_core.cli.guard import NO_LEDGER, USAGE_ERROR, stop
from texapi_core.cli.language import say
from texapi_core.limits import store_module
from texapi_core.limits.plan import Plan, parse_limits

_T = TypeVar("_T")
_STORES = {"redis": "Redis", "postgresql": "PostgreSQL", "sqlite": "SQLite"}


def read_limits(url: str) -> list[dict[str, Any]]:
    """A row for each limit at `url`. Ends the command if it names no Redis or database that answers."""
    if not url:
        stop(USAGE_ERROR, say("Which limits? Pass --limits redis://HOST:6379/0, or set TEXAPI_LIMITS."))
    plan = _plan(url)
    if not plan.is_shared:
        text = "Limits of `auto` are in each process; the log lines of its calls have `waited_ms`."
        stop(USAGE_ERROR, say(text))
    rows: list[dict[str, Any]] = _asked(plan, store_module(plan.kind).read_limits, plan)
    return rows


def read_accounts(url: str, now: datetime) -> list[Any] | None:
    """The budgets of calls with these limits as `KeptAccount`, `None` if they are not in a Redis."""
    plan = _plan(url) if url else None
    return _asked(plan, RedisPlace(plan.url).read, now) if plan and plan.kind == "redis" else None


def _plan(url: str) -> Plan:
    try:
        return parse_limits(url)
    except ValueError as error:
        stop(USAGE_ERROR, str(error))


def _asked(plan: Plan, read: Callable[..., _T], *arguments: Any) -> _T:
    try:
        return read(*arguments)
    except ConnectionError as error:
        stop(NO_LEDGER, say("{store} does not answer: {error}", store=_STORES[plan.kind], error=error))
