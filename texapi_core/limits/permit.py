"""What a call holds to pass the gate of its limit: before each attempt, until its answer has ended."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from texapi_core._fork import at_fork
from texapi_core.accounting.estimate import likely_tokens
from texapi_core.accounting.record import logger
from texapi_core.errors import TexAPIConnectionError, TexAPIError, TexAPIRateLimitError
from texapi_core.limits import store_module
from texapi_core.limits.gate import Gate, Ticket
from texapi_core.limits.headers import seen_in
from texapi_core.limits.plan import Plan, parse_limits
from texapi_core.limits.state import MAX_TOKENS, MAX_WAIT
from texapi_core.settings import Settings

_LONG_WAIT = 1.0
"""Seconds from which a wait is logged."""


class Permit:
    """The permits of one call, one for each attempt."""

    __slots__ = ("_estimate", "_gate", "_ticket", "_was_refused", "waited")

    def __init__(self, gate: Gate, payload: Mapping[str, Any]) -> None:
        self._gate = gate
        self._estimate = min(likely_tokens(payload), MAX_TOKENS)
        self._ticket: Ticket | None = None
        self._was_refused = False
        self.waited = 0.0
        """Seconds that the call has waited at the gate."""

    def acquire(self) -> None:
        """Wait until the request may be sent."""
        start = time.monotonic()
        self._acquired(self._gate.acquire(self._estimate, first=self._was_refused), start)

    async def aacquire(self) -> None:
        """Async twin of `acquire`."""
        start = time.monotonic()
        self._acquired(await self._gate.aacquire(self._estimate, first=self._was_refused), start)

    def _acquired(self, ticket: Ticket, start: float) -> None:
        self._ticket = ticket
        waited = time.monotonic() - start
        self.waited += waited
        if waited > _LONG_WAIT:
            logger.info("a request waited %.1f s for the rate limit", waited)

    def failed(self, error: TexAPIError, wait: float | None) -> float | None:
        """Report a failed attempt. Returns the seconds that its call still has to wait by itself."""
        ticket, self._ticket = self._ticket, None
        if ticket is None:
            return wait
        response = getattr(error, "response", None)
        if response is not None and (seen := seen_in(response.headers)) is not None:
            self._gate.learn(seen)
        if not isinstance(error, TexAPIRateLimitError):
            was_charged = isinstance(error, TexAPIConnectionError) and error.was_sent
            self._gate.failed(ticket, was_charged=was_charged)
            return wait
        self._was_refused = True
        self._refused(ticket, error)
        return None if wait is None else 0.0

    def _refused(self, ticket: Ticket, error: TexAPIError) -> None:
        self._gate.refused(ticket, min(error.retry_after or 0.0, MAX_WAIT))

    def opened(self, response: Any) -> None:
        """Report that an answer has begun."""
        self._gate.answered(seen_in(response.headers))

    def end(self, tokens: int | None, error: BaseException | None) -> None:
        """Report the end of the call; `tokens` of its answer, `None` if unknown."""
        ticket, self._ticket = self._ticket, None
        if ticket is None:
            return
        if isinstance(error, TexAPIRateLimitError):  # in place of an answer, with status 200
            self._refused(ticket, error)
        else:
            self._gate.ended(ticket, self._estimate, tokens)


_gates: dict[tuple[str, str, str], Gate] = {}
_inherited: list[Gate] = []
"""Gates of a parent process, kept so that nothing of theirs is closed here."""
_lock = threading.Lock()


def permit_for(settings: Settings, payload: Mapping[str, Any]) -> Permit:
    """The permit of a call with `settings.limits`."""
    limits = settings.limits or ""
    key = (limits, settings.base_url, settings.api_key)
    gate = _gates.get(key)
    if gate is None:
        with _lock:
            gate = _gates.get(key)
            if gate is None:
                gate = _gates[key] = _new_gate(settings)
    return Permit(gate, payload)


def _new_gate(settings: Settings) -> Gate:
    plan = parse_limits(settings.limits or "")
    if not plan.is_shared:
        return Gate(plan)
    name = scope_of(plan, settings.base_url, settings.api_key)
    return Gate(plan, store_module(plan.kind).open_store(plan, name))


def scope_of(plan: Plan, base_url: str, api_key: str) -> str:
    """The name of a limit: what shares it. Of the key it holds a digest."""
    return plan.name or sha256(f"texapi limits\n{base_url}\n{api_key}".encode()).hexdigest()[:24]


def _close_all_gates() -> None:
    for gate in list(_gates.values()):
        gate.close()


def _forget_all_gates() -> None:
    """After a fork the parent's thread and connection are not ours."""
    global _lock
    _lock = threading.Lock()
    _inherited.extend(_gates.values())
    _gates.clear()


atexit.register(_close_all_gates)
at_fork(after_in_child=_forget_all_gates)
