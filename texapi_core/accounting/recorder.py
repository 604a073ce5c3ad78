"""Records a call and passes its `CallRecord` to the sinks: `with record_call(...) as record:`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import copy_context
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any, Protocol, TypeVar
from uuid import uuid4

from texapi_core import errors
from texapi_core.accounting.record import NO_USAGE, CallRecord, Outcome, StartedCall, logger, open_calls
from texapi_core.accounting.sinks import NO_ACCOUNTING, CallRefused, Observer, Sink, process_sinks
from texapi_core.call import Call
from texapi_core.failures.mapping import request_id_of
from texapi_core.settings import key_hint
from texapi_core.wire.values import ChatReply

_T = TypeVar("_T")
_RETRY_COUNT = "x-stainless-retry-count"
"""Header in which the openai SDK sends the number of retries so far."""


class Answer(Protocol):
    """A streamed answer in progress."""

    first_content: float | None
    """`time.monotonic()` at the first content."""

    def reply(self) -> ChatReply:
        """The answer received so far."""
        ...


class NullRecorder:
    """Recorder of a call without sinks: does nothing."""

    def __enter__(self) -> NullRecorder:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        pass

    async def __aenter__(self) -> NullRecorder:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        pass

    def sending(self) -> AbstractContextManager[None]:
        """A context manager for sending the request, until the response headers arrive."""
        return _NULL_CONTEXT

    def opened(self, response: Any, answer: Answer | None = None) -> None:
        """Report that the response headers have arrived."""

    def finished(self, reply: ChatReply) -> ChatReply:
        """Report the complete answer. Returns it, with `usage.cost` if a price list has its model."""
        return reply


_NULL_CONTEXT = nullcontext()
_NULL_RECORDER = NullRecorder()


def record_call(call: Call, *, streamed: bool = False) -> NullRecorder:
    """A recorder that passes the record of a call to all sinks when the call ends."""
    sinks = process_sinks()
    if call.settings.accounting is not None:
        sinks = (*sinks, *call.settings.accounting.sinks)
    elif not sinks:
        return _NULL_RECORDER
    return CallRecorder(sinks, call, streamed=streamed)


class CallRecorder(NullRecorder):
    """Recorder of a call with sinks."""

    def __init__(self, sinks: tuple[Sink, ...], call: Call, *, streamed: bool) -> None:
        settings = call.settings
        self._started = StartedCall(
            call_id=uuid4().hex,
            started_at=datetime.now(UTC),
            streamed=streamed,
            payload=call.payload,
            base_url=settings.base_url,
            key_hint=key_hint(settings.api_key),
            key_digest=_digest(settings.api_key),
            labels=call.options.labels(),
        )
        self._start = time.monotonic()
        self._context = copy_context()
        self._accounting = settings.accounting or NO_ACCOUNTING
        self._sinks = sinks
        self._observers: list[Observer] = []
        self._response: Any = None
        self._answer: Answer | None = None
        self._reply: ChatReply | None = None
        self._has_ended = False

    def __enter__(self) -> CallRecorder:
        open_calls.add(self)
        try:
            for sink in self._sinks:
                if (prepare := _logging_errors(sink.preparation)) is not None:
                    _logging_errors(prepare)
                self._begin(sink)
        except BaseException as error:
            self._end(error)
            raise
        return self

    async def __aenter__(self) -> CallRecorder:
        open_calls.add(self)
        try:
            for sink in self._sinks:
                if (prepare := _logging_errors(sink.preparation)) is not None:
                    await asyncio.to_thread(_logging_errors, prepare)
                self._begin(sink)
        except BaseException as error:
            self._end(error)
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if not self._has_ended:
            self._end(error)

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self.__exit__(kind, error, traceback)

    def _begin(self, sink: Sink) -> None:
        try:
            self._observers.append(sink.begin(self._started))
        except CallRefused as refused:
            advice = errors.TexAPIBudgetExceededError.advice
            raise errors.TexAPIBudgetExceededError(f"{refused} {advice}") from None
        except Exception:  # accounting must not fail a call
            logger.warning("%r could not be started for a call.", sink, exc_info=True)

    @contextmanager
    def sending(self) -> Generator[None]:
        """Enter the `sending` contexts of the observers."""
        with ExitStack() as stack:
            for observer in self._observers:
                if (context := _logging_errors(observer.sending)) is not None:
                    stack.enter_context(context)
            yield

    def opened(self, response: Any, answer: Answer | None = None) -> None:
        """Report that the response headers have arrived."""
        self._response = response
        self._answer = answer

    def finished(self, reply: ChatReply) -> ChatReply:
        """Report the complete answer: the call ends here, even if the caller raises afterwards."""
        self._reply = reply
        record = self._end(None)
        if record is None or record.cost is None or record.cost_source != "prices" or reply.usage is None:
            return reply
        return replace(reply, usage=replace(reply.usage, cost=float(record.cost), cost_is_estimated=True))

    def record_interrupted(self) -> None:
        """Record the call as cancelled: the process is exiting."""
        self.__exit__(None, KeyboardInterrupt(), None)

    def _end(self, error: BaseException | None) -> CallRecord | None:
        self._has_ended = True
        open_calls.discard(self)
        try:
            record = self._record(error)
        except Exception:  # accounting must not fail a call
            logger.warning("A call could not be recorded.", exc_info=True)
            return None
        for observer in reversed(self._observers):
            self._context.run(_logging_errors, observer.end, record)
        return record

    def _record(self, error: BaseException | None) -> CallRecord:
        total_ms = _milliseconds(time.monotonic() - self._start)
        outcome = _outcome(self._reply, error)
        failure = error if outcome == "error" else None
        partial: ChatReply | None = getattr(failure, "partial", None)
        reply = self._reply or partial or (self._answer.reply() if self._answer else None)
        usage = (reply and reply.usage) or getattr(failure, "usage", None) or NO_USAGE
        started, served_model = self._started, reply.model if reply else None
        cost, cost_source = self._accounting.cost(usage, served_model, started.model)
        first_content = self._answer.first_content if self._answer else None
        return CallRecord(
            call_id=started.call_id,
            started_at=started.started_at,
            streamed=started.streamed,
            outcome=outcome,
            total_ms=total_ms,
            first_token_ms=None if first_content is None else _milliseconds(first_content - self._start),
            attempts=self._attempts(failure),
            request_id=self._request_id(failure),
            response_id=reply.id if reply else None,
            model=started.model,
            served_model=served_model,
            usage=usage,
            cost=cost,
            cost_source=cost_source,
            finish_reason=reply.choice.finish_reason if reply else None,
            error=type(failure).__name__ if failure else None,
            error_code=_error_code(failure),
            key_hint=started.key_hint,
            labels=started.labels,
        )

    def _attempts(self, failure: BaseException | None) -> int | None:
        """From the last request sent; unknown for a call cancelled before its response."""
        if isinstance(failure, (errors.TexAPISettingsError, errors.TexAPIBudgetExceededError)):
            return 0
        response = self._response or getattr(failure, "response", None)
        request = getattr(response or failure, "request", None)
        if request is None:
            return None
        retries = request.headers.get(_RETRY_COUNT, "")
        return int(retries) + 1 if retries.isdigit() else None

    def _request_id(self, failure: BaseException | None) -> str | None:
        if self._response is not None:
            return request_id_of(self._response)
        return getattr(failure, "request_id", None)


@lru_cache
def _digest(api_key: str) -> str:
    return sha256(api_key.encode()).hexdigest()


def _logging_errors(step: Callable[..., _T], *arguments: object) -> _T | None:
    """What a sink's or an observer's method returns; its errors are logged, for they must not fail a call."""
    try:
        return step(*arguments)
    except Exception:
        logger.warning("%r of a call's accounting failed.", step, exc_info=True)
        return None


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
