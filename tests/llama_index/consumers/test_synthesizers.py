"""Response synthesizers and query engines: their answers and the number of requests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from llama_index.core import Document, SummaryIndex
from llama_index.core.base.response.schema import AsyncStreamingResponse, PydanticResponse, StreamingResponse
from llama_index.core.indices.query.query_transform import HyDEQueryTransform
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.query_engine import (
    CitationQueryEngine,
    RetrieverQueryEngine,
    RouterQueryEngine,
    SubQuestionQueryEngine,
    TransformQueryEngine,
)
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.response_synthesizers import ResponseMode, get_response_synthesizer
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.selectors import (
    LLMMultiSelector,
    LLMSingleSelector,
    PydanticMultiSelector,
    PydanticSingleSelector,
)
from llama_index.core.tools import QueryEngineTool
from llama_index.retrievers.bm25 import BM25Retriever
from pydantic import BaseModel

from llama_index_texapi import TexAPI
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from tests.llama_index.test_chat import llm

QUESTION = "By what transfer is the balance prepaid?"
BALANCE = "The balance is prepaid by bank transfer. Every call is paid per token from the balance."
KEYS = "Every key has a daily spending cap. The daily spending cap of a key is reset at midnight."
NODES = [NodeWithScore(node=TextNode(text=text), score=1.0) for text in (BALANCE, KEYS)]
REQUESTS = {
    ResponseMode.COMPACT: 1,
    ResponseMode.REFINE: 2,
    ResponseMode.TREE_SUMMARIZE: 1,
    ResponseMode.SIMPLE_SUMMARIZE: 1,
    ResponseMode.ACCUMULATE: 2,
    ResponseMode.COMPACT_ACCUMULATE: 1,
}
ANSWER = "The balance is prepaid by bank transfer."
STREAMED = [ResponseMode.COMPACT, ResponseMode.REFINE, ResponseMode.TREE_SUMMARIZE]

CHOICES: dict[Any, Any] = {
    PydanticSingleSelector: {"index": 2, "reason": "It is about the balance."},
    LLMSingleSelector: '[{"choice": 2, "reason": "It is about the balance."}]',
    PydanticMultiSelector: {"selections": [{"index": 2, "reason": "It is about the balance."}]},
    LLMMultiSelector: '[{"choice": 2, "reason": "It is about the balance."}]',
}


@pytest.fixture
def _answering(gateway: Gateway) -> None:
    """Answer the question only if the prompt includes the passage with the answer."""
    gateway.answer(ANSWER, to=QUESTION, given=ANSWER)


@pytest.mark.usefixtures("_answering")
@pytest.mark.parametrize("mode", REQUESTS)
def test_whole(gateway: Gateway, endpoint: Endpoint, mode: ResponseMode) -> None:
    synthesizer = get_response_synthesizer(llm=llm(endpoint), response_mode=mode)

    response = synthesizer.synthesize(QUESTION, NODES)

    assert "bank transfer" in str(response)
    assert len(gateway.requests) == REQUESTS[mode]


@pytest.mark.usefixtures("_answering")
@pytest.mark.parametrize("mode", REQUESTS)
async def test_asynchronous(gateway: Gateway, endpoint: Endpoint, mode: ResponseMode) -> None:
    synthesizer = get_response_synthesizer(llm=llm(endpoint), response_mode=mode, use_async=True)

    response = await synthesizer.asynthesize(QUESTION, NODES)

    assert "bank transfer" in str(response)
    assert len(gateway.requests) == REQUESTS[mode]


@pytest.mark.usefixtures("_answering")
@pytest.mark.parametrize("mode", STREAMED)
def test_streamed(gateway: Gateway, endpoint: Endpoint, mode: ResponseMode) -> None:
    synthesizer = get_response_synthesizer(llm=llm(endpoint), response_mode=mode, streaming=True)

    response = synthesizer.synthesize(QUESTION, NODES)

    assert isinstance(response, StreamingResponse)
    assert "bank transfer" in "".join(response.response_gen)
    assert all(entry.streamed for entry in gateway.ledger[-1:])
    assert len(gateway.requests) == REQUESTS[mode]


@pytest.mark.usefixtures("_answering")
@pytest.mark.parametrize("mode", STREAMED)
async def test_streamed_asynchronously(gateway: Gateway, endpoint: Endpoint, mode: ResponseMode) -> None:
    synthesizer = get_response_synthesizer(llm=llm(endpoint), response_mode=mode, streaming=True)

    response = await synthesizer.asynthesize(QUESTION, NODES)

    assert isinstance(response, AsyncStreamingResponse)
    pieces: AsyncIterator[str] = response.response_gen
    assert "bank transfer" in "".join([piece async for piece in pieces])
    assert len(gateway.requests) == REQUESTS[mode]


@pytest.mark.usefixtures("_answering")
def test_a_tree_with_an_event_loop_per_level(gateway: Gateway, endpoint: Endpoint) -> None:
    """LlamaIndex opens an event loop per level; nothing is sent twice."""
    text = "The balance is prepaid by bank transfer. " * 300
    nodes = [NodeWithScore(node=TextNode(text=text), score=1.0) for _ in range(3)]
    synthesizer = get_response_synthesizer(
        llm=llm(endpoint, context_window=4_500), response_mode=ResponseMode.TREE_SUMMARIZE, use_async=True
    )

    response = synthesizer.synthesize(QUESTION, nodes)

    assert "bank transfer" in str(response)
    assert len(gateway.requests) == len({request.raw for request in gateway.requests}) == 3
    assert all(entry.completed for entry in gateway.ledger)


class Payment(BaseModel):
    """How something is paid."""

    method: str


@pytest.mark.parametrize("mode", [ResponseMode.COMPACT, ResponseMode.REFINE, ResponseMode.TREE_SUMMARIZE])
def test_an_object(gateway: Gateway, endpoint: Endpoint, mode: ResponseMode) -> None:
    gateway.answer({"method": "bank transfer"}, to=QUESTION)
    synthesizer = get_response_synthesizer(llm=llm(endpoint), response_mode=mode, output_cls=Payment)

    response = synthesizer.synthesize(QUESTION, NODES)

    assert isinstance(response, PydanticResponse)
    assert response.response == Payment(method="bank transfer")


def filtered(answer: str, *, satisfied: bool) -> Fault:
    arguments = json.dumps({"answer": answer, "query_satisfied": satisfied})
    call = {"id": "c", "function": {"name": "StructuredRefineResponse", "arguments": arguments}}
    return Fault(body={"choices": [{"index": 0, "message": {"tool_calls": [call]}, "finish_reason": "stop"}]})


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_answers_are_filtered_by_an_object(
    gateway: Gateway, endpoint: Endpoint, asynchronous: bool
) -> None:
    gateway.misbehave(filtered("Nothing of keys.", satisfied=False))
    gateway.misbehave(filtered("By bank transfer.", satisfied=True))
    synthesizer = get_response_synthesizer(
        llm=llm(endpoint), response_mode=ResponseMode.REFINE, structured_answer_filtering=True
    )

    if asynchronous:
        response = await synthesizer.asynthesize(QUESTION, NODES)
    else:
        response = synthesizer.synthesize(QUESTION, NODES)

    assert str(response) == "By bank transfer."
    assert [request.body["tool_choice"] for request in gateway.requests] == ["required", "required"]


def retriever(*texts: str, top_k: int = 1) -> BM25Retriever:
    nodes = SentenceSplitter().get_nodes_from_documents([Document(text=text) for text in texts])
    return BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=top_k)


def tools(model: TexAPI) -> list[QueryEngineTool]:
    return [
        QueryEngineTool.from_defaults(
            RetrieverQueryEngine.from_args(retriever(text), llm=model), name=name, description=description
        )
        for text, name, description in (
            (KEYS, "keys", "Answers questions on keys and their daily spending cap."),
            (BALANCE, "balance", "Answers questions on the balance and how it is paid."),
        )
    ]


@pytest.mark.parametrize(
    "selector", [PydanticSingleSelector, LLMSingleSelector, PydanticMultiSelector, LLMMultiSelector]
)
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_router(gateway: Gateway, endpoint: Endpoint, selector: Any, asynchronous: bool) -> None:
    gateway.answer(CHOICES[selector], to="Some choices are given below")
    gateway.answer(ANSWER, to=QUESTION, given=ANSWER)
    model = llm(endpoint)
    engine = RouterQueryEngine.from_defaults(
        tools(model), llm=model, selector=selector.from_defaults(llm=model)
    )

    response = await engine.aquery(QUESTION) if asynchronous else engine.query(QUESTION)

    assert "bank transfer" in str(response)


def test_a_router_chooses_by_calling_a_tool(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.answer(CHOICES[PydanticSingleSelector], ANSWER)
    model = llm(endpoint)

    response = RouterQueryEngine.from_defaults(tools(model), llm=model).query(QUESTION)

    assert "bank transfer" in str(response)
    assert gateway.requests[0].body["tool_choice"] == "required"
    assert len(gateway.requests) == 2


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_sub_questions(gateway: Gateway, endpoint: Endpoint, asynchronous: bool) -> None:
    parts = {"balance": QUESTION, "keys": "When is the daily spending cap of a key reset?"}
    items = [{"sub_question": part, "tool_name": name} for name, part in parts.items()]
    gateway.answer(f"```json\n{json.dumps({'items': items})}\n```", to="a list of relevant sub-questions")
    gateway.answer(f"{ANSWER} And at midnight.", to="and when is", given="reset at midnight")
    gateway.answer("It is reset at midnight.", to=parts["keys"], given=KEYS)
    gateway.answer(ANSWER, to=QUESTION, given=BALANCE)
    model = llm(endpoint)
    engine = SubQuestionQueryEngine.from_defaults(
        tools(model),
        llm=model,
        question_gen=LLMQuestionGenerator.from_defaults(llm=model),
        use_async=asynchronous,
        verbose=False,
    )
    question = "By what transfer is the balance prepaid, and when is the daily spending cap of keys reset?"

    response = await engine.aquery(question) if asynchronous else engine.query(question)

    assert len(response.source_nodes) >= 2
    assert str(response) == f"{ANSWER} And at midnight."


def test_citations(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.answer("By bank transfer [1].", to="Source 1:")
    engine = CitationQueryEngine.from_args(
        index=SummaryIndex([]), retriever=retriever(BALANCE), llm=llm(endpoint)
    )

    assert str(engine.query(QUESTION)) == "By bank transfer [1]."


def test_query_fusion(gateway: Gateway, endpoint: Endpoint) -> None:
    fused = QueryFusionRetriever(
        [retriever(BALANCE, KEYS)], llm=llm(endpoint), num_queries=3, similarity_top_k=1, use_async=False
    )

    (found,) = fused.retrieve(QUESTION)

    assert "bank transfer" in found.text
    assert len(gateway.requests) == 1


def test_hypothetical_document_embeddings(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.answer("A bank transfer fills the balance.", to="write a passage")
    gateway.answer(ANSWER, to=QUESTION, given=ANSWER)
    model = llm(endpoint)
    engine = TransformQueryEngine(
        RetrieverQueryEngine.from_args(retriever(BALANCE, KEYS), llm=model), HyDEQueryTransform(llm=model)
    )

    assert "bank transfer" in str(engine.query(QUESTION))


def test_a_document_of_60_000_tokens_costs_one_call(gateway: Gateway, endpoint: Endpoint) -> None:
    rule = "the balance is prepaid and every call is paid per token from it."
    # Numbered, because retrievers skip duplicates.
    text = " ".join(f"Rule {number}: {rule}" for number in range(3_200))
    index = SummaryIndex.from_documents([Document(text=text)])
    gateway.answer("They are paid per token.", to="Rule 3199")

    response = index.as_query_engine(llm=llm(endpoint, context_window=128_000)).query("How are calls paid?")

    assert "per token" in str(response)
    assert len(gateway.requests) == 1
    assert gateway.ledger[0].prompt_tokens > 60_000
