"""Rate limits of all calls of a process, or of many processes and machines by Redis or a database."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

__all__: list[str] = []


def store_module(kind: str) -> ModuleType:
    """The module of a kind of store, which most processes do not need.

    Raises:
        ImportError: for `redis`, without the extra.
    """
    return import_module(f"texapi_core.limits.{'redis' if kind == 'redis' else 'database'}_store")
