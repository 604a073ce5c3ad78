"""`max_response_bytes`: no body takes more memory than its limit, however small it is on the wire."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest

from tests.faults.verbatim import Verbatim, VerbatimServer
from tests.faults.ways import WAYS, Way
from texapi_core import TexAPIError, TexAPIResponseTooLargeError, TexAPIServerError

_LIMIT = 200_000
_EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'


@pytest.fixture(scope="module")
def server() -> Iterator[VerbatimServer]:
    with VerbatimServer() as opened:
        yield opened


_IN_TEST = {"invoke", "stream", "achat over aiohttp", "astream_chat"}
_SOME_WAYS = [
    pytest.param(way, id=way.name, marks=[pytest.mark.combination] * (way.name not in _IN_TEST))
    for way in WAYS
]


def _head(status: int = 200, *lines: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} S", "connection: close", *lines, "", ""]).encode()


def _document(size: int) -> bytes:
    choice = {"index": 0, "message": {"content": "x" * size}, "finish_reason": "stop"}
    return json.dumps({"choices": [choice]}).encode()


def _deflated(body: bytes, wbits: int) -> bytes:
    compressor = zlib.compressobj(wbits=wbits)
    return compressor.compress(body) + compressor.flush()


_CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "deflate, raw": lambda body: _deflated(body, -zlib.MAX_WBITS),
}


def _body(coding: str, body: bytes, status: int = 200) -> Verbatim:
    named = coding.partition(",")[0]
    return Verbatim(_head(status, f"content-encoding: {named}") + _CODINGS[coding](body))


@cache
def _bomb() -> bytes:
    return gzip.compress(_EVENT * 1000 + b" " * 60_000_000)


def _ask(way: Way, server: VerbatimServer, **settings: Any) -> Any:
    where = {"base_url": server.base_url, "api_key": server.key, "timeout": 60, "max_retries": 0}
    return way(**where, stream_idle_timeout=60, **settings)


@pytest.mark.parametrize("coding", _CODINGS)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_an_answer_within_the_limit(server: VerbatimServer, way: Way, coding: str) -> None:
    body = _EVENT * 10 + b"data: [DONE]\n\n" if way.streamed else _document(_LIMIT - 200)
    server.respond(_body(coding, body))

    assert _ask(way, server, max_response_bytes=_LIMIT).text.startswith("word " if way.streamed else "xxx")


@pytest.mark.parametrize("coding", _CODINGS)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_an_answer_beyond_the_limit(server: VerbatimServer, way: Way, coding: str) -> None:
    server.respond(_body(coding, _EVENT * 4000 if way.streamed else _document(_LIMIT)))

    with pytest.raises(TexAPIResponseTooLargeError, match="`max_response_bytes`, 200,000 bytes") as caught:
        _ask(way, server, max_response_bytes=_LIMIT)

    assert len(server.requests) == 1
    assert bool(caught.value.partial_text) == way.streamed


@pytest.mark.parametrize("way", _SOME_WAYS)
@pytest.mark.parametrize("status", [200, 500, 302])
def test_a_small_body_that_unpacks_to_much(server: VerbatimServer, way: Way, status: int) -> None:
    """60 MB in 60 KB take some megabytes of memory, as an answer, an error and a redirect."""
    head = _head(status, "content-encoding: gzip", "location: /v1/elsewhere")
    server.respond(Verbatim(head + _bomb()))
    tracemalloc.start()
    try:
        with pytest.raises(TexAPIError) as caught:
            _ask(way, server, max_response_bytes=_LIMIT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 12_000_000
    if status != 302:
        assert isinstance(caught.value, TexAPIResponseTooLargeError if status == 200 else TexAPIServerError)


@pytest.mark.parametrize("way", [way for way in WAYS if way.streamed], ids=lambda way: way.name)
@pytest.mark.parametrize(
    "piece",
    [b": keep-alive\n\n", b"data: {}\n\n", b"x"],
)
def test_an_endless_stream(server: VerbatimServer, way: Way, piece: bytes) -> None:
    server.respond(Verbatim([_head(), _EVENT, *[piece * 1000] * 500]))

    with pytest.raises(TexAPIResponseTooLargeError) as caught:
        _ask(way, server, max_response_bytes=_LIMIT)

    assert caught.value.partial_text == "word "


def test_a_complete_answer_is_kept_if_the_stream_does_not_end(server: VerbatimServer) -> None:
    end = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    server.respond(Verbatim([_head(), _EVENT, end, *[b": keep-alive\n\n" * 1000] * 100]))

    for way in WAYS:
        if way.streamed:
            assert _ask(way, server, max_response_bytes=_LIMIT).text == "word "


def test_an_error_keeps_its_first_mebibyte(server: VerbatimServer) -> None:
    error = {"error": {"message": "Busy.", "type": "overloaded_error"}}
    server.respond(_body("gzip", json.dumps(error).encode() + b" " * 5_000_000, status=503))

    for way in WAYS:
        with pytest.raises(TexAPIServerError, match="Busy"):
            _ask(way, server)
