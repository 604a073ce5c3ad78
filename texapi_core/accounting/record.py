"""One `CallRecord` per call: its outcome, timing, token usage and cost.

Listeners are called once per call, when it has ended: complete, failed, cancelled or closed early. They run
in the `contextvars` context in which the call began. A record contains no message content and no API key.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from math import isfinite
from typing import Any, Literal, Protocol

from texapi_core._fork import at_fork
from texapi_core.wire.scalars import text_or_none
from texapi_core.wire.text import printable
from texapi_core.wire.usage import TokenUsage

Outcome = Literal["ok", "error", "cancelled", "closed"]
"""`closed`: the caller stopped reading the stream before its end."""
CostSource = Literal["gateway", "prices"]
Listener = Callable[["CallRecord"], None]

NO_USAGE = TokenUsage()
_MAX_LABEL = 200
TAG_SEPARATORS = ("=", ":")
"""Between the name of a tag and its value, e.g. `team=search`."""
_SEPARATOR = re.compile("|".join(TAG_SEPARATORS))


def tag_name(tag: str) -> str:
    """The name of a tag: `team` of `team=shop`, the whole of a tag without a separator."""
    return _SEPARATOR.split(tag, 1)[0]


logger = logging.getLogger("texapi")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLabels:
    """Tags, metadata and run id that the user gave a call through the framework."""

    tags: tuple[str, ...] = ()
    """Tags of the call."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Metadata of the call; values that are no JSON are text in the ledger."""
    run_id: str | None = None
    """LangChain's run id."""


NO_LABELS = CallLabels()


def labels_of(tags: Iterable[Any], metadata: Mapping[str, Any], *, run_id: object = None) -> CallLabels:
    """Labels with text cut to 200 characters and metadata values that are JSON scalars.

    Of tags that are one value to a budget, such as `team=a` and `team:a`, the first is kept.
    """
    different: dict[str, str] = {}
    for tag in (str(tag)[:_MAX_LABEL] for tag in tags):
        different.setdefault(_SEPARATOR.sub(TAG_SEPARATORS[0], tag, count=1), tag)
    return CallLabels(
        tags=tuple(different.values()),
        metadata={str(name)[:_MAX_LABEL]: _plain(value) for name, value in metadata.items()},
        run_id=None if run_id is None else str(run_id),
    )


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool) or (isinstance(value, float) and isfinite(value)):
        return value
    if isinstance(value, int):
        if value.bit_length() < 64:
            return value
        # Python refuses to write out more than 4,300 digits.
        return str(value) if value.bit_length() <= _MAX_LABEL else hex(value)[:_MAX_LABEL]
    try:
        return str(value)[:_MAX_LABEL]
    except Exception:
        return f"<{type(value).__name__}>"


def bounded(value: Any) -> Any:
    """A JSON scalar that any database can hold and index: text of at most 200 characters.

    PostgreSQL rejects text with a NUL or a lone surrogate, and both databases integers of more than 64 bits.
    """
    value = _plain(value)
    if not isinstance(value, str):
        return value
    return value[:_MAX_LABEL].replace("\0", "").encode("utf-8", "replace").decode()


def bounded_text(value: Any) -> str:
    """A bounded value of metadata as text, as the ledger's JSON spells it."""
    value = bounded(value)
    return value if isinstance(value, str) else json.dumps(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedCall:
    """A call that is about to be sent."""

    call_id: str
    """The id that its `CallRecord` has too."""
    started_at: datetime
    """In UTC."""
    streamed: bool
    """Whether the answer is asked for as a stream."""
    payload: Mapping[str, Any]
    """The JSON of the request, without `stream`."""
    base_url: str
    """Address of the gateway."""
    key_hint: str
    """The last four characters of the key, or `""` for a short key."""
    key_digest: str
    """SHA-256 of the key, to distinguish keys."""
    labels: CallLabels = NO_LABELS
    """Tags, metadata and run id of the call."""
    max_requests: int = 1
    """Requests that may be charged: retries of refused ones are not, of those that timed out they may be."""

    @property
    def model(self) -> str | None:
        """The requested model."""
        return text_or_none(self.payload.get("model"))


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One call to the gateway. `None` means unknown."""

    call_id: str
    """A unique id made by this package: not every call gets a `request_id`."""
    started_at: datetime
    """In UTC."""
    streamed: bool
    """Whether the answer was asked for as a stream."""
    outcome: Outcome
    """How it ended: `ok`, `error`, `cancelled`, or `closed` by a caller who stopped reading the stream."""
    total_ms: float
    """Milliseconds from the start of the call to its end."""
    first_token_ms: float | None = None
    """Milliseconds to the first content of a stream."""
    attempts: int | None = None
    """Requests that may have reached the gateway, including retries."""
    waited_ms: float | None = None
    """Milliseconds of `total_ms` in which the call waited for the rate limit, with `limits`."""
    request_id: str | None = None
    """The gateway's `x-request-id` of the last attempt."""
    response_id: str | None = None
    """The answer's id."""
    model: str | None = None
    """The requested model."""
    served_model: str | None = None
    """The model named in the answer."""
    usage: TokenUsage = NO_USAGE
    """Tokens as the gateway counted them."""
    cost: Decimal | None = None
    """USD."""
    cost_source: CostSource | None = None
    """Whether the gateway reported the cost, or a price list gave it."""
    cache_savings: Decimal | None = None
    """USD that reading from the prompt cache saved, by the price list."""
    finish_reason: str | None = None
    """Why the answer ended, as the gateway says it."""
    error: str | None = None
    """Name of the exception class."""
    error_code: str | None = None
    """The gateway's error code, e.g. `insufficient_credits`."""
    key_hint: str = ""
    """The last four characters of the key, or `""` for a short key."""
    labels: CallLabels = NO_LABELS
    """Tags, metadata and run id of the call."""
    uncertain_requests: int = 0
    """Requests of unknown tokens that may have been charged: timed out, broken off or cancelled."""


@dataclass(frozen=True, slots=True)
class Spending:
    """USD and tokens. `cost` is `None` if unknown."""

    cost: Decimal | None
    tokens: int


class OpenCall(Protocol):
    """A call in progress."""

    def record_interrupted(self) -> None:
        """Record the call as cancelled: the process is exiting."""
        ...


failed_responses: ContextVar[list[int] | None] = ContextVar("texapi_failed_responses", default=None)
"""Where the transport adds the status of each failed response to a recorded call: those are not charged."""

open_calls: set[OpenCall] = set()
"""The recorded calls of this process that are in progress."""
at_fork(after_in_child=open_calls.clear)


def record_open_calls() -> None:
    """Record the calls that the exit of the process interrupts: the gateway may charge for them."""
    for call in list(open_calls):
        call.record_interrupted()


def log_call(record: CallRecord) -> None:
    """Log one line for a call, with every field in `extra` under a name prefixed `texapi_`."""
    fields = {
        name: printable(value) if isinstance(value, str) else value
        for name, value in log_fields(record).items()
    }
    line = " ".join(f"{name}={value}" for name, value in fields.items() if value not in (None, ()))
    logger.info("call %s", line, extra={f"texapi_{name}": value for name, value in fields.items()})


def log_fields(record: CallRecord) -> dict[str, Any]:
    """The fields of a record under their names in the log and the ledger."""
    usage = record.usage
    return {
        "outcome": record.outcome,
        "request_id": record.request_id,
        "response_id": record.response_id,
        "model": record.model,
        "served_model": record.served_model,
        "streamed": record.streamed,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cached_tokens,
        "cache_creation_tokens": usage.cache_creation_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "cost": record.cost,
        "cost_source": record.cost_source,
        "cache_savings": record.cache_savings,
        "finish_reason": record.finish_reason,
        "first_token_ms": record.first_token_ms,
        "total_ms": record.total_ms,
        "attempts": record.attempts,
        "waited_ms": record.waited_ms,
        "error": record.error,
        "error_code": record.error_code,
        "run_id": record.labels.run_id,
        "tags": record.labels.tags,
    }
