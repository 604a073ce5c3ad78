"""Bulk work with Spark: `mapInPandas`, the batches of a partition over the same connections.

Spark runs a task again if its Python worker dies. A job that is stopped keeps no partition: write in several
jobs, e.g. a day each, or filter out what an earlier job wrote.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pandas
from pyspark.sql import SparkSession

from examples.documents import documents
from llama_index_texapi import TexAPI
from texapi_core.bulk import Worker

worker = Worker(TexAPI(model="claude-sonnet-4-6", max_tokens=200).acomplete, concurrency=16)


def answered(frames: Iterator[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
    """The rows of a partition with their answers and errors. Runs in Spark's Python workers."""
    for frame in frames:
        answers, errors = worker.map(frame["text"])
        yield frame.assign(answer=[answer and answer.text for answer in answers], error=errors)


def main(out: str) -> None:
    """Answer all documents into a folder of Parquet files."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    spark = SparkSession.builder.master("local[2,4]").config("spark.ui.enabled", "false").getOrCreate()
    rows = spark.createDataFrame(pandas.DataFrame(documents())).repartition(8)
    schema = "number long, text string, answer string, error string"
    rows.mapInPandas(answered, schema).write.mode("overwrite").parquet(out)
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1])
