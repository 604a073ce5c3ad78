"""The models that a key can use, with known capabilities and prices."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import texapi_core
from texapi_core.accounting.prices import PriceList
from texapi_core.catalog import ModelInfo, capabilities
from texapi_core.settings import resolve_settings

_INPUTS = ("image", "pdf", "audio", "video")


def read_models(prices: PriceList, *, name: str = "", timeout: float) -> list[dict[str, Any]]:
    """A row for each model whose name contains `name`, sorted by name; `None` means unknown.

    Raises:
        TexAPIError: see `texapi_core.errors`.
    """
    settings = resolve_settings(api_key=None, base_url=None, timeout=timeout, max_retries=1)
    listed = sorted(texapi_core.list_models(settings), key=lambda model: model.id)
    return [_row(model, prices, settings.base_url) for model in listed if name.lower() in model.id.lower()]


def _row(model: ModelInfo, prices: PriceList, base_url: str) -> dict[str, Any]:
    known, price = capabilities(model.id, base_url), prices.price(model.id)
    can_read = {kind: getattr(known, f"{kind}_inputs") for kind in _INPUTS}
    is_known = any(value is not None for value in can_read.values())
    return {
        "model": model.id,
        "owned_by": model.owned_by,
        "context_window": known.context_window,
        "max_input_tokens": known.max_input_tokens,
        "max_output_tokens": known.max_output_tokens,
        "inputs": " ".join(["text", *(kind for kind in _INPUTS if can_read[kind])]) if is_known else None,
        "tool_calling": known.tool_calling,
        "structured_output": known.structured_output,
        "reasoning": known.reasoning_output,
        "input_usd": _usd(price.input if price else None),
        "cached_input_usd": _usd(price.cached_input if price else None),
        "output_usd": _usd(price.output if price else None),
    }


def _usd(amount: Decimal | None) -> str | None:
    """USD per million tokens, exactly as in the price list."""
    return None if amount is None else f"{amount:f}"


def cheapest(listed: list[ModelInfo], prices: PriceList) -> str:
    """The model with the lowest known price, else the first."""
    known: Mapping[str, Decimal] = {
        model.id: price.input + price.output for model in listed if (price := prices.price(model.id))
    }
    return min(known, key=lambda model: known[model]) if known else listed[0].id
