"""Bulk work with Celery and Redis: a task is a batch, and Celery runs it again if its process dies.

The broker is in `CELERY_BROKER`. Start workers with `celery -A examples.celery_bulk worker --concurrency 2`.
"""

from __future__ import annotations

import os
import sys

import pandas
from celery import Celery, group

from examples.documents import documents
from langchain_texapi import ChatTexAPI
from texapi_core.bulk import Worker

_BROKER = os.environ.get("CELERY_BROKER", "redis://127.0.0.1:6379/0")
_BATCH = 16

app = Celery("examples.celery_bulk", broker=_BROKER, backend=_BROKER)
app.conf.update(
    task_acks_late=True,  # a task is done when it has ended, not when it was taken
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
)
worker = Worker(ChatTexAPI(model="claude-sonnet-4-6", max_tokens=200).ainvoke, concurrency=16)


@app.task
def answered(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """The rows of a batch with their answers and errors."""
    answers, errors = worker.map(str(row["text"]) for row in rows)
    columns = zip(rows, answers, errors, strict=True)
    return [{**row, "answer": answer and answer.text, "error": error} for row, answer, error in columns]


def main(out: str) -> None:
    """Answer all documents into a folder with a Parquet file."""
    rows = documents()
    batches = group(answered.s(rows[start : start + _BATCH]) for start in range(0, len(rows), _BATCH))
    finished = batches.apply_async().get(timeout=600)
    os.makedirs(out, exist_ok=True)
    pandas.DataFrame([row for batch in finished for row in batch]).to_parquet(f"{out}/answers.parquet")


if __name__ == "__main__":
    main(sys.argv[1])
