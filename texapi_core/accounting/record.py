"""What one call took and how it ended: one `CallRecord` per call, for whoever listens.

Listeners are called once per call, when it ends, in the context in which it began: after the whole answer,
or when it failed, broke, was cancelled or was closed early. A record holds no content and no key.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from math import isfinite
from typing import Any, Literal, Protocol

from texapi_core.wire.scalars import text_or_none
from texapi_core.wire.usage import TokenUsage

Outcome = Literal["ok", "error", "cancelled", "closed"]
"""`closed`: whoever read the stream stopped before its end."""
CostSource = Literal["gateway", "prices"]
Listener = Callable[["CallRecord"], None]

NO_USAGE = TokenUsage()
_MAX_LABEL = 200

logger = logging.getLogger("texapi")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLabels:
    """What the user calls a call, by the means of the framework."""

    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    run_id: str | None = None
    """LangChain's id of the run."""


NO_LABELS = CallLabels()


def no_labels() -> CallLabels:
    """The labels of a call whose framework has none."""
    return NO_LABELS


def labels_of(tags: Iterable[Any], metadata: Mapping[str, Any], *, run_id: object = None) -> CallLabels:
    """Labels as a record keeps them: short text, and values that are plain JSON."""
    return CallLabels(
        tags=tuple(dict.fromkeys(str(tag)[:_MAX_LABEL] for tag in tags)),
        metadata={str(name)[:_MAX_LABEL]: _plain(value) for name, value in metadata.items()},
        run_id=None if run_id is None else str(run_id),
    )


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and isfinite(value)):
        return value
    try:
        return str(value)[:_MAX_LABEL]
    except Exception:
        return f"<{type(value).__name__}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedCall:
    """What is known of a call when it begins."""

    call_id: str
    started_at: datetime
    """In UTC."""
    streamed: bool
    payload: Mapping[str, Any]
    """The JSON of the request, but for `stream`."""
    base_url: str
    key_hint: str
    """The last characters of the key."""
    key_digest: str
    """Tells one key from another, and nothing of either."""
    labels: CallLabels = NO_LABELS

    @property
    def model(self) -> str | None:
        """The model that is asked for."""
        return text_or_none(self.payload.get("model"))


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One call of the gateway. `None` means that it is not known."""

    call_id: str
    """An id of our own, for a call that never got one from the gateway."""
    started_at: datetime
    """In UTC."""
    streamed: bool
    outcome: Outcome
    total_ms: float
    """Milliseconds from the start of the call to the end of its answer."""
    first_token_ms: float | None = None
    """Milliseconds to the first content of a stream."""
    attempts: int | None = None
    """Requests sent: 1 and the retries."""
    request_id: str | None = None
    """The gateway's `x-request-id`, of the last attempt."""
    response_id: str | None = None
    model: str | None = None
    """The model that was asked for."""
    served_model: str | None = None
    """The model that answered, by the answer."""
    usage: TokenUsage = NO_USAGE
    cost: Decimal | None = None
    """USD."""
    cost_source: CostSource | None = None
    """Who says what it cost: the gateway, or a price list."""
    finish_reason: str | None = None
    error: str | None = None
    """Name of the error's class."""
    error_code: str | None = None
    """The gateway's name of the error, e.g. `insufficient_credits`."""
    key_hint: str = ""
    """The last characters of the key."""
    labels: CallLabels = NO_LABELS


@dataclass(frozen=True, slots=True)
class Spending:
    """USD and tokens. `cost` is `None` where it is not known."""

    cost: Decimal | None
    tokens: int


class OpenCall(Protocol):
    """A call that goes on."""

    def cut_off(self) -> None:
        """Record the call now: the process ends before it does."""
        ...


open_calls: set[OpenCall] = set()
"""The calls of this process that are recorded and have not ended."""
os.register_at_fork(after_in_child=open_calls.clear)


def record_open_calls() -> None:
    """Record the calls that the end of the process cuts off: the gateway may charge for them."""
    for call in list(open_calls):
        call.cut_off()


def log_call(record: CallRecord) -> None:
    """One line for a call, with every field in `extra` under a name that starts with `texapi_`."""
    fields = log_fields(record)
    line = " ".join(f"{name}={value}" for name, value in fields.items() if value not in (None, ()))
    logger.info("call %s", line, extra={f"texapi_{name}": value for name, value in fields.items()})


def log_fields(record: CallRecord) -> dict[str, Any]:
    """The fields of a record, by the names that the log and the ledger use."""
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
        "finish_reason": record.finish_reason,
        "first_token_ms": record.first_token_ms,
        "total_ms": record.total_ms,
        "attempts": record.attempts,
        "error": record.error,
        "error_code": record.error_code,
        "run_id": record.labels.run_id,
        "tags": record.labels.tags,
    }
