"""What `cache_prompts` saves on the stand-in gateway: `python -m benchmarks.prompt_caching` prints the table.

The stand-in counts as Claude does: only what is marked is cached, and writing costs more than plain input.
Its tokens are its own, the prices are those of the bundled list for the model.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from llama_index.core import Document
from llama_index.core.extractors import DocumentContextExtractor
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.storage.docstore import SimpleDocumentStore

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.gateway import Gateway
from tests.gateway.journal import LedgerEntry
from tests.gateway.request import Call
from texapi_core.accounting.prices import bundled_prices
from texapi_core.wire.usage import TokenUsage

MODEL = "claude-sonnet-4-6"
TURNS = 10
INSTRUCTIONS = (
    "You are the assistant of a travel agency. Look things up before you answer, name the source, and never "
    "promise a price that no tool has returned. "
) * 30
PARAGRAPH = "The night train from Hanoi to Hue leaves at half past seven and arrives before noon. " * 4


@dataclass(frozen=True)
class Sums:
    """The sums of a run."""

    requests: int
    prompt: int
    cached: int
    written: int
    output: int
    usd: Decimal


def sums(ledger: Sequence[LedgerEntry], *, with_cache: bool = True) -> Sums:
    """What a run cost, or would have cost if nothing had been cached."""
    price = bundled_prices().price(MODEL)
    assert price is not None
    usd = Decimal(0)
    for entry in ledger:
        usage = TokenUsage(
            input_tokens=entry.prompt_tokens,
            output_tokens=entry.completion_tokens,
            cached_tokens=entry.cached_tokens if with_cache else None,
            cache_creation_tokens=entry.cache_written_tokens if with_cache else None,
        )
        usd += price.cost(usage) or 0
    return Sums(
        requests=len(ledger),
        prompt=sum(entry.prompt_tokens for entry in ledger),
        cached=sum(entry.cached_tokens for entry in ledger) if with_cache else 0,
        written=sum(entry.cache_written_tokens for entry in ledger) if with_cache else 0,
        output=sum(entry.completion_tokens for entry in ledger),
        usd=usd,
    )


def look_up_trains(start: str, end: str) -> str:
    """Look up the trains between two cities, with their times and classes."""
    return f"{start} to {end}: {PARAGRAPH}"


def look_up_hotels(city: str) -> str:
    """Look up the hotels of a city with a free room."""
    return f"{city}: {PARAGRAPH}"


def agent(gateway: Gateway, *, cache_prompts: bool) -> None:
    """An agent of LangChain with a tool call in each of ten turns."""
    where: dict[str, Any] = {"base_url": gateway.base_url, "api_key": gateway.key}
    model = ChatTexAPI(model=MODEL, cache_prompts=cache_prompts, **where)
    running: Any = create_agent(
        model,
        [tool(look_up_trains), tool(look_up_hotels)],
        system_prompt=INSTRUCTIONS,
        checkpointer=InMemorySaver(),
    )
    for turn in range(TURNS):
        gateway.answer([Call("look_up_trains", {"start": "Hanoi", "end": f"city {turn}"})])
        gateway.answer(f"There is a night train to city {turn}. {PARAGRAPH}")
        question = HumanMessage(f"How do I get from Hanoi to city {turn} by train, and what does it cost?")
        running.invoke({"messages": [question]}, {"configurable": {"thread_id": "1"}})


def ingestion(gateway: Gateway, *, cache_prompts: bool) -> None:
    """Contextual retrieval: LlamaIndex's extractor sends the document with each of its chunks."""
    llm = TexAPI(model=MODEL, api_base=gateway.base_url, api_key=gateway.key, cache_prompts=cache_prompts)
    text = "\n\n".join(f"Chapter {number}. {PARAGRAPH * 3}" for number in range(30))
    document = Document(text=text, id_="guide")
    store = SimpleDocumentStore()
    store.add_documents([document])
    nodes = SentenceSplitter(chunk_size=256, chunk_overlap=0).get_nodes_from_documents([document])
    extractor = DocumentContextExtractor(
        docstore=store, llm=llm, num_workers=1, max_context_length=100_000, show_progress=False
    )
    asyncio.run(extractor.aextract(nodes))


def measure() -> Iterator[tuple[str, Sums]]:
    """Each row of the table."""
    with Gateway() as gateway:
        for title, cache_prompts in (("agent, off", False), ("agent, `cache_prompts=True`", True)):
            yield title, _run(gateway, agent, cache_prompts=cache_prompts)
        _run(gateway, ingestion, cache_prompts=True)
        yield "ingestion without its marks", sums(gateway.ledger, with_cache=False)
        yield "ingestion, with the extractor's marks", sums(gateway.ledger)


def _run(gateway: Gateway, scenario: Callable[..., None], *, cache_prompts: bool) -> Sums:
    gateway.reset()
    scenario(gateway, cache_prompts=cache_prompts)
    return sums(gateway.ledger)


def rows() -> Iterator[str]:
    """The rows of the table in the documentation."""
    for title, found in measure():
        counts = (found.requests, found.prompt, found.cached, found.written, found.output)
        yield f"| {title} | {' | '.join(f'{count:,}' for count in counts)} | {found.usd:.4f} |"


if __name__ == "__main__":
    sys.stdout.writelines(f"{row}\n" for row in rows())
