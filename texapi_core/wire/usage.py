"""Token usage as the gateway reports it, in one shape for every provider behind it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

_ITSELF = ""
_PLACES: dict[str, tuple[tuple[str, str], ...]] = {
    "input_tokens": ((_ITSELF, "prompt_tokens"), (_ITSELF, "input_tokens")),
    "output_tokens": ((_ITSELF, "completion_tokens"), (_ITSELF, "output_tokens")),
    "total_tokens": ((_ITSELF, "total_tokens"),),
    "cached_tokens": (
        ("prompt_tokens_details", "cached_tokens"),
        ("input_tokens_details", "cached_tokens"),
        (_ITSELF, "prompt_cache_hit_tokens"),
        (_ITSELF, "cache_read_input_tokens"),
        (_ITSELF, "cached_tokens"),
    ),
    "cache_creation_tokens": (
        ("prompt_tokens_details", "cache_write_tokens"),
        ("prompt_tokens_details", "cache_creation_tokens"),
        (_ITSELF, "cache_creation_input_tokens"),
    ),
    "reasoning_tokens": (
        ("completion_tokens_details", "reasoning_tokens"),
        ("output_tokens_details", "reasoning_tokens"),
        (_ITSELF, "reasoning_tokens"),
    ),
    "input_audio_tokens": (("prompt_tokens_details", "audio_tokens"),),
    "output_audio_tokens": (("completion_tokens_details", "audio_tokens"),),
}
"""Usage field -> its places on the wire: the object inside `usage`, or `usage` itself, and the name there.

The first number that is not zero wins.
`prompt_cache_hit_tokens` is DeepSeek's, `cache_read_input_tokens` and `cache_creation_input_tokens`
are Anthropic's, `cache_write_tokens` is OpenRouter's.
"""

_EXACT = 2**53
"""Integers below it survive the conversion to float."""
_DETAILS = frozenset(place for places in _PLACES.values() for place, _ in places if place)


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of one answer. `None` means that the gateway did not report it; no count is estimated."""

    input_tokens: int | None = None
    """Tokens of the prompt, cached ones included."""
    output_tokens: int | None = None
    """Tokens of the answer, reasoning included."""
    total_tokens: int | None = None
    """As reported, else the sum of input and output when both are known."""
    cached_tokens: int | None = None
    """Part of `input_tokens` read from the provider's prompt cache."""
    cache_creation_tokens: int | None = None
    """Part of `input_tokens` written to the provider's prompt cache."""
    reasoning_tokens: int | None = None
    """Part of `output_tokens` spent on reasoning."""
    input_audio_tokens: int | None = None
    output_audio_tokens: int | None = None
    cost: float | None = None
    """What the call cost in USD, as the gateway reported it unless `cost_is_estimated`."""
    cost_is_estimated: bool = False
    """Whether `cost` comes from a price list, since the gateway reported none."""

    def cost_fields(self) -> dict[str, Any]:
        """The cost and its source, `gateway` or `prices`, for a framework's metadata; `{}` if unknown."""
        if self.cost is None:
            return {}
        return {"cost": self.cost, "cost_source": "prices" if self.cost_is_estimated else "gateway"}

    def as_wire(self) -> dict[str, int]:
        """The three counts under their names on the wire; unknown ones are left out."""
        counts = {
            "prompt_tokens": self.input_tokens,
            "completion_tokens": self.output_tokens,
            "total_tokens": self.total_tokens,
        }
        return {name: count for name, count in counts.items() if count is not None}


def parse_usage(usage: Any) -> TokenUsage | None:
    """The `usage` object of the wire as a `TokenUsage`, `None` when it holds no count."""
    if not isinstance(usage, dict):
        return None
    objects = {name: details for name in _DETAILS if isinstance(details := usage.get(name), dict)}
    objects[_ITSELF] = usage
    counts: dict[str, Any] = {field: _first_count(objects, places) for field, places in _PLACES.items()}
    if all(count is None for count in counts.values()):
        return None
    return _with_total(TokenUsage(**counts, cost=_amount(usage.get("cost"))))


def merge_usage(earlier: TokenUsage | None, later: TokenUsage | None) -> TokenUsage | None:
    """The usage after one more report in a stream.

    Gateways report once at the end, cumulatively on every chunk, or input first and output last; some
    end with a report of zeros. So a later count replaces an earlier one unless it is missing or zero.
    """
    if earlier is None or later is None:
        return later or earlier
    names = ("cost", *_PLACES)
    changes = {name: value for name in names if (value := getattr(later, name))}
    if "total_tokens" not in changes and ("input_tokens" in changes or "output_tokens" in changes):
        changes["total_tokens"] = None
    return _with_total(replace(earlier, **changes))


def _with_total(usage: TokenUsage) -> TokenUsage:
    """The usage with its input, output or total made from the other two where that one is missing."""
    input_, output, total = usage.input_tokens, usage.output_tokens, usage.total_tokens
    if total is None:
        return usage if input_ is None or output is None else replace(usage, total_tokens=input_ + output)
    if output is None and input_ is not None:
        return replace(usage, output_tokens=max(total - input_, 0))
    if input_ is None and output is not None:
        return replace(usage, input_tokens=max(total - output, 0))
    return usage


def _first_count(objects: dict[str, dict[str, Any]], places: tuple[tuple[str, str], ...]) -> int | None:
    found = None
    for place, name in places:
        if (value := objects.get(place, {}).get(name)) is not None:
            count = _count(value)
            if count:
                return count
            found = count if found is None else found
    return found


def _count(value: Any) -> int | None:
    """A count as an int; some gateways send floats, or digits in a string."""
    if type(value) is int and 0 <= value < _EXACT:
        return value
    number = _amount(value)
    return int(number) if number is not None else None


def _amount(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number < float("inf") else None


def add_usage(one: TokenUsage, other: TokenUsage) -> TokenUsage:
    """The sum of the usage of two calls. A count that neither reports stays unknown."""
    sums: dict[str, Any] = {}
    for name in (*_PLACES, "cost"):
        counts = [count for count in (getattr(one, name), getattr(other, name)) if count is not None]
        sums[name] = sum(counts) if counts else None
    return TokenUsage(**sums)
