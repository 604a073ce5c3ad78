"""Bulk work with Dask: a batch is a file, which is there as a whole or not at all.

If a worker dies, Dask runs all of its tasks again, finished ones too. Those find their file, and so does the
same job started again.
"""

from __future__ import annotations

import os
import sys

import pandas
from dask.distributed import Client, LocalCluster

from examples.documents import documents
from langchain_texapi import ChatTexAPI
from texapi_core.bulk import Worker

_BATCH = 16
worker = Worker(ChatTexAPI(model="claude-sonnet-4-6", max_tokens=200).ainvoke, concurrency=16)


def answer(rows: list[dict[str, object]], path: str) -> None:
    """Write the rows of a batch with their answers and errors. Runs in Dask's workers."""
    if os.path.exists(path):
        return
    frame = pandas.DataFrame(rows)
    answers, errors = worker.map(frame["text"])
    frame = frame.assign(answer=[answer and answer.text for answer in answers], error=errors)
    frame.to_parquet(f"{path}.{os.getpid()}")
    os.replace(f"{path}.{os.getpid()}", path)


def main(out: str) -> None:
    """Answer all documents into a folder of Parquet files, on storage that all workers share."""
    os.makedirs(out, exist_ok=True)
    rows = documents()
    batches = [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]
    paths = [os.path.join(out, f"{number:06}.parquet") for number in range(len(batches))]
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        client = Client.current()
        client.gather(client.map(answer, batches, paths))


if __name__ == "__main__":
    main(sys.argv[1])
