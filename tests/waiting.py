"""Waiting for what another thread, process or task does: by looking at it, not by counting seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

LONGEST = 60.0
"""Seconds after which nobody waits any more: many times what a busy machine takes for anything here."""


def wait_until(holds: Callable[[], object]) -> None:
    """Return once this holds; a failure if it never does."""
    deadline = time.monotonic() + LONGEST
    while not holds():
        assert time.monotonic() < deadline, f"not within {LONGEST:.0f} seconds"
        time.sleep(0.005)


async def await_until(holds: Callable[[], object]) -> None:
    """`wait_until`, while the tasks of the event loop go on."""
    deadline = time.monotonic() + LONGEST
    while not holds():
        assert time.monotonic() < deadline, f"not within {LONGEST:.0f} seconds"
        await asyncio.sleep(0.005)


async def cancel_once(holds: Callable[[], object], calling: Coroutine[Any, Any, Any]) -> None:
    """Cancel a call once this holds; it must end as cancelled."""
    call = asyncio.create_task(calling)
    await await_until(holds)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
