"""Many processes write one ledger, which is then compared with the gateway's.

`python -m tests.accounting.mixed_run` makes 1,000 calls from four processes, on SQLite and on PostgreSQL.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from typing import Any

from sqlalchemy import create_engine, select

from tests.accounting import postgresql
from tests.forked import Process, module
from tests.gateway import Gateway
from texapi_core.accounting.ledger.schema import calls, parse_url


def read_rows(url: str) -> list[dict[str, Any]]:
    engine = create_engine(parse_url(url))
    with engine.connect() as connection:
        rows = [dict(row) for row in connection.execute(select(calls)).mappings()]
    engine.dispose()
    return rows


def run(gateway: Gateway, url: str, *, count: int, processes: int) -> list[dict[str, Any]]:
    """Make `count` calls from `processes` processes and return the rows of the ledger at `url`."""
    environment = {**os.environ, "TEXAPI_USAGE_LEDGER": url}
    arguments = [(gateway.base_url, gateway.key, str(n), str(count // processes)) for n in range(processes)]
    worker_code = module("tests.accounting.mixed_worker")
    workers = [Process(worker_code, *each, env=environment) for each in arguments]
    for worker in workers:
        _, said = worker.communicate()
        assert worker.returncode == 0, said
        assert "ledger" not in said, said
    return read_rows(url)


def compare(gateway: Gateway, rows: list[dict[str, Any]], *, count: int) -> Counter[str]:
    """Compare each row with the gateway's ledger, to the token; return the count of each outcome."""
    booked = {entry.request_id: entry for entry in gateway.ledger}
    assert len(rows) == count
    known = [row["request_id"] for row in rows if row["request_id"]]
    assert len(known) == len(set(known))
    for row in rows:
        if row["request_id"] is None:
            assert row["outcome"] == "cancelled", row
            continue
        entry = booked.pop(row["request_id"])
        assert row["model"] == entry.model
        if row["outcome"] == "ok":
            assert entry.completed, (row, entry)
            ours = [row[name] for name in ("response_id", "input_tokens", "output_tokens")]
            assert ours == [entry.response_id, entry.prompt_tokens, entry.completion_tokens]
            details = [row["cached_tokens"] or 0, row["reasoning_tokens"] or 0]
            assert details == [entry.cached_tokens, entry.reasoning_tokens]
        else:
            assert row["input_tokens"] is None or row["input_tokens"] == entry.prompt_tokens
    # The remaining calls are those for which the client never received an id.
    cancelled = sum(row["request_id"] is None for row in rows)
    assert len(booked) <= cancelled
    return Counter(row["outcome"] for row in rows)


def main(count: int = 1000, processes: int = 4) -> None:
    with Gateway() as gateway:
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{folder}/ledger.db"
            rows = run(gateway, url, count=count, processes=processes)
            print("SQLite", dict(compare(gateway, rows, count=count)))
        if reason := postgresql.why_not():
            print("PostgreSQL skipped:", reason)
            return
        gateway.reset()
        with postgresql.server() as url:
            rows = run(gateway, url, count=count, processes=processes)
            print("PostgreSQL", dict(compare(gateway, rows, count=count)))


if __name__ == "__main__":
    main()
