"""The openai clients: one per settings, one async client per running event loop, closed with it.

Models hold settings, never clients, so they can be copied, pickled and used after a fork. All clients
share one pool of connections per process, and per event loop one for async calls: the TLS set-up of a
pool costs more than a call.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import openai

from texapi_core.connection import ending_after, read_timeout
from texapi_core.error_mapping import must_not_retry, redirect_refused
from texapi_core.error_objects import may_pass
from texapi_core.settings import CONNECT_TIMEOUT, NO_OPTIONS, AsyncTransport, CallOptions, Settings

_MOST_CLIENTS = 64
"""Clients kept for re-use; the one unused for longest goes first. They are small: a pool is not theirs."""

_ASYNC_HTTP_CLIENTS: Mapping[AsyncTransport, Callable[..., Any]] = {
    "httpx": openai.DefaultAsyncHttpxClient,
    "aiohttp": openai.DefaultAioHttpClient,
}

_ABOUT_THIS_MACHINE = ("Async", "Arch", "Lang", "OS", "Package-Version", "Runtime", "Runtime-Version")
"""Ends of `X-Stainless-*`, the headers in which the SDK tells OpenAI what it runs on."""

_LOSE_THE_BODY = (301, 302, 303)
"""Redirects that HTTP clients follow with a GET, which has no prompt."""


class OpenAI(openai.OpenAI):
    """The SDK's client, by its name for `User-Agent`. Its headers are put together once, not per request."""

    @cached_property
    def default_headers(self) -> dict[str, Any]:
        """What every request carries."""
        return _sent_headers(super().default_headers)


class AsyncOpenAI(openai.AsyncOpenAI):
    """Async twin of `OpenAI`."""

    @cached_property
    def default_headers(self) -> dict[str, Any]:
        """What every request carries."""
        return _sent_headers(super().default_headers)


def _sent_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Headers without those that are left out, unless the SDK adds the same one elsewhere."""
    return {
        name: value
        for name, value in headers.items()
        if not isinstance(value, openai.Omit) or name.lower() == "authorization"
    }


_ClientKey = tuple[Any, ...]
_clients: OrderedDict[_ClientKey, openai.OpenAI] = OrderedDict()
_pool: Any = None
_loop_clients: dict[int, _LoopClients] = {}
_lock = threading.Lock()


def sync_client(settings: Settings, options: CallOptions = NO_OPTIONS) -> openai.OpenAI:
    """The client for these settings, made on first use; for a call with headers of its own a new one.

    openai 2 logs the headers of a request at DEBUG, but not those of a client.
    """
    if options.extra_headers:
        with _lock:
            return _new_sync_client(_with_headers(settings, options.extra_headers))
    key = _client_key(settings, settings.http_client)
    with _lock:
        client = _clients.get(key)
        if client is None:
            client = _new_sync_client(settings)
            _clients[key] = client
            if len(_clients) > _MOST_CLIENTS:
                _clients.popitem(last=False)
        else:
            _clients.move_to_end(key)
        return client


async def async_client(settings: Settings, options: CallOptions = NO_OPTIONS) -> openai.AsyncOpenAI:
    """The client for these settings in the running event loop. Async twin of `sync_client`.

    A connection belongs to the loop that opened it. A client kept over two loops fails with "Event
    loop is closed", or sends the request twice when a retry hides that.
    """
    loop = asyncio.get_running_loop()
    clients = _loop_clients.get(id(loop))
    if clients is None or clients.loop() is not loop:
        clients = await _LoopClients.open(loop)
    return clients.client(settings, options)


def call_timeout(timeout: float | openai.Timeout, *, longest_read: float | None = None) -> openai.Timeout:
    """`timeout` as the SDK takes it: a number of seconds bounds reading, connecting takes less."""
    if isinstance(timeout, (int, float)):
        return _timeout_of(timeout, longest_read)
    return _bounded(timeout, longest_read)


@lru_cache
def _timeout_of(seconds: float, longest_read: float | None) -> openai.Timeout:
    return _bounded(openai.Timeout(seconds, connect=min(seconds, CONNECT_TIMEOUT)), longest_read)


def _bounded(timeout: openai.Timeout, longest_read: float | None) -> openai.Timeout:
    read = timeout.read
    if longest_read is not None and (read is None or read > longest_read):
        read = longest_read
    return openai.Timeout(connect=timeout.connect, read=read, write=timeout.write, pool=timeout.pool)


class _LoopClients:
    """The async clients of one event loop, closed when the loop shuts down."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = weakref.ref(loop)
        self._clients: OrderedDict[_ClientKey, openai.AsyncOpenAI] = OrderedDict()
        self._pools: dict[AsyncTransport, Any] = {}
        self._until_shutdown: AsyncGenerator[None, None] | None = None

    @classmethod
    async def open(cls, loop: asyncio.AbstractEventLoop) -> _LoopClients:
        clients = cls(loop)
        with _lock:
            for key, others in list(_loop_clients.items()):
                other_loop = others.loop()
                if other_loop is None or other_loop.is_closed():
                    del _loop_clients[key]
            _loop_clients[id(loop)] = clients
        # `loop.shutdown_asyncgens()`, which `asyncio.run` and every server call before they close
        # their loop, closes async generators: the public way to be told in time to close sockets.
        clients._until_shutdown = clients._close_at_shutdown()
        await anext(clients._until_shutdown)
        return clients

    def client(self, settings: Settings, options: CallOptions) -> openai.AsyncOpenAI:
        if options.extra_headers:
            with_headers = _with_headers(settings, options.extra_headers)
            return _new_async_client(with_headers, self._pool(settings.async_transport))
        key = _client_key(settings, settings.http_async_client)
        client = self._clients.get(key)
        if client is None:
            client = self._clients[key] = _new_async_client(settings, self._pool(settings.async_transport))
            if len(self._clients) > _MOST_CLIENTS:
                self._clients.popitem(last=False)
        else:
            self._clients.move_to_end(key)
        return client

    def _pool(self, transport: AsyncTransport) -> Any:
        if transport not in self._pools:
            self._pools[transport] = _new_pool(_ASYNC_HTTP_CLIENTS[transport], _ainspect_response)
        return self._pools[transport]

    async def _close_at_shutdown(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            with _lock:
                for key, clients in list(_loop_clients.items()):
                    if clients is self:
                        del _loop_clients[key]
            self._clients.clear()
            for pool in self._pools.values():
                await pool.aclose()


def _with_headers(settings: Settings, extra_headers: Mapping[str, str]) -> Settings:
    """Settings with the headers of one call, which replace those of the same name."""
    replaced = {name.lower() for name in extra_headers}
    kept = [(name, value) for name, value in settings.default_headers if name.lower() not in replaced]
    return replace(settings, default_headers=(*kept, *extra_headers.items()))


def _client_key(settings: Settings, http_client: Any) -> _ClientKey:
    """What makes two clients the same. Time limits and retries go with each call instead."""
    return (
        settings.base_url,
        settings.api_key,
        settings.default_headers,
        repr(settings.default_query),
        id(http_client) if http_client is not None else None,
        settings.async_transport,
    )


def _new_sync_client(settings: Settings) -> openai.OpenAI:
    """Called with the lock held."""
    http_client = settings.http_client
    if http_client is None:
        http_client = _shared_pool()
    else:
        _add_hook(http_client, _inspect_response)
    client = OpenAI(http_client=http_client, **_client_arguments(settings))
    _forget_ambient_identity(client)
    return client


def _new_async_client(settings: Settings, pool: Any) -> openai.AsyncOpenAI:
    http_client = settings.http_async_client
    if http_client is None:
        http_client = pool
    else:
        _add_hook(http_client, _ainspect_response)
    client = AsyncOpenAI(http_client=http_client, **_client_arguments(settings))
    _forget_ambient_identity(client)
    return client


def _shared_pool() -> Any:
    """The connections of all sync clients of this process, closed when it ends."""
    global _pool
    if _pool is None:
        _pool = _new_pool(openai.DefaultHttpxClient, _inspect_response)
        atexit.register(_pool.close)
    return _pool


def _new_pool(make: Callable[..., Any], hook: Any) -> Any:
    """Takes no cookies: keys of different accounts may share its connections."""
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    return make(event_hooks={"response": [hook]}, cookies=no_cookies, max_redirects=3)


def _client_arguments(settings: Settings) -> dict[str, Any]:
    return {
        "api_key": settings.api_key,
        "base_url": settings.base_url,
        "default_headers": _headers(settings),
        "default_query": dict(settings.default_query) or None,
    }


def _headers(settings: Settings) -> Mapping[str, Any]:
    """Headers of every request, with those taken out that are for OpenAI alone.

    The SDK reads some from `OPENAI_*` variables. `OPENAI_CUSTOM_HEADERS` may even replace `Authorization`,
    which would send a user's OpenAI key to the gateway. What the user passes wins over both.
    """
    lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n")
    ambient = [line.split(":", 1)[0].strip() for line in lines if ":" in line]
    machine = [f"X-Stainless-{end}" for end in _ABOUT_THIS_MACHINE]
    taken_out = dict.fromkeys([*ambient, *machine, "OpenAI-Organization", "OpenAI-Project"], openai.Omit())
    passed = dict(settings.default_headers)
    own = {"Authorization": f"Bearer {settings.api_key}"}
    if any(name.lower() == "authorization" for name in passed):
        own = {}
    # openai 2 tells `authorization` from `Authorization`, openai 3 lets the later one win: right in
    # both is what is taken out first, under its own spelling, and then what is sent.
    return {**taken_out, **own, **passed}


def _forget_ambient_identity(client: openai.OpenAI | openai.AsyncOpenAI) -> None:
    """The SDK fills these from `OPENAI_ORG_ID`, `OPENAI_PROJECT_ID`, `OPENAI_ADMIN_KEY`, ...

    None of them is the gateway's business.
    """
    client.organization = None
    client.project = None
    client.admin_api_key = None
    client.webhook_secret = None


def _add_hook(http_client: Any, hook: Any) -> None:
    """Our hook on the user's own HTTP client, once; it acts on failed responses only."""
    hooks = dict(http_client.event_hooks)
    if hook not in hooks["response"]:
        http_client.event_hooks = {**hooks, "response": [*hooks["response"], hook]}


def _inspect_response(response: Any) -> None:
    """Keep the SDK from retrying what only costs money, and from following to another host."""
    _refuse_bad_redirect(response)
    if response.status_code >= 400:
        if not _is_read(response):
            body = bytearray()
            with suppress(Exception), ending_after(read_timeout(response), response):
                for packet in response.iter_raw():
                    body += packet
            with suppress(Exception):
                response.close()
            _take_body(response, bytes(body))
            response.read()
        _forbid_hopeless_retry(response)


async def _ainspect_response(response: Any) -> None:
    _refuse_bad_redirect(response)
    if response.status_code >= 400:
        if not _is_read(response):
            body = bytearray()
            with suppress(Exception):
                async with asyncio.timeout(read_timeout(response)):
                    async for packet in response.aiter_raw():
                        body += packet
            with suppress(Exception):
                await response.aclose()
            _take_body(response, bytes(body))
            await response.aread()
        _forbid_hopeless_retry(response)


def _is_read(response: Any) -> bool:
    """Whether a hook of the user's own has read the body."""
    try:
        return response.content is not None
    except Exception:
        return False


def _take_body(response: Any, body: bytes) -> None:
    """Give a failed response what came of its body: the status can decide without the rest.

    An error raised instead would hide the status, by which the SDK retries.
    """
    content = _unpacked(response, body)
    for name in ("content-encoding", "content-length", "transfer-encoding"):
        response.headers.pop(name, None)
    response.stream = type(response)(response.status_code, content=content).stream
    response.is_stream_consumed = response.is_closed = False


def _unpacked(response: Any, body: bytes) -> bytes:
    """A body without its compression; one that only claims to have it as it is, a broken one not at all."""
    coding = {"content-encoding": response.headers.get("content-encoding", "identity")}
    with suppress(Exception):
        content: bytes = type(response)(response.status_code, headers=coding, content=body).content
        return content
    with suppress(UnicodeDecodeError):
        body.decode()
        return body
    return b""


def _forbid_hopeless_retry(response: Any) -> None:
    """An empty balance and a spending cap arrive as 429, which the SDK retries unless told not to.

    `x-should-retry` is the header by which a server tells it, even to retry what cannot succeed.
    """
    response.encoding = "utf-8"  # a charset that does not exist would make the SDK stumble
    hopeless = must_not_retry(response.status_code, response.content, response.headers)
    if hopeless or not may_pass(response.status_code):
        response.headers["x-should-retry"] = "false"


def _refuse_bad_redirect(response: Any) -> None:
    if not response.has_redirect_location:
        return
    here = response.url
    try:
        there = here.join(response.headers["location"])
    except Exception:
        raise redirect_refused(response, "to an address that is none") from None
    same_host = here.host == there.host
    same_place = same_host and here.port == there.port and here.scheme == there.scheme
    upgraded = same_host and there.scheme == "https"
    if not (same_place or upgraded):
        raise redirect_refused(response, f"to another host, {there.host}")
    if here == there:
        raise redirect_refused(response, "to itself")
    if response.status_code in _LOSE_THE_BODY and response.request.method == "POST":
        raise redirect_refused(response, f"by status {response.status_code}, which loses the request")


def _forget_all_clients() -> None:
    """After a fork the parent's connections are not ours to use."""
    global _lock, _pool
    _lock = threading.Lock()
    _pool = None
    _clients.clear()
    _loop_clients.clear()


os.register_at_fork(after_in_child=_forget_all_clients)
