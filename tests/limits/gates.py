"""Gates as those of other processes would be."""

from __future__ import annotations

from texapi_core.limits import store_module
from texapi_core.limits.gate import Gate
from texapi_core.limits.plan import parse_limits
from texapi_core.limits.state_place import Store

opened: list[Store] = []
"""The stores of the test, which are closed after it."""


def shared(url: str) -> Gate:
    plan = parse_limits(url)
    store: Store = store_module(plan.kind).open_store(plan, plan.name or "")
    opened.append(store)
    return Gate(plan, store)
