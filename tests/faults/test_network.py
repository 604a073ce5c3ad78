"""Calls through proxies, over IPv6 and with certificates of one's own, in every call style."""

from __future__ import annotations

import contextlib
import gc
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest
import trustme

from tests.conftest import Endpoint
from tests.faults.network import Front, Proxy
from tests.faults.verbatim import Verbatim, VerbatimServer
from tests.faults.ways import WAYS, Way, one_loop, some_ways
from tests.gateway import Gateway
from tests.gateway.server import KEY
from texapi_core import TexAPIConnectionError, TexAPIError, TexAPIStatusError, TexAPITimeoutError

_NAMES = [f"{prefix}_proxy" for prefix in ("http", "https", "all", "no")]
_DEPRECATED = "ignore:(BasicAuth is|The .proxy_auth. parameter is) deprecated:DeprecationWarning"
"""What the SDK's aiohttp transport uses for the credentials of a proxy."""
OVER_AIOHTTP = {way.name for way in WAYS if "aiohttp" in way.name}


@pytest.fixture(autouse=True)
def _without_proxies(own_pools: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool reads the variables when it is made; the loop of each asynchronous call makes its own."""
    for name in _NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def _collected() -> Iterator[None]:
    """The HTTP library does not close a connection whose SOCKS proxy refuses it."""
    yield
    gc.collect()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


def _server_context(authority: trustme.CA, *, client_certificate: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "::1").configure_cert(context)
    if client_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)
    return context


@contextlib.contextmanager
def _front(endpoint: Endpoint, **how: Any) -> Iterator[Front]:
    with Front(urlsplit(endpoint.base_url).netloc, **how).running() as front:
        yield front


def _matrix(places: list[Any]) -> list[Any]:
    return [
        pytest.param(
            *place,
            way,
            marks=[pytest.mark.combination] * (way not in some_ways(number, WAYS)),
            id="-".join([*map(str, place), way.name]),
        )
        for number, place in enumerate(places)
        for way in WAYS
    ]


def _call(way: Way, base_url: str, **more: Any) -> str:
    return way(base_url=base_url, api_key=KEY, max_retries=2, timeout=30, **more).text


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("scheme", "credentials", "tls", "way"),
    _matrix(
        [
            (scheme, credentials, tls)
            for scheme in ("http", "socks5")
            for credentials in ("", "credentials")
            for tls in ("", "TLS")
        ]
    ),
)
@pytest.mark.filterwarnings(_DEPRECATED)
def test_through_a_proxy(
    scheme: Any,
    credentials: str,
    tls: str,
    way: Way,
    endpoint: Endpoint,
    gateway: Gateway,
    authority: trustme.CA,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context = _server_context(authority) if tls else None
    with (
        _front(endpoint, tls=context) as front,
        Proxy(scheme=scheme, credentials=bool(credentials)).running() as proxy,
    ):
        monkeypatch.setenv("ALL_PROXY", proxy.url())
        if scheme == "socks5" and way.name in OVER_AIOHTTP:
            with pytest.raises(TexAPIConnectionError, match=r"SOCKS.*aiohttp"):
                _call(way, front.base_url)
            assert gateway.requests == []
        else:
            assert _call(way, front.base_url)
            assert proxy.targets == [f"127.0.0.1:{front.port}"]
            assert len(gateway.requests) == 1


@pytest.mark.usefixtures("trusted", "_collected")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", _DEPRECATED)
@pytest.mark.parametrize(
    ("scheme", "tls", "way"), _matrix([("http", ""), ("http", "TLS"), ("socks5", ""), ("socks5", "TLS")])
)
def test_a_proxy_that_refuses_its_credentials(
    scheme: Any,
    tls: str,
    way: Way,
    endpoint: Endpoint,
    gateway: Gateway,
    authority: trustme.CA,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context = _server_context(authority) if tls else None
    with _front(endpoint, tls=context) as front, Proxy(scheme=scheme, credentials=True).running() as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url("wrong-password"))
        with pytest.raises(TexAPIError, match=r"(?i)proxy") as caught:
            way(base_url=front.base_url, api_key=endpoint.api_key, max_retries=0)

    assert gateway.requests == []
    assert proxy.targets == []
    assert isinstance(caught.value, TexAPIConnectionError)
    assert not caught.value.was_sent
    assert "wrong-password" not in str(caught.value)
    assert proxy.refused <= 1


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(("tls", "way"), _matrix([("",), ("TLS",)]))
@pytest.mark.filterwarnings(_DEPRECATED)
def test_a_password_of_any_letters_opens_a_proxy(
    tls: str, way: Way, endpoint: Endpoint, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = _server_context(authority) if tls else None
    proxy = Proxy(credentials=True, password="mật:khẩu@của/tôi")
    with _front(endpoint, tls=context) as front, proxy.running():
        monkeypatch.setenv("ALL_PROXY", proxy.url())
        assert _call(way, front.base_url)

    assert proxy.targets == [f"127.0.0.1:{front.port}"]


@pytest.mark.parametrize(("names", "way"), _matrix([("127.0.0.1",), ("*",), ("gateway.invalid,127.0.0.1",)]))
def test_an_address_in_no_proxy_is_reached_directly(
    names: str, way: Way, endpoint: Endpoint, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy().running() as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url())
        monkeypatch.setenv("NO_PROXY", names)
        assert _call(way, endpoint.base_url)

    assert proxy.targets == []
    assert len(gateway.requests) == 1


@pytest.mark.parametrize("way", [way for way in WAYS if way.name in OVER_AIOHTTP], ids=lambda way: way.name)
def test_a_socks_proxy_gets_nothing_over_aiohttp_after_a_call_past_it(
    way: Way, endpoint: Endpoint, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy(scheme="socks5").running() as proxy, one_loop():
        monkeypatch.setenv("ALL_PROXY", proxy.url())
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert _call(way, endpoint.base_url)
        with pytest.raises(TexAPIConnectionError, match=r"SOCKS.*aiohttp") as caught:
            _call(way, "http://gateway.invalid/v1")

    assert proxy.connections == 0
    assert len(gateway.requests) == 1
    assert not caught.value.was_sent


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_proxy_at_an_impossible_port_gets_nothing(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:99999")
    with pytest.raises(TexAPIConnectionError, match=r"[Cc]heck.*proxy") as caught:
        way(base_url="http://gateway.invalid/v1", api_key=KEY, max_retries=0)

    assert not caught.value.was_sent
    assert "TaskGroup" not in str(caught.value)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_proxy_that_cannot_be_reached_is_named(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = f"127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setenv("ALL_PROXY", f"http://{proxy}")
    with pytest.raises(TexAPIConnectionError, match=r"could not be reached.*Check.*proxy") as caught:
        way(base_url="http://gateway.invalid/v1", api_key=KEY, max_retries=0)

    assert not caught.value.was_sent


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(("tls", "way"), _matrix([("",), ("TLS",)]))
def test_over_ipv6(tls: str, way: Way, endpoint: Endpoint, authority: trustme.CA) -> None:
    with _front(endpoint, host="::1", tls=_server_context(authority) if tls else None) as front:
        assert _call(way, front.base_url)

    assert len(front.targets) == 1


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_an_unknown_authority(way: Way, endpoint: Endpoint, gateway: Gateway, authority: trustme.CA) -> None:
    with (
        _front(endpoint, tls=_server_context(authority)) as front,
        pytest.raises(TexAPIConnectionError, match=r"CERTIFICATE_VERIFY_FAILED.*SSL_CERT_FILE"),
    ):
        way(base_url=front.base_url, api_key=endpoint.api_key, max_retries=0)

    assert gateway.requests == []


@contextlib.contextmanager
def _own_clients(way: Way, context: ssl.SSLContext) -> Iterator[dict[str, Any]]:
    make = openai.DefaultAioHttpClient if way.name in OVER_AIOHTTP else openai.DefaultAsyncHttpxClient
    with one_loop() as runner, openai.DefaultHttpxClient(verify=context) as sync:
        own = make(verify=context)
        yield {"http_client": sync, "http_async_client": own}
        runner.run(own.aclose())


@pytest.mark.parametrize(("certificate", "way"), _matrix([("",), ("client certificate",)]))
def test_certificates_by_client(
    certificate: str, way: Way, endpoint: Endpoint, authority: trustme.CA
) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if certificate:
        authority.issue_cert("client@example.com").configure_cert(context)
    server = _server_context(authority, client_certificate=bool(certificate))
    with _front(endpoint, tls=server) as front, _own_clients(way, context) as own:
        assert _call(way, front.base_url, **own)

    assert len(front.targets) == 1


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_client_certificate_is_missing(
    way: Way, endpoint: Endpoint, gateway: Gateway, authority: trustme.CA
) -> None:
    server = _server_context(authority, client_certificate=True)
    with _front(endpoint, tls=server) as front, pytest.raises(TexAPIConnectionError):
        way(base_url=front.base_url, api_key=endpoint.api_key, max_retries=0)

    assert gateway.requests == []


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_an_interim_answer_ends_no_time_limit(way: Way) -> None:
    with VerbatimServer() as server:
        server.respond(Verbatim([b"HTTP/1.1 102 Processing\r\n\r\n", 60.0]))
        with pytest.raises(TexAPITimeoutError):
            way(base_url=server.base_url, api_key=server.key, max_retries=0, timeout=0.3)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_of_a_redirect_without_an_address_one_mebibyte_is_read(way: Way) -> None:
    page = b"x" * 2**20
    with VerbatimServer() as server:
        server.respond(Verbatim([b"HTTP/1.1 302 Found\r\nconnection: close\r\n\r\n", *[page] * 8]))
        with pytest.raises(TexAPIStatusError) as caught:
            way(base_url=server.base_url, api_key=server.key, max_retries=0, timeout=30)

    assert len(caught.value.response.content) <= 2**20


_HEADS = {
    "a long header": [f"x-policy: {'a' * 60_000}"],
    "many headers": [f"x-{number}: a" for number in range(500)],
}


@pytest.mark.parametrize(("head", "way"), _matrix([(name,) for name in _HEADS]))
def test_a_long_head_is_read(head: str, way: Way) -> None:
    lines = ["HTTP/1.1 200 OK", *_HEADS[head], "", ""]
    answer = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}
    with VerbatimServer() as server:
        server.respond(Verbatim(("\r\n".join(lines) + json.dumps(answer)).encode()))
        assert way(base_url=server.base_url, api_key=server.key, max_retries=0, timeout=30).text == "Hi"


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_half_a_head_is_not_shown(way: Way) -> None:
    with VerbatimServer() as server:
        server.respond(Verbatim(b"HTTP/1.1 200 OK\r\nset-cookie: session=planted\r\n"))
        with pytest.raises(TexAPIConnectionError, match="isconnected") as caught:
            way(base_url=server.base_url, api_key=server.key, max_retries=0, timeout=30)

    assert "planted" not in str(caught.value)
    assert caught.value.was_sent


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_broken_chunk_is_no_time_out(way: Way) -> None:
    text = b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}\n\n'
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    with VerbatimServer() as server:
        server.respond(Verbatim([head, 0.02, b"%x\r\n%b\r\n" % (len(text), text), b"not hex\r\n", 60.0]))
        with pytest.raises(TexAPIError, match="broke in the middle") as caught:
            way(base_url=server.base_url, api_key=server.key, max_retries=0, timeout=30)

    assert not isinstance(caught.value, TexAPITimeoutError)
    assert caught.value.partial_text == ("Hi" if way.streamed else "")
