"""Several processes against a server with rate limits, in short; `make storm` is the long form."""

from __future__ import annotations

import pytest

from tests.limits import storm
from tests.limits.limited_server import Options


@pytest.mark.combination  # four processes that import both frameworks
def test_processes_of_both_frameworks_share_a_limit_that_they_learn(redis_url: str) -> None:
    options = Options(requests=6000, tokens=600_000)

    stats = storm.run(redis_url, options, documents=120, frameworks=("langchain", "llama_index"))

    assert (stats["documents"], stats["twice"]) == (120, 0)
    assert stats["requests"] - 120 <= 12
    assert stats["seconds"] > 0.8  # 120 documents of 131 tokens at 10,000 a second, of which one may pile up
