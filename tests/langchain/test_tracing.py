"""What callbacks, traces and caches receive of a call: each token and count once, and no secret."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from unittest.mock import MagicMock

import pytest
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_core.tracers.langchain import LangChainTracer
from langsmith import Client, tracing_context

from langchain_texapi import TexAPIError, TexAPIInsufficientCreditsError
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from tests.langchain.test_chat import WAYS, Way, model
from texapi_core import __version__

pytestmark = pytest.mark.filterwarnings("ignore:.*beta:langchain_core._api.LangChainBetaWarning")

QUESTION = "What is the capital of Vietnam?"
ANSWER = "The capital of Vietnam is Hà Nội."


@tool
def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"It is sunny in {city}, 31 degrees."


class Trace:
    """A real LangSmith tracer with a client that records runs instead of sending them."""

    def __init__(self) -> None:
        self._client = MagicMock(spec=Client)
        self._client.tracing_queue = None
        self.tracer = LangChainTracer(client=self._client, project_name="p")

    @property
    def config(self) -> Any:
        return {"callbacks": [self.tracer]}

    @property
    def runs(self) -> list[dict[str, Any]]:
        """The runs of type `llm`."""
        return [run for run in self.all_runs if run["run_type"] == "llm"]

    @property
    def all_runs(self) -> list[dict[str, Any]]:
        """Every run, in order, in its final state."""
        runs: dict[str, dict[str, Any]] = {}
        for call in self._client.create_run.call_args_list:
            runs[str(call.kwargs["id"])] = dict(call.kwargs)
        for call in self._client.update_run.call_args_list:
            run = runs.setdefault(str(call.kwargs.get("run_id") or call.args[0]), {})
            run.update({name: value for name, value in call.kwargs.items() if value is not None})
        return list(runs.values())

    @property
    def usages(self) -> list[tuple[int, int]]:
        metadata = [run["extra"]["metadata"].get("usage_metadata") for run in self.runs]
        return [(usage["input_tokens"], usage["output_tokens"]) for usage in metadata if usage]


@pytest.fixture
def trace() -> Any:
    with tracing_context(enabled=True):
        yield Trace()


def _spent(gateway: Gateway) -> list[tuple[int, int]]:
    return [(entry.prompt_tokens, entry.completion_tokens) for entry in gateway.ledger]


def _events_v2(chat: Any, question: str, config: Any) -> None:
    async def collect() -> None:
        async for _ in chat.astream_events(question, version="v2", config=config):
            pass

    asyncio.run(collect())


ASK: dict[str, Callable[[Any, str, Any], Any]] = {
    "invoke": lambda chat, question, config: chat.invoke(question, config=config),
    "ainvoke": lambda chat, question, config: asyncio.run(chat.ainvoke(question, config=config)),
    "stream": lambda chat, question, config: list(chat.stream(question, config=config)),
    "astream_events v2": _events_v2,
    "stream_events v3": lambda chat, question, config: list(
        chat.stream_events(question, version="v3", config=config)
    ),
    "batch": lambda chat, question, config: chat.batch([question] * 3, config=config),
    "abatch": lambda chat, question, config: asyncio.run(chat.abatch([question] * 3, config=config)),
    "n": lambda chat, question, config: chat.invoke(question, config=config, n=3),
}


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
def test_a_trace_holds_provider_model_and_true_counts(
    gateway: Gateway, endpoint: Endpoint, trace: Trace, ask: Callable[[Any, str, Any], Any]
) -> None:
    chat = model(endpoint, temperature=0.5, max_tokens=60, stop=["END"])

    ask(chat, QUESTION, trace.config)

    assert len(trace.runs) == len(gateway.requests)
    assert sorted(trace.usages) == sorted(_spent(gateway))
    for run in trace.runs:
        metadata = run["extra"]["metadata"]
        assert {name: metadata[name] for name in metadata if name.startswith("ls_")} == {
            "ls_provider": "texapi",
            "ls_model_name": "claude-sonnet-4-6",
            "ls_model_type": "chat",
            "ls_temperature": 0.5,
            "ls_max_tokens": 60,
            "ls_stop": ["END"],
            "ls_integration": "langchain_chat_model",
        }
        assert metadata["lc_versions"]["texapi-integrations"] == __version__
        assert run.get("error") is None


@pytest.mark.parametrize("streamed", [False, True])
def test_a_trace_names_the_model_of_the_call(endpoint: Endpoint, trace: Trace, streamed: bool) -> None:
    chat = model(endpoint)
    if streamed:
        list(chat.stream("Say one", trace.config, model="gpt-5.2"))
    else:
        chat.invoke("Say one", trace.config, model_name="gpt-5.2")

    assert trace.runs[0]["extra"]["metadata"]["ls_model_name"] == "gpt-5.2"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_trace_of_an_agent(gateway: Gateway, endpoint: Endpoint, trace: Trace, streamed: bool) -> None:
    agent: Any = create_agent(model(endpoint), [get_weather])
    question = {"messages": [HumanMessage("What is the weather in Hanoi?")]}

    if streamed:
        list(agent.stream(question, trace.config, stream_mode="messages"))
    else:
        agent.invoke(question, trace.config)

    assert len(trace.runs) == 2
    assert sorted(trace.usages) == sorted(_spent(gateway))
    assert {run["extra"]["metadata"]["ls_provider"] for run in trace.runs} == {"texapi"}


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_trace_of_a_stream_closed_early_claims_no_usage(
    endpoint: Endpoint, trace: Trace, asynchronous: bool
) -> None:
    chat = model(endpoint)

    async def first() -> None:
        stream: Any = chat.astream(QUESTION, trace.config)
        await anext(stream)
        await stream.aclose()

    if asynchronous:
        asyncio.run(first())
    else:
        stream: Any = chat.stream(QUESTION, trace.config)
        next(stream)
        stream.close()

    (run,) = trace.runs
    assert run["extra"]["metadata"]["ls_model_name"] == "claude-sonnet-4-6"
    assert run["outputs"]["generations"][0][0]["text"] == "The capi"
    assert trace.usages == []
    assert "GeneratorExit" in run["error"]


def test_a_trace_of_a_call_that_fails(gateway: Gateway, endpoint: Endpoint, trace: Trace) -> None:
    gateway.misbehave(Fault(status=402, error_type="insufficient_credits"))

    with pytest.raises(TexAPIInsufficientCreditsError):
        model(endpoint).invoke("Say one", trace.config)

    (run,) = trace.runs
    assert "402 insufficient_credits" in run["error"]
    metadata = run["outputs"]["generations"][0][0]["message"]["kwargs"]["response_metadata"]
    assert metadata["status_code"] == 402
    assert metadata["body"]["error"]["type"] == "insufficient_credits"


def test_a_trace_of_a_broken_stream_keeps_what_was_received(
    gateway: Gateway, endpoint: Endpoint, trace: Trace
) -> None:
    gateway.misbehave(Fault(cut_after=4))

    with pytest.raises(TexAPIError):
        list(model(endpoint).stream(QUESTION, trace.config))

    (run,) = trace.runs
    assert run["outputs"]["generations"][0][0]["text"] == "The capital of Vietnam i"
    assert trace.usages == []


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
def test_no_header_and_no_key_is_traced(
    gateway: Gateway, endpoint: Endpoint, trace: Trace, ask: Callable[[Any, str, Any], Any]
) -> None:
    chat = model(
        endpoint, default_headers={"X-Tenant": "hidden-tenant"}, default_query={"token": "hidden-token"}
    )

    bound = chat.bind(extra_headers={"X-One": "hidden-one"}, extra_query={"q": "hidden-query"})
    alone = ask in (ASK["stream_events v3"], ASK["n"])
    runnable: Any = bound if alone else RunnableLambda(str) | bound
    ask(runnable, QUESTION, trace.config)

    assert gateway.requests[0].headers["x-one"] == "hidden-one"
    assert gateway.requests[0].query == {"token": "hidden-token", "q": "hidden-query"}
    assert trace.runs
    for run in trace.all_runs:
        assert "hidden-" not in str(run)
        assert endpoint.api_key not in str(run)


class Seen(BaseCallbackHandler):
    """Collects the tokens and events passed to a handler."""

    def __init__(self) -> None:
        self.tokens: list[Any] = []
        self.ends = 0

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        assert kwargs["chunk"] is not None
        self.tokens.append(token)

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.ends += 1


PIECES = ["The capi", "tal of V", "ietnam i", "s Hà Nội", "."]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    "ask", [ASK[way] for way in ("invoke", "ainvoke", "stream", "astream_events v2", "stream_events v3")]
)
def test_a_handler_receives_each_token_once(
    endpoint: Endpoint, ask: Callable[[Any, str, Any], Any], streaming: bool
) -> None:
    seen = Seen()

    chat = model(endpoint, **({"streaming": True} if streaming else {}))
    ask(chat, QUESTION, {"callbacks": [seen]})

    streams = streaming or ask not in (ASK["invoke"], ASK["ainvoke"])
    assert [token for token in seen.tokens if token] == (PIECES if streams else [])
    assert seen.ends == 1


async def test_events(endpoint: Endpoint) -> None:
    events = [event async for event in model(endpoint).astream_events(QUESTION, version="v2")]

    assert events[0]["event"] == "on_chat_model_start"
    assert events[-1]["event"] == "on_chat_model_end"
    chunks = [event["data"]["chunk"] for event in events if event["event"] == "on_chat_model_stream"]
    assert [chunk.text for chunk in chunks if chunk.text] == PIECES
    assert sum(chunk.usage_metadata is not None for chunk in chunks) == 1
    assert {event["metadata"]["ls_provider"] for event in events} == {"texapi"}


async def test_events_of_the_new_protocol_sync_and_async(gateway: Gateway, endpoint: Endpoint) -> None:
    chat = model(endpoint)
    stream = chat.stream_events(QUESTION, version="v3")
    twin = await chat.astream_events(QUESTION, version="v3")

    kinds = [event["event"] for event in stream]
    assert kinds == [event["event"] async for event in twin]
    assert kinds[:2] == ["message-start", "content-block-start"]
    assert kinds.count("content-block-delta") == len(PIECES)
    assert kinds[-2:] == ["content-block-finish", "message-finish"]
    messages: Any = [stream.output, await twin.output]
    usages = [message.usage_metadata for message in messages]
    assert [(usage["input_tokens"], usage["output_tokens"]) for usage in usages] == _spent(gateway)
    for message in messages:
        assert message.text == ANSWER
        assert message.response_metadata["model_name"] == "claude-sonnet-4-6"


# Caches


@pytest.mark.parametrize("way", WAYS[:2])
def test_a_cached_answer_sends_nothing(gateway: Gateway, endpoint: Endpoint, way: Way) -> None:
    chat = model(endpoint, cache=InMemoryCache())

    first, second = way(chat, "Say one"), way(chat, "Say one")

    assert first.content == second.content
    assert len(gateway.requests) == 1


CHANGES: list[dict[str, Any]] = [
    {"model": "gpt-5.2"},
    {"temperature": 0.5},
    {"stop": ["X"]},
    {"tools": [{"type": "function", "function": {"name": "f"}}]},
    {"extra_body": {"a": 1}},
    {"extra_headers": {"X-Tenant": "b"}},
    {"extra_query": {"region": "eu"}},
    {"replay_reasoning": "always"},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_cache_distinguishes_calls_by_everything_that_affects_the_answer(
    gateway: Gateway, endpoint: Endpoint, change: dict[str, Any]
) -> None:
    chat = model(endpoint, cache=InMemoryCache(), default_headers={"X-Tenant": "a"})

    chat.invoke("Say one")
    chat.invoke("Say one", **change)
    chat.invoke("Say one", **change)

    assert len(gateway.requests) == 2


def test_models_of_two_tenants_share_no_cache(gateway: Gateway, endpoint: Endpoint) -> None:
    cache = InMemoryCache()
    for tenant in ("a", "b", "b"):
        model(endpoint, cache=cache, default_headers={"X-Tenant": tenant}).invoke("Say one")

    assert [request.headers["x-tenant"] for request in gateway.requests] == ["a", "b"]


def test_no_secret_is_in_the_key_of_a_cache(endpoint: Endpoint) -> None:
    chat = model(
        endpoint, default_headers={"X-Tenant": "hidden-tenant"}, default_query={"token": "hidden-token"}
    )

    key = chat._get_llm_string(extra_headers={"X-One": "hidden-one"}, extra_query={"q": "hidden-query"})

    assert "hidden-" not in key
    assert endpoint.api_key not in key


def test_a_cached_answer_adds_no_cost_in_a_usage_handler(endpoint: Endpoint) -> None:
    """LangChain marks cached answers; the tokens it counts again are those of the cached answer."""
    usage = UsageMetadataCallbackHandler()
    chat = model(endpoint, cache=InMemoryCache(), callbacks=[usage])

    chat.invoke("Say one")
    again = chat.invoke("Say one")

    assert again.usage_metadata is not None
    assert again.usage_metadata.get("total_cost", 0) == 0
