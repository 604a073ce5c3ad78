"""The rows of a Parquet file, read a part at a time with pyarrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

_ROWS_AT_ONCE = 1_000


class Rows:
    """The rows as dicts of some columns. Raises `OSError` for a file that cannot be opened."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path = path
        self._wanted = list(columns)
        self.columns: list[str] = []
        """Those of the file."""
        self.count = 0
        self.fault = ""
        """Why it cannot be read."""
        try:
            with pyarrow.parquet.ParquetFile(path) as file:
                self.columns, self.count = file.schema_arrow.names, file.metadata.num_rows
        except pyarrow.ArrowInvalid as error:
            self.fault = str(error)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with pyarrow.parquet.ParquetFile(self._path) as file:
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=self._wanted):
                yield from batch.to_pylist()
