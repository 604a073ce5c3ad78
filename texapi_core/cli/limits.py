"""The rate limits in a Redis."""

from __future__ import annotations

from typing import Any

from texapi_core.cli.language import say
from texapi_core.limits import load_redis_store
from texapi_core.limits.plan import parse_limits


def read_limits(url: str) -> list[dict[str, Any]]:
    """A row for each limit in the Redis of `url`.

    Raises:
        ValueError: the URL names no Redis.
        ConnectionError: Redis does not answer.
    """
    if not url:
        raise ValueError(say("Which limits? Pass --limits redis://HOST:6379/0, or set TEXAPI_LIMITS."))
    plan = parse_limits(url)
    if not plan.is_shared:
        text = "Limits of `auto` are in each process; the log lines of its calls have `waited_ms`."
        raise ValueError(say(text))
    store = load_redis_store()
    try:
        rows: list[dict[str, Any]] = store.read_limits(plan)
    except store.redis.RedisError as error:
        raise ConnectionError(f"{type(error).__name__}") from None
    return rows
