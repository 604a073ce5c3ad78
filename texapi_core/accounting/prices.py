"""Price lists and the cost of calls. An unknown price gives an unknown cost, never zero."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache, lru_cache
from importlib import resources
from numbers import Number
from pathlib import Path
from typing import Any

from texapi_core.catalog import ModelInfo, find_row, normal_name
from texapi_core.wire.text import shown
from texapi_core.wire.usage import TokenUsage, is_usd

_MILLION = 1_000_000
_MAX_PRICE = Decimal(10) ** 9

logger = logging.getLogger("texapi.prices")
_PRICES = ("input", "output", "cached_input", "cache_creation")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPrice:
    """USD per million tokens of one model. `None` means unknown."""

    input: Decimal
    """For prompt tokens."""
    output: Decimal
    """For tokens of the answer, reasoning included."""
    cached_input: Decimal | None = None
    """For prompt tokens read from the provider's cache."""
    cache_creation: Decimal | None = None
    """For prompt tokens written to the provider's cache."""
    max_input_tokens: int | None = None
    """Longest prompt that these prices apply to: some providers charge more for longer ones."""

    def cost(self, usage: TokenUsage) -> Decimal | None:
        """USD for the `usage` of one call, `None` if a count or a price is unknown.

        Prompt tokens that are not reported as cached get the full price.
        """
        if usage.input_tokens is None or usage.output_tokens is None:
            return None
        if usage.input_audio_tokens or usage.output_audio_tokens:
            return None
        cached, created = usage.cached_tokens or 0, usage.cache_creation_tokens or 0
        plain = usage.input_tokens - cached - created
        too_long = self.max_input_tokens is not None and usage.input_tokens > self.max_input_tokens
        if plain < 0 or too_long:
            return None
        parts = (
            (plain, self.input),
            (cached, self.cached_input),
            (created, self.cache_creation),
            (usage.output_tokens, self.output),
        )
        if any(tokens and price is None for tokens, price in parts):
            return None
        return sum((tokens * price for tokens, price in parts if price is not None), Decimal(0)) / _MILLION

    def cache_savings(self, usage: TokenUsage) -> Decimal | None:
        """USD that the cached tokens of `usage` cost less than other input; `None` if it is not known."""
        cached, tokens = usage.cached_tokens, usage.input_tokens
        if cached is None or tokens is None or self.cached_input is None:
            return None
        if self.max_input_tokens is not None and tokens > self.max_input_tokens:
            return None
        return cached * (self.input - self.cached_input) / _MILLION


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """Prices by model name."""

    models: Mapping[str, ModelPrice]
    """Prices by the name to pass as `model`."""
    source: str = ""
    """Where the prices were read."""
    date: str = ""
    """When the prices were read."""
    unpriced: Mapping[str, str] = field(default_factory=dict)
    """Model -> why it has no price."""
    own: Mapping[str, ModelPrice] = field(default_factory=dict)
    """Those of `models` that the user gave in a dict."""
    listed: Mapping[str, ModelPrice] = field(default_factory=dict)
    """What the gateway listed, which takes precedence over all but `own`."""

    def price(self, model: str | None) -> ModelPrice | None:
        """The price of a model in any spelling of its name, `None` if the list has none."""
        if not model:
            return None
        listed = find_row(self.listed, model) if self.listed else None
        if listed is not None and find_row(self.own, model) is None:
            return listed
        return find_row(self.models, model)

    def reason(self, model: str | None) -> str:
        """Why the list has no price of a model; `""` if it has one, or knows no reason."""
        return "" if not model or self.price(model) else find_row(self.unpriced, model) or ""

    def cost(self, usage: TokenUsage, *models: str | None) -> Decimal | None:
        """USD for the `usage` of one call, by the first of `models` that has a price; `None` if unknown."""
        price = self._first_price(models)
        return price.cost(usage) if price else None

    def cache_savings(self, usage: TokenUsage, *models: str | None) -> Decimal | None:
        """USD that the prompt cache saved in one call, by the same price as `cost`; `None` if unknown."""
        price = self._first_price(models)
        return price.cache_savings(usage) if price else None

    def _first_price(self, models: Iterable[str | None]) -> ModelPrice | None:
        return next((price for model in models if (price := self.price(model))), None)

    def with_rows(self, rows: Mapping[str, Any]) -> PriceList:
        """A copy of the list in which `rows` are added or replaced."""
        parsed = _parse_rows(rows)
        return replace(self, models={**self.models, **parsed}, own={**self.own, **parsed})

    def of_gateway(self, base_url: str) -> PriceList:
        """The list with what the gateway at `base_url` listed, which wins unless the user gave a price."""
        listed = _of_gateways.get(base_url)
        return replace(self, listed=listed) if listed else self


_of_gateways: dict[str, dict[str, ModelPrice]] = {}
"""Base URL -> the prices that its list of models had last."""
_LISTED = (
    ("pricing", _MILLION, ("prompt", "completion", "input_cache_read", "input_cache_write")),
    ("pricing", 1, ("input", "output", "cached_input", "cache_creation")),
    (
        "",
        _MILLION,
        (
            "input_cost_per_token",
            "output_cost_per_token",
            "cache_read_input_token_cost",
            "cache_creation_input_token_cost",
        ),
    ),
)
"""Where a row of a list of models has prices: the object, what makes them USD per million tokens, and the
names of input, output, cached input and cache creation. OpenRouter's, Together's and LiteLLM's."""


def note_listed_prices(base_url: str, models: Iterable[ModelInfo]) -> None:
    """Keep the prices in a gateway's list of models; rows without usable prices are skipped."""
    found = {normal_name(model.id): price for model in models if (price := _listed_price(model.extras))}
    if found:
        _of_gateways[base_url] = found


def _listed_price(extras: Mapping[str, Any]) -> ModelPrice | None:
    for place, factor, names in _LISTED:
        row = extras.get(place) if place else extras
        if not isinstance(row, Mapping) or not set(names[:2]) <= row.keys():
            continue
        if not (is_usd(row) and is_usd(extras)):
            return None
        try:
            amounts = [
                _amount("", row[name]) * factor if row.get(name) is not None else None for name in names
            ]
        except ValueError:
            return None
        if amounts[0] is None or amounts[1] is None:
            return None
        return ModelPrice(
            input=amounts[0], output=amounts[1], cached_input=amounts[2], cache_creation=amounts[3]
        )
    return None


def parse_prices(prices: Any) -> PriceList:
    """The price list in a file, the bundled list with rows replaced by a mapping, or for `None` as it is.

    Raises:
        ValueError: `prices` is not a price list.
    """
    if prices is None:
        return bundled_prices()
    if isinstance(prices, PriceList):
        return prices
    if isinstance(prices, Mapping):
        return bundled_prices().with_rows(prices)
    if not isinstance(prices, (str, os.PathLike)):
        raise ValueError(f"`prices` is a file, or a dict of the prices of models, not {shown(prices)}.")
    return read_prices(Path(prices))


_last_read: dict[Path, PriceList] = {}
_warned: dict[Path, str] = {}
"""Why a file cannot be read again, as the last warning said it."""


def read_prices(path: Path) -> PriceList:
    """The price list in a file, read again when the file has changed.

    If the file can no longer be read, the last prices stay in use, and a warning is logged.

    Raises:
        ValueError: the file cannot be read or is not a price list.
    """
    try:
        _last_read[path] = _read_file(path, path.stat().st_mtime_ns)
        _warned.pop(path, None)
    except (OSError, ValueError) as error:
        if path in _last_read:
            if _warned.get(path) != str(error):  # each call reads it
                _warned[path] = str(error)
                logger.warning("The price list %s cannot be read again: %s", path, error)
        elif isinstance(error, (OSError, UnicodeError)):
            raise ValueError(f"The price list {path} cannot be read: {error}.") from error
        else:
            raise
    return _last_read[path]


@lru_cache(maxsize=16)
def _read_file(path: Path, modified: int) -> PriceList:
    return _parse_list(path.read_text("utf-8-sig"), str(path))


@cache
def bundled_prices() -> PriceList:
    """The list in this package: the providers' public prices, not the gateway's."""
    text = resources.files("texapi_core").joinpath("data/prices.json").read_text("utf-8")
    return _parse_list(text, "data/prices.json")


def _parse_list(text: str, name: str) -> PriceList:
    try:
        content = json.loads(text, parse_float=Decimal, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"The price list {name} is not JSON: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("models"), dict):
        raise ValueError(f'The price list {name} has no "models".')
    unpriced, reasons = content.get("unpriced", {}), content.get("reasons", {})
    if not (isinstance(unpriced, dict) and isinstance(reasons, dict)):
        raise ValueError(f'In the price list {name} "unpriced" and "reasons" are objects.')
    return PriceList(
        models=_parse_rows(content["models"]),
        unpriced={normal_name(name): str(reasons.get(str(why), why)) for name, why in unpriced.items()},
        source=str(content.get("source", "")),
        date=str(content.get("date", "")),
    )


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        names = [name for name, _ in members]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{shown(twice)} stands in it twice.")
    return found


def _parse_rows(rows: Mapping[str, Any]) -> dict[str, ModelPrice]:
    parsed = {}
    for name, row in rows.items():
        if not isinstance(name, str):
            raise ValueError(f"A price is given by the name of its model, not by {shown(name)}.")
        parsed[normal_name(name)] = _parse_row(name, row)
    return parsed


def _parse_row(name: str, row: Any) -> ModelPrice:
    known = {*_PRICES, "max_input_tokens"}
    if not isinstance(row, Mapping) or not {"input", "output"} <= row.keys() <= known:
        raise ValueError(
            f"The price of {name!r} must have `input` and `output`, and may have `cached_input`, "
            "`cache_creation` (USD per million tokens) and `max_input_tokens`."
        )
    prices: dict[str, Any] = {field: _amount(name, row[field]) for field in _PRICES if field in row}
    longest = row.get("max_input_tokens")
    if longest is not None and (type(longest) is not int or longest < 1):
        raise ValueError(f"`max_input_tokens` of {name!r} is a number of tokens, not {shown(longest)}.")
    return ModelPrice(**prices, max_input_tokens=longest)


def _amount(name: str, value: Any) -> Decimal:
    try:
        amount = Decimal(str(value)) if isinstance(value, (Number, str)) else Decimal(-1)
    except (ArithmeticError, ValueError):
        amount = Decimal(-1)
    if isinstance(value, bool) or not amount.is_finite() or not 0 <= amount <= _MAX_PRICE:
        raise ValueError(
            f"The price of {name!r} is not an amount from 0 to {_MAX_PRICE:,} USD: {shown(value)}."
        )
    return amount
