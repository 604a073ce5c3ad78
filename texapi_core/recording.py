"""Making the `CallRecord` of a call, around the call: `with record_call(...) as call:`.

When nobody listens, `record_call` hands out one shared object that does nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextvars import copy_context
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import uuid4

from texapi_core import error_mapping, errors
from texapi_core.call_record import NO_USAGE, CallRecord, Listener, Outcome, current_listeners, tell
from texapi_core.settings import CallOptions, Settings, key_hint
from texapi_core.wire import ChatReply

_RETRY_COUNT = "x-stainless-retry-count"
"""Header in which the openai SDK tells a server how many times it has sent a request before."""


class Answer(Protocol):
    """A streamed answer on its way."""

    first_content: float | None
    """When the first content came, by `time.monotonic()`."""

    def reply(self) -> ChatReply:
        """What has come so far."""
        ...


class Unrecorded:
    """A call that nobody listens to."""

    def __enter__(self) -> Unrecorded:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        pass

    def opened(self, response: Any, answer: Answer | None = None) -> None:
        """The head of a response has come."""

    def finished(self, reply: ChatReply) -> None:
        """The whole answer has come."""


_UNRECORDED = Unrecorded()


def record_call(
    settings: Settings, payload: Mapping[str, Any], options: CallOptions, *, streamed: bool = False
) -> Unrecorded:
    """What to tell of a call while it goes on; its record goes to all listeners once it has ended."""
    listeners = current_listeners()
    if not listeners:
        return _UNRECORDED
    return _Recorder(listeners, settings, payload, options, streamed=streamed)


class _Recorder(Unrecorded):
    def __init__(
        self,
        listeners: tuple[Listener, ...],
        settings: Settings,
        payload: Mapping[str, Any],
        options: CallOptions,
        *,
        streamed: bool,
    ) -> None:
        self._listeners = listeners
        self._context = copy_context()
        self._key_hint = key_hint(settings.api_key)
        self._model = payload.get("model")
        self._labels = options.labels()
        self._streamed = streamed
        self._started_at = datetime.now(UTC)
        self._start = time.monotonic()
        self._response: Any = None
        self._answer: Answer | None = None
        self._reply: ChatReply | None = None
        self._told = False

    def opened(self, response: Any, answer: Answer | None = None) -> None:
        self._response = response
        self._answer = answer

    def finished(self, reply: ChatReply) -> None:
        self._reply = reply
        self._tell(None)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if not self._told:
            self._tell(error)

    def _tell(self, error: BaseException | None) -> None:
        self._told = True
        record = self._record(error)
        for listener in self._listeners:
            self._context.run(tell, listener, record)

    def _record(self, error: BaseException | None) -> CallRecord:
        total_ms = _milliseconds(time.monotonic() - self._start)
        outcome = _outcome(self._reply, error)
        failure = error if outcome == "error" else None
        reply = self._reply or self._partial_reply(failure)
        first_content = self._answer.first_content if self._answer else None
        return CallRecord(
            call_id=uuid4().hex,
            started_at=self._started_at,
            streamed=self._streamed,
            outcome=outcome,
            total_ms=total_ms,
            first_token_ms=None if first_content is None else _milliseconds(first_content - self._start),
            attempts=self._attempts(failure),
            request_id=self._request_id(failure),
            response_id=reply.id if reply else None,
            model=self._model if isinstance(self._model, str) else None,
            served_model=reply.model if reply else None,
            usage=(reply and reply.usage) or getattr(failure, "usage", None) or NO_USAGE,
            finish_reason=reply.choice.finish_reason if reply else None,
            error=type(failure).__name__ if failure else None,
            error_code=_error_code(failure),
            key_hint=self._key_hint,
            labels=self._labels,
        )

    def _partial_reply(self, failure: BaseException | None) -> ChatReply | None:
        partial: ChatReply | None = getattr(failure, "partial", None)
        return partial or (self._answer.reply() if self._answer else None)

    def _attempts(self, failure: BaseException | None) -> int | None:
        """By the last request that was sent; unknown when a call is cancelled before its answer."""
        if isinstance(failure, errors.TexAPISettingsError):
            return 0
        response = self._response or getattr(failure, "response", None)
        request = getattr(response or failure, "request", None)
        if request is None:
            return None
        retries = request.headers.get(_RETRY_COUNT, "")
        return int(retries) + 1 if retries.isdigit() else None

    def _request_id(self, failure: BaseException | None) -> str | None:
        if self._response is not None:
            return error_mapping.request_id_of(self._response)
        return getattr(failure, "request_id", None)


def _outcome(reply: ChatReply | None, error: BaseException | None) -> Outcome:
    if reply is not None or error is None:
        return "ok"
    if isinstance(error, GeneratorExit):
        return "closed"
    if isinstance(error, Exception) and not isinstance(error, asyncio.CancelledError):
        return "error"
    return "cancelled"


def _error_code(failure: BaseException | None) -> str | None:
    code = getattr(failure, "code", None) or getattr(failure, "type", None)
    return str(code) if code else None


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
