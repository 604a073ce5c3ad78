"""Wait for another thread, process or task by polling a condition, not for a fixed time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

LONGEST = 60.0
"""The time limit in seconds: many times what any wait takes on a busy machine."""


def wait_until(holds: Callable[[], object]) -> None:
    """Return once the condition holds; fail if it never does."""
    deadline = time.monotonic() + LONGEST
    while not holds():
        assert time.monotonic() < deadline, f"not within {LONGEST:.0f} seconds"
        time.sleep(0.005)


async def await_until(holds: Callable[[], object]) -> None:
    """Like `wait_until`, while the tasks of the event loop keep running."""
    deadline = time.monotonic() + LONGEST
    while not holds():
        assert time.monotonic() < deadline, f"not within {LONGEST:.0f} seconds"
        await asyncio.sleep(0.005)


async def cancel_once(holds: Callable[[], object], calling: Coroutine[Any, Any, Any]) -> None:
    """Cancel a call once the condition holds; it must end as cancelled."""
    call = asyncio.create_task(calling)
    await await_until(holds)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
