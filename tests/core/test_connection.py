"""A stream that nobody reads on, wherever it is dropped."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from texapi_core import connection
from texapi_core.chat import astream, stream
from texapi_core.settings import Settings
from texapi_core.wire import ChatReply

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


PACKETS: list[bytes | float] = [
    b'data: {"choices": [{"index": 0, "delta": {"content": "o"}}]}\n\n',
    0.3,
    b": keep-alive\n\n",
    0.1,
    b'data: {"choices": [{"index": 0, "delta": {"content": "k"}, "finish_reason": "stop"}]}\n\n',
    b"data: [DONE]\n\n",
]


def _read_slowly(settings: Settings) -> ChatReply:
    answer = stream(settings, PAYLOAD)
    next(answer)
    time.sleep(0.8)
    *_, reply = answer
    assert isinstance(reply, ChatReply)
    return reply


def _aread_slowly(settings: Settings) -> ChatReply:
    async def read() -> ChatReply:
        answer = astream(settings, PAYLOAD)
        await anext(answer)
        await asyncio.sleep(0.8)
        last = [item async for item in answer][-1]
        assert isinstance(last, ChatReply)
        return last

    return asyncio.run(read())


@pytest.mark.parametrize("read", [_read_slowly, _aread_slowly])
def test_the_reader_s_own_time_is_no_stall(gateway: Gateway, endpoint: Endpoint, read: Any) -> None:
    gateway.misbehave(Fault(raw=PACKETS, content_type="text/event-stream"))
    limited = Settings(api_key=endpoint.api_key, base_url=endpoint.base_url, stream_idle_timeout=0.6)

    assert read(limited).choice.text == "ok"


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
