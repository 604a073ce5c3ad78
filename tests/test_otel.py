"""OpenTelemetry spans and metrics of calls in both frameworks, however a call is made and ends."""

from __future__ import annotations

import asyncio
import pickle
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.instrumentation.dispatcher import instrument_tags
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.trace import SpanKind, StatusCode

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.asking import MODEL, QUESTION, ask_langchain, both, every_way
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from tests.waiting import await_until, cancel_once
from texapi_core import TexAPIError, TexAPISettingsError
from texapi_core.accounting import CallRecord


@pytest.fixture(scope="session")
def _exporter() -> InMemorySpanExporter:
    """The exporter of all spans: OpenTelemetry accepts only one provider per process."""
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture(scope="session")
def reader() -> InMemoryMetricReader:
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader]))
    return reader


@pytest.fixture
def spans(_exporter: InMemorySpanExporter) -> Iterator[InMemorySpanExporter]:
    _exporter.clear()
    yield _exporter
    _exporter.clear()


def only(spans: InMemorySpanExporter) -> ReadableSpan:
    (span,) = spans.get_finished_spans()
    return span


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def points_of(reader: InMemoryMetricReader, model: str) -> dict[tuple[str, str | None], HistogramDataPoint]:
    """Data points for a model, by metric name and token type."""
    data = reader.get_metrics_data()
    found = {}
    for resource in data.resource_metrics if data else []:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    assert isinstance(point, HistogramDataPoint)
                    said: dict[str, Any] = dict(point.attributes or {})
                    if said["gen_ai.request.model"] == model:
                        found[metric.name, said.get("gen_ai.token.type")] = point
    return found


tracer = trace.get_tracer("tests")


# Spans


@both
@every_way
async def test_a_span_matches_the_gateway_ledger(
    call: Any, how: str, gateway: Gateway, endpoint: Endpoint, spans: InMemorySpanExporter
) -> None:
    await call(how, endpoint, otel=True)

    span, (booked,) = only(spans), gateway.ledger
    assert (span.name, span.kind, span.status.status_code) == (
        f"chat {MODEL}",
        SpanKind.CLIENT,
        StatusCode.UNSET,
    )
    said = attributes_of(span)
    first_chunk = said.pop("gen_ai.response.time_to_first_chunk", None)
    assert (first_chunk is not None) == how.endswith("stream")
    run_id = said.pop("texapi.run_id", None)
    assert (run_id is not None) == (call is ask_langchain)
    assert said.pop("texapi.cost") > 0
    assert said.pop("texapi.cost_source") == "prices"
    tokens = {
        "gen_ai.usage.input_tokens": booked.prompt_tokens,
        "gen_ai.usage.output_tokens": booked.completion_tokens,
        "gen_ai.usage.reasoning.output_tokens": booked.reasoning_tokens,
    }
    if "gen_ai.usage.cache_read.input_tokens" in said:
        tokens["gen_ai.usage.cache_read.input_tokens"] = booked.cached_tokens
    assert booked.reasoning_tokens
    port = int(endpoint.base_url.rpartition(":")[2].removesuffix("/v1"))
    assert said == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "texapi",
        "gen_ai.request.model": MODEL,
        "gen_ai.response.model": MODEL,
        "gen_ai.response.id": booked.response_id,
        "gen_ai.response.finish_reasons": ("stop",),
        "server.address": "127.0.0.1",
        "server.port": port,
        "texapi.request_id": booked.request_id,
        "texapi.outcome": "ok",
        "texapi.attempts": 1,
        **({"gen_ai.request.stream": True} if how.endswith("stream") else {}),
        **tokens,
    }


@both
@every_way
async def test_a_span_is_a_child_of_the_caller_s_span(
    call: Any, how: str, endpoint: Endpoint, spans: InMemorySpanExporter
) -> None:
    with tracer.start_as_current_span("caller") as caller:
        await call(how, endpoint, otel=True)
        assert trace.get_current_span() is caller

    child, parent = spans.get_finished_spans()
    assert child.parent is not None
    assert parent.context is not None
    assert child.parent.span_id == parent.context.span_id


@both
@every_way
async def test_a_span_lasts_as_long_as_the_call(
    call: Any,
    how: str,
    gateway: Gateway,
    endpoint: Endpoint,
    spans: InMemorySpanExporter,
    records: list[CallRecord],
) -> None:
    gateway.misbehave(Fault(delay=0.2))

    await call(how, endpoint, otel=True)

    span = only(spans)
    assert span.start_time is not None
    assert span.end_time is not None
    lasted = (span.end_time - span.start_time) / 1e6
    assert lasted >= 200
    assert lasted == pytest.approx(records[0].total_ms, abs=5000)


@both
@every_way
async def test_a_failed_call_is_a_failed_span(
    call: Any, how: str, gateway: Gateway, endpoint: Endpoint, spans: InMemorySpanExporter
) -> None:
    gateway.misbehave(Fault(status=402, code="insufficient_credits", message="Top up, dear customer"))

    with pytest.raises(TexAPIError):
        await call(how, endpoint, otel=True)

    span = only(spans)
    said = attributes_of(span)
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "insufficient_credits")
    assert said["error.type"] == "TexAPIInsufficientCreditsError"
    assert said["texapi.error_code"] == "insufficient_credits"
    assert said["texapi.request_id"] == gateway.ledger[0].request_id
    assert "gen_ai.usage.input_tokens" not in said
    assert "dear customer" not in span.to_json()


@both
@pytest.mark.parametrize("how", ["stream", "astream"])
async def test_a_broken_stream_is_a_failed_span(
    call: Any, how: str, gateway: Gateway, endpoint: Endpoint, spans: InMemorySpanExporter
) -> None:
    gateway.misbehave(Fault(cut_after=3))

    with pytest.raises(TexAPIError):
        await call(how, endpoint, otel=True)

    said = attributes_of(only(spans))
    assert said["error.type"] == "TexAPIStreamInterruptedError"
    assert said["gen_ai.response.id"] == gateway.ledger[0].response_id
    assert said["gen_ai.response.time_to_first_chunk"] > 0


@both
async def test_a_call_that_is_never_answered_is_a_failed_span(call: Any, spans: InMemorySpanExporter) -> None:
    with pytest.raises(TexAPIError):
        await call("whole", Endpoint("http://127.0.0.1:9/v1", "sk-tex-unreachable"), otel=True)

    said = attributes_of(only(spans))
    assert (said["error.type"], said["server.port"]) == ("TexAPIConnectionError", 9)


@both
async def test_a_refused_call_is_a_failed_span(
    call: Any, endpoint: Endpoint, spans: InMemorySpanExporter
) -> None:
    with pytest.raises(TexAPIError):
        await call("whole", endpoint, otel=True, max_tokens_total=0)

    assert attributes_of(only(spans))["error.type"] == "TexAPIBudgetExceededError"


def test_a_stream_closed_early_ends_its_span(
    gateway: Gateway, endpoint: Endpoint, spans: InMemorySpanExporter
) -> None:
    streams: list[Any] = [
        ChatTexAPI(model=MODEL, otel=True, **endpoint.for_langchain()).stream(QUESTION),
        TexAPI(model=MODEL, otel=True, **endpoint.for_llama_index()).stream_chat([ChatMessage(QUESTION)]),
    ]
    for stream in streams:
        spans.clear()
        next(stream)
        assert not spans.get_finished_spans()
        stream.close()

        span = only(spans)
        assert attributes_of(span)["texapi.outcome"] == "closed"
        assert attributes_of(span)["texapi.request_id"] == gateway.ledger[-1].request_id
        assert span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
async def test_an_async_stream_closed_early_ends_its_span(
    framework: str, endpoint: Endpoint, spans: InMemorySpanExporter
) -> None:
    stream: Any
    with tracer.start_as_current_span("caller") as caller:
        if framework == "langchain":
            stream = ChatTexAPI(model=MODEL, otel=True, **endpoint.for_langchain()).astream(QUESTION)
        else:
            llm = TexAPI(model=MODEL, otel=True, **endpoint.for_llama_index())
            stream = await llm.astream_chat([ChatMessage(QUESTION)])
        await anext(stream)
        assert trace.get_current_span() is caller
    spans.clear()
    await stream.aclose()
    await await_until(spans.get_finished_spans)

    span = only(spans)
    assert attributes_of(span)["texapi.outcome"] == "closed"
    assert span.parent is not None
    assert span.parent.span_id == caller.get_span_context().span_id


@both
@pytest.mark.parametrize("how", ["awhole", "astream"])
async def test_a_cancelled_call_ends_its_span(
    call: Any, how: str, gateway: Gateway, endpoint: Endpoint, spans: InMemorySpanExporter
) -> None:
    gateway.misbehave(Fault(delay=60))

    await cancel_once(lambda: gateway.requests, call(how, endpoint, otel=True))

    span = only(spans)
    assert attributes_of(span)["texapi.outcome"] == "cancelled"
    assert span.status.status_code is StatusCode.UNSET


@both
async def test_concurrent_calls_have_separate_spans(
    call: Any, gateway: Gateway, endpoint: Endpoint, spans: InMemorySpanExporter
) -> None:
    async def run(number: int) -> int:
        with tracer.start_as_current_span(f"caller {number}") as caller:
            await call("astream" if number % 2 else "awhole", endpoint, otel=True)
            return caller.get_span_context().span_id

    callers = await asyncio.gather(*map(run, range(8)))

    children = [span for span in spans.get_finished_spans() if span.name.startswith("chat ")]
    assert sorted(span.parent.span_id for span in children if span.parent) == sorted(callers)
    assert {attributes_of(span)["texapi.request_id"] for span in children} == {
        booked.request_id for booked in gateway.ledger
    }


def test_spans_of_the_http_library_are_children_of_the_call_s_span(
    endpoint: Endpoint, spans: InMemorySpanExporter
) -> None:
    import openai

    def instrumented(request: Any) -> None:
        tracer.start_span(request.method).end()

    client = openai.DefaultHttpxClient(event_hooks={"request": [instrumented]})
    model = ChatTexAPI(model=MODEL, otel=True, http_client=client, **endpoint.for_langchain())
    model.invoke(QUESTION)
    client.close()

    inner, outer = spans.get_finished_spans()
    assert (inner.name, outer.name) == ("POST", f"chat {MODEL}")
    assert inner.parent is not None
    assert outer.context is not None
    assert inner.parent.span_id == outer.context.span_id


def test_a_span_has_the_request_s_settings(endpoint: Endpoint, spans: InMemorySpanExporter) -> None:
    model = ChatTexAPI(
        model="gpt-5-mini",
        otel=True,
        temperature=0.5,
        max_tokens=64,
        seed=7,
        extra_body={"response_format": {"type": "json_object"}},
        **endpoint.for_langchain(),
    )
    model.invoke("Answer in JSON")

    said = attributes_of(only(spans))
    assert said["gen_ai.request.temperature"] == 0.5
    assert said["gen_ai.request.max_tokens"] == 64
    assert said["gen_ai.request.seed"] == 7
    assert said["gen_ai.output.type"] == "json"


def test_labels_and_cost_are_on_the_span(endpoint: Endpoint, spans: InMemorySpanExporter) -> None:
    prices = {MODEL: {"input": "1", "output": "2"}}
    model = ChatTexAPI(model=MODEL, otel=True, prices=prices, **endpoint.for_langchain())
    config: Any = {"tags": ["shop"], "metadata": {"customer": "acme", "big": 2**70, "half": "\ud800"}}
    message = model.invoke(QUESTION, config)
    said = attributes_of(only(spans))
    assert said["texapi.tags"] == ("shop",)
    assert said["texapi.metadata.customer"] == "acme"
    assert said["texapi.metadata.big"] == str(2**70)
    assert said["texapi.metadata.half"] == "\ufffd"
    assert said["texapi.cost"] == message.response_metadata["cost"]
    assert said["texapi.cost_source"] == "prices"

    spans.clear()
    with instrument_tags({"customer": "acme"}):
        TexAPI(model=MODEL, otel=True, **endpoint.for_llama_index()).complete(QUESTION)
    assert attributes_of(only(spans))["texapi.metadata.customer"] == "acme"


def test_neither_content_nor_the_key_is_in_a_span(endpoint: Endpoint, spans: InMemorySpanExporter) -> None:
    answer = ChatTexAPI(model=MODEL, otel=True, **endpoint.for_langchain()).invoke(QUESTION)

    span = only(spans).to_json()
    assert endpoint.api_key not in span
    assert QUESTION not in span
    assert answer.text not in span


# Metrics


@both
@pytest.mark.parametrize("how", ["whole", "astream"])
async def test_metrics_match_the_gateway_ledger(
    call: Any, how: str, gateway: Gateway, endpoint: Endpoint, reader: InMemoryMetricReader
) -> None:
    model = "claude-haiku-4-5" if how == "whole" else "gemini-3-flash"
    before = points_of(reader, model)
    await call(how, endpoint, otel=True, model=model)
    after, (booked,) = points_of(reader, model), gateway.ledger

    def added(*key: str | None) -> float:
        return float(after[key].sum - (before[key].sum if key in before else 0))  # type: ignore[index]

    assert added("gen_ai.client.token.usage", "input") == booked.prompt_tokens
    assert added("gen_ai.client.token.usage", "output") == booked.completion_tokens
    assert added("gen_ai.client.operation.duration", None) > 0
    assert (("gen_ai.client.operation.time_to_first_chunk", None) in after) == (how == "astream")
    said = dict(after["gen_ai.client.token.usage", "output"].attributes or {})
    assert said.pop("server.port")
    assert said == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "texapi",
        "gen_ai.request.model": model,
        "gen_ai.response.model": model,
        "gen_ai.token.type": "output",
        "server.address": "127.0.0.1",
    }


def test_a_failed_call_is_measured_with_its_error(
    gateway: Gateway, endpoint: Endpoint, reader: InMemoryMetricReader
) -> None:
    gateway.misbehave(Fault(status=503))
    with pytest.raises(TexAPIError):
        TexAPI(model="llama-4-maverick", otel=True, **endpoint.for_llama_index()).complete(QUESTION)

    ((name, _), point), *others = points_of(reader, "llama-4-maverick").items()
    assert not others
    assert name == "gen_ai.client.operation.duration"
    assert dict(point.attributes or {})["error.type"] == "TexAPIServerError"


# Attribute names


@pytest.mark.skipif(
    not hasattr(gen_ai_attributes, "GEN_AI_USAGE_REASONING_OUTPUT_TOKENS"),
    reason="the installed conventions are older",
)
def test_names_follow_the_semantic_conventions(
    endpoint: Endpoint, spans: InMemorySpanExporter, reader: InMemoryMetricReader
) -> None:
    settings: dict[str, Any] = {"temperature": 0.5, "max_tokens": 64, "seed": 7, "frequency_penalty": 0.1}
    list(ChatTexAPI(model=MODEL, otel=True, **settings, **endpoint.for_langchain()).stream(QUESTION))

    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    said = {name for name in attributes_of(only(spans)) if name.startswith("gen_ai.")}
    assert len(said) >= 12
    assert said <= known
    measured = {name for name, _ in points_of(reader, MODEL)}
    assert measured <= {value for name, value in vars(gen_ai_metrics).items() if name.startswith("GEN_AI_")}


# Enabling it


def test_it_is_off_by_default(
    endpoint: Endpoint, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    ChatTexAPI(model=MODEL, **endpoint.for_langchain()).invoke(QUESTION)
    monkeypatch.setenv("TEXAPI_OTEL", "0")
    TexAPI(model=MODEL, **endpoint.for_llama_index()).complete(QUESTION)

    assert not spans.get_finished_spans()


def test_the_environment_enables_it(
    endpoint: Endpoint, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXAPI_OTEL", "1")
    chat = ChatTexAPI(model=MODEL, **endpoint.for_langchain())
    llm = TexAPI(model=MODEL, **endpoint.for_llama_index())
    off = ChatTexAPI(model=MODEL, otel=False, **endpoint.for_langchain())
    pickles = [pickle.dumps(model) for model in (chat, llm, off)]
    chat.invoke(QUESTION)
    llm.complete(QUESTION)
    off.invoke(QUESTION)
    assert len(spans.get_finished_spans()) == 2

    assert [pickle.loads(one).otel for one in pickles] == [True, True, False]
    monkeypatch.delenv("TEXAPI_OTEL")
    assert [pickle.loads(one).otel for one in pickles] == [False, False, False]


def test_without_opentelemetry_the_error_says_what_to_install(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("texapi_core.adapter_base.accounting_parameters.find_spec", lambda name: None)

    with pytest.raises(TexAPISettingsError, match=r'pip install "texapi-integrations\[otel\]"'):
        ChatTexAPI(model=MODEL, otel=True, **endpoint.for_langchain())


def test_an_error_in_opentelemetry_does_not_fail_the_call(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "texapi_core.accounting.otel", None)
    model = ChatTexAPI(model=MODEL, otel=True, **endpoint.for_langchain())

    assert model.invoke(QUESTION).text
    assert "could not be started" in caplog.text
