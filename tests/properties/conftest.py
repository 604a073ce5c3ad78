"""One in-memory gateway connection for all examples."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.properties.line import Line


@pytest.fixture(scope="package")
def line() -> Iterator[Line]:
    opened = Line()
    yield opened
    opened.close()
