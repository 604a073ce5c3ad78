"""The feature table of docs/langchain.md, made by running each feature against the stand-in gateway.

`python -m tests.langchain.features` prints it; with `--write` it goes into the page.
"""

from __future__ import annotations

import asyncio
import copy
import datetime
import pickle
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.exceptions import ModelError
from langchain_core.load import dumpd, load
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_texapi import ChatTexAPI, TexAPIInsufficientCreditsError
from tests.gateway import Fault, Gateway
from tests.generated import rewrite_part
from tests.waiting import await_until

PAGE, PART = "langchain.md", "features"
PACKAGES = ("texapi-integrations", "langchain-core", "langchain", "openai")
WORKS, FAILS, DOES_NOT_APPLY = "✅", "❌", ""


class Way(NamedTuple):
    """One of the four ways to call a model or a chain: `last` and `all_of` what it brings."""

    name: str
    all_of: Callable[..., list[Any]]
    streams: bool
    is_async: bool

    def last(self, runnable: Any, given: Any, **kwargs: Any) -> Any:
        return self.all_of(runnable, given, **kwargs)[-1]

    def message(self, runnable: Any, given: Any, **kwargs: Any) -> AIMessage:
        """The whole message, added up if it comes in chunks."""
        first, *more = self.all_of(runnable, given, **kwargs)
        for chunk in more:
            first = first + chunk
        assert isinstance(first, AIMessageChunk if self.streams else AIMessage)
        return first


def _astream(runnable: Any, given: Any, **kwargs: Any) -> list[Any]:
    async def collect() -> list[Any]:
        return [chunk async for chunk in runnable.astream(given, **kwargs)]

    return asyncio.run(collect())


WAYS = (
    Way("invoke", lambda r, given, **kwargs: [r.invoke(given, **kwargs)], False, False),
    Way("ainvoke", lambda r, given, **kwargs: [asyncio.run(r.ainvoke(given, **kwargs))], False, True),
    Way("stream", lambda r, given, **kwargs: list(r.stream(given, **kwargs)), True, False),
    Way("astream", _astream, True, True),
)


class Bench(NamedTuple):
    """What a feature is tried with."""

    gateway: Gateway
    way: Way

    def model(self, **kwargs: Any) -> ChatTexAPI:
        address = {"base_url": self.gateway.base_url, "api_key": self.gateway.key, "max_retries": 0}
        return ChatTexAPI(**{"model": "claude-sonnet-4-6", **address, **kwargs})

    @property
    def sent(self) -> Any:
        """The last request's body."""
        return self.gateway.requests[-1].body


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@tool
def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"It is sunny in {city}, 31 degrees."


PERSON = "name: Lan, age: 30. Answer in JSON with the keys name and age."
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
LONG = "Answer in one short sentence and name your source. " * 40


# Features of a call


def _tool_calling(bench: Bench) -> None:
    message = bench.way.message(bench.model().bind_tools([get_weather]), "What is the weather in Hanoi?")
    assert [call["args"] for call in message.tool_calls] == [{"city": "Hanoi"}]


def _parallel_tool_calls(bench: Bench) -> None:
    question = "What is the weather in Hanoi and Paris?"
    message = bench.way.message(bench.model().bind_tools([get_weather]), question)
    assert [call["args"]["city"] for call in message.tool_calls] == ["Hanoi", "Paris"]


def _tool_choice(bench: Bench) -> None:
    message = bench.way.message(bench.model().bind_tools([get_weather], tool_choice="any"), "Hello Hanoi")
    assert message.tool_calls


def _structured(method: Any) -> Callable[[Bench], None]:
    def feature(bench: Bench) -> None:
        structured = bench.model().with_structured_output(Person, method=method)
        assert bench.way.last(structured, PERSON) == Person(name="Lan", age=30)

    return feature


def _input(block: dict[str, Any], part_type: str) -> Callable[[Bench], None]:
    def feature(bench: Bench) -> None:
        question: Any = HumanMessage([{"type": "text", "text": "What is this?"}, block])
        assert bench.way.message(bench.model(), [question]).text
        assert bench.sent["messages"][0]["content"][1]["type"] == part_type

    return feature


def _media_in_tool_results(bench: Bench) -> None:
    image: Any = {"type": "image", "base64": PIXEL, "mime_type": "image/png"}
    call = {"name": "get_weather", "args": {"city": "Hanoi"}, "id": "call_1"}
    asked = AIMessage("", tool_calls=[call])
    history = [HumanMessage("Look"), asked, ToolMessage([image], tool_call_id="call_1")]
    assert bench.way.message(bench.model().bind_tools([get_weather]), history).text
    assert bench.sent["messages"][-1]["content"][-1]["type"] == "image_url"


def _reasoning(bench: Bench) -> None:
    message = bench.way.message(bench.model(reasoning_effort="low"), "What is 12 * 7?")
    assert [block["type"] for block in message.content_blocks] == ["reasoning", "text"]


def _signed_reasoning(bench: Bench) -> None:
    chat = bench.model(reasoning_effort="low").bind_tools([get_weather])
    question = HumanMessage("What is the weather in Hanoi?")
    asked = bench.way.message(chat, [question])
    bench.way.message(chat, [question, asked, *map(get_weather.invoke, asked.tool_calls)])
    assert bench.sent["messages"][1]["reasoning_details"][0]["signature"].startswith("sig_")


def _thought_signatures(bench: Bench) -> None:
    chat = bench.model(model="gemini-3-pro").bind_tools([get_weather])
    question = HumanMessage("What is the weather in Hanoi?")
    asked = bench.way.message(chat, [question])
    bench.way.message(chat, [question, asked, *map(get_weather.invoke, asked.tool_calls)])
    assert bench.sent["messages"][1]["tool_calls"][0]["extra_content"]


def _streaming(bench: Bench) -> None:
    pieces = [chunk.text for chunk in bench.way.all_of(bench.model(), "Count from 1 to 20") if chunk.text]
    assert len(pieces) > 4


def _native_async(bench: Bench) -> None:
    async def ask(chat: ChatTexAPI) -> None:
        if bench.way.streams:
            async for _ in chat.astream("Say one"):
                pass
        else:
            await chat.ainvoke("Say one")

    async def ask_all() -> None:
        calls = [asyncio.create_task(ask(bench.model())) for _ in range(4)]
        await await_until(lambda: len(bench.gateway.requests) == before + 4)
        assert not any(call.done() for call in calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    before = len(bench.gateway.requests)
    bench.gateway.misbehave(Fault(delay=60), times=4)
    asyncio.run(ask_all())


def _token_usage(bench: Bench) -> None:
    usage = bench.way.message(bench.model(), "Say one").usage_metadata
    spent = bench.gateway.ledger[-1]
    assert usage is not None
    assert (usage["input_tokens"], usage["output_tokens"]) == (spent.prompt_tokens, spent.completion_tokens)


def _cached_tokens(bench: Bench) -> None:
    system: Any = SystemMessage([{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}])
    for _ in range(2):
        usage = bench.way.message(bench.model(), [system, HumanMessage("Say one")]).usage_metadata
    assert usage is not None
    assert usage["input_token_details"]["cache_read"] > 0


def _logprobs(bench: Bench) -> None:
    message = bench.way.message(bench.model(logprobs=True, top_logprobs=2), "Say one")
    assert message.response_metadata["logprobs"]["content"]


def _several_answers(bench: Bench) -> None:
    chat = bench.model(n=3)
    prompts: list[list[BaseMessage]] = [[HumanMessage("Say one")]]
    result = asyncio.run(chat.agenerate(prompts)) if bench.way.is_async else chat.generate(prompts)
    assert len(result.generations[0]) == 3


def _v1_content(bench: Bench) -> None:
    chat = bench.model(reasoning_effort="low", output_version="v1").bind_tools([get_weather])
    message = bench.way.message(chat, "What is the weather in Hanoi and Paris?")
    assert [block["type"] for block in message.content] == ["reasoning", "tool_call", "tool_call"]  # type: ignore[index] # dicts


def _one_call_s_own(bench: Bench) -> None:
    changed: dict[str, Any] = {"model": "gpt-5.2", "temperature": 0.5, "extra_headers": {"X-Tenant": "a"}}
    message = bench.way.message(bench.model(), "Say one", **changed)
    assert message.response_metadata["model_name"] == "gpt-5.2"
    assert bench.sent["temperature"] == 0.5
    assert bench.gateway.requests[-1].headers["x-tenant"] == "a"


def _empty_balance(bench: Bench) -> None:
    bench.gateway.misbehave(Fault(status=429, error_type="insufficient_quota"))
    came: Any = None
    try:
        bench.way.message(bench.model(max_retries=2), "Say one")
    except TexAPIInsufficientCreditsError as error:
        came = error
    assert isinstance(came, ModelError)
    assert not came.is_retryable
    assert len(bench.gateway.requests) == 1


class Feature(NamedTuple):
    name: str
    run: Callable[[Bench], None]
    ways: Sequence[str] = ("invoke", "ainvoke", "stream", "astream")


FEATURES = (
    Feature("Tool calling", _tool_calling),
    Feature("Parallel tool calls", _parallel_tool_calls),
    Feature("Forced tool choice", _tool_choice),
    Feature("Structured output, `function_calling`", _structured("function_calling")),
    Feature("Structured output, `json_schema`", _structured("json_schema")),
    Feature("Structured output, `json_mode`", _structured("json_mode")),
    Feature("Image input", _input({"type": "image", "base64": PIXEL, "mime_type": "image/png"}, "image_url")),
    Feature(
        "Audio input", _input({"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"}, "input_audio")
    ),
    Feature("Video input", _input({"type": "video", "url": "https://example.com/v.mp4"}, "video_url")),
    Feature("PDF input", _input({"type": "file", "base64": "AAAA", "mime_type": "application/pdf"}, "file")),
    Feature("Images in tool results", _media_in_tool_results),
    Feature("Reasoning in content blocks", _reasoning),
    Feature("Signed reasoning is sent back (Claude)", _signed_reasoning),
    Feature("Thought signatures are sent back (Gemini)", _thought_signatures),
    Feature("Token-level streaming", _streaming, ("stream", "astream")),
    Feature("Native async", _native_async, ("ainvoke", "astream")),
    Feature("Token usage", _token_usage),
    Feature("Cached tokens in the usage", _cached_tokens),
    Feature("Logprobs", _logprobs),
    Feature("Several answers (`n`)", _several_answers, ("invoke", "ainvoke")),
    Feature('Standard content (`output_version="v1"`)', _v1_content),
    Feature("Model, parameters and headers per call", _one_call_s_own),
    Feature("An empty balance is one typed error, not retried", _empty_balance),
)


# Features of the object


def _agent(bench: Bench) -> None:
    agent: Any = create_agent(bench.model(), [get_weather])
    assert "31" in agent.invoke({"messages": "What is the weather in Hanoi?"})["messages"][-1].text


def _structured_agent(bench: Bench) -> None:
    agent: Any = create_agent(bench.model(), [get_weather], response_format=Person)
    assert agent.invoke({"messages": PERSON})["structured_response"] == Person(name="Lan", age=30)


def _events_v3(bench: Bench) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stream = bench.model(reasoning_effort="low").stream_events("What is 12 * 7?", version="v3")
    assert "84" in str(stream.text)
    assert str(stream.reasoning)


def _cache(bench: Bench) -> None:
    chat = bench.model(cache=InMemoryCache())
    assert chat.invoke("Say one").content == chat.invoke("Say one").content
    assert len(bench.gateway.requests) == 1


def _fallbacks(bench: Bench) -> None:
    bench.gateway.misbehave(Fault(status=503))
    chat = bench.model(rate_limiter=InMemoryRateLimiter(requests_per_second=1000))
    assert chat.with_fallbacks([bench.model()]).invoke("Say one").text == "one"


def _counting(bench: Bench) -> None:
    assert bench.model().get_num_tokens_from_messages([HumanMessage("Hello")], tools=[get_weather]) > 10
    assert bench.gateway.requests == []


def _profile(bench: Bench) -> None:
    profile = bench.model().profile
    assert profile is not None
    assert profile["tool_calling"]


def _listing(bench: Bench) -> None:
    chat = bench.model()
    assert chat.list_models() == asyncio.run(chat.alist_models()) != []


def _copies(bench: Bench) -> None:
    chat = bench.model()
    chat.invoke("Say one")
    for copied in (copy.deepcopy(chat), pickle.loads(pickle.dumps(chat))):
        assert copied.invoke("Say one").text == "one"


def _serializable(bench: Bench) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert isinstance(load(dumpd(bench.model())), ChatTexAPI)


OBJECT_FEATURES: dict[str, Callable[[Bench], None]] = {
    "Agents (`create_agent`)": _agent,
    "Agents with a `response_format`": _structured_agent,
    '`stream_events(version="v3")`': _events_v3,
    "LLM caching": _cache,
    "Fallbacks and rate limiters": _fallbacks,
    "Token counting, offline and approximate": _counting,
    "Model profile": _profile,
    "List of models": _listing,
    "Copies and pickles": _copies,
    "Serializable by `langchain_core.load`": _serializable,
}


def _runs(feature: Callable[[Bench], None], bench: Bench) -> str:
    bench.gateway.reset()
    try:
        feature(bench)
    except Exception:  # whatever it is, the feature does not work
        return FAILS
    return WORKS


def make_tables(gateway: Gateway) -> str:
    """The two tables, each cell by a run."""
    lines = [
        "| Feature | " + " | ".join(f"`{way.name}`" for way in WAYS) + " |",
        "| --- |" + " :---: |" * len(WAYS),
    ]
    for feature in FEATURES:
        cells = [
            _runs(feature.run, Bench(gateway, way)) if way.name in feature.ways else DOES_NOT_APPLY
            for way in WAYS
        ]
        lines.append(f"| {feature.name} | " + " | ".join(cells) + " |")
    lines += ["", "| The model object | |", "| --- | :---: |"]
    for name, run in OBJECT_FEATURES.items():
        lines.append(f"| {name} | {_runs(run, Bench(gateway, WAYS[0]))} |")
    return "\n".join(lines) + "\n"


def made_with() -> str:
    """When the tables were made, and with what."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"Run on {datetime.date.today().isoformat()} with {versions}.\n\n"


def main() -> None:
    """Print the tables, or write them into the page."""
    with Gateway() as gateway:
        tables = made_with() + make_tables(gateway)
    if "--write" in sys.argv[1:]:
        rewrite_part(PAGE, PART, tables)
    else:
        sys.stdout.write(tables)


if __name__ == "__main__":
    main()
