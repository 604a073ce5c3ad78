"""`make demo`: a LangChain chain, an agent with a tool, a LlamaIndex query engine, and what they cost.

Uses the live service when `TEXAPI_API_KEY` is set, otherwise the stand-in gateway of the tests.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from llama_index.core import Document, Settings
from llama_index.core.base.llms.types import ChatResponse
from llama_index.core.base.response.schema import StreamingResponse
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.retrievers.bm25 import BM25Retriever

from demo.endpoint import use_live_or_standin
from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from texapi_core import TexAPIError

MODEL = os.environ.get("TEXAPI_DEMO_MODEL", "claude-sonnet-4-6")
DOCUMENTS = Path(__file__).parent / "documents"


@dataclass
class Row:
    """One line of the closing table."""

    call: str
    model: str
    tokens_in: int | None
    tokens_out: int | None
    cached: int | None
    request_id: str
    milliseconds: float


@tool
def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return f"Sunny, 31 degrees in {city}."


def show(text: str) -> None:
    """Print text without a newline, as it arrives."""
    print(text, end="", flush=True)


def of_message(call: str, message: AIMessage, milliseconds: float) -> Row:
    """The row for the call that a LangChain message came from."""
    usage, metadata = message.usage_metadata, message.response_metadata
    return Row(
        call,
        metadata.get("model_name", "?"),
        usage["input_tokens"] if usage else None,
        usage["output_tokens"] if usage else None,
        usage.get("input_token_details", {}).get("cache_read") if usage else None,
        metadata.get("request_id", "?"),
        milliseconds,
    )


def langchain_chain() -> list[Row]:
    """A chain, streamed."""
    print("\n── LangChain: a chain, streamed ──")
    prompt = ChatPromptTemplate([("system", "Answer in one sentence."), ("human", "{question}")])
    chain = prompt | ChatTexAPI(model=MODEL)
    question = "Thủ đô của Việt Nam là gì?"
    print(f"> {question}")
    started = time.perf_counter()
    whole: Any = None
    for chunk in chain.stream({"question": question}):
        show(chunk.text)
        whole = chunk if whole is None else whole + chunk
    print()
    return [of_message("LangChain chain, streamed", whole, _since(started))]


def langchain_agent() -> list[Row]:
    """An agent that calls a tool, streamed."""
    print("\n── LangChain: an agent with a tool, streamed ──")
    agent = create_agent(ChatTexAPI(model=MODEL), [get_weather])
    question = "What is the weather in Hanoi?"
    print(f"> {question}")
    rows: list[Row] = []
    started = time.perf_counter()
    modes: Any = ["messages", "updates"]
    for mode, data in agent.stream({"messages": [HumanMessage(question)]}, stream_mode=modes):
        if mode == "messages":
            if isinstance(data[0], AIMessageChunk):
                show(data[0].text)
            continue
        updates: Any = data
        for update in updates.values():
            for message in update["messages"]:
                if isinstance(message, AIMessage):
                    rows.append(
                        of_message(f"LangChain agent, turn {len(rows) + 1}", message, _since(started))
                    )
                    started = time.perf_counter()
                    for call in message.tool_calls:
                        print(f"[calls {call['name']}({call['args']})]")
    print()
    return rows


class _Responses(BaseEventHandler):
    """Collects the response of every LlamaIndex LLM call."""

    seen: list[ChatResponse]

    @classmethod
    def class_name(cls) -> str:
        return "Responses"

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        if isinstance(event, LLMChatEndEvent) and event.response is not None:
            self.seen.append(event.response)


def llama_index_query_engine() -> list[Row]:
    """A query engine over this folder's documents, streamed."""
    print("\n── LlamaIndex: a BM25 query engine over documents, streamed ──")
    Settings.llm = TexAPI(model=MODEL)
    documents = [Document(text=path.read_text("utf-8")) for path in sorted(DOCUMENTS.glob("*.md"))]
    nodes = SentenceSplitter(chunk_size=128, chunk_overlap=0).get_nodes_from_documents(documents)
    retriever = BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=2)
    engine = RetrieverQueryEngine.from_args(retriever, streaming=True)
    question = "Which error comes when the balance is empty?"
    print(f"> {question}")
    responses = _Responses(seen=[])
    get_dispatcher().add_event_handler(responses)
    started = time.perf_counter()
    answer = engine.query(question)
    if isinstance(answer, StreamingResponse):
        for piece in answer.response_gen:
            show(piece)
    print()
    (response,) = responses.seen
    kwargs = response.additional_kwargs
    return [
        Row(
            "LlamaIndex query engine, streamed",
            kwargs.get("model", "?"),
            kwargs.get("prompt_tokens"),
            kwargs.get("completion_tokens"),
            kwargs.get("cached_tokens"),
            kwargs.get("request_id", "?"),
            _since(started),
        )
    ]


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


def print_table(rows: list[Row]) -> None:
    """Print the rows under a heading, in aligned columns."""
    heading = ["call", "model", "in", "out", "cached", "request id", "ms"]
    cells = [
        [
            row.call,
            row.model,
            *("-" if count is None else str(count) for count in (row.tokens_in, row.tokens_out, row.cached)),
            row.request_id,
            f"{row.milliseconds:.0f}",
        ]
        for row in rows
    ]
    widths = [max(len(line[column]) for line in [heading, *cells]) for column in range(len(heading))]
    print()
    for line in [heading, ["-" * width for width in widths], *cells]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def main() -> int:
    """Run all steps; return 0 if every one of them got an answer."""
    print(use_live_or_standin(chunk_delay=0.02))
    steps: list[Callable[[], list[Row]]] = [langchain_chain, langchain_agent, llama_index_query_engine]
    rows: list[Row] = []
    for step in steps:
        try:
            rows += step()
        except TexAPIError as error:
            print(f"\n{type(error).__name__}: {error}", file=sys.stderr)
            return 1
    print_table(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
