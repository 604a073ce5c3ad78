"""Sends requests and returns responses whose bodies are not yet read.

Requests go through the openai client's public `post()`, which authenticates and raises. The bodies
are read in `texapi_core.transport.read`: the SDK's pydantic objects take longer than the rest of a call.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import lru_cache
from typing import Any

import openai

from texapi_core import errors
from texapi_core.call import Call
from texapi_core.failures import mapping
from texapi_core.settings import CONNECT_TIMEOUT
from texapi_core.transport.clients import sync_client
from texapi_core.transport.event_loops import PoolShard, acquire_shard
from texapi_core.transport.retries import RETRY_COUNT, Retries
from texapi_core.wire.surrogates import replace_lone_surrogates

_CHAT = "/chat/completions"
_MODELS = "/models"
_UNLIMITED = nullcontext()

_MAX_DEPTH = 20
"""Levels of a payload down to which an error names the place."""


class _Sent(openai.Stream[object]):
    """A stream class that gets the response from the SDK unread."""

    def __init__(self, *, response: Any, **_: Any) -> None:
        self.response = response


class AsyncSent(openai.AsyncStream[object]):
    """The response of an async request, with the shard that its connection belongs to."""

    shard: PoolShard

    def __init__(self, *, response: Any, **_: Any) -> None:
        self.response = response

    async def aclose(self) -> None:
        """Release the shard and close the response."""
        self.shard.release()
        await self.response.aclose()


def send(call: Call, *, stream: bool = False) -> Any:
    """The response to `POST /chat/completions`, its body not yet read.

    Raises:
        TexAPIError: see `texapi_core.errors`.
    """

    def post(payload: Mapping[str, Any], earlier: int) -> Any:
        options = _request_options(call, earlier, stream=stream)
        sent = sync_client(call.settings, call.options).post(
            call.settings.base_url + _CHAT,  # a full URL: the SDK would parse and join a path for each call
            cast_to=object,
            body={**payload, "stream": True} if stream else payload,
            options=options,
            # Makes the SDK return as soon as the response headers arrive.
            stream=True,
            stream_cls=_Sent,
        )
        return sent.response

    return _repeated(call, post)


async def asend(call: Call, *, stream: bool = False) -> AsyncSent:
    """The response to `POST /chat/completions`. Async twin of `send`."""

    async def post(client: openai.AsyncOpenAI, payload: Mapping[str, Any], earlier: int) -> AsyncSent:
        return await client.post(
            call.settings.base_url + _CHAT,
            cast_to=object,
            body={**payload, "stream": True} if stream else payload,
            options=_request_options(call, earlier, stream=stream),
            stream=True,
            stream_cls=AsyncSent,
        )

    return await _in_shard(call, post)


def send_for_models(call: Call) -> Any:
    """The response to `GET /models`. Raises like `send`."""

    def get(_: Mapping[str, Any], earlier: int) -> Any:
        options, client = _request_options(call, earlier), sync_client(call.settings)
        return client.get(_MODELS, cast_to=object, options=options, stream=True, stream_cls=_Sent).response

    return _repeated(call, get, is_free=True)


async def asend_for_models(call: Call) -> AsyncSent:
    """The response to `GET /models`. Async twin of `send_for_models`."""
    return await _in_shard(
        call,
        lambda client, _, earlier: client.get(
            _MODELS,
            cast_to=object,
            options=_request_options(call, earlier),
            stream=True,
            stream_cls=AsyncSent,
        ),
        is_free=True,
    )


def _repeated(call: Call, request: Callable[[Mapping[str, Any], int], Any], *, is_free: bool = False) -> Any:
    """The response to a request, sent until it succeeds or must not be sent again.

    `request` sends a payload: that of the call, or one without half characters, e.g. from a PDF. Its second
    argument is the number of failed attempts that may have reached the gateway.
    """
    permit, retries, earlier = call.permit, None, 0
    while True:
        if permit is not None:
            permit.acquire()
        try:
            try:
                response = request(call.payload, earlier)
            except UnicodeEncodeError:
                response = request(replace_lone_surrogates(call.payload), earlier)
        except Exception as cause:
            error = _failure_to_send(call, cause)
            retries = retries or Retries(call, is_free=is_free)
            wait, earlier = retries.wait_after(error), retries.sent
            if permit is not None:
                wait = permit.failed(error, wait)
            if wait is None:
                if error is cause:
                    raise
                raise error from cause
        else:
            if permit is not None:
                permit.opened(response)
            call.secrets.redact_request_id(response)
            return response
        time.sleep(wait)


async def _in_shard(
    call: Call,
    request: Callable[[openai.AsyncOpenAI, Mapping[str, Any], int], Awaitable[AsyncSent]],
    *,
    is_free: bool = False,
) -> AsyncSent:
    """Async twin of `_repeated`, with a connection of the running event loop."""
    permit, retries, earlier = call.permit, None, 0
    while True:
        if permit is not None:
            await permit.aacquire()
        try:
            shard = await acquire_shard(call.settings)
            try:
                async with _limited(call):
                    client = shard.client(call.settings, call.options)
                    try:
                        sent = await request(client, call.payload, earlier)
                    except UnicodeEncodeError:
                        sent = await request(client, replace_lone_surrogates(call.payload), earlier)
            except BaseException:
                shard.release()
                raise
        except Exception as cause:
            error = _failure_to_send(call, cause)
            retries = retries or Retries(call, is_free=is_free)
            wait, earlier = retries.wait_after(error), retries.sent
            if permit is not None:
                wait = permit.failed(error, wait)
            if wait is None:
                if error is cause:
                    raise
                raise error from cause
        else:
            if permit is not None:
                permit.opened(sent.response)
            call.secrets.redact_request_id(sent.response)
            sent.shard = shard
            return sent
        await asyncio.sleep(wait)


def _limited(call: Call) -> AbstractAsyncContextManager[object]:
    """Limits the wait for the head of an answer: after an interim `1xx` aiohttp would wait for ever."""
    if call.settings.async_transport != "aiohttp" or call.settings.http_async_client is not None:
        return _UNLIMITED
    limit = call_timeout(call.timeout)
    if limit.connect is None or limit.write is None or limit.read is None:
        return _UNLIMITED
    return asyncio.timeout(limit.connect + limit.write + limit.read)


def _failure_to_send(call: Call, cause: Exception) -> errors.TexAPIError:
    """The error for an exception that was raised before an answer began."""
    if isinstance(cause, errors.TexAPIError):
        mapping.redact_error(cause, call.secrets)
        return cause
    if isinstance(cause, openai.APIError):
        return mapping.from_openai(cause, call.secrets)
    if isinstance(cause, TimeoutError):
        return mapping.timed_out()
    if (place := _unsendable_place(call.payload)) is not None:
        return errors.TexAPISettingsError(
            f"The request cannot be sent as JSON, because of `{place}`: {cause}. Nothing was sent."
        )
    return mapping.not_sent(cause, call.secrets)


def _unsendable_place(value: Any, depth: int = 0) -> str | None:
    """Where a payload holds what JSON cannot, e.g. `.messages[0].content`; `None` if nowhere."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        members: Any = ()
        if isinstance(value, Mapping):
            members = ((f".{name}", each) for name, each in value.items())
        elif isinstance(value, (list, tuple)):
            members = ((f"[{at}]", each) for at, each in enumerate(value))
        if depth < _MAX_DEPTH:
            for name, each in members:
                if (place := _unsendable_place(each, depth + 1)) is not None:
                    return f"{name}{place}"
        return ""
    return None


def _request_options(call: Call, earlier: int, *, stream: bool = False) -> openai.RequestOptions:
    settings, options = call.settings, call.options
    content_type = "application/json"
    for name, value in options.extra_headers.items() if options.extra_headers else ():
        if name.lower() == "content-type":
            content_type = value
    request: openai.RequestOptions = {
        "timeout": call_timeout(call.timeout, max_read=settings.stream_idle_timeout if stream else None),
        "max_retries": 0,  # the SDK would repeat a request that timed out after it was sent
        # Repeated because the client may omit a `content-type` of `OPENAI_CUSTOM_HEADERS`.
        "headers": {"Content-Type": content_type},
    }
    if earlier:
        request["headers"] = {"Content-Type": content_type, RETRY_COUNT: str(earlier)}
    if options.extra_query:
        request["params"] = dict(options.extra_query)
    return request


def call_timeout(timeout: float | openai.Timeout, *, max_read: float | None = None) -> openai.Timeout:
    """`timeout` as an `openai.Timeout`. Of a number of seconds, connecting gets at most `CONNECT_TIMEOUT`."""
    if isinstance(timeout, (int, float)):
        return _timeout_of(timeout, max_read)
    return _limit_read(timeout, max_read)


@lru_cache
def _timeout_of(seconds: float, max_read: float | None) -> openai.Timeout:
    return _limit_read(openai.Timeout(seconds, connect=min(seconds, CONNECT_TIMEOUT)), max_read)


def _limit_read(timeout: openai.Timeout, max_read: float | None) -> openai.Timeout:
    read = timeout.read
    if max_read is not None and (read is None or read > max_read):
        read = max_read
    return openai.Timeout(connect=timeout.connect, read=read, write=timeout.write, pool=timeout.pool)
