"""Rate limits that all calls of a process share, or with Redis those of many processes and machines."""

from __future__ import annotations

from types import ModuleType

__all__: list[str] = []


def load_redis_store() -> ModuleType:
    """The module of limits in Redis. Raises `ImportError` without the extra `redis`."""
    from texapi_core.limits import redis_store as module  # needs the extra `redis`

    return module
