"""Reads the bytes of a response into an answer, whole or streamed, within the call's time limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Iterator, Mapping
from itertools import chain
from typing import Any, TypedDict

from texapi_core.accounting.record import logger
from texapi_core.call import Call
from texapi_core.errors import TexAPIError, TexAPITimeoutError
from texapi_core.failures import mapping
from texapi_core.transport.decode import decoder_of
from texapi_core.transport.send import AsyncSent
from texapi_core.wire.error_answers import raise_for_error
from texapi_core.wire.json import parse_json_object
from texapi_core.wire.reader import StreamReader, looks_like_sse
from texapi_core.wire.reply import parse_reply
from texapi_core.wire.sse import BYTE_ORDER_MARK
from texapi_core.wire.tool_names import ToolNames, note_unknown_tools
from texapi_core.wire.values import (
    ChatDelta,
    ChatReply,
    MalformedAnswer,
    keep_deltas_of_first_call,
    keep_first_call,
)

_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""Exceptions of parsing: `ErrorAnswer` and `MalformedAnswer`, which are ValueErrors, and those that an
answer of unknown form may cause."""


class Reading:
    """Maps exceptions raised while a response is read, for a stream with `answer`.

    openai 2 uses httpx, openai 3 httpx2, and both let errors of lower layers through, so anything but our
    own errors and cancellation is a broken connection.
    """

    __slots__ = ("_answer", "_call", "_response")

    def __init__(self, call: Call, response: Any, answer: AnswerStream | None = None) -> None:
        self._call = call
        self._response = response
        self._answer = answer

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if not isinstance(error, Exception) or isinstance(error, TexAPIError):
            return False
        answer, secrets = self._answer, self._call.secrets
        if answer is None:
            raise mapping.connection_broke(error, self._response, secrets, streamed=False) from error
        if answer.has_finished:
            return True  # the answer is complete: only `[DONE]` and perhaps usage are missing
        broken = mapping.connection_broke(error, self._response, secrets, streamed=True)
        answer.add_partial(broken)
        raise broken from error


def read_body(call: Call, response: Any) -> Body:
    """The whole body of a response, which is then closed."""
    body = Body(call, response)
    packets = body.decoder.packets(response)
    try:
        with Reading(call, response):
            for packet in packets:
                body.feed(packet)
    finally:
        response.close()
    return body


async def aread_body(call: Call, sent: AsyncSent) -> Body:
    """The whole body of a response. Async twin of `read_body`."""
    body = Body(call, sent.response)
    packets = body.decoder.apackets(sent.response)
    try:
        with Reading(call, sent.response):
            async with asyncio.timeout(body.seconds):
                async for packet in packets:
                    body.feed(packet)
    finally:
        await sent.aclose()
    return body


def allows_one_call(call: Call) -> bool:
    """Whether the request asks for one tool call at a time, which not every provider obeys."""
    return call.payload.get("parallel_tool_calls") is False


class Body:
    """The bytes of a whole answer, within the timeout of the call."""

    def __init__(self, call: Call, response: Any) -> None:
        self._call = call
        self._response = response
        self._pieces: list[bytes] = []
        self._left = call.settings.max_response_bytes
        self.decoder = decoder_of(response)
        self.seconds: float | None = (
            call.timeout if isinstance(call.timeout, (int, float)) else call.timeout.read
        )
        self._deadline = None if self.seconds is None else time.monotonic() + self.seconds

    def feed(self, packet: bytes) -> None:
        """Add a packet.

        Raises:
            TexAPITimeoutError: the timeout has passed.
            TexAPIResponseTooLargeError: the body exceeds `max_response_bytes`.
        """
        for piece in self.decoder.feed(packet) if self.decoder.decodes else (packet,):
            self._left -= len(piece)
            if self._left < 0:
                limit, secrets = self._call.settings.max_response_bytes, self._call.secrets
                raise mapping.too_large(limit, self._response, secrets)
            self._pieces += (piece,)
        if self._deadline is not None and time.monotonic() > self._deadline:
            happened = "TexAPI did not finish the answer in time."
            raise mapping.connection_error(TexAPITimeoutError, happened, self._response)

    def reply(self) -> ChatReply:
        """The parsed answer, with one tool call if the request allows only one."""
        call, reply = self._call, self._parsed()
        for choice in reply.choices:
            if choice.tool_calls:
                tools = ToolNames(call.options.own_names, storable=call.options.storable_arguments)
                reply = tools.own(reply)
                reply = keep_first_call(reply) if allows_one_call(call) else reply
                reply = note_unknown_tools(reply, tools, call.payload.get("tools"))
                break
        return call.secrets.redact_reply(reply)

    def _parsed(self) -> ChatReply:
        """Some gateways stream the answer although the request did not ask for a stream."""
        body = self._text()
        origin = _origin(self._response)
        if not looks_like_sse(body):
            try:
                return parse_reply(parse_json_object(body), **origin, think_tags=self._call.think_tags)
            except _UNREADABLE as error:
                raise self._unreadable(error) from None
        secrets, reader = self._call.secrets, StreamReader(think_tags=self._call.think_tags)
        try:
            for _ in chain(reader.feed(body), reader.finish()):
                pass
        except _UNREADABLE as error:
            failure = mapping.from_answer(error, self._response, secrets, streamed=True)
            failure.partial = secrets.redact_partial(reader.state.reply(**origin))
            failure.usage = reader.state.usage
            raise failure from None
        return reader.state.reply(**origin)

    def model_rows(self) -> list[Any]:
        """The rows of a list of models."""
        try:
            body = parse_json_object(self._text())
            raise_for_error(body)
            rows = body.get("data")
            if not isinstance(rows, list):
                raise MalformedAnswer("an answer without a list of models", self._text())
        except _UNREADABLE as error:
            raise self._unreadable(error) from None
        return rows

    def _unreadable(self, error: Exception) -> TexAPIError:
        return mapping.from_answer(error, self._response, self._call.secrets)

    def _text(self) -> bytes:
        self._pieces = [b"".join(self._pieces)]  # one copy at a time: a body may have megabytes
        return self._pieces[0].removeprefix(BYTE_ORDER_MARK).strip()


class AnswerStream:
    """A streamed answer in progress, without I/O: packets in, deltas and the reply out."""

    def __init__(self, call: Call, response: Any) -> None:
        self._secrets = call.secrets
        self._keeps_one_call = allows_one_call(call)
        self._idle_limit = call.settings.stream_idle_timeout
        self._left = self._max_bytes = call.settings.max_response_bytes
        self.decoder = decoder_of(response)
        self._response = response
        self._reader = StreamReader(think_tags=call.think_tags)
        self._tools = ToolNames(call.options.own_names, storable=call.options.storable_arguments)
        self._renames_tools = bool(self._tools)
        self._given_tools = call.payload.get("tools")
        self._stopped_waiting = False
        self._is_idle = True
        self._idle_since = time.monotonic()
        self.packet = b""
        """What was read last: as a local variable it would be in the traceback of an error."""
        self.waiting_since: float | None = self._idle_since
        """When the wait for the next packet began; `None` while the caller processes the last one."""
        self.first_content: float | None = None

    @property
    def done(self) -> bool:
        """Whether nothing is left to read."""
        return self._reader.done or self._stopped_waiting

    @property
    def has_finished(self) -> bool:
        """Whether the finish reason has arrived."""
        return self._reader.state.has_finished

    def feed(self, packet: bytes) -> list[ChatDelta]:
        """The deltas that a packet completes.

        Raises:
            TexAPITimeoutError: no content came within `stream_idle_timeout`.
            TexAPIResponseTooLargeError: the stream exceeds `max_response_bytes`.
        """
        self.waiting_since = None
        deltas = self._deltas(packet)
        if not deltas:
            self._check_idle()
        elif self.first_content is None:
            self.first_content = time.monotonic()
        self._is_idle = not deltas
        if self._renames_tools:
            deltas = self._tools.own_in_deltas(deltas)
        return list(keep_deltas_of_first_call(deltas)) if self._keeps_one_call else deltas

    def _deltas(self, packet: bytes) -> list[ChatDelta]:
        deltas: list[ChatDelta] = []
        for piece in self.decoder.feed(packet) if self.decoder.decodes else (packet,):
            self._left -= len(piece)
            if self._left < 0 and not self.has_finished:
                too_large = mapping.too_large(self._max_bytes, self._response, self._secrets)
                self.add_partial(too_large)
                raise too_large
            if self._left < 0:
                self._stopped_waiting = True  # only usage could still arrive
                break
            deltas += self._reader.feed(piece)
            if self._reader.done:
                break
        return deltas

    def wait(self) -> None:
        """Start to wait for the next packet: the caller's processing time does not count as idle."""
        self.waiting_since = time.monotonic()
        if not self._is_idle:
            self._idle_since = self.waiting_since

    def finish(self) -> Generator[ChatDelta]:
        """The deltas that the end of the stream completes.

        Raises:
            TexAPIError: the stream contained an error, was cut off, or was not an answer.
        """
        try:
            deltas: Iterator[ChatDelta] = self._reader.finish()
            if self._tools:
                deltas = self._tools.own_at_end(deltas)
            yield from keep_deltas_of_first_call(deltas) if self._keeps_one_call else deltas
        except _UNREADABLE as error:
            failure = mapping.from_answer(error, self._response, self._secrets, streamed=True)
            self.add_partial(failure)
            raise failure from None
        if not self.has_finished:
            logger.warning(
                "A stream ended without a finish reason, so the answer may be cut. Request id: %s.",
                mapping.request_id_of(self._response),
            )

    def reply(self) -> ChatReply:
        """The answer received so far."""
        reply = self._tools.own(self._reader.state.reply(**_origin(self._response)))
        reply = keep_first_call(reply) if self._keeps_one_call else reply
        reply = note_unknown_tools(reply, self._tools, self._given_tools)
        return self._secrets.redact_reply(reply)

    def add_partial(self, error: TexAPIError) -> None:
        """Attach the answer received so far to the error that ends the stream."""
        error.partial = self._secrets.redact_partial(self.reply())
        error.usage = self._reader.state.usage

    def _check_idle(self) -> None:
        limit = self._idle_limit
        if limit is not None and time.monotonic() - self._idle_since > limit:
            if self.has_finished:
                self._stopped_waiting = True  # only usage could still arrive
                return
            happened = f"TexAPI's stream sent nothing new for {limit:g} seconds."
            stalled = mapping.connection_error(TexAPITimeoutError, happened, self._response)
            self.add_partial(stalled)
            raise stalled


class _Origin(TypedDict):
    request_id: str | None
    headers: Mapping[str, str]


def _origin(response: Any) -> _Origin:
    """Request id and headers of an answer."""
    headers = dict(response.headers.items())
    return {"request_id": headers.get("x-request-id") or None, "headers": headers}
