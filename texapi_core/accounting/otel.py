"""OpenTelemetry span and metrics of a call, by the semantic conventions for generative AI.

They contain the fields of the call's record and no message content. Only OpenTelemetry's API is used, which
does nothing until the application sets a provider.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import context, metrics, trace
from opentelemetry.util.types import AttributeValue

from texapi_core._version import __version__
from texapi_core.accounting.record import CallRecord, StartedCall
from texapi_core.wire.surrogates import replace_lone_surrogates

SCHEMA_URL = "https://opentelemetry.io/schemas/1.41.1"
"""The last version that defines the names below; later ones refer to a separate registry, which has no
version yet (opentelemetry-semantic-conventions 0.66b2, 2026-11-23)."""
PROVIDER = "texapi"
_SCOPE = "texapi_core"
_PORTS = {"http": 80, "https": 443}
_MAX_INT = 2**63

_NUMBERS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "seed": "gen_ai.request.seed",
}
"""Numeric parameter of the payload -> span attribute."""
_OUTPUT_TYPES = {"text": "text", "json_object": "json", "json_schema": "json"}

_SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
_TOKENS = [4**power for power in range(14)]
_FIRST_CHUNK = "Time to receive the first chunk of a streamed answer."
_HISTOGRAMS = (
    ("gen_ai.client.operation.duration", "s", "GenAI operation duration.", _SECONDS),
    ("gen_ai.client.operation.time_to_first_chunk", "s", _FIRST_CHUNK, _SECONDS),
    ("gen_ai.client.token.usage", "{token}", "Number of input and output tokens used.", _TOKENS),
)
"""Name, unit, description and boundaries by the conventions."""


class CallSpan:
    """The span of a call, from its start in the caller's context to its end."""

    def __init__(self, call: StartedCall) -> None:
        address, model = urlsplit(call.base_url), call.model
        self._common = _attributes(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": PROVIDER,
                "gen_ai.request.model": model,
                "server.address": address.hostname,
                "server.port": address.port or _PORTS[address.scheme],
            }
        )
        self._span = _tracer().start_span(
            replace_lone_surrogates(f"chat {model}") if model else "chat",
            kind=trace.SpanKind.CLIENT,
            attributes={**self._common, **_request_attributes(call.payload, streamed=call.streamed)},
        )
        self._context = trace.set_span_in_context(self._span)

    @contextmanager
    def sending(self) -> Generator[None]:
        """Make the span the parent of an instrumented HTTP library's spans."""
        token = context.attach(self._context)
        try:
            yield
        finally:
            context.detach(token)

    def end(self, record: CallRecord) -> None:
        """End the span and record the metrics."""
        self._common |= _attributes({"gen_ai.response.model": record.served_model})
        failure = _attributes({"error.type": record.error})
        if self._span.is_recording():
            self._span.set_attributes({**self._common, **failure, **_response_attributes(record)})
            if record.error:
                self._span.set_status(trace.StatusCode.ERROR, record.error_code or record.error)
        self._span.end()
        self._record_metrics(record, {**self._common, **failure})

    def _record_metrics(self, record: CallRecord, attributes: Mapping[str, AttributeValue]) -> None:
        duration, first_chunk, tokens = _instruments()
        duration.record(record.total_ms / 1000, attributes, self._context)
        if record.first_token_ms is not None:
            first_chunk.record(record.first_token_ms / 1000, attributes, self._context)
        usage = record.usage
        for kind, count in (("input", usage.input_tokens), ("output", usage.output_tokens)):
            if count is not None:
                tokens.record(count, {**self._common, "gen_ai.token.type": kind}, self._context)


def _request_attributes(payload: Mapping[str, Any], *, streamed: bool) -> dict[str, AttributeValue]:
    numbers = {name: payload[parameter] for parameter, name in _NUMBERS.items() if parameter in payload}
    choices, wanted = payload.get("n"), payload.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, Mapping) else None
    return _attributes(
        {
            **{name: _number(value) for name, value in numbers.items()},
            "gen_ai.request.choice.count": None if choices == 1 else _number(choices),
            "gen_ai.request.stream": True if streamed else None,
            "gen_ai.output.type": _OUTPUT_TYPES.get(str(kind)),
        }
    )


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) else None


def _response_attributes(record: CallRecord) -> dict[str, AttributeValue]:
    """Attributes of the span alone: the conventions' names, then ours."""
    usage, labels = record.usage, record.labels
    known = {
        **{f"texapi.metadata.{name}": value for name, value in labels.metadata.items()},
        "gen_ai.response.id": record.response_id,
        "gen_ai.response.finish_reasons": (record.finish_reason,) if record.finish_reason else None,
        "gen_ai.response.time_to_first_chunk": _seconds(record.first_token_ms),
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_creation_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
        "texapi.request_id": record.request_id,
        "texapi.outcome": record.outcome,
        "texapi.attempts": record.attempts,
        "texapi.error_code": record.error_code,
        "texapi.cost": None if record.cost is None else float(record.cost),
        "texapi.cost_source": record.cost_source,
        "texapi.run_id": labels.run_id,
        "texapi.tags": labels.tags or None,
    }
    return _attributes(known)


def _attributes(known: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Known values in a form that exporters accept: one bad value would lose a whole batch of spans."""
    return {
        replace_lone_surrogates(name): _exportable(value)
        for name, value in known.items()
        if value is not None
    }


def _exportable(value: Any) -> Any:
    if isinstance(value, int) and not -_MAX_INT <= value < _MAX_INT:
        return str(value)
    if isinstance(value, tuple):
        return tuple(map(replace_lone_surrogates, value))
    return replace_lone_surrogates(value)


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


@cache
def _tracer() -> trace.Tracer:
    return trace.get_tracer(_SCOPE, __version__, schema_url=SCHEMA_URL)


@cache
def _instruments() -> list[metrics.Histogram]:
    create = metrics.get_meter(_SCOPE, __version__, schema_url=SCHEMA_URL).create_histogram
    return [
        create(name, unit, description, explicit_bucket_boundaries_advisory=boundaries)
        for name, unit, description, boundaries in _HISTOGRAMS
    ]
