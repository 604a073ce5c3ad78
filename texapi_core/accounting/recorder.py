"""Records a call and passes its `CallRecord` to the sinks: `with record_call(...) as record:`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import copy_context
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any, Protocol, TypeVar
from uuid import uuid4

from texapi_core import errors
from texapi_core.accounting.record import (
    NO_USAGE,
    CallRecord,
    Outcome,
    StartedCall,
    failed_responses,
    logger,
    open_calls,
)
from texapi_core.accounting.sinks import (
    NO_ACCOUNTING,
    BudgetUnavailable,
    CallRefused,
    Observer,
    Sink,
)
from texapi_core.call import Call
from texapi_core.failures.mapping import request_id_of
from texapi_core.settings import key_hint
from texapi_core.wire.usage import TokenUsage
from texapi_core.wire.values import ChatReply

_T = TypeVar("_T")
_RETRY_COUNT = "x-stainless-retry-count"
"""Header with the number of earlier requests that reached the gateway."""


_REFUSED_HERE = (errors.TexAPISettingsError, errors.TexAPIBudgetExceededError)
_MAYBE_CHARGED = (408,)
"""Statuses by which the gateway may give up after the model ran; it documents that 429 and 5xx are free."""


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
    if not call.sinks and call.settings.accounting is None and call.permit is None:
        return _NULL_RECORDER
    return CallRecorder(call, streamed=streamed)


class CallRecorder(NullRecorder):
    """Recorder of a call with sinks."""

    def __init__(self, call: Call, *, streamed: bool) -> None:
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
            max_requests=_max_requests(call),
        )
        self._permit = call.permit
        self._start = time.monotonic()
        self._context = copy_context()
        self._accounting = settings.accounting or NO_ACCOUNTING
        self._sinks = call.sinks
        self._observers: list[Observer] = []
        self._response: Any = None
        self._answer: Answer | None = None
        self._reply: ChatReply | None = None
        self._has_ended = False
        self._record_of_end: CallRecord | None = None
        self._was_sent = False
        self._metadata: Mapping[str, Any] = {}
        self._failed_responses: list[int] = []

    def __enter__(self) -> CallRecorder:
        open_calls.add(self)
        try:
            for sink in self._sinks:
                self._begin(sink)
        except BaseException as error:
            self._end(error)
            raise
        return self

    async def __aenter__(self) -> CallRecorder:
        open_calls.add(self)
        try:
            for sink in self._sinks:
                if sink.may_block:
                    await asyncio.to_thread(self._begin, sink)
                else:
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
            observer = sink.begin(self._started)
            self._observers.append(observer)
            if self._record_of_end is not None:  # the call was cancelled while a thread was in `begin`
                _logging_errors(observer.end, self._record_of_end)
        except CallRefused as refused:
            is_unknown = isinstance(refused, BudgetUnavailable)
            refusal = errors.TexAPIBudgetUnavailableError if is_unknown else errors.TexAPIBudgetExceededError
            raise refusal(f"{refused} {refusal.advice}") from None
        except Exception:  # accounting must not fail a call
            logger.warning("%r could not be started for a call.", sink, exc_info=True)

    @contextmanager
    def sending(self) -> Generator[None]:
        """Enter the `sending` contexts of the observers."""
        self._was_sent = True
        with ExitStack() as stack:
            stack.callback(failed_responses.reset, failed_responses.set(self._failed_responses))
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
        usage, added = reply.usage, self._metadata
        if record and record.cache_savings is not None:
            added = {**added, "cache_savings": float(record.cache_savings)}
        if record and usage and record.cost is not None and record.cost_source == "prices":
            usage = replace(usage, cost=float(record.cost), cost_is_estimated=True)
        elif not added:
            return reply
        return replace(reply, usage=usage, accounting=added)

    def record_interrupted(self) -> None:
        """Record the call as cancelled: the process is exiting."""
        self.__exit__(None, KeyboardInterrupt(), None)

    def _end(self, error: BaseException | None) -> CallRecord | None:
        self._has_ended = True
        open_calls.discard(self)
        record: CallRecord | None = None
        try:
            record = self._record(error)
        except Exception:  # accounting must not fail a call
            logger.warning("A call could not be recorded.", exc_info=True)
        if self._permit is not None:
            self._permit.end(record.usage.total_tokens if record else None, error)
        if record is None:
            return None
        self._record_of_end = record
        interruption: BaseException | None = None
        for observer in reversed(self._observers):
            try:
                added = self._context.run(_logging_errors, observer.end, record)
            except BaseException as error:  # e.g. Ctrl-C: the other observers must not wait for ever
                interruption = interruption or error
                continue
            if added:
                self._metadata = {**self._metadata, **added}
        if interruption is not None:
            raise interruption
        return record

    def _record(self, error: BaseException | None) -> CallRecord:
        total_ms = _milliseconds(time.monotonic() - self._start)
        outcome = _outcome(self._reply, error)
        failure = error if outcome == "error" else None
        partial: ChatReply | None = getattr(failure, "partial", None)
        reply = self._reply or partial or (self._answer.reply() if self._answer else None)
        usage = (reply and reply.usage) or getattr(failure, "usage", None) or NO_USAGE
        started, served_model = self._started, reply.model if reply else None
        cost, cost_source = self._accounting.cost(
            usage, served_model, started.model, base_url=started.base_url
        )
        first_content = self._answer.first_content if self._answer else None
        return CallRecord(
            call_id=started.call_id,
            started_at=started.started_at,
            streamed=started.streamed,
            outcome=outcome,
            total_ms=total_ms,
            first_token_ms=None if first_content is None else _milliseconds(first_content - self._start),
            attempts=self._attempts(failure),
            waited_ms=None if self._permit is None else _milliseconds(self._permit.waited),
            request_id=self._request_id(failure),
            response_id=reply.id if reply else None,
            model=started.model,
            served_model=served_model,
            usage=usage,
            cost=cost,
            cost_source=cost_source,
            cache_savings=self._accounting.cache_savings(
                usage, served_model, started.model, base_url=started.base_url
            ),
            finish_reason=reply.choice.finish_reason if reply else None,
            error=type(failure).__name__ if failure else None,
            error_code=_error_code(failure),
            key_hint=started.key_hint,
            labels=started.labels,
            uncertain_requests=self._uncertain_requests(failure, usage),
        )

    def _uncertain_requests(self, failure: BaseException | None, usage: TokenUsage) -> int:
        """Requests that the gateway may have charged for and whose tokens are not known.

        Not those that failed with a status, except by a time-out of the gateway, and not the last one if
        its usage is known, or if it never reached the gateway.
        """
        if not self._was_sent or isinstance(failure, _REFUSED_HERE):
            return 0
        free = sum(status not in _MAYBE_CHARGED for status in self._failed_responses)
        known = usage.total_tokens is not None
        if isinstance(failure, errors.TexAPIStatusError) and failure.status_code < 400:
            # An error in place of an answer, unless a part of the answer came before it.
            known = known or self._answer is None or self._answer.first_content is None
        attempts = self._attempts(failure)
        if attempts is None:
            attempts = len(self._failed_responses) + int(getattr(failure, "was_sent", True))
        return max(attempts - free - known, 0)

    def _attempts(self, failure: BaseException | None) -> int | None:
        """Requests that may have reached the gateway; unknown for a call cancelled before its response."""
        if isinstance(failure, _REFUSED_HERE):
            return 0
        response = self._response or getattr(failure, "response", None)
        request = getattr(response or failure, "request", None)
        if request is None:
            return None
        earlier = request.headers.get(_RETRY_COUNT, "")
        return int(earlier) + int(getattr(failure, "was_sent", True)) if earlier.isdigit() else None

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


def _max_requests(call: Call) -> int:
    return 1 + call.max_retries if call.settings.retry_timeouts else 1


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
