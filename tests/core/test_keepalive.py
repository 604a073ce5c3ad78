"""Connections that wait for the next call: how long they are kept, and opening one ahead of the first."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import texapi_core
from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.conftest import Endpoint
from tests.core.test_client import PAYLOAD, settings
from tests.gateway import Gateway
from texapi_core import models
from texapi_core.settings import Settings
from texapi_core.transport.clients import sync_client

TRANSPORTS = ["sync", "httpx", "aiohttp"]


pytestmark = pytest.mark.usefixtures("own_pools")


def _call_twice(transport: str, resolved: Settings, seconds: float) -> None:
    """Two calls with an idle time between them."""

    async def in_one_loop() -> None:
        await texapi_core.acomplete(resolved, PAYLOAD)
        await asyncio.sleep(seconds)
        await texapi_core.acomplete(resolved, PAYLOAD)

    if transport == "sync":
        texapi_core.complete(resolved, PAYLOAD)
        time.sleep(seconds)
        texapi_core.complete(resolved, PAYLOAD)
    else:
        asyncio.run(in_one_loop())


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("keepalive", "seconds", "connections"),
    [(0, 0.1, 2), (0.1, 1, 2), pytest.param(60, 6, 1, marks=pytest.mark.combination)],
)
def test_an_idle_connection_is_used_again(
    gateway: Gateway, endpoint: Endpoint, transport: str, keepalive: float, seconds: float, connections: int
) -> None:
    asynchronous = "httpx" if transport == "sync" else transport

    _call_twice(transport, settings(endpoint, async_transport=asynchronous, keepalive=keepalive), seconds)

    assert len(gateway.connections) == connections


@pytest.fixture
def quiet() -> Iterator[Gateway]:
    """A gateway to which no other test has a connection."""
    with Gateway() as gateway:
        yield gateway


@pytest.mark.parametrize("make", [ChatTexAPI, TexAPI])
def test_a_call_uses_the_connection_that_was_opened_ahead(quiet: Gateway, make: Callable[..., Any]) -> None:
    model = make(model="gpt-5.2", base_url=quiet.base_url, api_key=quiet.key)

    model.warm()
    _join("texapi-warm")
    opened = quiet.open_connections
    model.invoke("Hello") if make is ChatTexAPI else model.complete("Hello")

    assert (opened, quiet.open_connections) == (1, 1)


@pytest.mark.parametrize("transport", ["httpx", "aiohttp"])
@pytest.mark.parametrize("make", [ChatTexAPI, TexAPI])
async def test_an_async_call_uses_the_connection_that_was_opened_ahead(
    quiet: Gateway, make: Callable[..., Any], transport: str
) -> None:
    model = make(model="gpt-5.2", base_url=quiet.base_url, api_key=quiet.key, async_transport=transport)

    await model.awarm()
    opened = quiet.open_connections
    await (model.ainvoke("Hello") if make is ChatTexAPI else model.acomplete("Hello"))

    assert (opened, quiet.open_connections) == (1, 1)


@pytest.mark.parametrize("make", [ChatTexAPI, TexAPI])
async def test_opening_ahead_fails_for_wrong_settings_only(make: Callable[..., Any]) -> None:
    nowhere = make(model="m", base_url="http://127.0.0.1:1/v1", api_key="sk-tex-1")

    nowhere.warm()
    await nowhere.awarm()

    nowhere.keepalive = -1
    with pytest.raises(texapi_core.TexAPISettingsError, match="`keepalive`"):
        nowhere.warm()


def test_opening_ahead_raises_nothing_where_no_thread_can_be_started(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)

    texapi_core.warm(settings(endpoint))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_waits_until_the_client_is_made(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    is_making, happened = threading.Event(), []

    def make(resolved: Settings) -> Any:
        is_making.set()
        time.sleep(0.2)  # for the fork, which must not come before
        happened.append("made")
        return sync_client(resolved)

    monkeypatch.setattr(models, "sync_client", make)

    texapi_core.warm(settings(endpoint))
    assert is_making.wait(30)
    child = os.fork()
    if not child:
        os._exit(len(happened))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    _join("texapi-warm")


def _join(name: str) -> None:
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join()
