"""OpenInference's instrumentation of both frameworks works with our models as with any other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.tools import FunctionTool
from openinference.instrumentation.langchain import LangChainInstrumentor
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.asking import MODEL, QUESTION, both, every_way
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from texapi_core import TexAPIError

LONG = "Vietnam is a country in South-East Asia. " * 200 + QUESTION


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentors = (LangChainInstrumentor(), LlamaIndexInstrumentor())
    for instrumentor in instrumentors:
        # It requires llama-index-core 0.14.19, but works with our lowest version, 0.14.17.
        instrumentor.instrument(tracer_provider=provider, skip_dep_check=True)
    yield exporter
    for instrumentor in instrumentors:
        instrumentor.uninstrument()


def llm_span(exporter: InMemorySpanExporter) -> tuple[ReadableSpan, dict[str, Any]]:
    """The attributes of the last LLM span."""
    found = [span for span in exporter.get_finished_spans() if is_llm(span)]
    return found[-1], dict(found[-1].attributes or {})


def is_llm(span: ReadableSpan) -> bool:
    return (span.attributes or {}).get("openinference.span.kind") == "LLM"


@both
@every_way
async def test_token_counts_match_the_gateway(
    call: Any, how: str, gateway: Gateway, endpoint: Endpoint, exporter: InMemorySpanExporter
) -> None:
    await call(how, endpoint, LONG)
    await call(how, endpoint, LONG)  # now the prompt is in the gateway's cache

    (span, said), booked = llm_span(exporter), gateway.ledger[-1]
    assert booked.cached_tokens
    assert booked.reasoning_tokens
    assert said["llm.model_name"] == MODEL
    assert said["llm.token_count.prompt"] == booked.prompt_tokens
    assert said["llm.token_count.completion"] == booked.completion_tokens
    assert said["llm.token_count.total"] == booked.prompt_tokens + booked.completion_tokens
    assert said["llm.token_count.prompt_details.cache_read"] == booked.cached_tokens
    assert said["llm.token_count.completion_details.reasoning"] == booked.reasoning_tokens
    assert span.status.status_code is StatusCode.OK
    assert QUESTION in said["llm.input_messages.0.message.content"]


@both
@every_way
async def test_a_failed_call_is_a_failed_span(
    call: Any, how: str, gateway: Gateway, endpoint: Endpoint, exporter: InMemorySpanExporter
) -> None:
    gateway.misbehave(Fault(status=402, code="insufficient_credits"))
    with pytest.raises(TexAPIError):
        await call(how, endpoint)

    span, _ = llm_span(exporter)
    assert span.status.status_code is StatusCode.ERROR


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}"


async def _langchain_tool(endpoint: Endpoint) -> None:
    model = ChatTexAPI(model="gpt-5-mini", **endpoint.for_langchain())
    await model.bind_tools([get_weather], tool_choice="any").ainvoke("The weather in Hue?")


async def _llama_index_tool(endpoint: Endpoint) -> None:
    llm = TexAPI(model="gpt-5-mini", **endpoint.for_llama_index())
    await llm.achat_with_tools(
        [FunctionTool.from_defaults(get_weather)], "The weather in Hue?", tool_required=True
    )


@pytest.mark.parametrize("call", [_langchain_tool, _llama_index_tool])
async def test_tool_calls_are_traced(call: Any, endpoint: Endpoint, exporter: InMemorySpanExporter) -> None:
    await call(endpoint)

    _, said = llm_span(exporter)
    called = "llm.output_messages.0.message.tool_calls.0.tool_call.function"
    assert said[f"{called}.name"] == "get_weather"
    assert "city" in json.loads(said[f"{called}.arguments"])
    assert "get_weather" in said["llm.tools.0.tool.json_schema"]
