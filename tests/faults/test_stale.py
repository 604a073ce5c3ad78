"""A server that closes an idle connection as the next request is sent over it, in every way of asking."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
import trustme

import texapi_core
from tests.core.test_client import PAYLOAD
from tests.faults.network import Front
from tests.gateway.server import KEY
from texapi_core import TexAPIConnectionError, resolve_settings
from texapi_core.transport import aiohttp_session, stale
from texapi_core.transport.clients import new_pool
from texapi_core.transport.stale import _Backend

_ANSWER = b'{"choices": [{"message": {"content": "Hi"}}]}'
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
_TIMEOUT = 30.0

pytestmark = pytest.mark.usefixtures("own_pools")


@dataclass
class Server(Front):
    """Answers, and then does with the idle connection what `idle` says."""

    idle: Callable[[socket.socket], None] = socket.socket.close
    read: int = 0
    """Requests that were read to their end."""

    def _handle(self, client: socket.socket) -> None:
        self.read_request(client)
        client.sendall(_HEAD % len(_ANSWER) + _ANSWER)
        self.idle(client)

    def read_request(self, connection: socket.socket) -> None:
        """Read one request, body included."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536) or b"\r\n\r\n"
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        while len(body) < length:
            body += connection.recv(65536)
        self.read += 1


def _settings(server: Server, **more: Any) -> Any:
    return resolve_settings(
        api_key=KEY,
        base_url=server.base_url,
        timeout=_TIMEOUT,
        **{"max_retries": 0, **more},
    )


def _sync(server: Server, times: int, wait: float, **more: Any) -> None:
    for _ in range(times):
        assert texapi_core.complete(_settings(server, **more), PAYLOAD).choice.text == "Hi"
        time.sleep(wait)


async def _async(server: Server, times: int, wait: float, **more: Any) -> None:
    for _ in range(times):
        assert (await texapi_core.acomplete(_settings(server, **more), PAYLOAD)).choice.text == "Hi"
        time.sleep(wait)  # noqa: ASYNC251 # the loop sees what the server does meanwhile as it sends


def _close_after(seconds: float) -> Callable[[socket.socket], None]:
    def close(connection: socket.socket) -> None:
        time.sleep(seconds)
        connection.close()

    return close


class TLSServer(Server):
    """Sends the end of TLS in one packet with each answer, and reads on until the client closes."""

    context: ssl.SSLContext

    @property
    def base_url(self) -> str:
        return super().base_url.replace("http:", "https:")

    def _handle(self, client: socket.socket) -> None:
        received, to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.context.wrap_bio(received, to_send, server_side=True)
        request = b""
        while not request.endswith(b"}"):
            try:
                request += tls.read()
            except ssl.SSLWantReadError:
                client.sendall(to_send.read())
                received.write(client.recv(65536))
        self.read += 1
        tls.write(_HEAD % len(_ANSWER) + _ANSWER)
        with pytest.raises(ssl.SSLWantReadError):
            tls.unwrap()
        client.sendall(to_send.read())
        while client.recv(65536):
            pass


def _close_with_the_request_unread(connection: socket.socket) -> None:
    connection.recv(1, socket.MSG_PEEK)
    connection.close()


@pytest.mark.parametrize(
    "times", [30, pytest.param(1000, marks=[pytest.mark.combination, pytest.mark.timeout(600)])]
)
@pytest.mark.parametrize("wait", [0.002, 0.0022])
async def test_a_call_at_the_moment_of_closing_is_answered_once_or_may_have_been_read(
    times: int, wait: float
) -> None:
    """This server closes blindly: its system may have acknowledged a request that it never read."""
    answered, failures = 0, []
    with Server(idle=_close_after(0.002)).running() as server:
        for number in range(2 * times):
            try:
                await _async(server, 1, wait) if number % 2 else _sync(server, 1, wait)
                answered += 1
            except TexAPIConnectionError as error:
                failures.append(error)

        assert server.read == answered >= times
        assert all(error.was_sent and not error.was_stale for error in failures)


async def test_no_call_fails_where_the_connection_closes_as_the_request_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closing, closed = threading.Event(), threading.Event()

    def close_when_told(connection: socket.socket) -> None:
        assert closing.wait(_TIMEOUT)
        connection.close()
        closing.clear()
        closed.set()

    def close_at_the_server(stream: Any) -> None:
        if stream._was_used and not stream._is_written:
            closed.clear()
            closing.set()
            assert closed.wait(_TIMEOUT)

    class Stream(stale._Stream):
        def write(self, *arguments: Any, **named: Any) -> None:
            close_at_the_server(self)
            super().write(*arguments, **named)

    class AsyncStream(stale._AsyncStream):
        async def write(self, *arguments: Any, **named: Any) -> None:
            close_at_the_server(self)
            await super().write(*arguments, **named)

    monkeypatch.setattr(stale, "_Stream", Stream)
    monkeypatch.setattr(stale, "_AsyncStream", AsyncStream)
    with Server(idle=close_when_told).running() as server:
        await _async(server, 10, 0)
        closing.set()  # the connection of the event loop is idle
        assert closed.wait(_TIMEOUT)
        _sync(server, 10, 0)

        assert server.read == server.connections == 20
        closing.set()


@pytest.mark.parametrize("transport", ["httpx", "aiohttp"])
async def test_what_was_closed_while_the_loop_was_blocked_is_not_used(transport: str) -> None:
    closed = threading.Event()

    def close(connection: socket.socket) -> None:
        connection.close()
        closed.set()

    with Server(idle=close).running() as server:
        for _ in range(10):
            await _async(server, 1, 0, async_transport=transport)
            closed.wait(_TIMEOUT)
            closed.clear()

        assert server.read == server.connections == 10


@pytest.mark.parametrize("transport", ["httpx", "aiohttp", None])
async def test_an_end_of_tls_that_came_with_the_answer_is_seen(
    transport: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    server = TLSServer()
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server.context)

    with server.running():
        if transport is None:
            _sync(server, 10, 0)
        else:
            await _async(server, 10, 0, async_transport=transport)

        assert server.read == server.connections == 10


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_request_that_was_read_is_not_sent_again(asynchronous: bool, reset: bool) -> None:
    def read_and_close(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        server.read_request(connection)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    with Server(idle=read_and_close).running() as server:
        with pytest.raises(TexAPIConnectionError) as caught:  # noqa: PT012
            if asynchronous:
                await _async(server, 2, 0, max_retries=2)
            else:
                _sync(server, 2, 0, max_retries=2)

        assert server.read == 2
        assert caught.value.was_sent
        assert not caught.value.was_stale


def test_a_new_connection_that_is_closed_is_an_error() -> None:
    class Closing(Server):
        def _handle(self, client: socket.socket) -> None:
            _close_with_the_request_unread(client)

    with Closing().running() as server, pytest.raises(TexAPIConnectionError):
        _sync(server, 1, 0)

    assert server.connections == 1


@pytest.mark.parametrize("make", [openai.DefaultHttpxClient, openai.DefaultAsyncHttpxClient])
def test_the_http_library_still_has_the_places_that_are_used(make: Callable[[], Any]) -> None:
    pool = new_pool(make, 60.0)

    assert type(pool._transport._pool._network_backend).__module__ == _Backend.__module__


async def test_aiohttp_still_has_the_places_that_are_used() -> None:
    pool = new_pool(openai.DefaultAioHttpClient, 60.0)

    session = pool._transport.get_client()
    handler = session.connector._factory()
    await pool.aclose()
    await session.close()

    assert type(session.cookie_jar).__name__ == "DummyCookieJar"
    assert type(handler).__module__ == aiohttp_session.__name__
