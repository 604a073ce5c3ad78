"""A gateway without a socket, so that packets arrive as they were split: sockets may merge them."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import openai

import texapi_core
from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from texapi_core import ChatReply, resolve_settings

# openai 2 uses httpx, openai 3 uses httpx2.
_http: Any = importlib.import_module(
    next(base.__module__ for base in openai.DefaultHttpxClient.__mro__ if base.__name__ == "Client")
)

PAYLOAD = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


class Line:
    """Answers every request with the body packets from `answer(request)`."""

    def __init__(self) -> None:
        self.answer: Callable[[Any], Sequence[bytes]] = lambda request: []
        self.http_client = openai.DefaultHttpxClient(transport=_http.MockTransport(self._respond))
        self.http_async_client = openai.DefaultAsyncHttpxClient(transport=_http.MockTransport(self._arespond))
        self._runner = asyncio.Runner()
        where: dict[str, Any] = {
            "api_key": "sk-tex-line",
            "timeout": 5,
            "max_retries": 0,
            "http_client": self.http_client,
            "http_async_client": self.http_async_client,
        }
        self.settings = resolve_settings(base_url="http://gateway.invalid/v1", **where)
        self.chat_texapi = ChatTexAPI(model="m", base_url="http://gateway.invalid/v1", **where)
        self.texapi = TexAPI(model="m", api_base="http://gateway.invalid/v1", **where)

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine in the event loop of the async client."""
        return self._runner.run(coroutine)

    def close(self) -> None:
        self.http_client.close()
        self.run(self.http_async_client.aclose())
        self._runner.close()

    def send(self, *packets: bytes) -> None:
        """Answer with these packets from now on."""
        self.answer = lambda request: packets

    # Calls through texapi_core

    def complete(self) -> ChatReply:
        return texapi_core.complete(self.settings, PAYLOAD)

    def stream(self) -> ChatReply:
        *_, reply = texapi_core.stream(self.settings, PAYLOAD)
        assert isinstance(reply, ChatReply)
        return reply

    def acomplete(self) -> ChatReply:
        reply: ChatReply = self.run(texapi_core.acomplete(self.settings, PAYLOAD))
        return reply

    def astream(self) -> ChatReply:
        async def last() -> Any:
            return [item async for item in texapi_core.astream(self.settings, PAYLOAD)][-1]

        reply: ChatReply = self.run(last())
        return reply

    # HTTP

    def _respond(self, request: Any) -> Any:
        packets = self.answer(json.loads(request.content))
        return _http.Response(200, headers={"x-request-id": "r1"}, content=_pieces(packets))

    async def _arespond(self, request: Any) -> Any:
        packets = self.answer(json.loads(request.content))
        return _http.Response(200, headers={"x-request-id": "r1"}, content=_apieces(packets))


def _pieces(packets: Sequence[bytes]) -> Iterator[bytes]:
    yield from packets


async def _apieces(packets: Sequence[bytes]) -> AsyncIterator[bytes]:
    for packet in packets:
        yield packet
