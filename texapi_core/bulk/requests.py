"""The requests of a batch: lines of OpenAI's Batch JSONL, or a template and rows of CSV or Parquet."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from texapi_core.wire.text import shown

_BLOCK = 1 << 20
_MAX_CELL = 2**31 - 1
"""Characters of a cell of CSV; Python's own limit of 131,072 is less than a document."""
_ENDPOINT = "/chat/completions"
_PLACE = re.compile(r"\{\{|\}\}|\{([^{}]+)\}")


class InputError(ValueError):
    """The input cannot be read at all. Nothing was asked."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, or why a line is none."""

    custom_id: str
    body: Mapping[str, Any] = field(default_factory=dict)
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Input:
    """The requests of a file, one after another."""

    read: Callable[[], Iterator[Request]]
    count: int
    """How many requests; blank lines of JSONL count too."""


def read_jsonl(path: Path, model: str | None = None) -> Input:
    """The requests in a file of OpenAI's Batch API.

    Args:
        path: the file, with `custom_id` and `body` in each line.
        model: the model to ask, whatever the lines name.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        ends, last = 0, b"\n"
        while block := file.read(_BLOCK):
            ends += block.count(b"\n")
            last = block[-1:]
    return Input(lambda: _lines(path, model), ends + (last != b"\n"))


def _lines(path: Path, model: str | None) -> Iterator[Request]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line.strip():
                yield _request(line, number, model)


def _request(line: bytes, number: int, model: str | None) -> Request:
    unnamed = f"line-{number}"
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return Request(unnamed, fault=f"Line {number} is not JSON.")
    if not isinstance(entry, dict):
        return Request(unnamed, fault=f"Line {number} is no JSON object.")
    custom_id, body = entry.get("custom_id"), entry.get("body")
    if not isinstance(custom_id, str) or not custom_id:
        return Request(unnamed, fault=f"Line {number} has no text as its `custom_id`.")
    if entry.get("method", "POST") != "POST" or not str(entry.get("url", _ENDPOINT)).endswith(_ENDPOINT):
        what = shown(f"{entry.get('method', 'POST')} {entry.get('url')}")
        return Request(custom_id, fault=f"Only POST /v1/chat/completions can be asked, not {what}.")
    if not isinstance(body, dict):
        return Request(custom_id, fault="`body` must be a JSON object.")
    if model is not None:
        body["model"] = model
    return Request(custom_id, body, _fault(body))


def _fault(body: Mapping[str, Any]) -> str:
    if not isinstance(body.get("model"), str) or not body["model"]:
        return "`body` has no `model`: add one, or pass --model."
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        return "`body` has no `messages`."
    return "`stream` must be left out: an answer is one line." if body.get("stream") else ""


@dataclass(frozen=True, slots=True)
class Template:
    """A request with places such as `{text}` for the columns of a row; `{{` and `}}` are braces."""

    prompt: str
    system: str = ""
    id_column: str = ""
    """The column with the `custom_id`, else it is `row-1`, `row-2` and so on."""
    body: Mapping[str, Any] = field(default_factory=dict)
    """Members of each body: `model`, and `max_tokens` if it is limited."""

    def columns(self) -> list[str]:
        """The columns that it needs, in order."""
        named = [*_PLACE.findall(self.prompt), *_PLACE.findall(self.system), self.id_column]
        return list(dict.fromkeys(name for name in named if name))

    def request(self, row: Mapping[str, Any], number: int) -> Request:
        """The request for a row, the first of which is number 1."""
        custom_id = _text(row[self.id_column]) if self.id_column else f"row-{number}"
        if not custom_id:
            return Request(f"row-{number}", fault=f"Row {number} has nothing in `{self.id_column}`.")
        messages = [{"role": "user", "content": _filled(self.prompt, row)}]
        if self.system:
            messages.insert(0, {"role": "system", "content": _filled(self.system, row)})
        return Request(custom_id, {**self.body, "messages": messages})


def _filled(template: str, row: Mapping[str, Any]) -> str:
    return _PLACE.sub(lambda place: _text(row[place[1]]) if place[1] else place[0][0], template)


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell)


def read_rows(path: Path, template: Template) -> Input:
    """The requests that a template makes of the rows of a .csv or .parquet file.

    Raises:
        ImportError: Parquet needs pyarrow.
        InputError: a column is missing, or the file cannot be read as what its name says.
        OSError: the file cannot be read.
    """
    return _read_parquet(path, template) if path.suffix.lower() == ".parquet" else _read_csv(path, template)


def _check_columns(needed: Iterable[str], known: Iterable[str]) -> None:
    known = list(known)
    if missing := [name for name in needed if name not in known]:
        raise InputError(
            f"There is no column `{missing[0]}`; there are: {', '.join(known)}. A brace is {{{{."
        )


def _read_csv(path: Path, template: Template) -> Input:
    csv.field_size_limit(_MAX_CELL)

    def rows() -> Iterator[list[str]]:
        with path.open(encoding="utf-8-sig", newline="") as file:
            try:
                yield from (row for row in csv.reader(file) if row)
            except (csv.Error, UnicodeDecodeError) as error:
                raise InputError(f"{path} cannot be read as CSV in UTF-8: {error}") from error

    heading, *_ = [*_first(rows()), []]
    _check_columns(template.columns(), heading)

    def read() -> Iterator[Request]:
        for number, row in enumerate(rows()):
            if number and len(row) != len(heading):
                fault = f"Row {number} has {len(row)} cells, and the heading {len(heading)}."
                yield Request(f"row-{number}", fault=fault)
            elif number:
                yield template.request(dict(zip(heading, row, strict=True)), number)

    return Input(read, sum(1 for _ in rows()) - 1)


def _first(rows: Iterator[list[str]]) -> list[list[str]]:
    return [row for row, _ in zip(rows, range(1), strict=False)]


def _read_parquet(path: Path, template: Template) -> Input:
    from texapi_core.bulk.parquet import Rows  # pyarrow is an extra, and slow to import

    columns = template.columns()
    rows = Rows(path, columns)
    if rows.fault:
        raise InputError(f"{path} cannot be read as Parquet: {rows.fault}")
    _check_columns(columns, rows.columns)
    return Input(lambda: map(template.request, rows, count(1)), rows.count)
