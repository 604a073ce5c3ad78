"""Bounds and estimates of the tokens and the cost of a call before it is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from texapi_core.accounting.prices import ModelPrice, PriceList
from texapi_core.accounting.record import Spending
from texapi_core.catalog import DEFAULT_CONTEXT_WINDOW, capabilities
from texapi_core.wire.usage import TokenUsage

_TOKENS_PER_OBJECT = 16
"""A message, a part of one or a tool call, beyond its text: role, name and separators."""
_TOKENS_OF_TOOLS = 1_000
"""The prompt that a provider adds when tools are declared: up to 804 tokens in Anthropic's documentation."""
_IMAGE_TOKENS = 10_000
"""One image: providers scale large ones down. Claude and GPT stay below 5,000, Gemini below 10,000."""
_MEDIA = {"image_url": _IMAGE_TOKENS, "input_image": _IMAGE_TOKENS, "image": _IMAGE_TOKENS}
_FILES = frozenset({"file", "input_file", "document", "video_url", "video"})
"""Parts whose tokens do not follow from their size: they count as the model's whole context."""
_DECLARED = ("tools", "functions", "response_format")
"""Members for which a provider adds its own prompt."""
_COUNTED_APART = frozenset({"messages", "model"})
_BYTES_PER_TOKEN = 4
"""Of ordinary text, to tell whether a prompt is longer than its price allows."""
_USUAL_ANSWER = 256
"""Tokens of an answer without `max_tokens`."""


def upper_bound(payload: Mapping[str, Any], prices: PriceList) -> Spending:
    """The most that one request can cost. Without `max_tokens` its answer counts as 0 tokens.

    A token is at least one byte of UTF-8 in the tokenizers of all providers, so a prompt has at most as
    many tokens as bytes; ordinary text has a quarter as many.
    """
    model = payload.get("model")
    input_tokens, output_tokens = _most_tokens(payload)
    price = prices.price(model if isinstance(model, str) else None)
    cost = None if price is None else _cost(price, input_tokens, output_tokens)
    return Spending(cost, input_tokens + output_tokens)


def likely_tokens(payload: Mapping[str, Any]) -> float:
    """About the tokens that a request will use, at least 1: a rate limit is settled by the answer."""
    input_tokens, output_tokens = _most_tokens(payload)
    return max(input_tokens / _BYTES_PER_TOKEN + (output_tokens or _USUAL_ANSWER), 1.0)


def _most_tokens(payload: Mapping[str, Any]) -> tuple[int, int]:
    """The most tokens of the prompt and of the answer; of an answer without a limit 0."""
    limit = max(int(payload.get(name) or 0) for name in ("max_completion_tokens", "max_tokens"))
    output_tokens = limit * int(payload.get("n") or 1)
    input_tokens = _tokens_of(payload.get("messages"), str(payload.get("model") or ""))
    # Any member may become a part of the prompt: `system` or `documents` of a relay, a schema to guide by.
    others = {
        name: value for name, value in payload.items() if name not in _COUNTED_APART and _has_text(value)
    }
    if others:
        input_tokens += _tokens_of(json.dumps(others, ensure_ascii=False, default=str), "")
    if any(map(payload.get, _DECLARED)):
        input_tokens += _TOKENS_OF_TOOLS
    return input_tokens, output_tokens


def _has_text(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_text, value.values()))
    return any(map(_has_text, value)) if isinstance(value, (list, tuple)) else isinstance(value, str)


def _cost(price: ModelPrice, input_tokens: int, output_tokens: int) -> Any:
    dearest = max(price.input, price.cached_input or price.input, price.cache_creation or price.input)
    longest = price.max_input_tokens
    if longest is not None and input_tokens // _BYTES_PER_TOKEN > longest:
        return None
    plain = ModelPrice(input=dearest, output=price.output)
    return plain.cost(TokenUsage(input_tokens=input_tokens, output_tokens=output_tokens))


def _tokens_of(value: Any, model: str) -> int:
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, Mapping):
        kind = value.get("type")
        if kind in _MEDIA:
            return _MEDIA[kind]
        if kind in _FILES:
            return capabilities(model).context_window or DEFAULT_CONTEXT_WINDOW
        return _TOKENS_PER_OBJECT + sum(_tokens_of(item, model) for item in value.values())
    if isinstance(value, (list, tuple)):
        return sum(_tokens_of(item, model) for item in value)
    return 0 if value is None else len(str(value))
