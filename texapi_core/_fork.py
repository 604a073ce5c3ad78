"""What is done when a process forks, on systems where processes fork: not on Windows."""

from __future__ import annotations

import os
from collections.abc import Callable


def _nothing() -> None:
    pass


def at_fork(
    *,
    before: Callable[[], None] = _nothing,
    after_in_parent: Callable[[], None] = _nothing,
    after_in_child: Callable[[], None],
) -> None:
    """Have functions called around each fork of this process, as `os.register_at_fork` does."""
    register = getattr(os, "register_at_fork", None)
    if register is not None:
        register(before=before, after_in_parent=after_in_parent, after_in_child=after_in_child)
