"""`cache_prompts`: from the second turn on, the start of a prompt comes from the provider's cache.

The stand-in's Claude caches what is marked, as Anthropic documents it, and refuses marks that Claude refuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from llama_index.core import Document
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.extractors import DocumentContextExtractor
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.tools import FunctionTool
from llama_index.retrievers.bm25 import BM25Retriever

from benchmarks import prompt_caching
from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.conftest import Endpoint
from tests.gateway import Gateway
from tests.gateway.request import Call
from texapi_core import TexAPISettingsError
from texapi_core.request.prompt_cache import with_prompt_cache

INSTRUCTIONS = "You look people up in the register, one at a time, and say what it says of them. " * 3
NAMES = ["Ann", "Bob", "Eve", "Lan", "Mai"]
WAYS = ["sync", "async", "streamed", "async streamed"]
THREAD: Any = {"configurable": {"thread_id": "1"}}

every_way = pytest.mark.parametrize("way", WAYS)


def look_up(name: str) -> str:
    """Look a name up in the register of people."""
    return f"{name} is known."


def chat(endpoint: Endpoint, **kwargs: Any) -> ChatTexAPI:
    return ChatTexAPI(**endpoint.for_langchain(model="claude-sonnet-4-6", **kwargs))


def llm(endpoint: Endpoint, **kwargs: Any) -> TexAPI:
    return TexAPI(**endpoint.for_llama_index(model="claude-sonnet-4-6", **kwargs))


def invoke(runnable: Any, input_: Any, way: str, **config: Any) -> Any:
    """Run a chain or an agent in one of the ways."""
    if way == "sync":
        return runnable.invoke(input_, **config)
    if way == "streamed":
        return list(runnable.stream(input_, **config))

    async def run() -> Any:
        if way == "async":
            return await runnable.ainvoke(input_, **config)
        return [chunk async for chunk in runnable.astream(input_, **config)]

    return asyncio.run(run())


def cached(gateway: Gateway) -> list[int]:
    assert [entry.status for entry in gateway.ledger] == [200] * len(gateway.requests)
    return [entry.cached_tokens for entry in gateway.ledger]


def five_turns(gateway: Gateway, turn: Callable[[str], Any]) -> list[int]:
    """The cached tokens of the requests of an agent that calls a tool in each of five turns."""
    for name in NAMES:
        gateway.answer([Call("look_up", {"name": name})])
        gateway.answer(f"{name} is known.")
        turn(f"Who is {name}?")
    return cached(gateway)


@every_way
def test_an_agent_of_langchain(gateway: Gateway, endpoint: Endpoint, way: str) -> None:
    model = chat(endpoint, cache_prompts=True, streaming="streamed" in way)
    agent: Any = create_agent(
        model, [tool(look_up)], system_prompt=INSTRUCTIONS, checkpointer=InMemorySaver()
    )

    first, *later = five_turns(
        gateway,
        lambda text: invoke(agent, {"messages": [HumanMessage(text)]}, way, config=THREAD),
    )

    assert (first, len(later)) == (0, 9)
    assert later == sorted(later)
    uncached = [entry.prompt_tokens - entry.cached_tokens for entry in gateway.ledger[1:]]
    assert max(uncached) < 40 < min(later)


@pytest.mark.parametrize("streaming", [True, False])
def test_an_agent_of_llama_index(gateway: Gateway, endpoint: Endpoint, streaming: bool) -> None:
    agent = FunctionAgent(
        tools=[FunctionTool.from_defaults(look_up)],
        llm=llm(endpoint, cache_prompts=True),
        system_prompt=INSTRUCTIONS,
        streaming=streaming,
    )
    memory = ChatMemoryBuffer.from_defaults(token_limit=100_000)

    async def run(text: str) -> Any:
        return await agent.run(text, memory=memory)

    first, *later = five_turns(gateway, lambda text: asyncio.run(run(text)))

    assert (first, len(later)) == (0, 9)
    assert later == sorted(later)
    uncached = [entry.prompt_tokens - entry.cached_tokens for entry in gateway.ledger[1:]]
    assert max(uncached) < 40 < min(later)


@every_way
def test_a_chain(gateway: Gateway, endpoint: Endpoint, way: str) -> None:
    prompt = ChatPromptTemplate.from_messages([("system", INSTRUCTIONS), ("human", "{question}")])
    chain = prompt | chat(endpoint, cache_prompts=True)
    for name in NAMES:
        invoke(chain, {"question": f"Who is {name}?"}, way)

    first, *later = cached(gateway)
    assert (first, min(later)) == (0, max(later))
    assert min(later) > 40
    assert [entry.cache_written_tokens for entry in gateway.ledger] == [later[0], 0, 0, 0, 0]


@every_way
def test_a_query_engine(gateway: Gateway, endpoint: Endpoint, way: str) -> None:
    nodes = SentenceSplitter().get_nodes_from_documents([Document(text=look_up(name)) for name in NAMES])
    retriever = BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=1)
    engine = RetrieverQueryEngine.from_args(
        retriever,
        llm=llm(endpoint, cache_prompts=True),
        streaming="streamed" in way,
        use_async="async" in way,
    )
    for name in NAMES:
        response = asyncio.run(_query(engine, name)) if "async" in way else engine.query(f"Is {name} known?")
        for text in getattr(response, "response_gen", ()) if way == "streamed" else ():
            assert text is not None

    first, *later = cached(gateway)
    assert (first, min(later)) == (0, max(later))
    assert min(later) > 20


async def _query(engine: RetrieverQueryEngine, name: str) -> Any:
    response: Any = await engine.aquery(f"Is {name} known?")
    if hasattr(response, "async_response_gen"):
        assert [text async for text in response.async_response_gen()]
    return None


@every_way
@pytest.mark.parametrize("instructions", [INSTRUCTIONS, None])
def test_a_chat_engine(gateway: Gateway, endpoint: Endpoint, way: str, instructions: str | None) -> None:
    memory = ChatMemoryBuffer.from_defaults(token_limit=100_000)
    engine = SimpleChatEngine.from_defaults(
        llm=llm(endpoint, cache_prompts=True), memory=memory, system_prompt=instructions
    )

    async def ask(text: str) -> None:
        if way == "async":
            await engine.achat(text)
        else:
            stream = await engine.astream_chat(text)
            assert [token async for token in stream.async_response_gen()]

    for name in NAMES:
        text = f"Say who {name} is, and be sure to look into the register of all people before you say it."
        if way == "sync":
            engine.chat(text)
        elif way == "streamed":
            assert list(engine.stream_chat(text).response_gen)
        else:
            asyncio.run(ask(text))

    first, *later = cached(gateway)
    assert first == 0 < later[0]
    assert later == sorted(later)


def test_an_ingestion_that_marks_its_document_keeps_its_marks(gateway: Gateway, endpoint: Endpoint) -> None:
    document = Document(text=" ".join(map(look_up, NAMES * 5)), id_="register")
    store = SimpleDocumentStore()
    store.add_documents([document])
    nodes = SentenceSplitter(chunk_size=30, chunk_overlap=0).get_nodes_from_documents([document])
    bodies = []
    for cache_prompts in (False, True):
        gateway.reset()
        model = llm(endpoint, cache_prompts=cache_prompts)
        extractor = DocumentContextExtractor(docstore=store, llm=model, num_workers=1)
        asyncio.run(extractor.aextract(nodes))
        assert sum(map(bool, cached(gateway))) >= len(gateway.requests) - 1
        bodies.append([request.body for request in gateway.requests])

    assert len(bodies[0]) > 2
    assert bodies[0] == bodies[1]


# What is the same in both frameworks

HISTORY = [("system", INSTRUCTIONS), ("user", "Hello"), ("assistant", "Hi"), ("user", "Who are you?")]


def ask_both(endpoint: Endpoint, constructor: dict[str, Any], call: dict[str, Any]) -> None:
    chat(endpoint, **constructor).invoke([(role, text) for role, text in HISTORY], **call)
    llm(endpoint, **constructor).chat([ChatMessage(text, role=role) for role, text in HISTORY], **call)


@pytest.mark.parametrize("cache_prompts", [False, True, "5m", "1h", "key"])
def test_constructor_and_call_of_both_frameworks_send_the_same(
    gateway: Gateway, endpoint: Endpoint, cache_prompts: Any
) -> None:
    ask_both(endpoint, {"cache_prompts": cache_prompts}, {})
    ask_both(endpoint, {"cache_prompts": not cache_prompts}, {"cache_prompts": cache_prompts})

    sent = {request.raw.replace(b'"stream":false,', b"") for request in gateway.requests}
    assert len(sent) == 1
    assert (b"cache_control" in sent.pop()) is (cache_prompts not in (False, "key"))


def test_off_is_byte_for_byte_what_was_sent_without_it(gateway: Gateway, endpoint: Endpoint) -> None:
    ask_both(endpoint, {}, {})
    ask_both(endpoint, {"cache_prompts": True}, {"cache_prompts": False})

    assert len({request.raw for request in gateway.requests}) == 1


def test_models_that_cache_by_themselves_take_the_marks(gateway: Gateway, endpoint: Endpoint) -> None:
    for model in ("gpt-5.2", "gemini-3-pro", "deepseek-v3.2"):
        ask_both(endpoint, {"cache_prompts": True}, {"model": model})

    assert all(cached(gateway)[1::2])


def test_the_figures_of_the_documentation_are_those_of_the_benchmark() -> None:
    page = Path(__file__).parents[1] / "docs" / "prompt-caching.md"
    found = list(prompt_caching.rows())

    assert len(found) == 4
    assert "\n".join(found) in page.read_text("utf-8")


_BAD = [1, 1.0, 0, "2h", "", [], "True"]


@pytest.mark.parametrize("bad", _BAD)
@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
def test_a_value_that_is_none_of_the_settings_is_refused_everywhere(
    gateway: Gateway, endpoint: Endpoint, framework: str, bad: Any
) -> None:
    model: Any = ChatTexAPI(**endpoint.for_langchain(model="m"))
    ask = "invoke"
    if framework == "llama_index":
        model, ask = TexAPI(**endpoint.for_llama_index(model="m")), "complete"
    with pytest.raises(ValueError, match="cache_prompts"):
        type(model)(model="m", api_key="k", cache_prompts=bad)
    with pytest.raises(TexAPISettingsError, match="cache_prompts"):
        getattr(model, ask)("Hello", cache_prompts=bad)
    with pytest.raises(TexAPISettingsError, match="cache_prompts"):
        getattr(model.model_copy(update={"cache_prompts": bad}), ask)("Hello")
    assert gateway.requests == []


def test_none_is_off_in_both_frameworks(gateway: Gateway, endpoint: Endpoint) -> None:
    chat = ChatTexAPI(**endpoint.for_langchain(model="gpt-5.2", cache_prompts=None))
    llm = TexAPI(**endpoint.for_llama_index(model="gpt-5.2", cache_prompts=None))
    assert chat.cache_prompts is llm.cache_prompts is False

    chat.model_copy(update={"cache_prompts": None}).invoke("Hello")
    llm.model_copy(update={"cache_prompts": None}).complete("Hello")

    assert all("cache_control" not in str(request.body) for request in gateway.requests)


@pytest.mark.parametrize("own", [{"google_search": {}}, {"type": "openrouter:web_search"}])
def test_a_provider_s_own_tool_gets_no_mark(own: dict[str, Any]) -> None:
    function = {"type": "function", "function": {"name": "note", "parameters": {"type": "object"}}}
    payload = {"messages": [{"role": "user", "content": "Hi"}], "tools": [function, own]}

    tools = with_prompt_cache(payload, True)["tools"]
    only_own = with_prompt_cache({**payload, "tools": [own]}, True)["tools"]

    assert tools == [{**function, "cache_control": {"type": "ephemeral"}}, own]
    assert only_own == [own]
