"""Public names whose modules are imported on first access.

The openai SDK, SQLAlchemy and OpenTelemetry take longer to import than all of this package, and many programs
need none of them until their first call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's `__getattr__` (PEP 562) for names that other modules define.

    Args:
        package: the package's `__name__`.
        homes: name -> the module that defines it.
    """

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name]), name)
        setattr(import_module(package), name, value)  # later accesses skip `__getattr__`
        return value

    return load
