"""Node processing: rerankers, extractors, pipelines and indices that call the model."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core import Document, KeywordTableIndex, PropertyGraphIndex, SummaryIndex, TreeIndex
from llama_index.core.extractors import (
    KeywordExtractor,
    QuestionsAnsweredExtractor,
    SummaryExtractor,
    TitleExtractor,
)
from llama_index.core.indices.property_graph import SchemaLLMPathExtractor, SimpleLLMPathExtractor
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.postprocessor import LLMRerank
from llama_index.core.postprocessor.rankGPT_rerank import RankGPTRerank
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from llama_index_texapi import TexAPI
from tests.conftest import Endpoint
from tests.gateway import Gateway
from tests.llama_index.test_chat import llm

QUESTION = "By what transfer is the balance prepaid?"
TEXTS = [
    "The daily spending cap of a key is reset at midnight.",
    "The balance is prepaid by bank transfer. Hanoi is the capital of Vietnam.",
]


ANSWERS = [
    ("A list of documents is shown", "", "Doc: 2, Relevance: 10"),
    ("Search Query", "", "[2] > [1]"),
    ("Some choices are given", "", "ANSWER: 2\nIt is about the balance."),
    ("A question is provided", "", "KEYWORDS: balance, transfer"),
    ("Some text is provided", "balance", "KEYWORDS: balance, transfer"),
    ("Some text is provided", "daily", "KEYWORDS: key, cap"),
    ("answer the query", TEXTS[1], "The balance is prepaid by bank transfer."),
]
"""The model's answers, by prompt and by the text in it."""


def nodes() -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(text=text), score=0.5) for text in TEXTS]


def documents() -> list[Document]:
    return [Document(text=text) for text in TEXTS]


@pytest.fixture
def _ranking(gateway: Gateway) -> None:
    for prompt, text, answer in ANSWERS:
        gateway.answer(answer, to=prompt, given=text)


@pytest.mark.usefixtures("_ranking")
@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("reranker", [LLMRerank, RankGPTRerank])
async def test_reranking(endpoint: Endpoint, reranker: Any, asynchronous: bool) -> None:
    ranker = reranker(llm=llm(endpoint), top_n=1)
    bundle = QueryBundle(QUESTION)

    if asynchronous:
        ranked = await ranker.apostprocess_nodes(nodes(), query_bundle=bundle)
    else:
        ranked = ranker.postprocess_nodes(nodes(), query_bundle=bundle)

    assert [node.text for node in ranked] == [TEXTS[1]]


@pytest.mark.usefixtures("_ranking")
def test_reasoning_does_not_affect_the_ranking(endpoint: Endpoint) -> None:
    ranker = LLMRerank(llm=llm(endpoint, reasoning_effort="low"), top_n=1)

    (best,) = ranker.postprocess_nodes(nodes(), query_bundle=QueryBundle(QUESTION))

    assert best.text == TEXTS[1]


def extractors(model: TexAPI) -> list[Any]:
    return [
        TitleExtractor(llm=model, show_progress=False),
        SummaryExtractor(llm=model, show_progress=False),
        KeywordExtractor(llm=model, show_progress=False),
        QuestionsAnsweredExtractor(llm=model, questions=1, show_progress=False),
    ]


KEYS = {"document_title", "section_summary", "excerpt_keywords", "questions_this_excerpt_can_answer"}


async def test_metadata(endpoint: Endpoint) -> None:
    pipeline = IngestionPipeline(transformations=[SentenceSplitter(), *extractors(llm(endpoint))])

    made = await pipeline.arun(documents=documents())

    assert len(made) == 2
    assert all(set(node.metadata) == KEYS and all(node.metadata.values()) for node in made)


@pytest.mark.combination
def test_a_pipeline_of_two_processes(gateway: Gateway, endpoint: Endpoint) -> None:
    # Already split: llama-index-core 0.14.25 cannot pickle its own splitter for another process.
    pipeline = IngestionPipeline(transformations=extractors(llm(endpoint)))

    made = pipeline.run(nodes=[TextNode(text=text) for text in TEXTS], num_workers=2)

    assert len(made) == 2
    assert all(set(node.metadata) == KEYS for node in made)
    assert len({request.client for request in gateway.requests}) >= 2
    assert all(entry.status == 200 for entry in gateway.ledger)


def test_a_loaded_extractor_has_its_llm(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = TitleExtractor(llm=llm(endpoint, temperature=0.5)).to_dict()
    assert endpoint.api_key not in str(saved)
    monkeypatch.setenv("TEXAPI_API_KEY", endpoint.api_key)

    loaded = TitleExtractor.from_dict(saved)

    assert isinstance(loaded.llm, TexAPI)
    assert loaded.llm.temperature == 0.5
    assert loaded.llm.complete("Say one").text


@pytest.mark.usefixtures("_ranking")
@pytest.mark.parametrize(
    ("index", "options"),
    [
        (SummaryIndex, {"retriever_mode": "llm"}),
        (TreeIndex, {"retriever_mode": "select_leaf"}),
        (KeywordTableIndex, {}),
    ],
)
def test_an_index_that_uses_the_model(endpoint: Endpoint, index: Any, options: dict[str, Any]) -> None:
    model = llm(endpoint)
    if options:
        options = {**options, "llm": model}

    retriever = index.from_documents(documents(), llm=model).as_retriever(**options)

    assert "bank transfer" in str(RetrieverQueryEngine.from_args(retriever, llm=model).query(QUESTION))


@pytest.mark.parametrize("extractor", [SimpleLLMPathExtractor, SchemaLLMPathExtractor])
def test_a_graph_without_embeddings(gateway: Gateway, endpoint: Endpoint, extractor: Any) -> None:
    model = llm(endpoint)

    index = PropertyGraphIndex.from_documents(
        documents(),
        llm=model,
        kg_extractors=[extractor(llm=model)],
        embed_kg_nodes=False,
        show_progress=False,
    )

    assert index.property_graph_store.get()
    assert len(gateway.requests) == 2
    assert all(entry.status == 200 for entry in gateway.ledger)
