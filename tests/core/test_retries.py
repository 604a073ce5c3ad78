"""What may have been charged is not sent again unless the user says so."""

from __future__ import annotations

import logging
import socket
from typing import Any

import pytest

import texapi_core
from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.conftest import Endpoint
from tests.faults.verbatim import Verbatim, VerbatimServer
from tests.faults.ways import WAYS, Way
from tests.gateway import Fault, Gateway
from texapi_core.accounting import CallRecord
from texapi_core.call import Call
from texapi_core.transport import retries

each_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.001)


@each_way
def test_a_request_that_timed_out_is_sent_once(
    gateway: Gateway, endpoint: Endpoint, way: Way, records: list[CallRecord]
) -> None:
    gateway.misbehave(Fault(delay=30.0), times=3)

    with pytest.raises(texapi_core.TexAPITimeoutError) as caught:
        way(base_url=endpoint.base_url, api_key=endpoint.api_key, timeout=0.3, max_retries=2)

    assert len(gateway.requests) == 1
    assert caught.value.was_sent
    assert [record.attempts for record in records] == [1]


@each_way
def test_a_request_that_broke_is_sent_once(way: Way, records: list[CallRecord]) -> None:
    with VerbatimServer() as server:
        server.respond(Verbatim(b"HTTP/1.1 200 OK\r\ncontent-ty"))

        with pytest.raises(texapi_core.TexAPIConnectionError) as caught:
            way(base_url=server.base_url, api_key=server.key, timeout=60, max_retries=2)

        assert len(server.requests) == 1
    assert caught.value.was_sent
    assert [record.attempts for record in records] == [1]


@each_way
def test_retry_timeouts_repeats_it(way: Way, records: list[CallRecord]) -> None:
    with VerbatimServer() as server:
        server.respond(Verbatim(b"HTTP/1.1 200 OK\r\ncontent-ty"))

        with pytest.raises(texapi_core.TexAPIConnectionError):
            way(base_url=server.base_url, api_key=server.key, timeout=60, max_retries=2, retry_timeouts=True)

        assert len(server.requests) == 3
    assert [record.attempts for record in records] == [3]


@each_way
def test_a_request_that_never_left_is_tried_again_and_costs_no_attempt(
    way: Way, records: list[CallRecord], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="texapi")
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{bound.getsockname()[1]}/v1"
        with pytest.raises(texapi_core.TexAPIConnectionError) as caught:
            way(base_url=address, api_key="sk-tex-1", timeout=60, max_retries=2)

    assert not caught.value.was_sent
    assert [record.attempts for record in records] == [0]
    lines = [record.getMessage() for record in caplog.records if "retrying" in record.getMessage()]
    assert len(lines) == 2
    assert lines[0].startswith("retrying: attempt 2 of 3 in 0.00")
    assert lines[1].endswith("after TexAPIConnectionError")


@each_way
def test_every_retry_is_a_line_of_the_log(
    gateway: Gateway, endpoint: Endpoint, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="texapi")
    gateway.misbehave(Fault(status=503, error_type="all_routes_failed", headers={"retry-after-ms": "2"}))

    way(base_url=endpoint.base_url, api_key=endpoint.api_key, timeout=60, max_retries=2)

    lines = [record.getMessage() for record in caplog.records if "retrying" in record.getMessage()]
    after = "TexAPIAllRoutesFailedError 503 all_routes_failed req_000001"
    assert lines == [f"retrying: attempt 2 of 3 in 0.002 s after {after}"]


@pytest.mark.parametrize("retry_timeouts", [False, True])
def test_a_408_counts_as_a_time_out(gateway: Gateway, endpoint: Endpoint, retry_timeouts: bool) -> None:
    """A gateway's 408 may be the time-out of a model that ran."""
    gateway.misbehave(Fault(status=408), times=3)
    model = ChatTexAPI(model="m", **endpoint.for_langchain(max_retries=2, retry_timeouts=retry_timeouts))

    with pytest.raises(texapi_core.TexAPIRequestTimeoutError):
        model.invoke("Hello")

    assert len(gateway.requests) == (3 if retry_timeouts else 1)


def test_the_list_of_models_is_free_and_repeated() -> None:
    with VerbatimServer() as server:
        server.respond(Verbatim(b"HTTP/1.1 200 OK\r\ncontent-ty"))
        settings = texapi_core.resolve_settings(
            api_key=server.key, base_url=server.base_url, timeout=60, max_retries=2
        )

        with pytest.raises(texapi_core.TexAPIConnectionError):
            texapi_core.list_models(settings)

        assert len(server.requests) == 3


@pytest.mark.parametrize("make", [ChatTexAPI, TexAPI])
@pytest.mark.parametrize(
    ("value", "is_on"), [("1", True), ("TRUE", True), ("on", True), ("0", False), ("no", False), ("", False)]
)
def test_the_environment_decides_if_the_argument_does_not(
    make: Any, value: str, is_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXAPI_RETRY_TIMEOUTS", value)

    assert make(model="m", api_key="sk-tex-1")._settings().retry_timeouts is is_on
    assert (
        make(model="m", api_key="sk-tex-1", retry_timeouts=not is_on)._settings().retry_timeouts is not is_on
    )


@pytest.mark.parametrize("make", [ChatTexAPI, TexAPI])
def test_an_environment_that_cannot_be_read_is_an_error(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXAPI_RETRY_TIMEOUTS", "perhaps")

    with pytest.raises(ValueError, match="`TEXAPI_RETRY_TIMEOUTS` must be true or false"):
        make(model="m", api_key="sk-tex-1")


def test_waits_grow_up_to_a_bound() -> None:
    settings = texapi_core.resolve_settings(api_key="k", base_url=None, timeout=1, max_retries=100)
    attempts = retries.Retries(Call(settings))
    failure = texapi_core.TexAPIConnectionError("no", request=None)

    waits = [attempts.wait_after(failure) for _ in range(3)]

    assert waits == [None, None, None]
    failure.was_sent = False
    assert all(0 < (attempts.wait_after(failure) or 0) <= 8 for _ in range(100))
    assert attempts.wait_after(failure) is None
    assert attempts.sent == 0
