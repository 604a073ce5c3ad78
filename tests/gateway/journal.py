"""The gateway's record of received requests."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from tests.gateway.fault import Fault
from tests.gateway.prompt_cache import PromptCache, PromptUsage
from tests.gateway.script import Given, GivenAnswers


@dataclass(frozen=True)
class ReceivedRequest:
    """One HTTP request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    query: dict[str, str]
    body: Any
    """The parsed JSON, or nothing when there is none."""
    raw: bytes
    client: tuple[str, int]


@dataclass(frozen=True)
class LedgerEntry:
    """The cost of one chat request."""

    request_id: str
    response_id: str | None = None
    model: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    streamed: bool = False
    status: int = 200
    completed: bool = False
    """Whether the whole completion was delivered; always false for a refused request."""
    cache_written_tokens: int = 0
    """Tokens of the prompt that were stored because they were marked."""
    era: int = field(default=0, repr=False, compare=False)
    """The journal's era in which the request arrived: a request that ends after a reset is not recorded."""


class Journal:
    """What a gateway received, and what it shall answer; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._cache = PromptCache()
        self.era = 0
        """The number of resets so far."""
        self.reset()

    def reset(self) -> None:
        """Forget the requests, the ledger, the queued faults, the given answers and all counters."""
        with self._lock:
            self.era += 1
            self._requests: list[ReceivedRequest] = []
            self._ledger: dict[str, LedgerEntry] = {}
            self._faults: deque[Fault] = deque()
            self._answers = GivenAnswers()
            self._counters: dict[str, int] = {}
            self._signed_calls: set[str] = set()
            self._cache.clear()

    @property
    def requests(self) -> list[ReceivedRequest]:
        """Every request so far, refused ones too, in the order of arrival."""
        with self._lock:
            return list(self._requests)

    @property
    def ledger(self) -> list[LedgerEntry]:
        """The cost of every chat request, in the order of arrival."""
        with self._lock:
            return list(self._ledger.values())

    def receive(self, request: ReceivedRequest) -> int:
        with self._lock:
            self._requests.append(request)
            return len(self._requests)

    def next_id(self, prefix: str) -> str:
        with self._lock:
            number = self._counters.get(prefix, 0) + 1
            self._counters[prefix] = number
            return f"{prefix}{number:06d}"

    def next_call_id(self, *, signed: bool) -> str:
        """Return the next identifier of a tool call and note whether it has a signature."""
        with self._lock:
            identifier = self.next_id("call_")
            if signed:
                self._signed_calls.add(identifier)
            return identifier

    def has_signature(self, call_id: str) -> bool:
        """Return whether a tool call was issued with a signature."""
        with self._lock:
            return call_id in self._signed_calls

    def write(self, entry: LedgerEntry) -> None:
        """Write or correct the line of a request in the ledger."""
        with self._lock:
            if entry.era == self.era:
                self._ledger[entry.request_id] = entry

    def misbehave(self, fault: Fault, times: int = 1) -> None:
        """Queue this fault for the next chat requests."""
        with self._lock:
            self._faults.extend([fault] * times)

    def next_fault(self) -> Fault | None:
        with self._lock:
            return self._faults.popleft() if self._faults else None

    def answer(self, *answers: Given, to: str = "", given: str = "") -> None:
        """Answer the next chat requests with these texts, objects or tool calls, in order.

        With ``to`` or ``given``, the answer is not for the next request but, until ``reset``, for each whose
        last user message contains ``to`` and whose messages contain ``given``; the first match is used.
        """
        with self._lock:
            self._answers.add(answers, to, given)

    def next_answer(self, body: dict[str, Any]) -> Given | None:
        with self._lock:
            return self._answers.take(body)

    def measure(self, body: dict[str, Any]) -> PromptUsage:
        """Count the tokens of a prompt and remember its leading messages."""
        with self._lock:
            return self._cache.measure(body)
