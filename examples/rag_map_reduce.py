"""LangChain map-reduce by several processes: a summary of each document, then of the summaries.

`python -m examples.rag_map_reduce FOLDER PART PARTS`. Answers are kept in a LangChain cache in a file that
all processes share, so a process that is started again asks only what has no answer. All share the rate limit
in `TEXAPI_LIMITS`.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.messages import messages_from_dict, messages_to_dict
from langchain_core.outputs import ChatGeneration

from examples.documents import texts
from langchain_texapi import ChatTexAPI
from texapi_core.bulk import run

_GROUP = 20
_AT_ONCE = 16


class FileCache(BaseCache):
    """Answers in an SQLite file, by prompt and model."""

    def __init__(self, path: Path) -> None:
        self._file = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        self._file.execute("PRAGMA journal_mode=WAL")
        self._file.execute(
            "CREATE TABLE IF NOT EXISTS answers "
            "(prompt TEXT, model TEXT, answer TEXT, PRIMARY KEY (prompt, model))"
        )

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """The answer, if there is one."""
        select = "SELECT answer FROM answers WHERE prompt = ? AND model = ?"
        row = self._file.execute(select, (prompt, llm_string)).fetchone()
        if row is None:
            return None
        return [ChatGeneration(message=message) for message in messages_from_dict(json.loads(row[0]))]

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Keep an answer."""
        messages = [generation.message for generation in return_val if isinstance(generation, ChatGeneration)]
        insert = "INSERT OR REPLACE INTO answers VALUES (?, ?, ?)"
        self._file.execute(insert, (prompt, llm_string, json.dumps(messages_to_dict(messages))))

    def clear(self, **kwargs: object) -> None:
        """Forget all."""
        self._file.execute("DELETE FROM answers")


def summarise(model: ChatTexAPI, documents: Sequence[str]) -> list[str]:
    """A summary of each, in the order of the documents."""
    prompts = (f"Summarise in one sentence:\n\n{document}" for document in documents)
    results = sorted(run(model.ainvoke, prompts, concurrency=_AT_ONCE), key=lambda result: result.index)
    for result in results:
        if result.error is not None:
            raise result.error
    return [result.answer.text for result in results if result.answer]


def main(folder: str, part: int, parts: int) -> None:
    """Write the summary of a part of the documents, and print of how many."""
    model = ChatTexAPI(model="claude-sonnet-4-6", max_tokens=200, cache=FileCache(Path(folder, "answers.db")))
    summaries = summarise(model, [text for _, text in texts()[part::parts]])
    count = len(summaries)
    while len(summaries) > 1:
        groups = [summaries[start : start + _GROUP] for start in range(0, len(summaries), _GROUP)]
        summaries = summarise(model, ["\n".join(group) for group in groups])
    Path(folder, f"summary-{part}.txt").write_text(summaries[0], "utf-8")
    print(count)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
