"""Async clients: closed with their event loop; which connection pool a call uses."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from types import ModuleType

import openai
import pytest

import texapi_core
from tests.conftest import Endpoint
from tests.core.test_client import PAYLOAD, last_reply, settings
from tests.gateway import Fault, Gateway
from tests.waiting import await_until, cancel_once
from texapi_core.settings import Settings
from texapi_core.transport import clients
from texapi_core.transport.event_loops import PoolShard, acquire_shard


async def loop_client(settings: Settings) -> openai.AsyncOpenAI:
    (shard,) = await shards(settings, 1)
    return shard.client(settings)


async def shards(settings: Settings, count: int) -> list[PoolShard]:
    """The first shards of the running loop, with their number of active calls."""
    entered: list[PoolShard] = []
    while len(set(entered)) < count:
        entered.append(await acquire_shard(settings))
    for shard in entered:
        shard.release()
    return list(dict.fromkeys(entered))


def test_a_client_per_running_loop(endpoint: Endpoint) -> None:
    async def twice() -> tuple[openai.AsyncOpenAI, openai.AsyncOpenAI]:
        return await loop_client(settings(endpoint)), await loop_client(settings(endpoint))

    first, again = asyncio.run(twice())
    other, _ = asyncio.run(twice())

    assert first is again
    assert other is not first


def test_clients_are_closed_with_their_loop(endpoint: Endpoint) -> None:
    async def use() -> openai.AsyncOpenAI:
        await texapi_core.acomplete(settings(endpoint), PAYLOAD)
        return await loop_client(settings(endpoint))

    assert asyncio.run(use()).is_closed()
    gc.collect()  # an unclosed connection would warn here, and warnings are errors


async def test_few_concurrent_calls_use_few_connections(gateway: Gateway, endpoint: Endpoint) -> None:
    for _ in range(3):
        await asyncio.gather(*(texapi_core.acomplete(settings(endpoint), PAYLOAD) for _ in range(2)))

    assert len({request.client for request in gateway.requests}) == 2


@pytest.mark.parametrize(("transport", "calls"), [("httpx", [16, 16, 8]), ("aiohttp", [40])])
async def test_many_concurrent_calls_use_several_pools(
    endpoint: Endpoint, transport: str, calls: list[int]
) -> None:
    """httpx scans all connections of a pool for each request, aiohttp does not."""
    entered = [await acquire_shard(settings(endpoint, async_transport=transport)) for _ in range(40)]

    assert [shard.calls for shard in dict.fromkeys(entered)] == calls
    assert len({id(shard.pool) for shard in entered}) == len(calls)
    for shard in entered:
        shard.release()


async def test_calls_of_all_shards_are_answered(gateway: Gateway, endpoint: Endpoint) -> None:
    replies = await asyncio.gather(*(last_reply(settings(endpoint)) for _ in range(40)))

    assert len({reply.request_id for reply in replies}) == len(gateway.requests) == 40
    assert [shard.calls for shard in await shards(settings(endpoint), 1)] == [0]


@pytest.mark.parametrize("transport", ["httpx", "aiohttp"])
async def test_every_call_releases_its_shard(gateway: Gateway, endpoint: Endpoint, transport: str) -> None:
    """Whether it is answered, fails, is cancelled, or its stream is abandoned."""
    mine = settings(endpoint, async_transport=transport)

    async def begin() -> None:
        async for _ in texapi_core.astream(mine, PAYLOAD):
            break

    await texapi_core.acomplete(mine, PAYLOAD)
    await last_reply(mine)
    await begin()
    gc.collect()
    await texapi_core.alist_models(mine)
    gateway.misbehave(Fault(status=402, error_type="insufficient_credits", message="Empty."))
    with pytest.raises(texapi_core.TexAPIInsufficientCreditsError):
        await texapi_core.acomplete(mine, PAYLOAD)
    gateway.misbehave(Fault(raw=[60.0, b"too late"]))
    asked = len(gateway.requests)
    await cancel_once(lambda: len(gateway.requests) > asked, texapi_core.acomplete(mine, PAYLOAD))
    gateway.misbehave(Fault(raw=b"no answer"))
    with pytest.raises(texapi_core.TexAPIResponseError):
        await texapi_core.acomplete(mine, PAYLOAD)

    (shard,) = await shards(mine, 1)
    await await_until(lambda: shard.calls == 0)


async def test_idle_shards_are_closed_after_a_burst(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *others = await shards(settings(endpoint), 3)
    again = await shards(settings(endpoint), 1)
    assert [shard.pool.is_closed for shard in (first, *others)] == [False] * 3

    monkeypatch.setattr(PoolShard, "has_been_idle", lambda shard, _: not shard.calls)
    await texapi_core.acomplete(settings(endpoint), PAYLOAD)

    assert again == [first]
    assert [shard.pool.is_closed for shard in (first, *others)] == [False, True, True]


async def test_the_number_of_shards_is_bounded(endpoint: Endpoint) -> None:
    entered = [await acquire_shard(settings(endpoint)) for _ in range(300)]

    assert len(set(entered)) == 16
    assert max(shard.calls for shard in entered) <= 20
    for shard in entered:
        shard.release()


def test_certificates_are_read_once_for_all_loops(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They are loaded again if the environment changes. Loading them takes 30 to 50 ms."""
    read: list[str] = []

    def counted(http_library: str) -> ModuleType:
        read.append(http_library)
        return import_module(http_library)

    monkeypatch.setattr(clients, "import_module", counted)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / folder))
        for _ in range(2):
            asyncio.run(texapi_core.acomplete(settings(endpoint), PAYLOAD))

    assert len(read) == 2


def test_three_loops_one_after_the_other_send_each_request_once(gateway: Gateway, endpoint: Endpoint) -> None:
    for _ in range(3):
        asyncio.run(texapi_core.acomplete(settings(endpoint), PAYLOAD))
        assert asyncio.run(last_reply(settings(endpoint))).choice.text

    assert len(gateway.requests) == 6


def test_loops_in_threads(gateway: Gateway, endpoint: Endpoint) -> None:
    def run(_: int) -> str:
        return asyncio.run(texapi_core.acomplete(settings(endpoint), PAYLOAD)).choice.text

    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(run, range(16)))

    assert len(texts) == len(gateway.requests) == 16


NOTEBOOK = """
import asyncio, gc, sys
import nest_asyncio
nest_asyncio.apply()
from llama_index.core.async_utils import asyncio_run
from llama_index_texapi import TexAPI

llm = TexAPI(model="gpt-5.2", api_key=sys.argv[1], api_base=sys.argv[2])

async def cell():
    for _ in range(2):
        asyncio_run(llm.acomplete("Hello"))
        asyncio.run(llm.acomplete("Hello"))

asyncio.get_event_loop().run_until_complete(cell())
gc.collect()
"""


@pytest.mark.combination  # a process that imports LlamaIndex
def test_sync_helpers_in_a_notebook_write_nothing_to_stderr(gateway: Gateway, endpoint: Endpoint) -> None:
    """LlamaIndex's helpers close the loops of their threads without shutting them down."""
    command = [sys.executable, "-c", NOTEBOOK, endpoint.api_key, endpoint.base_url]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(gateway.requests) == 4
