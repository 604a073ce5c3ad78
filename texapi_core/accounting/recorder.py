"""Making the `CallRecord` of a call, around the call: `with record_call(...) as call:`.

When nobody listens, `record_call` hands out one shared object that does nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from texapi_core import errors
from texapi_core.accounting.budget import estimate
from texapi_core.accounting.record import (
    NO_USAGE,
    CallRecord,
    CostSource,
    Listener,
    Outcome,
    current_listeners,
    logger,
    open_calls,
    tell,
)
from texapi_core.accounting.sinks import gateway_cost
from texapi_core.call import Call
from texapi_core.failures import mapping as error_mapping
from texapi_core.settings import Settings, key_hint
from texapi_core.wire.scalars import text_or_none
from texapi_core.wire.usage import TokenUsage
from texapi_core.wire.values import ChatReply

if TYPE_CHECKING:
    from texapi_core.accounting.otel import CallSpan

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

    async def __aenter__(self) -> Unrecorded:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        pass

    def sending(self) -> AbstractContextManager[None]:
        """Around the request, to the head of its response."""
        return _NOTHING

    def opened(self, response: Any, answer: Answer | None = None) -> None:
        """The head of a response has come."""

    def finished(self, reply: ChatReply) -> ChatReply:
        """The whole answer has come. Returns it, with its cost if there is a price list."""
        return reply


_NOTHING = nullcontext()
_UNRECORDED = Unrecorded()


def record_call(call: Call, *, streamed: bool = False) -> Unrecorded:
    """What to tell of a call while it goes on; its record goes to all listeners once it has ended."""
    listeners = current_listeners()
    if call.settings.accounting is not None:
        listeners = (*listeners, call.settings.accounting.write)
    elif not listeners:
        return _UNRECORDED
    return _Recorder(listeners, call, streamed=streamed)


class _Recorder(Unrecorded):
    def __init__(
        self,
        listeners: tuple[Listener, ...],
        call: Call,
        *,
        streamed: bool,
    ) -> None:
        settings, payload, options = call.settings, call.payload, call.options
        self._span = _start_span(settings, payload, streamed=streamed)
        self._listeners = listeners if self._span is None else (*listeners, self._span.end)
        self._call_id = uuid4().hex
        self._context = copy_context()
        self._accounting = settings.accounting
        self._payload = payload
        self._purse = settings.accounting.purse(settings.api_key) if settings.accounting else None
        self._key_hint = key_hint(settings.api_key)
        self._model = text_or_none(payload.get("model"))
        self._labels = options.labels()
        self._streamed = streamed
        self._started_at = datetime.now(UTC)
        self._start = time.monotonic()
        self._response: Any = None
        self._answer: Answer | None = None
        self._reply: ChatReply | None = None
        self._told = False

    def __enter__(self) -> _Recorder:
        if self._purse is not None and self._purse.is_stale:
            self._purse.refresh()
        self._admit()
        return self

    async def __aenter__(self) -> _Recorder:
        if self._purse is not None and self._purse.is_stale:
            await asyncio.to_thread(self._purse.refresh)
        self._admit()
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self.__exit__(kind, error, traceback)

    def _admit(self) -> None:
        """Begin the call, unless the budget forbids it."""
        open_calls.add(self)
        if self._accounting is None or self._purse is None:
            return
        refusal = self._purse.admit(self._call_id, estimate(self._payload, self._accounting.prices))
        if refusal:
            error = errors.TexAPIBudgetExceededError(f"{refusal} {errors.TexAPIBudgetExceededError.advice}")
            self._tell(error)
            raise error

    def sending(self) -> AbstractContextManager[None]:
        return _NOTHING if self._span is None else self._span.current()

    def cut_off(self) -> None:
        """The process ends before the call does."""
        if not self._told:
            self._tell(KeyboardInterrupt())

    def opened(self, response: Any, answer: Answer | None = None) -> None:
        self._response = response
        self._answer = answer

    def finished(self, reply: ChatReply) -> ChatReply:
        self._reply = reply
        record = self._tell(None)
        if record is None or record.cost is None or record.cost_source != "prices" or reply.usage is None:
            return reply
        return replace(reply, usage=replace(reply.usage, cost=float(record.cost), cost_is_estimated=True))

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if not self._told:
            self._tell(error)

    def _tell(self, error: BaseException | None) -> CallRecord | None:
        self._told = True
        open_calls.discard(self)
        try:
            record = self._record(error)
        except Exception:
            logger.warning("A call could not be recorded.", exc_info=True)  # which fails no call
            return None
        if self._purse is not None:
            self._purse.settle(record)
        for listener in self._listeners:
            self._context.run(tell, listener, record)
        return record

    def _record(self, error: BaseException | None) -> CallRecord:
        total_ms = _milliseconds(time.monotonic() - self._start)
        outcome = _outcome(self._reply, error)
        failure = error if outcome == "error" else None
        reply = self._reply or self._partial_reply(failure)
        usage = (reply and reply.usage) or getattr(failure, "usage", None) or NO_USAGE
        served_model = reply.model if reply else None
        cost, cost_source = self._cost(usage, served_model)
        first_content = self._answer.first_content if self._answer else None
        return CallRecord(
            call_id=self._call_id,
            started_at=self._started_at,
            streamed=self._streamed,
            outcome=outcome,
            total_ms=total_ms,
            first_token_ms=None if first_content is None else _milliseconds(first_content - self._start),
            attempts=self._attempts(failure),
            request_id=self._request_id(failure),
            response_id=reply.id if reply else None,
            model=self._model,
            served_model=served_model,
            usage=usage,
            cost=cost,
            cost_source=cost_source,
            finish_reason=reply.choice.finish_reason if reply else None,
            error=type(failure).__name__ if failure else None,
            error_code=_error_code(failure),
            key_hint=self._key_hint,
            labels=self._labels,
        )

    def _cost(self, usage: TokenUsage, served_model: str | None) -> tuple[Decimal | None, CostSource | None]:
        if self._accounting is not None:
            return self._accounting.cost(usage, served_model, self._model)
        cost = gateway_cost(usage)
        return cost, None if cost is None else "gateway"

    def _partial_reply(self, failure: BaseException | None) -> ChatReply | None:
        partial: ChatReply | None = getattr(failure, "partial", None)
        return partial or (self._answer.reply() if self._answer else None)

    def _attempts(self, failure: BaseException | None) -> int | None:
        """By the last request that was sent; unknown when a call is cancelled before its answer."""
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
            return error_mapping.request_id_of(self._response)
        return getattr(failure, "request_id", None)


def _start_span(settings: Settings, payload: Mapping[str, Any], *, streamed: bool) -> CallSpan | None:
    if settings.accounting is None or not settings.accounting.otel:
        return None
    try:
        from texapi_core.accounting.otel import CallSpan  # an extra

        return CallSpan(settings, payload, streamed=streamed)
    except Exception:
        logger.warning("A call's span could not be started.", exc_info=True)  # which fails no call
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
