"""Public names whose modules are imported on first access.

The openai SDK, SQLAlchemy and OpenTelemetry take longer to import than all of this package, and many programs
need none of them until their first call.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from importlib import import_module
from typing import Any


def lazy_names(package: str, names: Collection[str], homes: Sequence[str]) -> Callable[[str], Any]:
    """A package's `__getattr__` (PEP 562) for public names that other modules define.

    Args:
        package: the package's `__name__`.
        names: its `__all__`.
        homes: the modules to look in, in this order: those that are quick to import come first.
    """

    def load(name: str) -> Any:
        for home in homes if name in names else ():
            value = getattr(import_module(home), name, None)
            if value is not None:
                setattr(import_module(package), name, value)  # the next access finds it
                return value
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return load
