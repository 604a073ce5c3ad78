"""HTTP client hooks (httpx event hooks) that process a failed response before the openai SDK sees it.

They read what came of its body, and keep the HTTP client from following redirects to another host.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from texapi_core.accounting.record import failed_responses
from texapi_core.failures.mapping import redirect_refused
from texapi_core.transport.body_end import ending_after, read_timeout
from texapi_core.transport.decode import decode_start

_REDIRECTS_TO_GET = (301, 302, 303)
"""Redirects that HTTP clients follow with a GET, without the request body."""
_NOT_AN_ANSWER = 300
"""Statuses from here on; a redirect without an address is one of them."""
_MAX_ERROR_BODY = 2**20
"""Bytes of an error's body that are read, compressed and decompressed."""


def inspect_response(response: Any) -> None:
    """Read the body of a failed response and refuse a bad redirect."""
    if response.status_code < _NOT_AN_ANSWER:
        return
    _refuse_bad_redirect(response)
    if response.has_redirect_location and not _is_read(response):
        response.close()  # the HTTP library would read the whole body
        _set_body(response, b"")
    else:
        if not _is_read(response):
            body = bytearray()
            with suppress(Exception), ending_after(read_timeout(response), response):
                for packet in response.iter_raw():
                    body += packet
                    if len(body) > _MAX_ERROR_BODY:
                        break
            with suppress(Exception):
                response.close()
            _set_body(response, bytes(body))
            response.read()
        _note(response)


async def ainspect_response(response: Any) -> None:
    """Async twin of `inspect_response`."""
    if response.status_code < _NOT_AN_ANSWER:
        return
    _refuse_bad_redirect(response)
    if response.has_redirect_location and not _is_read(response):
        await response.aclose()
        _set_body(response, b"")
    else:
        if not _is_read(response):
            body = bytearray()
            with suppress(Exception):
                async with asyncio.timeout(read_timeout(response)):
                    async for packet in response.aiter_raw():
                        body += packet
                        if len(body) > _MAX_ERROR_BODY:
                            break
            with suppress(Exception):
                await response.aclose()
            _set_body(response, bytes(body))
            await response.aread()
        _note(response)


def _is_read(response: Any) -> bool:
    """Whether one of the user's hooks has read the body."""
    try:
        return response.content is not None
    except Exception:
        return False


def _set_body(response: Any, body: bytes) -> None:
    """Give a failed response the part of its body that arrived.

    An error raised instead would hide the status.
    """
    content = decode_start(response, body, _MAX_ERROR_BODY)
    for name in ("content-encoding", "content-length", "transfer-encoding"):
        response.headers.pop(name, None)
    response.stream = type(response)(response.status_code, content=content).stream
    response.is_stream_consumed = response.is_closed = False


def _note(response: Any) -> None:
    if (seen := failed_responses.get()) is not None:
        seen.append(response.status_code)
    response.encoding = "utf-8"  # the SDK fails on an unknown charset


def _refuse_bad_redirect(response: Any) -> None:
    if not response.has_redirect_location:
        return
    here = response.url
    try:
        there = here.join(response.headers["location"])
    except Exception:
        there = None
    if there is None or not there.host or there.userinfo:  # credentials would take the place of the key
        raise redirect_refused(response, "to an invalid address") from None
    same_host = here.host == there.host
    same_place = same_host and here.port == there.port and here.scheme == there.scheme
    upgraded = same_host and there.scheme == "https"
    if not (same_place or upgraded):
        raise redirect_refused(response, f"to another host, {there.scheme}://{there.netloc.decode()}")
    if here == there:
        raise redirect_refused(response, "to itself")
    if response.status_code in _REDIRECTS_TO_GET and response.request.method == "POST":
        raise redirect_refused(response, f"by status {response.status_code}, which loses the request")
