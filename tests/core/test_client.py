"""Clients: what they send, and how clients and connections are shared."""

from __future__ import annotations

import asyncio
import gc
import http.server
import json
import multiprocessing
import os
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import openai
import pytest

import texapi_core
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from tests.waiting import await_until, cancel_once
from texapi_core import CallOptions, ChatReply, resolve_settings
from texapi_core.settings import Settings
from texapi_core.transport.clients import sync_client
from texapi_core.transport.send import call_timeout

PAYLOAD = {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Hello"}]}
OPENAI_VARIABLES = {
    "OPENAI_API_KEY": "sk-openai-secret",
    "OPENAI_ADMIN_KEY": "sk-admin-secret",
    "OPENAI_BASE_URL": "http://127.0.0.1:1/v1",
    "OPENAI_API_BASE": "http://127.0.0.1:1/v1",
    "OPENAI_ORG_ID": "org-secret",
    "OPENAI_ORGANIZATION": "org-secret",
    "OPENAI_PROJECT_ID": "proj-secret",
    "OPENAI_WEBHOOK_SECRET": "webhook-secret",
    "OPENAI_PROXY": "http://127.0.0.1:1",
    "OPENAI_API_TYPE": "azure",
    "OPENAI_API_VERSION": "2020-01-01",
}


_CHOICE = {"index": 0, "delta": {"content": "ok"}, "finish_reason": "stop"}
NEVER_ENDING = f"data: {json.dumps({'choices': [_CHOICE]})}\n\ndata: [DONE]\n\n".encode()


def settings(endpoint: Endpoint, **changes: Any) -> Settings:
    arguments = {"api_key": endpoint.api_key, "base_url": endpoint.base_url, "timeout": 5, "max_retries": 0}
    return resolve_settings(**{**arguments, **changes})


async def last_reply(settings: Settings) -> ChatReply:
    items = [item async for item in texapi_core.astream(settings, PAYLOAD)]
    assert isinstance(items[-1], ChatReply)
    return items[-1]


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
def test_openai_environment_variables_are_ignored(
    monkeypatch: pytest.MonkeyPatch, gateway: Gateway, endpoint: Endpoint, name: str, asynchronous: bool
) -> None:
    for variable, value in OPENAI_VARIABLES.items():
        monkeypatch.setenv(variable, value)
    custom = f"{name}: Bearer sk-openai-secret\nX-Secret: custom-secret\ncontent-type: text/secret"
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", custom)
    fresh = settings(endpoint, default_headers={"X-Run": f"{name}-{asynchronous}"})

    if asynchronous:
        asyncio.run(texapi_core.acomplete(fresh, PAYLOAD))
    else:
        texapi_core.complete(fresh, PAYLOAD)

    (received,) = gateway.requests
    assert received.headers["authorization"] == f"Bearer {endpoint.api_key}"
    assert received.headers["content-type"] == "application/json"
    assert not [header for header in received.headers if header.startswith("openai-")]
    assert "secret" not in str(received.headers)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_no_header_describes_the_machine(gateway: Gateway, endpoint: Endpoint, asynchronous: bool) -> None:
    """The SDK sends system, Python and SDK versions to OpenAI; the gateway does not need them."""
    if asynchronous:
        asyncio.run(texapi_core.acomplete(settings(endpoint), PAYLOAD))
    else:
        texapi_core.complete(settings(endpoint), PAYLOAD)

    (received,) = gateway.requests
    stainless = {name for name in received.headers if name.startswith("x-stainless-")}
    assert stainless == {"x-stainless-retry-count", "x-stainless-read-timeout"}
    assert received.headers["user-agent"].startswith("AsyncOpenAI/" if asynchronous else "OpenAI/")


def test_the_user_may_send_headers_that_describe_the_machine(gateway: Gateway, endpoint: Endpoint) -> None:
    texapi_core.complete(settings(endpoint, default_headers={"X-Stainless-OS": "Linux"}), PAYLOAD)

    assert gateway.requests[0].headers["x-stainless-os"] == "Linux"


def test_a_header_passed_by_the_user_takes_precedence(
    monkeypatch: pytest.MonkeyPatch, gateway: Gateway, endpoint: Endpoint
) -> None:
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Tenant: wrong")

    texapi_core.complete(settings(endpoint, default_headers={"x-tenant": "right"}), PAYLOAD)

    assert gateway.requests[0].headers["x-tenant"] == "right"


def test_headers_and_query_parameters_per_call(gateway: Gateway, endpoint: Endpoint) -> None:
    default = settings(endpoint, default_headers={"X-A": "1"}, default_query={"q": "1"})

    texapi_core.complete(default, PAYLOAD, CallOptions(extra_headers={"X-A": "2"}, extra_query={"r": "2"}))

    assert gateway.requests[0].headers["x-a"] == "2"
    assert gateway.requests[0].query == {"q": "1", "r": "2"}


def test_equal_settings_share_a_client_and_its_connection(gateway: Gateway, endpoint: Endpoint) -> None:
    assert sync_client(settings(endpoint)) is sync_client(settings(endpoint, timeout=9, max_retries=1))
    assert sync_client(settings(endpoint)) is not sync_client(settings(endpoint, api_key="sk-tex-2"))

    for _ in range(3):
        texapi_core.complete(settings(endpoint), PAYLOAD)

    assert len({request.client for request in gateway.requests}) == 1


@pytest.mark.parametrize("transport", ["sync", "httpx", "aiohttp"])
def test_accounts_that_share_connections_share_no_cookies(
    gateway: Gateway, endpoint: Endpoint, transport: str
) -> None:
    gateway.misbehave(Fault(headers={"set-cookie": "account=one; Path=/"}))
    by_name = {
        "base_url": endpoint.base_url.replace("127.0.0.1", "localhost")
    }  # aiohttp has none for numbers
    transports = {} if transport == "sync" else {"async_transport": transport}
    accounts = [
        settings(endpoint, **by_name, **transports, default_headers=headers) for headers in ({}, {"X-B": "2"})
    ]

    async def both() -> None:
        for account in accounts:
            await texapi_core.acomplete(account, PAYLOAD)

    if transport != "sync":
        asyncio.run(both())
    else:
        for account in accounts:
            texapi_core.complete(account, PAYLOAD)

    first, second = gateway.requests
    assert first.client == second.client
    assert "cookie" not in second.headers


async def test_evicted_clients_leave_no_connection_open(endpoint: Endpoint) -> None:
    with warnings.catch_warnings():  # clients of event loops that LlamaIndex abandoned in other tests
        warnings.simplefilter("ignore", ResourceWarning)
        await texapi_core.acomplete(settings(endpoint), PAYLOAD)
        gc.collect()

    for number in range(80):
        await texapi_core.acomplete(settings(endpoint, default_headers={"X-N": str(number)}), PAYLOAD)

    gc.collect()
    assert (await texapi_core.acomplete(settings(endpoint), PAYLOAD)).choice.text


def test_streams_read_to_their_end_share_a_connection(gateway: Gateway, endpoint: Endpoint) -> None:
    for _ in range(3):
        *_, last = texapi_core.stream(settings(endpoint), PAYLOAD)
        assert isinstance(last, ChatReply)

    assert len({request.client for request in gateway.requests}) == 1


async def test_async_streams_read_to_their_end_share_a_connection(
    gateway: Gateway, endpoint: Endpoint
) -> None:
    for _ in range(3):
        await last_reply(settings(endpoint))

    assert len({request.client for request in gateway.requests}) == 1


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_body_that_never_ends_blocks_no_call(
    gateway: Gateway, endpoint: Endpoint, asynchronous: bool
) -> None:
    gateway.misbehave(Fault(raw=[NEVER_ENDING, 60.0, b": still here\n\n"]))
    started = time.monotonic()

    if asynchronous:
        assert asyncio.run(last_reply(settings(endpoint))).choice.text == "ok"
    else:
        *_, last = texapi_core.stream(settings(endpoint), PAYLOAD)
        assert isinstance(last, ChatReply)
    assert time.monotonic() - started < 10
    assert texapi_core.complete(settings(endpoint), PAYLOAD).choice.text


def test_many_threads_one_client(gateway: Gateway, endpoint: Endpoint) -> None:
    with ThreadPoolExecutor(32) as pool:
        replies = list(pool.map(lambda _: texapi_core.complete(settings(endpoint), PAYLOAD), range(64)))

    assert len({reply.request_id for reply in replies}) == len(gateway.requests) == 64


async def test_many_calls_at_once(gateway: Gateway, endpoint: Endpoint) -> None:
    calls = [texapi_core.acomplete(settings(endpoint), PAYLOAD) for _ in range(100)]

    replies = await asyncio.gather(*calls)

    assert len({reply.request_id for reply in replies}) == len(gateway.requests) == 100


def _complete_in_child(settings: Settings, answers: Any) -> None:
    answers.put(texapi_core.complete(settings, PAYLOAD).choice.text)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_process_opens_its_own_connections(gateway: Gateway, endpoint: Endpoint) -> None:
    here = texapi_core.complete(settings(endpoint), PAYLOAD).choice.text
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=_complete_in_child, args=(settings(endpoint), answers))
    child.start()
    there = answers.get(timeout=60)
    child.join(60)

    again = texapi_core.complete(settings(endpoint), PAYLOAD).choice.text

    assert here == there == again
    assert len({request.client for request in gateway.requests}) == 2


async def test_closing_a_stream_early_closes_its_connection(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.misbehave(Fault(stall_after=3))
    stream = texapi_core.astream(settings(endpoint), PAYLOAD)
    async for _ in stream:
        break
    await stream.aclose()

    await await_until(lambda: gateway.ledger and not gateway.ledger[0].completed)


async def test_cancelling_a_call_sends_nothing_twice(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.misbehave(Fault(delay=60))

    call = texapi_core.acomplete(settings(endpoint, max_retries=2), PAYLOAD)
    await cancel_once(lambda: gateway.requests, call)

    assert len(gateway.requests) == 1
    assert (await texapi_core.acomplete(settings(endpoint), PAYLOAD)).choice.text


def test_the_user_s_own_http_client_is_used_and_guarded(gateway: Gateway, endpoint: Endpoint) -> None:
    seen: list[int] = []
    own = openai.DefaultHttpxClient(
        event_hooks={"response": [lambda response: seen.append(response.status_code)]}
    )
    with own:
        mine = settings(endpoint, http_client=own, max_retries=2)
        texapi_core.complete(mine, PAYLOAD)
        gateway.misbehave(Fault(status=429, error_type="insufficient_quota"), times=5)
        with pytest.raises(texapi_core.TexAPIInsufficientQuotaError):
            texapi_core.complete(mine, PAYLOAD)

    assert seen == [200, 429]
    assert len(gateway.requests) == 2


async def test_the_user_s_own_async_http_client_is_used_and_guarded(
    gateway: Gateway, endpoint: Endpoint
) -> None:
    async with openai.DefaultAsyncHttpxClient() as own:
        mine = settings(endpoint, http_async_client=own, max_retries=2)
        gateway.misbehave(Fault(status=429, error_type="insufficient_quota"), times=5)
        with pytest.raises(texapi_core.TexAPIInsufficientQuotaError):
            await texapi_core.acomplete(mine, PAYLOAD)

    assert len(gateway.requests) == 1


class _Redirector(http.server.BaseHTTPRequestHandler):
    target = ""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(307)
        self.send_header("location", self.target)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def redirector() -> Iterator[http.server.HTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Redirector)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_redirect_to_another_host_is_refused(
    gateway: Gateway, endpoint: Endpoint, redirector: http.server.HTTPServer, asynchronous: bool
) -> None:
    _Redirector.target = f"{endpoint.base_url}/chat/completions"
    target_host = endpoint.base_url.removesuffix("/v1")
    moved = settings(endpoint, base_url=f"http://127.0.0.1:{redirector.server_port}/v1", max_retries=2)

    def call() -> ChatReply:
        if asynchronous:
            return asyncio.run(texapi_core.acomplete(moved, PAYLOAD))
        return texapi_core.complete(moved, PAYLOAD)

    with pytest.raises(texapi_core.TexAPIRedirectError, match=f"another host, {target_host}"):
        call()

    assert gateway.requests == []


@pytest.mark.parametrize(
    "target", ["/v1/chat/completions", "http://[::1", "javascript:", "http://user:word@127.0.0.1:{port}/v1"]
)
def test_a_redirect_with_an_unusable_target_is_refused_at_once(
    redirector: http.server.HTTPServer, target: str
) -> None:
    _Redirector.target = target.format(port=redirector.server_port)
    address = f"http://127.0.0.1:{redirector.server_port}/v1"
    moved = resolve_settings(api_key="sk-tex-1", base_url=address, timeout=5, max_retries=2)

    with pytest.raises(texapi_core.TexAPIRedirectError) as caught:
        texapi_core.complete(moved, PAYLOAD)

    assert caught.value.status_code == 307
    assert caught.value.__cause__ is not caught.value


def _limit_with(limits: dict[str, float]) -> Any:
    """A user's own HTTP client with a hook that sets the same limits on every request."""

    def limit(request: Any) -> None:
        request.extensions["timeout"] = limits

    return openai.DefaultHttpxClient(event_hooks={"request": [limit], "response": []})


def test_the_end_of_a_stream_does_not_change_the_user_s_limits(gateway: Gateway, endpoint: Endpoint) -> None:
    limits = {"connect": 5.0, "read": 5.0, "write": 5.0, "pool": 5.0}
    with _limit_with(limits) as own:
        mine = settings(endpoint, http_client=own)
        *_, reply = texapi_core.stream(mine, PAYLOAD)
        gateway.misbehave(Fault(delay=0.3))

        assert texapi_core.complete(mine, PAYLOAD).choice.text
    assert isinstance(reply, ChatReply)
    assert limits == {"connect": 5.0, "read": 5.0, "write": 5.0, "pool": 5.0}


def test_the_user_s_own_transport_may_pass_on_copies_of_the_limits(
    gateway: Gateway, endpoint: Endpoint
) -> None:
    """The wait for a body that does not end is still short."""
    http_library = import_module(openai.DefaultHttpxClient.__mro__[1].__module__)

    class Copying(http_library.HTTPTransport):  # type: ignore[name-defined,misc] # httpx, or httpx2
        def handle_request(self, request: Any) -> Any:
            limits = {**request.extensions["timeout"], "connect": 3.0}
            return super().handle_request(
                http_library.Request(
                    request.method,
                    request.url,
                    headers=request.headers,
                    stream=request.stream,
                    extensions={**request.extensions, "timeout": limits},
                )
            )

    gateway.misbehave(Fault(raw=[NEVER_ENDING, 60.0, b": still here\n\n"]))
    with openai.DefaultHttpxClient(transport=Copying()) as own:
        started = time.monotonic()
        *_, reply = texapi_core.stream(settings(endpoint, http_client=own), PAYLOAD)

    assert isinstance(reply, ChatReply)
    assert time.monotonic() - started < 10


async def test_the_user_s_own_async_http_client_stays_open(endpoint: Endpoint) -> None:
    async with openai.DefaultAsyncHttpxClient() as own:
        await texapi_core.acomplete(settings(endpoint, http_async_client=own), PAYLOAD)
        await asyncio.get_running_loop().shutdown_asyncgens()

        assert not own.is_closed


@pytest.mark.parametrize(
    ("timeout", "longest_read", "connect", "read"),
    [
        (120.0, None, 10.0, 120.0),
        (3.0, None, 3.0, 3.0),
        (120.0, 7.0, 10.0, 7.0),
        (3.0, 7.0, 3.0, 3.0),
        (openai.Timeout(50.0, connect=1.0), None, 1.0, 50.0),
        (openai.Timeout(None), 7.0, None, 7.0),
    ],
)
def test_time_limits(
    timeout: Any, longest_read: float | None, connect: float | None, read: float | None
) -> None:
    limits = call_timeout(timeout, max_read=longest_read)

    assert (limits.connect, limits.read) == (connect, read)
