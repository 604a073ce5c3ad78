"""Chat engines, memories and agents' helpers that keep a conversation."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core import Document, Settings
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.chat_engine import (
    CondensePlusContextChatEngine,
    CondenseQuestionChatEngine,
    ContextChatEngine,
    SimpleChatEngine,
)
from llama_index.core.chat_engine.types import BaseChatEngine
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import (
    ChatMemoryBuffer,
    ChatSummaryMemoryBuffer,
    FactExtractionMemoryBlock,
)
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.retrievers.bm25 import BM25Retriever

from llama_index_texapi import TexAPI, UsageCounter
from tests.conftest import Endpoint
from tests.gateway import Gateway
from tests.llama_index.test_chat import llm

TEXTS = [
    "The balance is prepaid by bank transfer. The balance is paid out never.",
    "The daily spending cap of a key is reset at midnight.",
]
QUESTION = "By what transfer is the balance prepaid?"


def retriever() -> BM25Retriever:
    nodes = SentenceSplitter().get_nodes_from_documents([Document(text=text) for text in TEXTS])
    return BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=1)


def memory() -> ChatMemoryBuffer:
    """A simple memory: LlamaIndex's default memory leaves a database open."""
    return ChatMemoryBuffer.from_defaults(token_limit=10_000)


def simple(model: TexAPI, streaming: bool) -> BaseChatEngine:
    prompt = f"Answer from this context: {' '.join(TEXTS)}"
    return SimpleChatEngine.from_defaults(llm=model, memory=memory(), system_prompt=prompt)


def context(model: TexAPI, streaming: bool) -> BaseChatEngine:
    return ContextChatEngine.from_defaults(retriever(), llm=model, memory=memory())


def condense_plus_context(model: TexAPI, streaming: bool) -> BaseChatEngine:
    return CondensePlusContextChatEngine.from_defaults(retriever(), llm=model, memory=memory())


def condense_question(model: TexAPI, streaming: bool) -> BaseChatEngine:
    engine = RetrieverQueryEngine.from_args(retriever(), llm=model, streaming=streaming)
    return CondenseQuestionChatEngine.from_defaults(engine, llm=model, memory=memory())


def chat(engine: BaseChatEngine, message: str) -> str:
    return str(engine.chat(message))


def stream_chat(engine: BaseChatEngine, message: str) -> str:
    return "".join(engine.stream_chat(message).response_gen)


async def achat(engine: BaseChatEngine, message: str) -> str:
    return str(await engine.achat(message))


async def astream_chat(engine: BaseChatEngine, message: str) -> str:
    response = await engine.astream_chat(message)
    return "".join([piece async for piece in response.async_response_gen()])


ENGINES = [simple, context, condense_plus_context, condense_question]
FOLLOW_UP = "And when is the daily spending cap reset?"


@pytest.fixture
def _answering(gateway: Gateway) -> None:
    """Answer each question only if the prompt includes the passage with the answer."""
    gateway.answer(FOLLOW_UP, to="rephrase the follow up question")
    gateway.answer(FOLLOW_UP, to="<Follow Up Message>")
    gateway.answer("It is prepaid by bank transfer.", to=QUESTION, given=TEXTS[0])
    gateway.answer("It is reset at midnight.", to=FOLLOW_UP, given=TEXTS[1])


@pytest.mark.usefixtures("_answering")
@pytest.mark.parametrize("way", [chat, stream_chat])
@pytest.mark.parametrize("make", ENGINES)
def test_a_question_and_a_follow_up(endpoint: Endpoint, make: Any, way: Any) -> None:
    engine = make(llm(endpoint), way is stream_chat)

    assert "bank transfer" in way(engine, QUESTION)
    assert "midnight" in way(engine, FOLLOW_UP)
    assert [message.role.value for message in engine.chat_history] == ["user", "assistant"] * 2


@pytest.mark.usefixtures("_answering")
@pytest.mark.parametrize("way", [achat, astream_chat])
@pytest.mark.parametrize("make", ENGINES)
async def test_asynchronously(endpoint: Endpoint, make: Any, way: Any) -> None:
    engine = make(llm(endpoint), way is astream_chat)

    assert "bank transfer" in await way(engine, QUESTION)
    assert "midnight" in await way(engine, FOLLOW_UP)
    assert [message.role.value for message in engine.chat_history] == ["user", "assistant"] * 2


def test_a_follow_up_is_condensed_by_one_completion_that_counts_once(
    gateway: Gateway, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = TokenCountingHandler()
    monkeypatch.setattr(Settings, "callback_manager", CallbackManager([counter]))
    engine = condense_plus_context(llm(endpoint), False)

    with UsageCounter() as usage:
        engine.chat(QUESTION)
        engine.chat("And when is the daily spending cap reset?")

    assert len(gateway.requests) == usage.calls == len(counter.llm_token_counts) == 3
    assert counter.total_llm_token_count == usage.total.total_tokens


def test_memory_uses_the_model_s_context_window(endpoint: Endpoint) -> None:
    memory = ChatMemoryBuffer.from_defaults(llm=llm(endpoint, model="gpt-5.2"))

    assert memory.token_limit == 0.75 * 272_000


def test_a_memory_that_summarizes_old_messages(gateway: Gateway, endpoint: Endpoint) -> None:
    memory = ChatSummaryMemoryBuffer.from_defaults(llm=llm(endpoint), token_limit=60)
    for number in range(6):
        memory.put(
            ChatMessage(f"My cat number {number} is called Mimi {number} and she sleeps all day long.")
        )
        memory.put(ChatMessage(f"I see, cat {number} sleeps.", role="assistant"))

    kept = memory.get()

    assert kept[0].role.value == "system"
    assert kept[0].content
    assert len(gateway.requests) == 1


async def test_a_memory_of_facts(gateway: Gateway, endpoint: Endpoint) -> None:
    facts = FactExtractionMemoryBlock(llm=llm(endpoint), max_facts=1)

    await facts.aput([ChatMessage("My name is Lan."), ChatMessage("I see.", role="assistant")])
    await facts.aput([ChatMessage("I live in Hanoi."), ChatMessage("I see.", role="assistant")])

    assert [entry.status for entry in gateway.ledger] == [200] * len(gateway.ledger)
    assert len(gateway.ledger) >= 2
