"""The openai clients, cached by settings; `texapi_core.transport.event_loops` has the async ones.

Models hold settings, never clients, so they can be copied, pickled and used after a fork. The sync clients
of a process share one connection pool for each `keepalive`.
"""

from __future__ import annotations

import atexit
import os
import ssl
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property, lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib import import_module
from typing import Any, Generic, TypeVar

import openai

from texapi_core._fork import at_fork
from texapi_core.settings import NO_OPTIONS, CallOptions, Settings
from texapi_core.transport.aiohttp_session import adapt_session
from texapi_core.transport.hooks import ainspect_response, inspect_response
from texapi_core.transport.stale import watch

_MAX_CLIENTS = 64
"""Size of a cache; the least recently used client is dropped first. Clients are small: they own no pool."""

_PLATFORM_HEADERS = ("Async", "Arch", "Lang", "OS", "Package-Version", "Runtime", "Runtime-Version")
"""Suffixes of `X-Stainless-*`, the headers in which the SDK describes its platform to OpenAI."""


class OpenAI(openai.OpenAI):
    """The SDK's client, whose name is in `User-Agent`. Its headers are built once, not per request."""

    @cached_property
    def default_headers(self) -> dict[str, Any]:
        """Headers of every request."""
        return _sent_headers(super().default_headers)


class AsyncOpenAI(openai.AsyncOpenAI):
    """Async twin of `OpenAI`."""

    @cached_property
    def default_headers(self) -> dict[str, Any]:
        """Headers of every request."""
        return _sent_headers(super().default_headers)


def _sent_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Headers without omitted ones. `Authorization` stays as `Omit`, since the SDK adds it elsewhere."""
    return {
        name: value
        for name, value in headers.items()
        if not isinstance(value, openai.Omit) or name.lower() == "authorization"
    }


_Client = TypeVar("_Client", bound=openai.OpenAI | openai.AsyncOpenAI)


class ClientCache(Generic[_Client]):
    """The most recently used clients, by settings and HTTP client."""

    def __init__(self) -> None:
        self._clients: OrderedDict[tuple[Any, ...], _Client] = OrderedDict()

    def get(
        self,
        settings: Settings,
        options: CallOptions,
        http_client: Any,
        make: Callable[[Settings, Any], _Client],
    ) -> _Client:
        """The client for these settings, created on first use; a new one for a call with `extra_headers`.

        They are set on a client because openai 2 logs the headers of a request at DEBUG.
        """
        if options.extra_headers:
            return make(_with_headers(settings, options.extra_headers), http_client)
        # Timeouts and retries are passed per request.
        key = (
            settings.base_url,
            settings.api_key,
            settings.default_headers,
            repr(settings.default_query),
            id(http_client),
        )
        client = self._clients.get(key)
        if client is None:
            client = self._clients[key] = make(settings, http_client)
            if len(self._clients) > _MAX_CLIENTS:
                self._clients.popitem(last=False)
        else:
            self._clients.move_to_end(key)
        return client


_clients: ClientCache[openai.OpenAI] = ClientCache()
_pools: dict[float, Any] = {}
"""By `keepalive`."""
_lock = threading.Lock()


def sync_client(settings: Settings, options: CallOptions = NO_OPTIONS) -> openai.OpenAI:
    """The client for these settings, created on first use; a new one for a call with `extra_headers`."""
    with _lock:
        http_client = settings.http_client
        if http_client is None:
            http_client = _shared_pool(settings.keepalive)
        return _clients.get(settings, options, http_client, _new_sync_client)


def _shared_pool(keepalive: float) -> Any:
    """The connection pool of the sync clients of this process, closed at exit."""
    pool = _pools.get(keepalive)
    if pool is None:
        pool = _pools[keepalive] = new_pool(openai.DefaultHttpxClient, keepalive)
        atexit.register(pool.close)
    return pool


def new_pool(make: Callable[..., Any], keepalive: float) -> Any:
    """An HTTP client by `make`, without cookies: keys of different accounts may share it."""
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    limits = openai.DEFAULT_CONNECTION_LIMITS
    pool = make(
        cookies=no_cookies,
        limits=type(limits)(
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=keepalive,
        ),
        max_redirects=3,
        verify=_tls_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")),
    )
    for transport in _transports(pool):
        watch(transport)
        adapt_session(transport)
    return pool


def _transports(http_client: Any) -> list[Any]:
    """What carries the requests of an HTTP client, for itself and for each proxy.

    The HTTP library has no public place for them. Without them the client works as the SDK makes it, and
    tests fail.
    """
    return [getattr(http_client, "_transport", None), *getattr(http_client, "_mounts", {}).values()]


@lru_cache(maxsize=4)
def _tls_context(_cert_file: str | None, _cert_dir: str | None) -> ssl.SSLContext:
    """The HTTP library's TLS context for these variables, cached because creating it takes 30 to 50 ms."""
    http_library = import_module(openai.DefaultHttpxClient.__mro__[1].__module__)  # httpx, or httpx2
    context: ssl.SSLContext = http_library.create_ssl_context()
    return context


def _new_sync_client(settings: Settings, http_client: Any) -> openai.OpenAI:
    return _new_client(OpenAI, settings, http_client, inspect_response)


def new_async_client(settings: Settings, http_client: Any) -> openai.AsyncOpenAI:
    """A client for these settings, with the connection pool of an event loop."""
    return _new_client(AsyncOpenAI, settings, http_client, ainspect_response)


def _new_client(make: Callable[..., _Client], settings: Settings, http_client: Any, hook: Any) -> _Client:
    """A client with our response hook, without what the SDK reads from `OPENAI_ORG_ID` and the like."""
    hooks = dict(http_client.event_hooks)
    if hook not in hooks["response"]:
        http_client.event_hooks = {**hooks, "response": [*hooks["response"], hook]}
    client = make(
        http_client=http_client,
        api_key=settings.api_key,
        base_url=settings.base_url,
        default_headers=_headers(settings),
        default_query=dict(settings.default_query) or None,
    )
    client.organization = client.project = None
    client.admin_api_key = client.webhook_secret = None
    return client


def _with_headers(settings: Settings, extra_headers: Mapping[str, str]) -> Settings:
    """Settings with the headers of one call, which replace headers of the same name."""
    replaced = {name.lower() for name in extra_headers}
    kept = [(name, value) for name, value in settings.default_headers if name.lower() not in replaced]
    return replace(settings, default_headers=(*kept, *extra_headers.items()))


def _headers(settings: Settings) -> Mapping[str, Any]:
    """Headers of every request, in which those meant for OpenAI are `Omit`.

    The SDK reads some from `OPENAI_*` variables. `OPENAI_CUSTOM_HEADERS` may even replace `Authorization`,
    which would send a user's OpenAI key to the gateway. The user's own headers take precedence.
    """
    lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n")
    ambient = [line.split(":", 1)[0].strip() for line in lines if ":" in line]
    platform = [f"X-Stainless-{suffix}" for suffix in _PLATFORM_HEADERS]
    omitted = dict.fromkeys([*ambient, *platform, "OpenAI-Organization", "OpenAI-Project"], openai.Omit())
    passed = dict(settings.default_headers)
    own = {"Authorization": f"Bearer {settings.api_key}"}
    if any(name.lower() == "authorization" for name in passed):
        own = {}
    # openai 2 distinguishes `authorization` from `Authorization`, in openai 3 the later one wins: omitted
    # headers in their own spelling, followed by the sent ones, work with both.
    return {**omitted, **own, **passed}


def _forget_all_clients() -> None:
    """After a fork the parent's connections are not ours to use."""
    global _clients, _lock
    _lock = threading.Lock()
    _pools.clear()
    _clients = ClientCache()


at_fork(after_in_child=_forget_all_clients)
