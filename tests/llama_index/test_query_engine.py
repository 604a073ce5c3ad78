"""A BM25 query engine over real documents, with no embeddings anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from llama_index.core import Document, Settings
from llama_index.core.base.response.schema import StreamingResponse
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.instrumentation.events.llm import LLMChatInProgressEvent
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.retrievers.bm25 import BM25Retriever

from tests.conftest import Endpoint
from tests.gateway import Gateway
from tests.llama_index.instrumentation import watching
from tests.llama_index.test_chat import llm

DOCUMENTS = Path(__file__).parents[1] / "documents"


@pytest.fixture
def counter() -> Iterator[TokenCountingHandler]:
    """Set in `Settings`, where query engines look for their callback manager."""
    counter = TokenCountingHandler()
    Settings.callback_manager = CallbackManager([counter])
    yield counter
    Settings._callback_manager = None
    Settings._llm = None


def engine(*, streaming: bool = False) -> RetrieverQueryEngine:
    documents = [Document(text=path.read_text("utf-8")) for path in sorted(DOCUMENTS.glob("*.md"))]
    nodes = SentenceSplitter(chunk_size=128, chunk_overlap=0).get_nodes_from_documents(documents)
    retriever = BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=2)
    return RetrieverQueryEngine.from_args(retriever, streaming=streaming)


def test_it_answers_from_the_documents(recorded: Endpoint, counter: TokenCountingHandler) -> None:
    Settings.llm = llm(recorded)

    response = engine().query("Which error comes when the balance is empty?")

    assert "insufficient_credits" in str(response)
    assert len(response.source_nodes) == 2
    (event,) = counter.llm_token_counts
    assert event.prompt_token_count > 50
    assert event.completion_token_count > 0


def test_it_streams(recorded: Endpoint, counter: TokenCountingHandler) -> None:
    Settings.llm = llm(recorded)

    with watching() as (events, _):
        response = engine(streaming=True).query("Which error comes when the balance is empty?")
        assert isinstance(response, StreamingResponse)
        answer = "".join(response.response_gen)

    assert "insufficient_credits" in answer
    # TexAPI passes on pieces; llama-index-core 0.14.22 to 0.14.24 join them before the user gets them.
    assert len([event for event in events.seen if isinstance(event, LLMChatInProgressEvent)]) > 3
    assert len(counter.llm_token_counts) == 1


async def test_it_answers_asynchronously(recorded: Endpoint, counter: TokenCountingHandler) -> None:
    Settings.llm = llm(recorded)

    response = await engine().aquery("Hạn mức chi tiêu theo ngày được đặt lại khi nào?")

    assert "nửa đêm" in str(response)
    assert len(counter.llm_token_counts) == 1


@pytest.mark.combination
def test_a_long_document_costs_one_call(gateway: Gateway, endpoint: Endpoint) -> None:
    from llama_index.core import SummaryIndex

    text = "The balance is prepaid and every call is paid per token from it. " * 4_000
    index = SummaryIndex.from_documents([Document(text=text)])
    gateway.answer("They are paid per token.", to="paid per token from it")

    response = index.as_query_engine(llm=llm(endpoint), response_mode="compact").query("How are calls paid?")

    assert "per token" in str(response)
    assert len(gateway.requests) == 1
