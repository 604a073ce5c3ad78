"""One service of a team, configured by the environment alone, as docs/spend-control.md has it.

Arguments: the service's name, its framework, and how many calls it wants to make.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from llama_index.core.instrumentation.dispatcher import instrument_tags

from langchain_texapi import ChatTexAPI, TexAPIBudgetExceededError
from llama_index_texapi import TexAPI
from texapi_core.accounting import BudgetWarning, add_budget_listener, flush_budgets, flush_ledgers

MODEL = "claude-sonnet-4-6"
MAX_TOKENS = 60


def langchain(service: str) -> Callable[[str], dict[str, Any]]:
    model = ChatTexAPI(model=MODEL, max_tokens=MAX_TOKENS, tags=[f"service={service}"])
    return lambda question: model.invoke(question).response_metadata


def llama_index(service: str) -> Callable[[str], dict[str, Any]]:
    llm = TexAPI(model=MODEL, max_tokens=MAX_TOKENS)

    def ask(question: str) -> dict[str, Any]:
        with instrument_tags({"service": service}):
            return llm.complete(question).additional_kwargs

    return ask


def main(service: str, framework: str, count: str) -> None:
    warnings: list[BudgetWarning] = []
    add_budget_listener(warnings.append)
    ask = {"langchain": langchain, "llama_index": llama_index}[framework](service)
    left: list[float] = []
    refusals: list[str] = []
    for number in range(int(count)):
        try:
            left.append(ask(f"Question {number} of {service}")["budget_left"]["cost"])
        except TexAPIBudgetExceededError as error:
            refusals.append(str(error))
    flushed = flush_budgets() and flush_ledgers()
    said = [f"{one.scope} {one.value} {one.fraction}" for one in warnings]
    sys.stdout.write(json.dumps({"left": left, "refusals": refusals, "warnings": said, "flushed": flushed}))


if __name__ == "__main__":
    main(*sys.argv[1:])
