"""One process of a run under a budget, without a framework: many calls at once.

Arguments: the gateway's URL and key, the ledger or a Redis, the model, calls at once, rounds, and the budget
as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter

from texapi_core import TexAPIError, acomplete
from texapi_core.accounting import (
    Accounting,
    BudgetSink,
    LedgerSink,
    RedisPlace,
    bundled_prices,
    flush_budgets,
    flush_ledgers,
    parse_budgets,
)
from texapi_core.settings import resolve_settings

MAX_TOKENS = 50


async def main(
    base_url: str, api_key: str, url: str, model: str, at_once: str, rounds: str, budget: str
) -> None:
    place = RedisPlace(url.partition("?")[0], url.partition("?name=")[2]) if url.startswith("redis") else None
    ledger, prices = None if place else LedgerSink(url), bundled_prices()
    sink = BudgetSink(budgets=parse_budgets(f"[{budget}]"), prices=prices, ledger=ledger, redis=place)
    settings = resolve_settings(
        api_key=api_key,
        base_url=base_url,
        timeout=30,
        max_retries=0,
        accounting=Accounting(prices=prices, sinks=(ledger, sink) if ledger else (sink,)),
    )
    say("ready")
    sys.stdin.readline()
    outcomes: Counter[str] = Counter()

    async def ask(number: int) -> None:
        for index in range(int(rounds)):
            text = f"Count to {number} and then to {index}."
            message = {"role": "user", "content": text}
            payload = {"model": model, "messages": [message], "max_tokens": MAX_TOKENS}
            try:
                await acomplete(settings, payload)
            except TexAPIError as error:
                outcomes[type(error).__name__] += 1
            else:
                outcomes["ok"] += 1

    await asyncio.gather(*(ask(number) for number in range(int(at_once))))
    flush_budgets(5)
    flush_ledgers(5)
    say(json.dumps(outcomes))


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
