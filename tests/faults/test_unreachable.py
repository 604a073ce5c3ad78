"""Unreachable gateways and streams closed early by their reader, with every call style."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage

from tests.conftest import Endpoint
from tests.faults.ways import WAYS, Way, chat_texapi, one_loop, some_ways, texapi
from tests.gateway import Fault, Gateway
from tests.waiting import cancel_once, wait_until
from texapi_core import TexAPIConnectionError, TexAPIError, TexAPITimeoutError


@pytest.fixture(scope="module", autouse=True)
def _one_loop() -> Iterator[None]:
    with one_loop():
        yield


@contextlib.contextmanager
def _refusing() -> Iterator[str]:
    """A bound port without a listener, reserved for the test."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/v1"


@contextlib.contextmanager
def _unresolvable() -> Iterator[str]:
    yield "http://gateway.invalid/v1"


@contextlib.contextmanager
def _busy() -> Iterator[str]:
    """A port with a full backlog: connections to it are neither accepted nor refused."""
    with socket.socket() as listener, contextlib.ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(4):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(address)
        yield f"http://127.0.0.1:{address[1]}/v1"


@contextlib.contextmanager
def _silent() -> Iterator[str]:
    """A port that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


@contextlib.contextmanager
def _silent_tls() -> Iterator[str]:
    with _silent() as address:
        yield address.replace("http:", "https:")


_PLACES: dict[str, tuple[Callable[[], Any], type[TexAPIError], str]] = {
    "refused": (_refusing, TexAPIConnectionError, "could not be reached.*base_url"),
    "unresolvable": (_unresolvable, TexAPIConnectionError, "could not be reached.*base_url"),
    "silent": (_silent, TexAPITimeoutError, "did not answer in time.*timeout"),
    "silent to TLS": (_silent_tls, TexAPITimeoutError, "did not answer in time.*timeout"),
    "busy": (_busy, TexAPITimeoutError, "did not answer in time.*timeout"),
}


_MATRIX = [
    pytest.param(
        place,
        way,
        marks=[pytest.mark.combination] * (way not in some_ways(number, WAYS)),
        id=f"{place}-{way.name}",
    )
    for number, place in enumerate(_PLACES)
    for way in WAYS
]


@pytest.mark.parametrize(("place", "way"), _MATRIX)
def test_an_unreachable_gateway(place: str, way: Way) -> None:
    if place == "busy" and sys.platform != "linux":
        pytest.skip("other systems' queues are longer")
    open_place, error_class, says = _PLACES[place]
    started = time.monotonic()

    with open_place() as address, pytest.raises(error_class, match=says) as caught:
        way(base_url=address, api_key="sk-tex-1", timeout=0.5, max_retries=0)

    assert caught.value.request_id is None
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_tls_to_a_plain_port(gateway: Gateway, endpoint: Endpoint, way: Way) -> None:
    address = endpoint.base_url.replace("http:", "https:")

    with pytest.raises(TexAPIConnectionError, match="SSL"):
        way(base_url=address, api_key=endpoint.api_key, timeout=2, max_retries=0)

    assert gateway.requests == []


def _stop_stream(where: dict[str, Any]) -> None:
    stream = chat_texapi(**where).stream("Hello")
    next(stream)
    stream.close()  # type: ignore[attr-defined] # a generator


def _stop_stream_chat(where: dict[str, Any]) -> None:
    stream = texapi(**where).stream_chat([ChatMessage("Hello")])
    next(stream)
    stream.close()


def _leave_stream(where: dict[str, Any]) -> None:
    for _ in chat_texapi(**where).stream("Hello"):
        break


def _leave_stream_chat(where: dict[str, Any]) -> None:
    for _ in texapi(**where).stream_chat([ChatMessage("Hello")]):
        break


def _stop_astream(where: dict[str, Any]) -> None:
    async def stop() -> None:
        stream = chat_texapi(**where).astream("Hello")
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined] # a generator

    asyncio.run(stop())


def _stop_astream_chat(where: dict[str, Any]) -> None:
    async def stop() -> None:
        stream = await texapi(**where).astream_chat([ChatMessage("Hello")])
        await anext(stream)
        await stream.aclose()

    asyncio.run(stop())


def _cancel_astream(where: dict[str, Any]) -> None:
    async def read(begun: asyncio.Event) -> None:
        async for _ in chat_texapi(**where).astream("Hello"):
            begun.set()

    asyncio.run(_cancelled(read))


def _cancel_astream_chat(where: dict[str, Any]) -> None:
    async def read(begun: asyncio.Event) -> None:
        async for _ in await texapi(**where).astream_chat([ChatMessage("Hello")]):
            begun.set()

    asyncio.run(_cancelled(read))


async def _cancelled(read: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    begun = asyncio.Event()
    await cancel_once(begun.is_set, read(begun))


_STOPS = [
    _stop_stream,
    _leave_stream,
    _stop_stream_chat,
    _leave_stream_chat,
    _stop_astream,
    _cancel_astream,
    _stop_astream_chat,
    _cancel_astream_chat,
]


@pytest.mark.parametrize("stop", _STOPS, ids=lambda stop: stop.__name__)
def test_a_stream_left_early_closes_its_connection(
    gateway: Gateway, endpoint: Endpoint, stop: Callable[[dict[str, Any]], None]
) -> None:
    """The server sees the disconnect, so the gateway can stop the model and the billing."""
    gateway.misbehave(Fault(stall_after=3))
    where = {"base_url": endpoint.base_url, "api_key": endpoint.api_key, "max_retries": 2, "timeout": 5}

    stop({**where})

    # The stand-in records the tokens when it sees the connection close.
    wait_until(lambda: gateway.ledger[0].completion_tokens > 0)
    assert not gateway.ledger[0].completed
    assert len(gateway.requests) == 1
    assert chat_texapi(**where).invoke("Hello").text
