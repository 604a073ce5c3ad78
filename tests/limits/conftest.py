"""The kinds of stores, and no gate of earlier tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.accounting.conftest import _postgresql_server, postgresql_url  # noqa: F401 # fixtures
from tests.limits import gates
from texapi_core.limits import permit


@pytest.fixture(autouse=True)
def _no_gates_of_earlier_tests(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(permit, "_gates", {})
    yield
    while gates.opened:
        gates.opened.pop().close()


@pytest.fixture(params=["redis_url", "sqlite", pytest.param("postgresql", marks=pytest.mark.combination)])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The same for each kind of store."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/limits.db?name=test"
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgresql_url")
        return f"{url}{'&' if '?' in url else '?'}name=test"
    return str(request.getfixturevalue(request.param))
