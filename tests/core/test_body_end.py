"""Streams that are abandoned by their reader, at any point."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from texapi_core.chat import astream, stream
from texapi_core.settings import Settings
from texapi_core.transport import body_end
from texapi_core.wire.values import ChatDelta, ChatReply

PAYLOAD = {"model": "claude-sonnet-4-6", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def own_collection() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)


@pytest.mark.usefixtures("own_collection")
def test_the_garbage_collector_may_close_a_stream_in_the_middle_of_another_call(endpoint: Endpoint) -> None:
    """It must not hold the connection pool's lock then, or the next call would wait forever."""
    settings = Settings(api_key=endpoint.api_key, base_url=endpoint.base_url)
    for objects in range(20, 400, 3):  # the collector runs at a different point of the next call each time
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
    time.sleep(1.2)
    *_, reply = answer
    assert isinstance(reply, ChatReply)
    return reply


def _aread_slowly(settings: Settings) -> ChatReply:
    async def read() -> ChatReply:
        answer = astream(settings, PAYLOAD)
        await anext(answer)
        await asyncio.sleep(1.2)
        last = [item async for item in answer][-1]
        assert isinstance(last, ChatReply)
        return last

    return asyncio.run(read())


@pytest.mark.parametrize("read", [_read_slowly, _aread_slowly])
def test_a_slow_reader_is_not_a_stall(gateway: Gateway, endpoint: Endpoint, read: Any) -> None:
    gateway.misbehave(Fault(raw=PACKETS, content_type="text/event-stream"))
    limited = Settings(api_key=endpoint.api_key, base_url=endpoint.base_url, stream_idle_timeout=1.0)

    assert read(limited).choice.text == "ok"


def _reads_request(client: socket.socket) -> bool:
    """Whether a whole request came: clients may send its head and its body apart."""
    received = b""
    while b"\r\n\r\n" not in received:
        if not (packet := client.recv(65536)):
            return False
        received += packet
    head, _, body = received.partition(b"\r\n\r\n")
    (length,) = re.findall(rb"content-length: (\d+)", head.lower())
    while len(body) < int(length):
        body += client.recv(65536)
    return True


@contextlib.contextmanager
def _served(*parts: bytes | float) -> Iterator[tuple[str, list[socket.socket]]]:
    """A server that answers each request with these bytes; numbers are pauses in seconds.

    Yields its URL and the connections it has accepted.
    """
    seen: list[socket.socket] = []
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    seen.append(client)
                    threading.Thread(target=answer, args=(client,), daemon=True).start()

        def answer(client: socket.socket) -> None:
            with client, contextlib.suppress(OSError):
                while _reads_request(client):
                    for part in parts:
                        if isinstance(part, bytes):
                            client.sendall(part)
                        else:
                            over.wait(part)

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1", seen
        finally:
            over.set()


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_ANSWER = b"".join(_chunked(packet) for packet in PACKETS if isinstance(packet, bytes))
_ENDS: dict[str, list[bytes | float]] = {
    "silent": [60.0],
    "comments": [_chunked(b": keep-alive\n\n"), 0.03] * 2000,
    "half a chunk": [b"5\r\n:", 60.0],
}


@pytest.mark.parametrize("end", _ENDS)
def test_a_connection_is_closed_if_the_body_goes_on_after_its_last_event(end: str) -> None:
    with _served(_HEAD + _ANSWER, *_ENDS[end]) as (address, _):
        answer = stream(Settings(api_key="sk-tex-test", base_url=address), PAYLOAD)
        *deltas, reply = (next(answer) for _ in range(3))
        started = time.monotonic()

        assert list(answer) == []
        assert time.monotonic() - started < 3
        assert isinstance(reply, ChatReply)
        assert [delta.text for delta in deltas if isinstance(delta, ChatDelta)] == ["o", "k"]


def _read(settings: Settings) -> str:
    replies = [item for item in stream(settings, PAYLOAD) if isinstance(item, ChatReply)]
    return replies[0].choice.text


def test_the_end_of_a_body_may_arrive_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_end, "_MAX_WAIT", 10.0)
    with _served(_HEAD + _ANSWER, 0.02, b"0\r\n\r\n") as (address, seen):
        settings = Settings(api_key="sk-tex-test", base_url=address)

        assert [_read(settings) for _ in range(3)] == ["ok"] * 3
        assert len(seen) == 1


def test_the_short_limit_applies_to_the_end_of_one_body_only() -> None:
    """The next call on the same connection has its usual limits."""
    with _served(_HEAD, 0.3, _ANSWER + b"0\r\n\r\n") as (address, seen):
        settings = Settings(api_key="sk-tex-test", base_url=address)

        assert [_read(settings) for _ in range(2)] == ["ok"] * 2
        assert len(seen) == 1


def test_an_expired_limit_does_not_affect_other_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call on a connection closed too late would be sent and billed twice: once in 10,000 under load."""
    monkeypatch.setattr(body_end, "_MAX_WAIT", 0.001)
    connections = []
    for late in (0.0, 0.001, 0.005):
        with _served(_HEAD + _ANSWER, late, b"0\r\n\r\n") as (address, seen):
            settings = Settings(api_key="sk-tex-test", base_url=address, max_retries=0)

            assert [_read(settings) for _ in range(100)] == ["ok"] * 100
            connections.append(len(seen))

    assert connections[-1] > 1  # the bodies ended too late, otherwise this would test nothing
