"""Shared fixtures: a clean environment, recorded exchanges, and a stand-in gateway."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic.json_schema import GenerateJsonSchema
from pydantic.v1 import BaseModel as BaseModelV1
from vcr import VCR
from vcr.cassette import Cassette
from vcr.errors import CannotOverwriteExistingCassetteException

from tests import cassette_serializer, forked
from tests.gateway import Gateway
from tests.limits import redis_server
from texapi_core.accounting import CallRecord, add_listener, remove_listener
from texapi_core.settings import BASE_URL_ENVS
from texapi_core.settings_checks import API_KEY_ENV, DEFAULT_BASE_URL
from texapi_core.transport import clients

CASSETTES = Path(__file__).parent.parent / "cassettes"
REPLAY_KEY = "sk-tex-replay"
_LIVE_KEY = os.environ.get(API_KEY_ENV)
_MANY = 8
"""Tests of one function in every way to ask; of so many or more `make test` runs every fourth one."""
_STEP = 4
_WAYS = {"way", "ask", "how"}
"""The names of the parameters that are ways to ask."""


@dataclass(frozen=True)
class Endpoint:
    """Where a test sends its requests."""

    base_url: str
    api_key: str

    def for_langchain(self, **kwargs: Any) -> dict[str, Any]:
        return {"base_url": self.base_url, "api_key": self.api_key, "max_retries": 0, **kwargs}

    def for_llama_index(self, **kwargs: Any) -> dict[str, Any]:
        return {"api_base": self.base_url, "api_key": self.api_key, "max_retries": 0, **kwargs}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the machine's settings from the environment and disable tracers."""
    for name in list(os.environ):
        if name.startswith(("TEXAPI_", "OPENAI_", "LANGSMITH_", "LANGCHAIN_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LANGSMITH_TRACING", "false")


@pytest.fixture(scope="module", autouse=True)
def _garbage_of_earlier_modules() -> None:
    """Collect the garbage of earlier modules with warnings ignored.

    LlamaIndex's synchronous helpers leave event loops to the garbage collector, with our connections in
    them (docs/limits.md). A test that collects garbage itself would otherwise see their warnings.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="session")
def _session_gateway() -> Iterator[Gateway]:
    with Gateway() as gateway:
        yield gateway


@pytest.fixture
def gateway(_session_gateway: Gateway) -> Gateway:
    """The stand-in gateway over a real socket, as if just started."""
    _session_gateway.reset()
    return _session_gateway


@pytest.fixture
def endpoint(gateway: Gateway) -> Endpoint:
    """The stand-in gateway's address and key."""
    return Endpoint(gateway.base_url, gateway.key)


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


@pytest.fixture
def own_redis() -> Iterator[redis_server.Server]:
    """A server that the test may stop."""
    if redis_server.why_not() or redis_server.GIVEN:
        pytest.skip(redis_server.why_not() or "the server at REDIS_URL is not ours to stop")
    own = redis_server.Server()
    own.start()
    yield own
    own.remove()


@pytest.fixture
def recorded(request: pytest.FixtureRequest, vcr: Cassette) -> Iterator[Endpoint]:
    """TexAPI as recorded in the test's cassette; every recorded exchange must be played.

    While recording it is the live service if `TEXAPI_API_KEY` is set, else the stand-in gateway.
    """
    if request.config.getoption("--record-mode") in (None, "none"):
        yield Endpoint(DEFAULT_BASE_URL, REPLAY_KEY)
        assert vcr.all_played, f"{vcr.play_count} of {len(vcr)} recorded exchanges were played"
    elif _LIVE_KEY:
        live = next((url for name in BASE_URL_ENVS if (url := os.environ.get(name))), DEFAULT_BASE_URL)
        yield Endpoint(live, _LIVE_KEY)
    else:
        gateway: Gateway = request.getfixturevalue("gateway")
        yield Endpoint(gateway.base_url, gateway.key)


@pytest.fixture
def schemas_made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The core schemas that Pydantic (v2 or v1) generates JSON schemas from during the test."""
    made: list[Any] = []
    generate, schema_of_v1 = GenerateJsonSchema.generate, BaseModelV1.schema

    def noted(self: GenerateJsonSchema, schema: Any, *args: Any, **kwargs: Any) -> Any:
        made.append(schema)
        return generate(self, schema, *args, **kwargs)

    def noted_v1(cls: Any, *args: Any, **kwargs: Any) -> Any:
        made.append(cls)
        return schema_of_v1.__func__(cls, *args, **kwargs)  # type: ignore[attr-defined] # a class method

    monkeypatch.setattr(GenerateJsonSchema, "generate", noted)
    monkeypatch.setattr(BaseModelV1, "schema", classmethod(noted_v1))
    return made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Fail a test with an unmatched request even if it expects a connection error."""
    report = yield
    error = call.excinfo.value if call.excinfo else None
    while error is not None:
        if isinstance(error, CannotOverwriteExistingCassetteException):
            report.outcome = "failed"
        error = error.__cause__ or error.__context__
    return report


# Recording and replaying, by pytest-recording


@pytest.fixture(scope="session")
def vcr_config() -> dict[str, Any]:
    return cassette_serializer.VCR_OPTIONS


@pytest.fixture
def vcr_cassette_dir(request: pytest.FixtureRequest) -> str:
    """`tests/langchain/test_chat.py` -> `cassettes/langchain/test_chat`."""
    here = Path(__file__).parent
    return str(CASSETTES / Path(request.node.path).relative_to(here).with_suffix(""))


@pytest.fixture
def default_cassette_name(request: pytest.FixtureRequest) -> str:
    name: str = request.node.name
    if request.node.cls:
        name = f"{request.node.cls.__name__}.{name}"
    return cassette_serializer.file_name(name)


def pytest_recording_configure(config: pytest.Config, vcr: VCR) -> None:
    cassette_serializer.configure(vcr)


def _mark_combinations(items: list[pytest.Item]) -> None:
    """Mark most of each large table of rows x ways: a row keeps every fourth way, the next row other ones.

    Recorded exchanges all run, which costs little.
    """
    tables: dict[str, list[pytest.Item]] = {}
    for item in items:
        if _WAYS & _params(item).keys() and "recorded" not in getattr(item, "fixturenames", ()):
            tables.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for number, table in enumerate(tables.values()):
        if len(table) < _MANY or any(item.get_closest_marker("combination") for item in table):
            continue
        places: list[tuple[int, int, pytest.Item]] = []
        rows: dict[tuple[int, ...], int] = {}
        ways: dict[int, int] = {}
        for item in table:
            row = tuple(id(value) for name, value in _params(item).items() if name not in _WAYS)
            way = next(id(value) for name, value in _params(item).items() if name in _WAYS)
            places.append((rows.setdefault(row, len(rows)), ways.setdefault(way, len(ways)), item))
        for row_number, way_number, item in places:
            if (number + row_number + way_number) % min(_STEP, len(ways)):
                item.add_marker(pytest.mark.combination)


def _params(item: pytest.Item) -> dict[str, Any]:
    return item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}


@pytest.hookimpl(tryfirst=True)  # before those with a mark are left out
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    recording_live = _LIVE_KEY and config.getoption("--record-mode") not in (None, "none")
    _mark_combinations(items)
    for item in items:
        if "recorded" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.vcr)
        if recording_live and item.get_closest_marker("standin_only"):
            item.add_marker(pytest.mark.skip(reason="holds only for the stand-in gateway"))


def pytest_sessionfinish() -> None:
    forked.stop()


def pytest_collection() -> None:
    gc.disable()  # what is imported and collected stays


def pytest_collection_finish() -> None:
    """Freeze the imported modules so that the garbage collector does not scan them repeatedly."""
    gc.enable()
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)  # and runs less often than by default: a tenth of the time was its own


@pytest.fixture
def own_pools(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Connection pools for this test alone."""
    monkeypatch.setattr(clients, "_pools", {})
    monkeypatch.setattr(clients, "_clients", clients._clients.__class__())
    yield
    for pool in clients._pools.values():
        pool.close()


@pytest.fixture
def records() -> Iterator[list[CallRecord]]:
    """The records of the calls that end during the test."""
    heard: list[CallRecord] = []
    add_listener(heard.append)
    yield heard
    remove_listener(heard.append)
