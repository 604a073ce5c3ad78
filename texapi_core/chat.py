"""One call of the gateway: payload in, `ChatReply` out, or `ChatDelta`s and then the `ChatReply`.

`complete` and `stream` have async twins that differ by `await` alone. All four send through the openai
client's public `post()`, which authenticates, retries and raises, and read the bytes of the response
themselves: building the SDK's pydantic objects costs more than all the rest of a call.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any, TypedDict

import openai

from texapi_core import error_mapping, errors
from texapi_core.client import call_timeout, sync_client
from texapi_core.connection import (
    aclosing_when_silent,
    aread_to_end,
    closing,
    read_to_end,
    read_to_end_guarded,
)
from texapi_core.loop_clients import Lane, enter_lane
from texapi_core.recording import record_call
from texapi_core.settings import NO_OPTIONS, CallOptions, Settings, secrets_of
from texapi_core.sse import BYTE_ORDER_MARK
from texapi_core.stream_reader import StreamReader, looks_like_sse
from texapi_core.wire import (
    ChatDelta,
    ChatReply,
    MalformedAnswer,
    excerpt,
    parse_json_object,
    parse_reply,
    raise_for_error,
)

_PATH = "/chat/completions"
_MODELS_PATH = "/models"
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What reading an answer may raise: `ErrorAnswer` and `MalformedAnswer`, which are ValueErrors, and what
a form of answer that nobody has thought of might set off."""


def complete(settings: Settings, payload: Mapping[str, Any], options: CallOptions = NO_OPTIONS) -> ChatReply:
    """The whole answer to one request.

    Raises:
        TexAPIError: see `texapi_core.errors`.
    """
    with record_call(settings, payload, options) as call:
        with call.sending(), _errors_of_sending(settings, options, payload):
            sent = _sync_post(settings, options, payload)
        call.opened(sent.response)
        return call.finished(_read_body(settings, options, sent.response).reply())


async def acomplete(
    settings: Settings, payload: Mapping[str, Any], options: CallOptions = NO_OPTIONS
) -> ChatReply:
    """The whole answer to one request. Async twin of `complete`."""
    async with record_call(settings, payload, options) as call:
        with call.sending(), _errors_of_sending(settings, options, payload):
            sent = await _async_post(settings, options, payload)
        call.opened(sent.response)
        return call.finished((await _aread_body(settings, options, sent)).reply())


def stream(
    settings: Settings, payload: Mapping[str, Any], options: CallOptions = NO_OPTIONS
) -> Generator[ChatDelta | ChatReply]:
    """The answer as it arrives: `ChatDelta`s, then one `ChatReply` of the whole.

    Closing the generator closes the connection. A stream that breaks raises; it never ends early.

    Raises:
        TexAPIError: see `texapi_core.errors`. What had come is in the error's `partial`.
    """
    with record_call(settings, payload, options, streamed=True) as call:
        with call.sending(), _errors_of_sending(settings, options, payload):
            sent = _sync_post(settings, options, {**payload, "stream": True}, stream=True)
        answer = _AnswerStream(settings, options, sent.response)
        call.opened(sent.response, answer)
        packets = sent.response.iter_bytes()  # kept: when it is dropped, the connection is
        with closing(sent.response):
            with _errors_of_reading(secrets_of(settings, options), sent.response, answer):
                for packet in packets:
                    yield from answer.feed(packet)
                    if answer.done:
                        break
                    answer.wait()
            yield from answer.finish()
            yield call.finished(answer.reply())
            if settings.http_client is None:
                read_to_end(sent.response)
            else:
                read_to_end_guarded(sent.response)


async def astream(
    settings: Settings, payload: Mapping[str, Any], options: CallOptions = NO_OPTIONS
) -> AsyncGenerator[ChatDelta | ChatReply]:
    """The answer as it arrives. Async twin of `stream`."""
    async with record_call(settings, payload, options, streamed=True) as call:
        with call.sending(), _errors_of_sending(settings, options, payload):
            sent = await _async_post(settings, options, {**payload, "stream": True}, stream=True)
        answer = _AnswerStream(settings, options, sent.response)
        call.opened(sent.response, answer)
        packets = sent.response.aiter_bytes()
        try:
            with (
                _errors_of_reading(secrets_of(settings, options), sent.response, answer),
                aclosing_when_silent(sent.response, answer),
            ):
                async for packet in packets:
                    for delta in answer.feed(packet):
                        yield delta
                    if answer.done:
                        break
                    answer.wait()
            for delta in answer.finish():
                yield delta
            yield call.finished(answer.reply())
            await aread_to_end(packets)
        finally:
            await sent.aclose()


def fetch_models(settings: Settings) -> list[Any]:
    """The rows of `GET /v1/models`, as they come."""
    with _errors_of_sending(settings, NO_OPTIONS, {}):
        sent = sync_client(settings).get(
            _MODELS_PATH,
            cast_to=object,
            options=_request_options(settings, NO_OPTIONS),
            stream=True,
            stream_cls=_Sent,
        )
    return _read_body(settings, NO_OPTIONS, sent.response).model_rows()


async def afetch_models(settings: Settings) -> list[Any]:
    """The rows of `GET /v1/models`. Async twin of `fetch_models`."""
    with _errors_of_sending(settings, NO_OPTIONS, {}):
        sent = await _async_send(
            settings,
            NO_OPTIONS,
            lambda client: client.get(
                _MODELS_PATH,
                cast_to=object,
                options=_request_options(settings, NO_OPTIONS),
                stream=True,
                stream_cls=_AsyncSent,
            ),
        )
    return (await _aread_body(settings, NO_OPTIONS, sent)).model_rows()


class _Sent(openai.Stream[object]):
    """What the SDK hands over of an answer: the response, whose bytes it does not read itself."""

    def __init__(self, *, response: Any, **_: Any) -> None:
        self.response = response


class _AsyncSent(openai.AsyncStream[object]):
    """Async twin of `_Sent`, in the lane that it came by."""

    lane: Lane

    def __init__(self, *, response: Any, **_: Any) -> None:
        self.response = response

    async def aclose(self) -> None:
        self.lane.leave()
        await self.response.aclose()


def _sync_post(
    settings: Settings, options: CallOptions, payload: Mapping[str, Any], *, stream: bool = False
) -> _Sent:
    # `stream=True` here is the SDK's: it hands over the response once its head is there. What the
    # gateway is asked for stands in the payload.
    sent = sync_client(settings, options).post(
        settings.base_url + _PATH,  # whole, for the SDK would put it together anew for each call
        cast_to=object,
        body=payload,
        options=_request_options(settings, options, stream=stream),
        stream=True,
        stream_cls=_Sent,
    )
    error_mapping.hide_quoting_id(sent.response, secrets=secrets_of(settings, options))
    return sent


async def _async_post(
    settings: Settings, options: CallOptions, payload: Mapping[str, Any], *, stream: bool = False
) -> _AsyncSent:
    sent = await _async_send(
        settings,
        options,
        lambda client: client.post(
            settings.base_url + _PATH,
            cast_to=object,
            body=payload,
            options=_request_options(settings, options, stream=stream),
            stream=True,
            stream_cls=_AsyncSent,
        ),
    )
    error_mapping.hide_quoting_id(sent.response, secrets=secrets_of(settings, options))
    return sent


async def _async_send(
    settings: Settings, options: CallOptions, send: Callable[[openai.AsyncOpenAI], Awaitable[_AsyncSent]]
) -> _AsyncSent:
    lane = await enter_lane(settings)
    try:
        sent = await send(lane.client(settings, options))
    except BaseException:
        lane.leave()
        raise
    sent.lane = lane
    return sent


def _read_body(settings: Settings, options: CallOptions, response: Any) -> _BodyReader:
    body = _BodyReader(settings, options, response)
    try:
        with _errors_of_reading(secrets_of(settings, options), response):
            for packet in response.iter_bytes():
                body.feed(packet)
    finally:
        response.close()
    return body


async def _aread_body(settings: Settings, options: CallOptions, sent: _AsyncSent) -> _BodyReader:
    body = _BodyReader(settings, options, sent.response)
    try:
        with _errors_of_reading(secrets_of(settings, options), sent.response):
            async with asyncio.timeout(body.seconds):
                async for packet in sent.response.aiter_bytes():
                    body.feed(packet)
    finally:
        await sent.aclose()
    return body


def _request_options(
    settings: Settings, options: CallOptions, *, stream: bool = False
) -> openai.RequestOptions:
    timeout = settings.timeout if options.timeout is None else options.timeout
    retries = settings.max_retries if options.max_retries is None else options.max_retries
    longest_read = settings.stream_idle_timeout if stream else None
    request: openai.RequestOptions = {
        "timeout": call_timeout(timeout, longest_read=longest_read),
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


@contextmanager
def _errors_of_sending(
    settings: Settings, options: CallOptions, payload: Mapping[str, Any]
) -> Generator[None]:
    """Errors of ours for what the SDK raises before an answer begins."""
    try:
        yield
    except errors.TexAPIError as error:
        error_mapping.hide_secrets(error, secrets=secrets_of(settings, options))
        raise
    except openai.APIError as error:
        raise error_mapping.from_openai(error, secrets=secrets_of(settings, options)) from error
    except Exception as error:
        if not _can_be_sent(payload):
            raise errors.TexAPISettingsError(
                f"The request cannot be sent as JSON: {error}. Nothing was sent."
            ) from error
        raise error_mapping.not_sent(error, secrets=secrets_of(settings, options)) from error


def _can_be_sent(payload: Mapping[str, Any]) -> bool:
    try:
        json.dumps(payload, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        return False
    return True


@contextmanager
def _errors_of_reading(
    secrets: tuple[str, ...], response: Any, answer: _AnswerStream | None = None
) -> Generator[None]:
    """Errors of ours for what the HTTP library raises while an answer is read.

    openai 2 stands on httpx, openai 3 on httpx2, and both let errors of the layers below through, so
    anything but our own errors and the end of the program is a broken connection.
    """
    try:
        yield
    except (errors.TexAPIError, asyncio.CancelledError, GeneratorExit):
        raise
    except Exception as error:
        if answer is not None and answer.has_finished:
            return  # only the end of the stream is missing, and perhaps usage: the answer is whole
        broken = error_mapping.connection_broke(error, response, secrets=secrets, streamed=answer is not None)
        if answer is not None:
            answer.note_partial(broken)
        raise broken from error


def _origin(secrets: tuple[str, ...], response: Any) -> _Origin:
    """Where an answer comes from. A header that quotes a secret stays out of it."""
    headers = dict(response.headers.items())
    request_id = headers.get("x-request-id") or None
    everything = "\n".join(headers.values())
    if any(secret in everything for secret in secrets):
        headers = {
            name: value for name, value in headers.items() if not any(secret in value for secret in secrets)
        }
    return {"request_id": request_id, "headers": headers}


class _Origin(TypedDict):
    request_id: str | None
    headers: Mapping[str, str]


class _BodyReader:
    """The bytes of a whole answer, within the time that the call may take."""

    def __init__(self, settings: Settings, options: CallOptions, response: Any) -> None:
        self._secrets = secrets_of(settings, options)
        self._response = response
        self._body = bytearray()
        timeout = settings.timeout if options.timeout is None else options.timeout
        self.seconds = call_timeout(timeout).read
        self._deadline = None if self.seconds is None else time.monotonic() + self.seconds

    def feed(self, packet: bytes) -> None:
        self._body += packet
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise error_mapping.timed_out("TexAPI did not finish the answer in time.", self._response)

    def reply(self) -> ChatReply:
        """The body as an answer; some gateways stream it although nobody asked."""
        body = self._text()
        origin = _origin(self._secrets, self._response)
        if not looks_like_sse(body):
            with self._errors_of_parsing():
                return parse_reply(parse_json_object(body), **origin)
        reader = StreamReader()
        try:
            for _ in chain(reader.feed(body), reader.finish()):
                pass
        except _UNREADABLE as error:
            failure = error_mapping.from_answer(error, self._response, secrets=self._secrets, streamed=True)
            failure.partial = error_mapping.partial_reply(reader.state.reply(**origin), secrets=self._secrets)
            raise failure from None
        return reader.state.reply(**origin)

    def model_rows(self) -> list[Any]:
        """The body as a list of models."""
        with self._errors_of_parsing():
            body = parse_json_object(self._text())
            raise_for_error(body)
            rows = body.get("data")
            if not isinstance(rows, list):
                raise MalformedAnswer("an answer without a list of models", excerpt(self._text()))
        return rows

    def _text(self) -> bytes:
        return bytes(self._body).removeprefix(BYTE_ORDER_MARK).strip()

    @contextmanager
    def _errors_of_parsing(self) -> Generator[None]:
        try:
            yield
        except _UNREADABLE as error:
            raise error_mapping.from_answer(
                error, self._response, secrets=self._secrets, streamed=False
            ) from None


class _AnswerStream:
    """A streamed answer while it arrives, without I/O: packets in, deltas and the reply out."""

    def __init__(self, settings: Settings, options: CallOptions, response: Any) -> None:
        self._secrets = secrets_of(settings, options)
        self._idle_limit = settings.stream_idle_timeout
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
        return self._reader.done or self._gave_up_waiting

    @property
    def has_finished(self) -> bool:
        return self._reader.state.has_finished

    def feed(self, packet: bytes) -> list[ChatDelta]:
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
        try:
            yield from self._reader.finish()
        except _UNREADABLE as error:
            raise self._failed(error) from None

    def reply(self) -> ChatReply:
        """What has come so far, in the form of a whole answer."""
        return self._reader.state.reply(**_origin(self._secrets, self._response))

    def note_partial(self, error: errors.TexAPIError) -> None:
        """Put what has come so far into the error that ends the stream."""
        error.partial = error_mapping.partial_reply(self.reply(), secrets=self._secrets)
        error.usage = self._reader.state.usage

    def _failed(self, error: Exception) -> errors.TexAPIError:
        failure = error_mapping.from_answer(error, self._response, secrets=self._secrets, streamed=True)
        self.note_partial(failure)
        return failure

    def _check_idle(self) -> None:
        limit = self._idle_limit
        if limit is not None and time.monotonic() - self._idle_since > limit:
            if self.has_finished:
                self._gave_up_waiting = True  # nothing but usage could still come
                return
            stalled = error_mapping.timed_out(
                f"TexAPI's stream brought nothing new for {limit:g} seconds.", self._response
            )
            self.note_partial(stalled)
            raise stalled
