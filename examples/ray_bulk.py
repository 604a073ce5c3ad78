"""Bulk work with Ray Data on two nodes: actors that keep their connections.

Ray runs a block again if its actor dies. With `async_actor` as the second argument the calls run in Ray's
event loop instead of the worker's own, and several batches share an actor at once.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Any

import ray
from ray.cluster_utils import Cluster

from examples.documents import documents
from langchain_texapi import ChatTexAPI
from texapi_core.bulk import Worker, arun


class Answers:
    """An actor: batches in, answers and errors as columns out."""

    def __init__(self) -> None:
        model = ChatTexAPI(model="claude-sonnet-4-6", max_tokens=200)
        self.worker = Worker(model.ainvoke, concurrency=16)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One batch."""
        answers, errors = self.worker.map(batch["text"])
        return {**batch, "answer": [answer and answer.text for answer in answers], "error": errors}


class AsyncAnswers:
    """The same as an async actor, which yields each answer as it comes."""

    def __init__(self) -> None:
        self.model = ChatTexAPI(model="claude-sonnet-4-6", max_tokens=200)

    async def __call__(self, batch: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """One batch."""
        async for result in arun(self.model.ainvoke, batch["text"], concurrency=16):
            yield {
                "number": [batch["number"][result.index]],
                "text": [result.input],
                "answer": [result.answer and result.answer.text],
                "error": [result.error and str(result.error)],
            }


def main(out: str, actor: str = "") -> None:
    """Answer all documents into a folder of Parquet files."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    cluster.add_node(num_cpus=2)
    ray.init(address=cluster.address, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = ray.data.from_items(documents(), override_num_blocks=16)
    answers = rows.map_batches(
        AsyncAnswers if actor == "async_actor" else Answers,
        batch_size=None,
        compute=ray.data.ActorPoolStrategy(size=2),
    )
    answers.write_parquet(out)
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
