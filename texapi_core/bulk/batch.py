"""A batch: asks what has no answer yet, and writes each answer or error as it comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import uuid4

from texapi_core.bulk.calls import STOP_ERRORS, CallEndedError, arun
from texapi_core.bulk.ids import ANSWERED, SEEN, STARTED
from texapi_core.bulk.output import Output, as_line
from texapi_core.bulk.requests import Input, Request
from texapi_core.chat import acomplete
from texapi_core.errors import (
    TexAPIBudgetExceededError,
    TexAPIBudgetUnavailableError,
    TexAPIConnectionError,
    TexAPIError,
    TexAPIRequestTimeoutError,
    TexAPISettingsError,
    TexAPIStatusError,
)
from texapi_core.settings import Settings
from texapi_core.wire.values import ChatReply

_IN_DOUBT = (
    "An earlier run may have been charged for this request, and its answer was lost. Without --skip-in-doubt "
    "it is asked again."
)


@dataclass(slots=True)
class Progress:
    """How far a batch is."""

    count: int
    """Requests of the input."""
    earlier: int = 0
    """Answers of earlier runs."""
    answered: int = 0
    failed: int = 0
    """Requests with a line in the errors file."""
    in_doubt: int = 0
    """Requests that were left out by `skip_in_doubt`, among the failed ones."""
    asked_again: int = 0
    """Requests that an earlier run may have been charged for already."""
    tokens: int = 0
    cost: Decimal = Decimal(0)
    """USD, as far as known."""
    unpriced: int = 0
    """Answers whose cost is not known."""
    started_at: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> int:
        """Requests with an answer."""
        return self.earlier + self.answered

    @property
    def waiting(self) -> int:
        """Requests without an answer or error."""
        return max(self.count - self.done - self.failed, 0)


async def run_batch(
    requests: Input,
    output: Output,
    settings: Settings,
    progress: Progress,
    *,
    concurrency: int,
    skip_in_doubt: bool = False,
) -> None:
    """Ask every request of the input that has no answer in the output.

    Raises:
        OSError: the output cannot be written. Answers that could not be written are in doubt.
        TexAPIError: one of `STOP_ERRORS`, after the calls under way have ended.
        texapi_core.bulk.requests.InputError: the rest of the input cannot be read.
    """
    batch = _Batch(output, settings, progress, skip_in_doubt=skip_in_doubt)
    unanswered = batch.unanswered(requests.read())
    stop_on = (*STOP_ERRORS, OSError)
    try:
        async with aclosing(arun(batch.ask, unanswered, concurrency=concurrency, stop_on=stop_on)) as results:
            async for result in results:
                if isinstance(result.error, CallEndedError):
                    batch.fail_in_doubt(result.input.custom_id, result.error)
    finally:
        batch.write_rest()
    progress.count = progress.done + progress.failed  # without blank lines
    output.finish()


class _Batch:
    def __init__(
        self, output: Output, settings: Settings, progress: Progress, *, skip_in_doubt: bool
    ) -> None:
        self._output = output
        self._settings = settings
        self._progress = progress
        self._skips = skip_in_doubt
        self._unwritten: list[tuple[str, bytes]] = []
        self._active = 0
        self._has_room = asyncio.Event()

    def unanswered(self, requests: Iterator[Request]) -> Iterator[Request]:
        """The requests to ask. What cannot be asked gets its line in the errors file."""
        ids = self._output.ids
        for request in requests:
            flags = ids.flags(request.custom_id)
            if request.fault or flags & SEEN:
                fault = request.fault or "This `custom_id` is that of an earlier line too."
                self._fail(request.custom_id, "invalid_line", fault)
                continue
            ids.add(request.custom_id, SEEN)
            if flags & ANSWERED:
                self._progress.earlier += 1
            elif flags & STARTED and self._skips:
                self._output.is_clear = False
                self._progress.in_doubt += 1
                self._fail(request.custom_id, "in_doubt", _IN_DOUBT)
            else:
                self._progress.asked_again += bool(flags & STARTED)
                yield request

    async def ask(self, request: Request) -> None:
        """Ask a request and write what comes of it. Raises `OSError` and `STOP_ERRORS`."""
        custom_id = request.custom_id
        self._output.begin(custom_id)
        try:
            reply = await self._reply(request.body)
        except STOP_ERRORS:
            self._output.note_free(custom_id)
            raise
        except Exception as error:
            if is_free(error):
                self._output.note_free(custom_id)
                self._fail_by(custom_id, error)
            else:
                self.fail_in_doubt(custom_id, error)
        else:
            self._write(custom_id, reply)

    def fail_in_doubt(self, custom_id: str, error: Exception) -> None:
        """Write the line of a call that has failed and may have been charged."""
        self._output.is_clear = False
        self._fail_by(custom_id, error)

    async def _reply(self, body: Mapping[str, Any]) -> ChatReply:
        """The answer. A budget that is only reserved by other calls is waited for."""
        while True:
            self._active += 1
            was_refused = False
            try:
                return await acomplete(self._settings, body)
            except TexAPIBudgetExceededError as error:
                was_refused = True
                if self._active == 1 or isinstance(error, TexAPIBudgetUnavailableError):
                    raise
            finally:
                self._active -= 1
                if not was_refused or not self._active:
                    self._has_room.set()
                    self._has_room = asyncio.Event()
            await self._has_room.wait()

    def _write(self, custom_id: str, reply: ChatReply) -> None:
        usage = reply.usage
        response = {"status_code": 200, "request_id": reply.request_id, "body": reply.raw}
        line = {
            "id": f"batch_req_{uuid4().hex}",
            "custom_id": custom_id,
            "response": response,
            "error": None,
            "cost_usd": usage.cost if usage else None,
        }
        progress = self._progress
        progress.tokens += (usage and usage.total_tokens) or 0
        if usage and usage.cost is not None:
            progress.cost += Decimal(str(usage.cost))
        else:
            progress.unpriced += 1
        written = as_line(line)
        try:
            self._output.answer(custom_id, written)
        except OSError:
            self._unwritten.append((custom_id, written))
            raise
        progress.answered += 1

    def write_rest(self) -> None:
        """Try once more to write the answers that came while that was impossible."""
        for custom_id, line in self._unwritten:
            self._output.answer(custom_id, line)
            self._progress.answered += 1

    def _fail_by(self, custom_id: str, error: Exception) -> None:
        code = getattr(error, "type", None) or type(error).__name__
        self._fail(custom_id, str(code), str(error), _response_of(error))

    def _fail(
        self, custom_id: str, code: str, message: str, response: Mapping[str, Any] | None = None
    ) -> None:
        line = {
            "id": f"batch_req_{uuid4().hex}",
            "custom_id": custom_id,
            "response": response,
            "error": {"code": code, "message": message},
        }
        self._output.fail(as_line(line))
        self._progress.failed += 1


def is_free(error: Exception) -> bool:
    """Whether a call that failed cannot have been charged: as the gateway documents for 4xx and 5xx."""
    if isinstance(error, TexAPIConnectionError):
        return not error.was_sent
    if isinstance(error, TexAPIStatusError):
        return error.status_code >= 400 and not isinstance(error, TexAPIRequestTimeoutError)
    return isinstance(error, (TexAPISettingsError, TexAPIBudgetExceededError))


def _response_of(error: Exception) -> dict[str, Any] | None:
    if not isinstance(error, TexAPIError) or not isinstance(error, TexAPIStatusError):
        return None
    return {"status_code": error.status_code, "request_id": error.request_id, "body": error.body}
