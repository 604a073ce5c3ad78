"""LlamaIndex ingestion by several processes: keywords and a summary of every node, resumed by the cache.

`python -m examples.rag_ingestion FOLDER PART PARTS`. Each process has its part of the nodes and its file of
the `IngestionCache`, which it writes after each batch, so a kill costs a batch. All share the rate limit in
`TEXAPI_LIMITS`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from llama_index.core.extractors import KeywordExtractor, SummaryExtractor
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.schema import BaseNode, TextNode

from examples.documents import texts
from llama_index_texapi import TexAPI

_BATCH = 25
_AT_ONCE = 16


async def ingest(nodes: list[TextNode], cache: IngestionCache, file: Path) -> list[BaseNode]:
    """The nodes with the metadata `excerpt_keywords` and `section_summary`."""
    llm = TexAPI(model="claude-sonnet-4-6", max_tokens=200)
    pipeline = IngestionPipeline(
        transformations=[
            KeywordExtractor(llm=llm, num_workers=_AT_ONCE, show_progress=False),
            SummaryExtractor(llm=llm, num_workers=_AT_ONCE, show_progress=False),
        ],
        cache=cache,
    )
    ingested: list[BaseNode] = []
    for start in range(0, len(nodes), _BATCH):
        ingested += await pipeline.arun(nodes=nodes[start : start + _BATCH])
        new = file.with_suffix(".new")
        pipeline.cache.persist(str(new))
        os.replace(new, file)  # a kill leaves the old file or the new one
    return ingested


def main(folder: str, part: int, parts: int) -> None:
    """Ingest a part of the nodes, and say of how many all metadata is there."""
    nodes = [TextNode(id_=f"node-{number}", text=text) for number, text in texts()[part::parts]]
    file = Path(folder, f"cache-{part}.json")
    cache = IngestionCache.from_persist_path(str(file)) if file.exists() else IngestionCache()
    ingested = asyncio.run(ingest(nodes, cache, file))
    print(sum({"excerpt_keywords", "section_summary"} <= node.metadata.keys() for node in ingested))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
