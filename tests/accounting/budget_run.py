"""Many processes under one budget, against the stand-in's own count of what they spent."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tests.forked import Process, module
from tests.gateway import Gateway
from texapi_core.accounting.prices import bundled_prices
from texapi_core.wire.usage import TokenUsage

MODEL = "claude-sonnet-4-6"


class Processes:
    """Worker processes that start calling at the same moment."""

    def __init__(
        self,
        gateway: Gateway,
        url: str,
        budget: Mapping[str, Any],
        *,
        processes: int = 4,
        at_once: int = 20,
        rounds: int = 1,
    ) -> None:
        given = json.dumps(dict(budget))
        arguments = (gateway.base_url, gateway.key, url, MODEL, str(at_once), str(rounds), given)
        self.workers = [
            Process(module("tests.accounting.budget_worker"), *arguments) for _ in range(processes)
        ]
        for worker in self.workers:
            assert worker.stdout.readline() == "ready\n", worker.communicate()[1]

    def start(self) -> None:
        """Let all of them call."""
        for worker in self.workers:
            worker.stdin.write("\n")
            worker.stdin.flush()

    def outcomes(self) -> Counter[str]:
        """How the calls of the workers that were not killed ended."""
        total: Counter[str] = Counter()
        for worker in self.workers:
            said, complained = worker.communicate()
            if worker.returncode == 0:
                total += Counter(json.loads(said))
            else:
                assert worker.returncode == -9, complained
        return total


def spent(gateway: Gateway) -> tuple[Decimal, int]:
    """USD and tokens of all answers by the gateway's own count, cached tokens at their own price."""
    usd, tokens = Decimal(0), 0
    for entry in gateway.ledger:
        if entry.status != 200:
            continue
        usage = TokenUsage(
            input_tokens=entry.prompt_tokens,
            output_tokens=entry.completion_tokens,
            cached_tokens=entry.cached_tokens,
        )
        cost = bundled_prices().cost(usage, entry.model)
        assert cost is not None
        usd += cost
        tokens += entry.prompt_tokens + entry.completion_tokens
    return usd, tokens
