"""Bulk work keeps its connections for the life of a process; here they end with each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from texapi_core.bulk.work_loop import close_work_loop


@pytest.fixture(autouse=True)
def _close_work_loop() -> Iterator[None]:
    yield
    close_work_loop()
