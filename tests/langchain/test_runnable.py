"""ChatTexAPI in LangChain's machinery: callbacks, caches, retries, fallbacks, tracing, LangGraph."""

from __future__ import annotations

import asyncio
import base64
import pickle
import struct
from operator import itemgetter
from pathlib import Path
from typing import Any

import bm25s
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware
from langchain.chat_models import init_chat_model
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.documents import Document
from langchain_core.exceptions import ModelError
from langchain_core.language_models import ModelProfile
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    trim_messages,
)
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import ConfigurableField, RunnablePassthrough
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import SecretStr

from langchain_texapi import ChatTexAPI, TexAPIError, register_init_chat_model
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from tests.langchain.test_chat import WAYS, Way, model

DOCUMENTS = Path(__file__).parents[1] / "documents"


@tool
def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"It is sunny in {city}, 31 degrees."


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


class _Seen(BaseCallbackHandler):
    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.errors.append(error)


async def test_events_of_the_new_protocol(endpoint: Endpoint) -> None:
    chat = model(endpoint, reasoning_effort="low")

    stream = chat.stream_events("What is 12 * 7?", version="v3")

    assert "84" in str(stream.output.text)
    assert [block["type"] for block in stream.output.content_blocks] == ["reasoning", "text"]


class _Counting(BaseRateLimiter):
    def __init__(self) -> None:
        self.asked = 0

    def acquire(self, *, blocking: bool = True) -> bool:
        self.asked += 1
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        return self.acquire(blocking=blocking)


@pytest.mark.parametrize("way", WAYS)
def test_a_rate_limiter_is_used_once_per_call(gateway: Gateway, endpoint: Endpoint, way: Way) -> None:
    limiter = _Counting()
    chat = model(endpoint, rate_limiter=limiter, cache=InMemoryCache())

    for _ in range(2):
        way(chat, "Say one")

    assert limiter.asked == len(gateway.requests)


def test_fallbacks_and_retries_of_the_framework(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.misbehave(Fault(status=503), times=1)
    assert model(endpoint).with_fallbacks([model(endpoint, model="gpt-5.2")]).invoke("Say one").text

    gateway.misbehave(Fault(status=503), times=1)
    retrying = model(endpoint).with_retry(
        retry_if_exception_type=(TexAPIError,), wait_exponential_jitter=False
    )
    assert retrying.invoke("Say one").text


def test_fields_may_be_configured_per_call(gateway: Gateway, endpoint: Endpoint) -> None:
    chat = model(endpoint, model_kwargs={"seed": 1}, default_headers={"X-Tenant": "a"}).configurable_fields(
        model_name=ConfigurableField(id="model"), temperature=ConfigurableField(id="heat")
    )

    chat.invoke("Say one", {"configurable": {"model": "gpt-5.2", "heat": 0.5}})

    (request,) = gateway.requests
    assert (request.body["model"], request.body["temperature"], request.body["seed"]) == ("gpt-5.2", 0.5, 1)
    assert request.headers["x-tenant"] == "a"


@pytest.mark.parametrize(("given", "limit"), [({}, None), ({"profile": {"max_input_tokens": 7}}, 7)])
def test_a_configured_model_has_its_own_profile(
    endpoint: Endpoint, given: dict[str, Any], limit: int | None
) -> None:
    chat: Any = model(endpoint, model="claude-sonnet-4-6", **given).configurable_fields(
        model_name=ConfigurableField(id="model")
    )
    other = model(endpoint, model="gpt-5-mini").profile
    assert other != model(endpoint, model="claude-sonnet-4-6").profile

    configured: Any = chat.prepare({"configurable": {"model": "gpt-5-mini"}})[0]

    assert configured.profile == (other if limit is None else {"max_input_tokens": limit})
    assert pickle.loads(pickle.dumps(configured)).profile == configured.profile


@pytest.mark.parametrize(
    ("type_", "status", "requests"),
    [("insufficient_quota", 429, 1), ("daily_spending_cap_exceeded", 429, 1), ("rate_limited", 429, 3)],
)
def test_a_retry_middleware_retries_only_transient_errors(
    gateway: Gateway, endpoint: Endpoint, type_: str, status: int, requests: int
) -> None:
    gateway.misbehave(Fault(status=status, error_type=type_), times=9)
    middleware: Any = ModelRetryMiddleware(max_retries=2, initial_delay=0.0, jitter=False, on_failure="error")
    agent = create_agent(model(endpoint), [get_weather], middleware=[middleware])

    with pytest.raises(TexAPIError) as caught:
        agent.invoke({"messages": [HumanMessage("Hello")]})

    assert isinstance(caught.value, ModelError)
    assert len(gateway.requests) == requests


def test_an_error_reaches_the_callbacks(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.misbehave(Fault(cut_after=4))
    seen = _Seen()

    with pytest.raises(TexAPIError):
        list(model(endpoint, callbacks=[seen]).stream("What is the capital of Vietnam?"))

    assert isinstance(seen.errors[0], ModelError)


def test_tokens_are_counted_offline(endpoint: Endpoint) -> None:
    chat = model(endpoint)
    messages = [HumanMessage("What is the weather in Hanoi?")]

    plain = chat.get_num_tokens_from_messages(list(messages))
    with_tools = chat.get_num_tokens_from_messages(list(messages), tools=[get_weather])

    assert 5 <= plain <= 30
    assert with_tools > plain
    assert chat.get_num_tokens("word " * 100) == 88
    assert model(endpoint, custom_get_token_ids=lambda text: [1] * len(text)).get_num_tokens("abc") == 3


def test_a_trailing_slash_of_the_address_does_not_change_the_cache_key() -> None:
    addresses = ("http://127.0.0.1:1/v1", "http://127.0.0.1:1/v1/")
    one, other = (model(Endpoint(address, "sk-tex-1")) for address in addresses)

    assert one._get_llm_string() == other._get_llm_string()


LONG = "A" * 400_000
TEXT = "word " * 1000
PICTURE = (
    "data:image/png;base64,"
    + base64.b64encode(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 200, 200)).decode()
)
"""As far as its size."""
TEXT_DOCUMENT = {
    "type": "document",
    "source": {"type": "text", "media_type": "text/plain", "data": TEXT},
}


@pytest.mark.parametrize(
    ("block", "tokens"),
    [
        ({"type": "file", "base64": LONG, "mime_type": "application/pdf"}, 1000),
        ({"type": "file", "file": {"file_data": LONG}}, 1000),
        ({"type": "audio", "base64": LONG, "mime_type": "audio/mp3"}, 1000),
        ({"type": "input_audio", "input_audio": {"data": LONG, "format": "mp3"}}, 1000),
        ({"type": "document", "source": {"type": "base64", "data": LONG}}, 1000),
        ({"type": "video", "url": "https://x.example/a.mp4"}, 1000),
        ({"type": "image", "base64": LONG, "mime_type": "image/png"}, 1369),
        ({"type": "tool_result", "content": [{"type": "image", "base64": LONG}]}, 1369),
        ({"type": "image_url", "image_url": {"url": PICTURE}}, 64),
        ({"type": "image", "source": {"type": "base64", "data": PICTURE}}, 64),
        ({"type": "image", "url": "https://x.example/a.png"}, 1369),
        ({"type": "reasoning", "reasoning": TEXT}, 880),
        ({"type": "tool_call", "name": "f", "args": {}, "id": "a"}, 0),
        ({"type": "text-plain", "text": TEXT}, 880),
        (TEXT_DOCUMENT, 880),
        ({"type": "text", "text": TEXT}, 880),
    ],
)
def test_each_kind_of_block_counts(endpoint: Endpoint, block: Any, tokens: int) -> None:
    chat = model(endpoint)
    without = chat.get_num_tokens_from_messages([HumanMessage([{"type": "text", "text": ""}])])
    message = HumanMessage([block])

    assert chat.get_num_tokens_from_messages([message]) - without == tokens
    assert message.content == [block]


def test_trimming_a_history_keeps_its_document(endpoint: Endpoint) -> None:
    document = {"type": "file", "base64": LONG, "mime_type": "application/pdf"}
    history: list[Any] = [HumanMessage([{"type": "text", "text": "Read"}, document]), HumanMessage("And?")]

    kept = trim_messages(history, max_tokens=20_000, token_counter=model(endpoint), strategy="last")

    assert kept == history


def test_a_system_message_is_sent_where_it_sits_as_the_profile_says(endpoint: Endpoint) -> None:
    chat = model(endpoint)
    history = [HumanMessage("Hello"), AIMessage("Hi."), SystemMessage("Be brief."), HumanMessage("And?")]

    sent = chat._get_request_payload(history)["messages"]

    assert chat.profile is not None
    member = "mid_conversation_system_messages"
    assert chat.profile.get(member, False) == (member in ModelProfile.__annotations__)
    assert [message["role"] for message in sent] == ["user", "assistant", "system", "user"]


def test_what_an_agent_notes_on_its_own_messages_is_not_sent(endpoint: Endpoint) -> None:
    note = HumanMessage("Done.", additional_kwargs={"lc_source": "task", "lc_data": {"id": 1}})

    assert model(endpoint)._get_request_payload([note])["messages"] == [{"role": "user", "content": "Done."}]


def test_only_a_known_model_has_a_profile(endpoint: Endpoint) -> None:
    profile = model(endpoint).profile
    assert profile is not None
    assert profile["max_input_tokens"] == 1_000_000
    assert profile["structured_output"]
    assert model(endpoint, model="never-heard-of").profile is None
    assert model(endpoint, profile={"max_input_tokens": 5}).profile == {"max_input_tokens": 5}


def test_init_chat_model_after_opt_in(monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint) -> None:
    from langchain.chat_models import base

    monkeypatch.setattr(base, "_BUILTIN_PROVIDERS", dict(base._BUILTIN_PROVIDERS))
    assert register_init_chat_model()

    chat: Any = init_chat_model("texapi:gpt-5.2", base_url=endpoint.base_url, api_key=endpoint.api_key)

    assert isinstance(chat, ChatTexAPI)
    assert chat.invoke("Say one").response_metadata["model_name"] == "gpt-5.2"


def test_an_agent_takes_the_model_by_name_after_the_opt_in(
    monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint
) -> None:
    from langchain.agents import create_agent
    from langchain.chat_models import base

    monkeypatch.setattr(base, "_BUILTIN_PROVIDERS", dict(base._BUILTIN_PROVIDERS))
    monkeypatch.setenv("TEXAPI_API_KEY", endpoint.api_key)
    monkeypatch.setenv("TEXAPI_BASE_URL", endpoint.base_url)
    assert register_init_chat_model()

    said: Any = create_agent("texapi:gpt-5.2").invoke({"messages": [HumanMessage("Say one")]})

    assert said["messages"][-1].response_metadata["model_name"] == "gpt-5.2"


def test_the_opt_in_changes_nothing_where_the_table_has_another_form(monkeypatch: pytest.MonkeyPatch) -> None:
    from langchain.chat_models import base

    monkeypatch.setattr(base, "_BUILTIN_PROVIDERS", {"openai": "langchain_openai:ChatOpenAI"})

    assert not register_init_chat_model()
    assert list(base._BUILTIN_PROVIDERS) == ["openai"]


def _turn(agent: Any, question: str, config: Any) -> list[str]:
    state = agent.invoke({"messages": [HumanMessage(question)]}, config)
    return [state["messages"][-1].text]


def _streamed_turn(agent: Any, question: str, config: Any) -> list[str]:
    chunks = agent.stream({"messages": [HumanMessage(question)]}, config, stream_mode="messages")
    return [chunk.text for chunk, _ in chunks if isinstance(chunk, AIMessageChunk) and chunk.text]


def _async_streamed_turn(agent: Any, question: str, config: Any) -> list[str]:
    async def collect() -> list[str]:
        chunks = agent.astream({"messages": [HumanMessage(question)]}, config, stream_mode="messages")
        return [chunk.text async for chunk, _ in chunks if isinstance(chunk, AIMessageChunk) and chunk.text]

    return asyncio.run(collect())


@pytest.mark.parametrize("turn", [_turn, _streamed_turn, _async_streamed_turn])
def test_a_graph_with_two_tools_and_a_checkpointer(recorded: Endpoint, turn: Any) -> None:
    usage = UsageMetadataCallbackHandler()
    saver = InMemorySaver()
    agent: Any = create_agent(model(recorded), [get_weather, multiply], checkpointer=saver)
    config: Any = {"configurable": {"thread_id": "1"}, "callbacks": [usage]}

    first = turn(agent, "What is the weather in Hanoi?", config)
    second = turn(agent, "Multiply 12 by 7", config)

    assert "31" in "".join(first)
    assert "84" in "".join(second)
    assert (len(second) > 1) is (turn is not _turn)
    messages = agent.get_state(config).values["messages"]
    assert [type(message).__name__ for message in messages] == [
        *["HumanMessage", "AIMessage", "ToolMessage", "AIMessage"] * 2
    ]
    assert [message.name for message in messages if isinstance(message, ToolMessage)] == [
        "get_weather",
        "multiply",
    ]
    answers = [message for message in messages if isinstance(message, AIMessage)]
    (counted,) = usage.usage_metadata.values()
    assert counted["total_tokens"] == sum(
        answer.usage_metadata["total_tokens"] for answer in answers if answer.usage_metadata
    )
    assert agent.get_state({"configurable": {"thread_id": "2"}}).values == {}


class BM25Retriever(BaseRetriever):
    """Retrieves the pages that share the most distinctive words with the question."""

    pages: list[Document]
    index: Any

    @classmethod
    def of(cls, pages: list[Document]) -> BM25Retriever:
        index = bm25s.BM25()
        index.index(bm25s.tokenize([p.page_content for p in pages], show_progress=False), show_progress=False)
        return cls(pages=pages, index=index)

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        words = bm25s.tokenize(query, show_progress=False)
        numbers, _ = self.index.retrieve(words, k=2, show_progress=False)
        return [self.pages[number] for number in numbers[0]]


def _joined(documents: list[Document]) -> str:
    return "\n\n".join(f"[{d.metadata['source']}]\n{d.page_content}" for d in documents)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_rag_chain_with_sources(recorded: Endpoint, streamed: bool) -> None:
    pages = [
        Document(page.read_text("utf-8"), metadata={"source": page.name})
        for page in sorted(DOCUMENTS.glob("*.md"))
    ]
    prompt = ChatPromptTemplate(
        [("human", "Context:\n{context}\n\nAnswer the question from the context.\nQuestion: {question}")]
    )
    answer = (
        RunnablePassthrough.assign(context=lambda state: _joined(state["documents"]))
        | prompt
        | model(recorded)
        | StrOutputParser()
    )
    chain = RunnablePassthrough.assign(documents=itemgetter("question") | BM25Retriever.of(pages)).assign(
        answer=answer
    )
    question = {"question": "Which error comes when the balance is empty?"}

    parts: list[Any] = list(chain.stream(question)) if streamed else [chain.invoke(question)]

    assert "insufficient_credits" in "".join(part.get("answer", "") for part in parts)
    assert (sum("answer" in part for part in parts) > 1) is streamed
    (documents,) = [part["documents"] for part in parts if "documents" in part]
    sources = [document.metadata["source"] for document in documents]
    assert len(sources) == 2
    assert "billing.md" in sources


def test_history_of_another_provider_is_accepted(gateway: Gateway, endpoint: Endpoint) -> None:
    anthropic = AIMessage(
        [{"type": "thinking", "thinking": "hm", "signature": "x"}, {"type": "text", "text": "Hello, Lan."}],
        response_metadata={"model_provider": "anthropic"},
    )
    responses = AIMessage(
        [
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "text", "text": "Nice to meet you.", "annotations": []},
        ],
        response_metadata={"model_provider": "openai"},
    )
    model(endpoint).invoke(
        [HumanMessage("My name is Lan."), anthropic, HumanMessage("Hi"), responses, HumanMessage("Hi")]
    )

    contents = [message["content"] for message in gateway.requests[0].body["messages"]]
    assert contents == ["My name is Lan.", "Hello, Lan.", "Hi", "Nice to meet you.", "Hi"]


def _holding_itself() -> dict[str, Any]:
    block: dict[str, Any] = {"type": "text-like"}
    block["self"] = block
    return block


def _deep() -> dict[str, Any]:
    block: dict[str, Any] = {"type": "end"}
    for _ in range(50_000):
        block = {"type": "nested", "inner": block}
    return block


@pytest.mark.parametrize(
    "block",
    [
        {"type": ["text"]},
        {"type": {}, ("a", 1): {1}},
        {"type": "image", "source": _holding_itself()},
        _holding_itself(),
        _deep(),
    ],
    ids=["a list as type", "keys that are no text", "an image in itself", "itself", "deep"],
)
def test_a_message_of_any_form_has_a_token_count(block: dict[Any, Any]) -> None:
    model = ChatTexAPI(model="gpt-5.2", api_key=SecretStr("k"))
    odd = HumanMessage("")
    odd.content = [{"type": "text", "text": "Hello"}, block]
    calls = AIMessage("")
    calls.tool_calls = [{"name": "f", "args": block, "id": "1", "type": "tool_call"}]

    assert model.get_num_tokens_from_messages([odd]) > 5
    assert model.get_num_tokens_from_messages([calls]) > 5
