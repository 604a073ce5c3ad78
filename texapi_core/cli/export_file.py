"""Writes the calls of a ledger into a file: CSV or Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from texapi_core.accounting.ledger.schema import calls
from texapi_core.cli.rows import plain, print_rows

_BATCH = 10_000
"""Rows of a Parquet row group."""

Row = Mapping[str, Any]


def write_calls(rows: Iterable[Row], path: Path) -> int:
    """Write calls into a file of the kind that its name ends in, of `WRITERS`; how many.

    Raises:
        ImportError: pyarrow, which Parquet needs, is not installed.
        OSError: the file cannot be written.
    """
    counted = _Counted(rows)
    WRITERS[path.suffix.lower()](counted, path)
    return counted.count


class _Counted:
    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = rows
        self.count = 0

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            self.count += 1
            yield row


def _write_csv(rows: Iterable[Row], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        print_rows(({name: plain(value) for name, value in row.items()} for row in rows), "csv", file)
        if not file.tell():
            file.write(",".join([one.name for one in calls.c if one.name != "hour"] + ["tags"]) + "\n")


def _write_parquet(rows: Iterable[Row], path: Path) -> None:
    """Times in UTC, costs as decimals of 10⁻¹² USD, tags as a list, metadata as JSON."""
    import pyarrow.parquet  # an extra, and slow

    types = {
        "BIGINT": pyarrow.int64(),
        "INTEGER": pyarrow.int64(),
        "FLOAT": pyarrow.float64(),
        "BOOLEAN": pyarrow.bool_(),
        "DATETIME": pyarrow.timestamp("us", tz="UTC"),
    }
    fields = {one.name: types.get(str(one.type), pyarrow.string()) for one in calls.c if one.name != "hour"}
    schema = pyarrow.schema(
        {
            **fields,
            **dict.fromkeys(("cost", "cache_savings"), pyarrow.decimal128(28, 12)),
            "tags": pyarrow.list_(pyarrow.string()),
        }
    )
    remaining = ({**row, "metadata": plain(row["metadata"])} for row in rows)
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        while batch := list(islice(remaining, _BATCH)):
            writer.write_table(pyarrow.Table.from_pylist(batch, schema=schema))


WRITERS = {".csv": _write_csv, ".parquet": _write_parquet}
"""Ending of a file's name -> what writes it."""
