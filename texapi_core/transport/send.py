"""A request sent, to the head of its response.

Requests go through the openai client's public `post()`, which authenticates, retries and raises. The bytes
of the response are read in `texapi_core.transport.read`: building the SDK's pydantic objects costs more than
all the rest of a call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import openai

from texapi_core.call import Call
from texapi_core.failures.mapping import redact_request_id
from texapi_core.settings import CallOptions
from texapi_core.transport.clients import call_timeout, sync_client
from texapi_core.transport.event_loops import PoolShard, acquire_shard

_CHAT = "/chat/completions"
_MODELS = "/models"


class _Sent(openai.Stream[object]):
    """What the SDK hands over of an answer: the response, whose bytes it does not read itself."""

    def __init__(self, *, response: Any, **_: Any) -> None:
        self.response = response


class AsyncSent(openai.AsyncStream[object]):
    """The response of an async request, and the shard of connections that it came through."""

    shard: PoolShard

    def __init__(self, *, response: Any, **_: Any) -> None:
        self.response = response

    async def aclose(self) -> None:
        """Close the response."""
        self.shard.release()
        await self.response.aclose()


def send(call: Call, *, stream: bool = False) -> Any:
    """The response to `POST /chat/completions`, its body not yet read."""
    settings = call.settings
    response = (
        sync_client(settings, call.options)
        .post(
            settings.base_url + _CHAT,  # whole: from a path the SDK would join it for each call
            cast_to=object,
            body={**call.payload, "stream": True} if stream else call.payload,
            options=_request_options(call, stream=stream),
            # The SDK's own: it hands over the response once its head is there.
            stream=True,
            stream_cls=_Sent,
        )
        .response
    )
    redact_request_id(response, secrets=call.secrets)
    return response


async def asend(call: Call, *, stream: bool = False) -> AsyncSent:
    """The response to `POST /chat/completions`. Async twin of `send`."""
    settings = call.settings
    sent = await _in_shard(
        call,
        lambda client: client.post(
            settings.base_url + _CHAT,
            cast_to=object,
            body={**call.payload, "stream": True} if stream else call.payload,
            options=_request_options(call, stream=stream),
            stream=True,
            stream_cls=AsyncSent,
        ),
    )
    redact_request_id(sent.response, secrets=call.secrets)
    return sent


def send_for_models(call: Call) -> Any:
    """The response to `GET /models`."""
    options = _request_options(call)
    client = sync_client(call.settings)
    return client.get(_MODELS, cast_to=object, options=options, stream=True, stream_cls=_Sent).response


async def asend_for_models(call: Call) -> AsyncSent:
    """The response to `GET /models`. Async twin of `send_for_models`."""
    options = _request_options(call)
    return await _in_shard(
        call,
        lambda client: client.get(
            _MODELS, cast_to=object, options=options, stream=True, stream_cls=AsyncSent
        ),
    )


async def _in_shard(call: Call, request: Callable[[openai.AsyncOpenAI], Awaitable[AsyncSent]]) -> AsyncSent:
    shard = await acquire_shard(call.settings)
    try:
        sent = await request(shard.client(call.settings, call.options))
    except BaseException:
        shard.release()
        raise
    sent.shard = shard
    return sent


def _request_options(call: Call, *, stream: bool = False) -> openai.RequestOptions:
    settings, options = call.settings, call.options
    timeout = settings.timeout if options.timeout is None else options.timeout
    retries = settings.max_retries if options.max_retries is None else options.max_retries
    request: openai.RequestOptions = {
        "timeout": call_timeout(timeout, longest_read=settings.stream_idle_timeout if stream else None),
        "max_retries": retries,
        # Said again here, for the client may have had to take out an ambient `content-type`.
        "headers": {"Content-Type": _content_type(options)},
    }
    if options.extra_query:
        request["params"] = dict(options.extra_query)
    return request


def _content_type(options: CallOptions) -> str:
    for name, value in (options.extra_headers or {}).items():
        if name.lower() == "content-type":
            return value
    return "application/json"
