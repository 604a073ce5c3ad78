"""A stream that nobody reads on, wherever it is dropped."""

from __future__ import annotations

import gc
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Endpoint
from texapi_core import connection
from texapi_core.chat import stream
from texapi_core.settings import Settings

PAYLOAD = {"model": "claude-sonnet-4-6", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def own_collection() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)


@pytest.mark.timeout(20)
@pytest.mark.usefixtures("own_collection")
def test_the_garbage_collector_may_close_a_stream_in_the_middle_of_another_call(endpoint: Endpoint) -> None:
    """It holds no lock of the connection pool then: this waited for ever."""
    settings = Settings(api_key=endpoint.api_key, base_url=endpoint.base_url)
    for objects in range(20, 400, 3):  # the collector runs at another place of the next call each time
        gc.set_threshold(objects, 1000, 1000)
        answer = stream(settings, PAYLOAD)
        next(answer)
        cycle: list[object] = [answer]
        cycle.append(cycle)
        del answer, cycle


class _NetworkStream:
    """What httpx's `network_stream` extension tells of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def get_extra_info(self, name: str) -> socket.socket:
        return self._connection


class _Response:
    """A response whose body ends about when the wait for its end is over."""

    is_closed = False

    def __init__(self, server_side: socket.socket, wait: float) -> None:
        self.extensions: dict[str, Any] = {"network_stream": _NetworkStream(server_side)}
        self.stream = self._body(wait)

    @staticmethod
    def _body(wait: float) -> Iterator[bytes]:
        time.sleep(wait)
        yield b""


def test_a_connection_is_never_shut_down_once_it_may_serve_another_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other call would be sent again, and billed twice: seen once in 10,000 calls under load."""
    monkeypatch.setattr(connection, "_LONGEST_WAIT", 0.002)
    shut_down: list[socket.socket] = []
    monkeypatch.setattr(connection, "_shut_down", shut_down.append)

    for number in range(300):
        here, there = socket.socketpair()
        with here, there:
            connection.read_to_end(_Response(here, 0.001 + number % 20 / 10_000))
            before = len(shut_down)
            time.sleep(0.003)
            assert len(shut_down) == before
    assert shut_down  # some ended too late, else this showed nothing
