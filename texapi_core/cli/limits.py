"""The rate limits in a Redis or a database."""

from __future__ import annotations

from typing import Any

from texapi_core.cli.language import say
from texapi_core.limits import store_module
from texapi_core.limits.plan import parse_limits

_STORES = {"redis": "Redis", "postgresql": "PostgreSQL", "sqlite": "SQLite"}


def read_limits(url: str) -> list[dict[str, Any]]:
    """A row for each limit at `url`.

    Raises:
        ValueError: the URL names no Redis or database.
        ConnectionError: it does not answer.
    """
    if not url:
        raise ValueError(say("Which limits? Pass --limits redis://HOST:6379/0, or set TEXAPI_LIMITS."))
    plan = parse_limits(url)
    if not plan.is_shared:
        text = "Limits of `auto` are in each process; the log lines of its calls have `waited_ms`."
        raise ValueError(say(text))
    try:
        rows: list[dict[str, Any]] = store_module(plan.kind).read_limits(plan)
    except ConnectionError as error:
        text = "{store} does not answer: {error}"
        raise ConnectionError(say(text, store=_STORES[plan.kind], error=error)) from None
    return rows
