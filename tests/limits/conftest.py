"""Real stores, a name of its own for each test, and no gate of earlier tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.accounting.conftest import _postgresql_server, postgresql_url  # noqa: F401 # fixtures
from tests.limits import gates, redis_server
from texapi_core.limits import permit


@pytest.fixture(autouse=True)
def _no_gates_of_earlier_tests(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(permit, "_gates", {})
    yield
    while gates.opened:
        gates.opened.pop().close()


@pytest.fixture(scope="session")
def _redis_server() -> Iterator[str]:
    if reason := redis_server.why_not():
        pytest.skip(reason)
    with redis_server.server() as url:
        yield url


@pytest.fixture
def redis_url(_redis_server: str) -> str:
    """A URL of `limits` with a name of its own."""
    return f"{_redis_server}?name=test-{uuid4().hex}"


@pytest.fixture(params=["redis_url", "sqlite", pytest.param("postgresql", marks=pytest.mark.combination)])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The same for each kind of store."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/limits.db?name=test"
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgresql_url")
        return f"{url}{'&' if '?' in url else '?'}name=test"
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def own_redis() -> Iterator[redis_server.Server]:
    """A server that the test may stop."""
    if redis_server.why_not() or redis_server._GIVEN:
        pytest.skip(redis_server.why_not() or "the server at REDIS_URL is not ours to stop")
    own = redis_server.Server()
    own.start()
    yield own
    own.remove()
