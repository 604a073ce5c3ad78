"""Prices of the makers' own services, for the models of the table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tests.model_table.merge import ALSO_CALLED
from tests.model_table.sources import Facts, is_chat, litellm_rows
from texapi_core.catalog import VERSION_SUFFIX, find_row

REASONS = {
    "hosts": "its weights are open, and each host sets its own price",
    "media": "its images or music are not charged by the token",
    "unlisted": "the source lists no price of its maker's",
}
"""Why a model of the table has no price."""
_COSTS = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cached_input": "cache_read_input_token_cost",
    "cache_creation": "cache_creation_input_token_cost",
}
_DEARER = re.compile(r"input_cost_per_token_above_(\d+)k_tokens")


def price_rows(models: Mapping[str, Facts]) -> dict[str, dict[str, Any]]:
    """Name -> price, in USD per million tokens, of each model of the table with a price by the token."""
    rows: dict[str, dict[str, Any]] = {}
    for name, row in litellm_rows():
        if is_chat(row) and has_row(models, name) and (price := _price(row)):
            rows.setdefault(name, price)
    for other, name in ALSO_CALLED.items():
        if name in rows:
            rows.setdefault(other, rows[name])
    return {name: row for name, row in sorted(rows.items()) if not _is_of_its_base(name, row, rows)}


def has_row(table: Mapping[str, Any], name: str) -> bool:
    """Whether the table has a row of the model, under any spelling."""
    return find_row(table, name) is not None


def _is_of_its_base(name: str, row: Any, rows: Mapping[str, Any]) -> bool:
    base = VERSION_SUFFIX.sub("", name)
    return base != name and rows.get(base) == row


def _price(row: Mapping[str, Any]) -> dict[str, Any]:
    tiers = row.get("tiered_pricing")
    first = {**row, **tiers[0]} if tiers else row
    price: dict[str, Any] = {
        name: _per_million(first[cost]) for name, cost in _COSTS.items() if first.get(cost) is not None
    }
    if not {"input", "output"} <= price.keys() or Decimal(price["input"]) * Decimal(price["output"]) == 0:
        return {}
    for name in ("cached_input", "cache_creation"):
        if name in price and not Decimal(price[name]):
            del price[name]  # a zero stands for a maker that charges nothing extra, or for nothing known
    limits = [int(found[1]) * 1_000 for name in row if (found := _DEARER.fullmatch(name))]
    limits += [int(tiers[0]["range"][1])] if tiers else []
    return {**price, "max_input_tokens": min(limits)} if limits else price


def _per_million(cost: Any) -> str:
    return format((Decimal(str(cost)) * 1_000_000).normalize(), "f")


def unpriced(models: Mapping[str, Facts], prices: Mapping[str, Any]) -> dict[str, str]:
    """Name -> the key of `REASONS`, of each model of the table without a price."""
    return {name: _reason(facts) for name, facts in sorted(models.items()) if not has_row(prices, name)}


def _reason(facts: Facts) -> str:
    if facts.get("image_outputs") or facts.get("audio_outputs") or facts.get("video_outputs"):
        return "media"
    return "hosts" if facts.get("open_weights") else "unlisted"
