"""The aiohttp session behind a transport of the SDK: it follows the same rules as httpx does.

The transport makes it with aiohttp's defaults: it keeps cookies and sends them with the keys of all
accounts, refuses heads that httpx reads, encodes the credentials of a proxy in Latin-1, and waits for the end
of a body whose chunks are broken.
"""

from __future__ import annotations

import asyncio
import sys
from functools import cache, partial
from inspect import signature
from typing import Any

from texapi_core import errors

_MAX_HEADER = 100 * 1024
"""Bytes of one header: what httpx allows for a whole head."""
_MAX_HEADERS = 1000


def adapt_session(transport: Any) -> None:
    """Let the session of aiohttp behind a transport keep no cookies, read what httpx reads, use no SOCKS."""
    if hasattr(transport, "get_client"):
        transport.client = partial(_session, transport)
        proxy = transport.proxy
        if proxy is not None and proxy.auth:
            proxy.auth = tuple(text.encode().decode("latin-1") for text in proxy.auth)


def _session(transport: Any) -> Any:
    """The session that the transport makes by itself, with its connections in one of our own."""
    if transport.proxy is not None and transport.proxy.url.scheme.startswith("socks"):
        raise _socks_refused()
    aiohttp: Any = sys.modules["aiohttp"]
    transport.client = None
    made = transport.get_client()
    if hasattr(made.connector, "_factory"):
        handler: Any = _handler_class(aiohttp)
        made.connector._factory = partial(handler, loop=asyncio.get_running_loop())
    limits = {"max_line_size": _MAX_HEADER, "max_field_size": _MAX_HEADER, "max_headers": _MAX_HEADERS}
    known = signature(aiohttp.ClientSession).parameters  # `max_headers` is of a later version
    session = aiohttp.ClientSession(
        connector=made.connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        **{name: limit for name, limit in limits.items() if name in known},
    )
    made.detach()
    return session


@cache
def _handler_class(aiohttp: Any) -> type[Any]:
    """Aiohttp's handler of a connection, which tells a broken chunk to the one who reads the body.

    Aiohttp's own closes the connection and tells nobody, so the reader waits for its time-out. The HTTP
    library has no public place for it; where the attributes are missing, the time-out ends the wait.
    """

    class Handler(aiohttp.client_proto.ResponseHandler):  # type: ignore[misc] # known at runtime
        def set_exception(self, exc: BaseException, *arguments: Any) -> None:
            payload = getattr(self, "_payload", None)
            super().set_exception(exc, *arguments)
            is_broken = isinstance(exc, aiohttp.http.HttpProcessingError)
            if is_broken and payload is not None and not payload.is_eof():
                payload.set_exception(aiohttp.ClientPayloadError(f"Response payload is not valid: {exc!r}"))

    return Handler


def _socks_refused() -> errors.TexAPIConnectionError:
    """Aiohttp takes a SOCKS proxy for one that speaks HTTP."""
    refused = errors.TexAPIConnectionError(
        'The environment names a SOCKS proxy for this address, which `async_transport="aiohttp"` cannot use. '
        'Use async_transport="httpx" and pip install "texapi-integrations[socks]".',
        request=None,
    )
    refused.was_sent = refused.is_retryable = False
    return refused
