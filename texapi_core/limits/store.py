"""Where the state of a limit is if several processes share it. A thread connects, so that no call waits."""

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from texapi_core.limits.plan import Plan
from texapi_core.limits.state import Grant, Step

CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 0.5
"""How long a step waits for an answer; then the store is away."""
LEASE_SECONDS = 15.0
"""After so long without a step the calls in progress of a process no longer count."""
KEPT_SECONDS = 3600
"""How long what was learned is kept without a call."""
_PROBE_SECONDS = 1.0


class SharedStore(ABC):
    """Steps in a store that may be slow or away. `step` is called by one thread at a time."""

    kind: str
    """Its name in log lines."""

    def __init__(self, plan: Plan, name: str) -> None:
        self._plan = plan
        self._name = name
        self._process = f"{os.getpid()}-{uuid4().hex[:12]}"
        self._is_connected = threading.Event()
        self._is_connecting = False
        self.failure: Exception | None = None
        """Why it is away."""

    def is_ready(self, wait: float = 0.0) -> bool:
        """Whether it answers, after at most `wait` seconds. If not, a thread goes on trying."""
        if not self._is_connected.is_set() and not self._is_connecting:
            self._is_connecting = True
            threading.Thread(target=self._connect, name="texapi-limits-connect", daemon=True).start()
        return self._is_connected.wait(wait) if wait else self._is_connected.is_set()

    def _connect(self) -> None:
        while True:
            try:
                self._open()
            except Exception as error:  # drivers let errors of lower layers through
                self.failure = error
                self.close()
                time.sleep(_PROBE_SECONDS)
            else:
                self._is_connecting = False
                self._is_connected.set()
                return

    def step(self, step: Step, *, now: float | None = None) -> Grant | None:
        """The grant, `None` if there is no answer. `now` replaces the clock of the store in tests."""
        try:
            return self._ask(step, now)
        except Exception as error:
            self.failure = error
            self._is_connected.clear()
            return None

    def close(self) -> None:
        """Close the connection; the next step makes another."""
        self._is_connected.clear()
        with suppress(Exception):
            self._close()

    @abstractmethod
    def _open(self) -> None:
        """Connect. Raises what the driver raises."""

    @abstractmethod
    def _close(self) -> None:
        """Close what is open."""

    @abstractmethod
    def _ask(self, step: Step, now: float | None) -> Grant:
        """The grant, by the clock of the store. Raises what the driver raises."""


def limit_row(
    name: str, state: Mapping[str, float], now: float, processes: int, calls: int | None
) -> dict[str, Any]:
    """What `texapi limits` says of a limit; `None` means unknown."""
    return {
        "limit": name,
        "stated_requests_per_minute": state.get("limit") or None,
        "stated_tokens_per_minute": state.get("token_limit") or None,
        "requests_per_minute": _per_minute(state.get("rate")),
        "tokens_per_minute": _per_minute(state.get("token_rate")),
        "share": round(state.get("share", 1.0), 3),
        "blocked_seconds": round(max(state.get("blocked_until", 0.0) - now, 0.0), 1),
        "refusals": int(state.get("epoch", 0)),
        "processes": processes,
        "calls": calls,
    }


def _per_minute(rate: float | None) -> float | None:
    return round(rate * 60, 1) if rate else None


def reason_of(error: Exception, url: str) -> str:
    """The class of an error and the first line of its text, unless that quotes the password of the URL."""
    text = str(error).strip().partition("\n")[0][:200]
    password = urlsplit(url).password or ""
    if not text or (password and (password in text or unquote(password) in text)):
        return type(error).__name__
    return f"{type(error).__name__}: {text}"
