"""The bytes of a response read into an answer, whole or as it arrives, each within its time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any, TypedDict

from texapi_core.call import Call
from texapi_core.errors import TexAPIError
from texapi_core.failures import mapping
from texapi_core.failures.secrets import Secrets
from texapi_core.transport.send import AsyncSent, call_timeout
from texapi_core.wire.error_answers import raise_for_error
from texapi_core.wire.json import parse_json_object
from texapi_core.wire.reader import StreamReader, looks_like_sse
from texapi_core.wire.reply import parse_reply
from texapi_core.wire.sse import BYTE_ORDER_MARK
from texapi_core.wire.values import ChatDelta, ChatReply, MalformedAnswer

_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What reading an answer may raise: `ErrorAnswer` and `MalformedAnswer`, which are ValueErrors, and what
an answer of an unknown form may cause."""


@contextmanager
def reading(call: Call, response: Any, answer: AnswerStream | None = None) -> Generator[None]:
    """Errors of ours for what is raised while a response's bytes are read; `answer` is a stream of them.

    openai 2 is built on httpx, openai 3 on httpx2, and both let errors of the layers below through, so
    anything but our own errors and the end of the program is a broken connection.
    """
    try:
        yield
    except (TexAPIError, asyncio.CancelledError, GeneratorExit):
        raise
    except Exception as error:
        if answer is not None and answer.has_finished:
            return  # only the end of the stream is missing, and perhaps usage: the answer is whole
        broken = mapping.connection_broke(error, response, secrets=call.secrets, streamed=answer is not None)
        if answer is not None:
            answer.add_partial(broken)
        raise broken from error


def read_body(call: Call, response: Any) -> Body:
    """The whole body of a response, which is closed then."""
    body = Body(call, response)
    try:
        with reading(call, response):
            for packet in response.iter_bytes():
                body.feed(packet)
    finally:
        response.close()
    return body


async def aread_body(call: Call, sent: AsyncSent) -> Body:
    """The whole body of a response. Async twin of `read_body`."""
    body = Body(call, sent.response)
    try:
        with reading(call, sent.response):
            async with asyncio.timeout(body.seconds):
                async for packet in sent.response.aiter_bytes():
                    body.feed(packet)
    finally:
        await sent.aclose()
    return body


class Body:
    """The bytes of a whole answer, within the time that the call may take."""

    def __init__(self, call: Call, response: Any) -> None:
        self._call = call
        self._response = response
        self._bytes = bytearray()
        timeout = call.settings.timeout if call.options.timeout is None else call.options.timeout
        self.seconds = call_timeout(timeout).read
        self._deadline = None if self.seconds is None else time.monotonic() + self.seconds

    def feed(self, packet: bytes) -> None:
        """Add a packet.

        Raises:
            TexAPITimeoutError: the answer takes too long.
        """
        self._bytes += packet
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise mapping.timed_out("TexAPI did not finish the answer in time.", self._response)

    def reply(self) -> ChatReply:
        """The body as an answer; some gateways stream it although the request did not ask for a stream."""
        body = self._text()
        origin = _origin(self._response, self._call.secrets)
        if not looks_like_sse(body):
            with self._errors_of_parsing():
                return parse_reply(parse_json_object(body), **origin)
        secrets, reader = self._call.secrets, StreamReader()
        try:
            for _ in chain(reader.feed(body), reader.finish()):
                pass
        except _UNREADABLE as error:
            failure = mapping.from_answer(error, self._response, secrets=secrets, streamed=True)
            failure.partial = mapping.partial_reply(reader.state.reply(**origin), secrets=secrets)
            raise failure from None
        return reader.state.reply(**origin)

    def model_rows(self) -> list[Any]:
        """The body as a list of models."""
        with self._errors_of_parsing():
            body = parse_json_object(self._text())
            raise_for_error(body)
            rows = body.get("data")
            if not isinstance(rows, list):
                raise MalformedAnswer("an answer without a list of models", self._text())
        return rows

    @contextmanager
    def _errors_of_parsing(self) -> Generator[None]:
        try:
            yield
        except _UNREADABLE as error:
            secrets = self._call.secrets
            raise mapping.from_answer(error, self._response, secrets=secrets, streamed=False) from None

    def _text(self) -> bytes:
        return bytes(self._bytes).removeprefix(BYTE_ORDER_MARK).strip()


class AnswerStream:
    """A streamed answer while it arrives, without I/O: packets in, deltas and the reply out."""

    def __init__(self, call: Call, response: Any) -> None:
        self._secrets = call.secrets
        self._idle_limit = call.settings.stream_idle_timeout
        self._response = response
        self._reader = StreamReader()
        self._gave_up_waiting = False
        self._is_idle = True
        self._idle_since = time.monotonic()
        self.waiting_since: float | None = self._idle_since
        """When this stream began to wait for a packet; `None` while the caller has the last one."""
        self.first_content: float | None = None

    @property
    def done(self) -> bool:
        """Whether nothing more is to be read."""
        return self._reader.done or self._gave_up_waiting

    @property
    def has_finished(self) -> bool:
        """Whether the model has said why it stopped."""
        return self._reader.state.has_finished

    def feed(self, packet: bytes) -> list[ChatDelta]:
        """The deltas that a packet completes.

        Raises:
            TexAPITimeoutError: the stream has brought no content for too long.
        """
        self.waiting_since = None
        deltas = self._reader.feed(packet)
        if not deltas:
            self._check_idle()
        elif self.first_content is None:
            self.first_content = time.monotonic()
        self._is_idle = not deltas
        return deltas

    def wait(self) -> None:
        """Begin to wait for the next packet: the caller's own time is no silence of the gateway's."""
        self.waiting_since = time.monotonic()
        if not self._is_idle:
            self._idle_since = self.waiting_since

    def finish(self) -> Generator[ChatDelta]:
        """The deltas that the end of the stream completes.

        Raises:
            TexAPIError: the stream held an error, was cut, or was none.
        """
        try:
            yield from self._reader.finish()
        except _UNREADABLE as error:
            failure = mapping.from_answer(error, self._response, secrets=self._secrets, streamed=True)
            self.add_partial(failure)
            raise failure from None

    def reply(self) -> ChatReply:
        """What has come so far, in the form of a whole answer."""
        return self._reader.state.reply(**_origin(self._response, self._secrets))

    def add_partial(self, error: TexAPIError) -> None:
        """Put what has come so far into the error that ends the stream."""
        error.partial = mapping.partial_reply(self.reply(), secrets=self._secrets)
        error.usage = self._reader.state.usage

    def _check_idle(self) -> None:
        limit = self._idle_limit
        if limit is not None and time.monotonic() - self._idle_since > limit:
            if self.has_finished:
                self._gave_up_waiting = True  # only usage could still come
                return
            stalled = mapping.timed_out(
                f"TexAPI's stream brought nothing new for {limit:g} seconds.", self._response
            )
            self.add_partial(stalled)
            raise stalled


class _Origin(TypedDict):
    request_id: str | None
    headers: Mapping[str, str]


def _origin(response: Any, secrets: Secrets) -> _Origin:
    """Where an answer comes from. A header that quotes a secret stays out of it."""
    headers = dict(response.headers.items())
    request_id = headers.get("x-request-id") or None
    if secrets.are_in("\n".join(headers.values())):
        headers = {name: value for name, value in headers.items() if not secrets.are_in(value)}
    return {"request_id": request_id, "headers": headers}
