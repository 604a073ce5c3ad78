"""Decides which failed requests are sent again, and when. No I/O.

A request is repeated if it cannot have been charged: the gateway's documentation names 429 and 5xx, and a
request that never left cost nothing. Once it was sent, a time-out or a broken connection leaves open whether
the model ran; then only `retry_timeouts=True` repeats it.
"""

from __future__ import annotations

import random

from texapi_core import errors
from texapi_core.accounting.record import logger
from texapi_core.call import Call
from texapi_core.wire.text import printable

MAX_RETRY_AFTER = 60.0
"""Seconds. If the server asks for a longer wait, the error is raised at once instead of a retry."""
FIRST_WAIT = 0.5
"""Seconds before the first retry if the server names no time; doubled for each further one."""
_MAX_WAIT = 8.0
_JITTER = 0.25
_MAX_STALE = 10
"""Idle connections in a row that a server may close as the request is sent."""
RETRY_COUNT = "x-stainless-retry-count"
"""Header in which the openai SDK sends the number of earlier requests: here `Retries.sent`."""


class Retries:
    """The attempts of one request."""

    __slots__ = ("_attempt", "_last", "_repeats_sent", "_stale", "sent")

    def __init__(self, call: Call, *, is_free: bool = False) -> None:
        """`is_free`: the request is never charged."""
        self._last = 1 + call.max_retries
        self._repeats_sent = is_free or call.settings.retry_timeouts
        self._attempt = 1
        self._stale = 0
        self.sent = 0
        """Failed attempts that may have reached the gateway."""

    def wait_after(self, error: errors.TexAPIError) -> float | None:
        """Seconds to wait before the next attempt, `None` if the error is final.

        A stale connection is replaced whatever `max_retries` is: the request has not been tried yet.
        """
        if isinstance(error, errors.TexAPIConnectionError) and error.was_stale and self._stale < _MAX_STALE:
            self._stale += 1
            logger.info("the gateway had closed an idle connection; the request goes over a new one")
            return 0.0
        if self._attempt >= self._last or not self._is_repeatable(error):
            return None
        if not isinstance(error, errors.TexAPIConnectionError) or error.was_sent:
            self.sent += 1
        wait = error.retry_after or self._growing_wait()
        self._attempt += 1
        logger.info(
            "retrying: attempt %d of %d in %.3g s after %s",
            self._attempt,
            self._last,
            wait,
            printable(_described(error)),
        )
        return wait

    def _is_repeatable(self, error: errors.TexAPIError) -> bool:
        if not error.is_retryable:
            return False
        if isinstance(error, errors.TexAPIConnectionError):
            return self._repeats_sent or not error.was_sent
        if not isinstance(error, errors.TexAPIStatusError):
            return False
        if error.retry_after is not None and error.retry_after > MAX_RETRY_AFTER:
            return False
        wanted = error.response.headers.get("x-should-retry")
        if error.status_code in (408, 409):  # 408 may be a gateway's time-out after the model ran
            return wanted == "true" or (error.status_code == 408 and self._repeats_sent and wanted != "false")
        return wanted != "false"

    def _growing_wait(self) -> float:
        wait = min(FIRST_WAIT * 2.0 ** (self._attempt - 1), _MAX_WAIT)
        return wait * (1 - _JITTER * random.random())


def _described(error: errors.TexAPIError) -> str:
    status = getattr(error, "status_code", None)
    words = (type(error).__name__, status, error.type, error.request_id)
    return " ".join(str(word) for word in words if word)
