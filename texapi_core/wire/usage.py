"""Token usage as the gateway reports it, in one shape for every provider behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

_ITSELF = ""
_PLACES: dict[str, tuple[tuple[str, str], ...]] = {
    "input_tokens": (
        (_ITSELF, "prompt_tokens"),
        (_ITSELF, "input_tokens"),
        (_ITSELF, "prompt_token_count"),
        (_ITSELF, "prompt_eval_count"),
    ),
    "output_tokens": (
        (_ITSELF, "completion_tokens"),
        (_ITSELF, "output_tokens"),
        (_ITSELF, "candidates_token_count"),
        (_ITSELF, "eval_count"),
    ),
    "total_tokens": ((_ITSELF, "total_tokens"), (_ITSELF, "total_token_count")),
    "cached_tokens": (
        ("prompt_tokens_details", "cached_tokens"),
        ("input_tokens_details", "cached_tokens"),
        (_ITSELF, "prompt_cache_hit_tokens"),
        (_ITSELF, "cache_read_input_tokens"),
        (_ITSELF, "cached_tokens"),
        (_ITSELF, "cached_content_token_count"),
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
        (_ITSELF, "thoughts_token_count"),
    ),
    "input_audio_tokens": (("prompt_tokens_details", "audio_tokens"),),
    "output_audio_tokens": (("completion_tokens_details", "audio_tokens"),),
}
"""Usage field -> its places on the wire: the object inside `usage`, or `usage` itself, and the name there.

The first number that is not zero wins.
`prompt_cache_hit_tokens` is DeepSeek's, `cache_read_input_tokens` and `cache_creation_input_tokens`
are Anthropic's, `cache_write_tokens` is OpenRouter's, `*_token_count` is Google's,
`*eval_count` Ollama's.
"""
_COSTS: tuple[tuple[str, str, float], ...] = (
    (_ITSELF, "cost", 1.0),  # https://openrouter.ai/docs/use-cases/usage-accounting
    ("cost", "total_cost", 1.0),  # https://docs.perplexity.ai/api-reference/chat-completions-post
    (_ITSELF, "total_cost", 1.0),
    ("cost_details", "total_cost", 1.0),
    (_ITSELF, "estimated_cost", 1.0),  # https://deepinfra.com/docs/openai_api
    (_ITSELF, "cost_in_usd_ticks", 1e10),  # https://docs.x.ai/developers/cost-tracking
)
"""Places of the cost, as in `_PLACES`, and how many of its units are one USD."""
USAGE_FIELDS = ("usage", "usage_metadata")
"""Members of an answer that hold its usage; `usage_metadata` is Google's."""
_CURRENCIES = ("currency", "cost_currency")
"""Members that name the currency of the costs beside them, which is USD unless they say otherwise."""

_MAX_COUNT = 10**9
"""No call takes as many tokens; sums of such counts fit into 64 bits, as the ledger's columns do."""
_MAX_COST = 10_000.0
"""USD. No call costs as much."""
_DETAILS = frozenset(place for places in _PLACES.values() for place, _ in places if place)
_FIELD_AT = {place: field for field, places in _PLACES.items() for place in places}


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
    """Part of `input_tokens` that was sound."""
    output_audio_tokens: int | None = None
    """Part of `output_tokens` that was sound."""
    cost: float | None = None
    """What the call cost in USD, as the gateway reported it unless `cost_is_estimated`."""
    cost_is_estimated: bool = False
    """Whether `cost` comes from a price list, since the gateway reported none."""

    def as_wire(self) -> dict[str, int]:
        """The three counts under their names on the wire; unknown ones are left out."""
        counts = {
            "prompt_tokens": self.input_tokens,
            "completion_tokens": self.output_tokens,
            "total_tokens": self.total_tokens,
        }
        return {name: count for name, count in counts.items() if count is not None}


def parse_usage(usage: Any) -> TokenUsage | None:
    """The `usage` object of the wire as a `TokenUsage`, `None` when it holds no count and no cost.

    Counts that contradict each other are read as what was billed, see `_reconciled`.
    """
    if not isinstance(usage, dict):
        return None
    objects = {_ITSELF: usage}
    for name in _DETAILS:
        if name in usage and isinstance(usage[name], dict):
            objects[name] = usage[name]
    counts: dict[str, Any] = {field: _first_count(objects, places) for field, places in _PLACES.items()}
    cost = _cost(usage)
    if cost is None and all(count is None for count in counts.values()):
        return None
    return _reconciled(
        TokenUsage(**counts, cost=cost),
        has_cache_outside="prompt_tokens" not in usage and "cache_read_input_tokens" in usage,
    )


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
    return _reconciled(replace(earlier, **changes))


def _reconciled(usage: TokenUsage, *, has_cache_outside: bool = False) -> TokenUsage:
    """The usage with its parts inside `input_tokens` and `output_tokens`, and `total_tokens` as their sum.

    By the protocol, cached tokens are part of the input and reasoning is part of the output. xAI and Gemini
    report reasoning beside the output, Anthropic (`has_cache_outside`) and relays of it the cache beside the
    input. The total shows which reading was billed; without a total that fits, the first reading that is
    possible. A larger total is output that nothing names: Gemini's thoughts.
    """
    input_, output, total = usage.input_tokens, usage.output_tokens, usage.total_tokens
    read, written, reasoning = (
        usage.cached_tokens or 0,
        usage.cache_creation_tokens or 0,
        usage.reasoning_tokens or 0,
    )
    cache = read + written
    is_plain = input_ is not None and output is not None and input_ + output == total
    if is_plain and reasoning > (output or 0):  # what does not fit into the total was not billed
        reasoning = output or 0
        usage = replace(usage, reasoning_tokens=output)
    if is_plain and not has_cache_outside and cache <= (input_ or 0) and reasoning <= (output or 0):
        return usage
    inputs, outputs = _readings(input_, (read, written, cache)), _readings(output, (reasoning,))
    if has_cache_outside:
        inputs.reverse()
    fitting = ((i, o) for i in inputs for o in outputs if i + o == total)
    first = (inputs[0] if inputs else None, outputs[0] if outputs else None)
    input_, output = next(fitting, first)
    # A missing count is the total less the other one, and at least the sum of its parts.
    if output is None and (total is None or (input_ is None and not cache)):
        output = reasoning or None
    if input_ is None:
        input_ = (cache or None) if total is None or output is None else max(total - output, cache)
    if input_ is not None and total is not None:
        output = max(total - input_, output or 0, reasoning)
    if input_ is not None and output is not None:
        total = input_ + output
    return replace(usage, input_tokens=input_, output_tokens=output, total_tokens=total)


def _readings(count: int | None, parts: tuple[int, ...]) -> list[int]:
    """The readings of a count, the least first: it includes all parts, or some of them are to be added.

    `parts` ends with the sum of them; no count is less than it.
    """
    if count is None:
        return []
    return sorted(whole for whole in {count, *(count + part for part in parts)} if whole >= parts[-1])


def _first_count(objects: dict[str, dict[str, Any]], places: tuple[tuple[str, str], ...]) -> int | None:
    found = None
    for place, name in places:
        if place in objects and name in objects[place]:
            value = objects[place][name]
            if value is None:
                continue
            count = value if type(value) is int and 0 <= value <= _MAX_COUNT else _count(value)
            if count:
                return count
            found = count if found is None else found
    return found


def _cost(usage: dict[str, Any]) -> float | None:
    """The cost in USD, in the first place that has one that is not zero."""
    found = None
    for place, name, units in _COSTS:
        if place and place not in usage:
            continue
        holder = usage[place] if place else usage
        if type(holder) is dict and name in holder and is_usd(usage) and is_usd(holder):
            amount = _number(holder[name], _MAX_COST * units)
            if amount:
                return amount / units
            found = amount if found is None else found
    return found


def is_usd(holder: Mapping[str, Any]) -> bool:
    """Whether the costs or prices in an object are in USD, as far as it says."""
    named = [name for field in _CURRENCIES if isinstance(name := holder.get(field), str) and name]
    return all(name.upper() == "USD" for name in named)


def _count(value: Any) -> int | None:
    """A count as an int; some gateways send floats, or digits in a string."""
    number = _number(value, _MAX_COUNT)
    return int(number) if number is not None and number.is_integer() else None


def _number(value: Any, most: float) -> float | None:
    """A number of the wire from 0 to `most`, also in a string; `None` for any other value."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str) and (not value.isascii() or "_" in value):
        return None  # Python would read them as numbers
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number <= most else None


def reported_usage(reported: Any, usage: TokenUsage) -> dict[str, Any]:
    """A `usage` object for others to read: as reported, but with the counts of `usage` in all places.

    Handlers add up what they find here without a check, so numbers that are none are left out.
    """
    kept = _with_counts(reported, _ITSELF, usage) if isinstance(reported, dict) else {}
    if _cost(kept) != usage.cost:
        kept = {name: value for name, value in kept.items() if name not in _CURRENCIES}
        kept["cost"] = usage.cost
    return {**kept, **usage.as_wire()}


def _with_counts(members: dict[str, Any], place: str, usage: TokenUsage) -> dict[str, Any]:
    kept = {}
    for name, value in members.items():
        if (place, name) in _FIELD_AT:
            value = None if value is None else getattr(usage, _FIELD_AT[place, name])
        elif isinstance(value, dict):
            value = _with_counts(value, f"{place}.{name}" if place else name, usage)
        elif isinstance(value, (int, float)) and not 0 <= value <= _MAX_COUNT * _MAX_COST:
            value = None
        if value is not None:
            kept[name] = value
    return kept


def add_usage(one: TokenUsage, other: TokenUsage) -> TokenUsage:
    """The sum of the usage of two calls. A count that neither reports stays unknown."""
    sums: dict[str, Any] = {}
    for name in (*_PLACES, "cost"):
        counts = [count for count in (getattr(one, name), getattr(other, name)) if count is not None]
        sums[name] = sum(counts) if counts else None
    return TokenUsage(**sums)


def find_usage(
    body: Mapping[str, Any], choices: Iterable[Mapping[str, Any]]
) -> tuple[TokenUsage | None, Any]:
    """Usage of an answer or a chunk with these choices, wherever it is, and the object that reports it.

    Moonshot puts it into the choice of the last chunk, others into its delta, Groq into `x_groq`.
    """
    for name in USAGE_FIELDS:
        if (usage := parse_usage(reported := body.get(name))) is not None:
            return usage, reported
    holders = (
        holder for choice in choices for holder in (choice, choice.get("delta"), choice.get("message"))
    )
    for holder in (*holders, body.get("x_groq")):
        if isinstance(holder, dict) and (usage := parse_usage(reported := holder.get("usage"))) is not None:
            return usage, reported
    return None, None


def with_usage(body: Mapping[str, Any], reported: Any, usage: TokenUsage | None) -> dict[str, Any]:
    """`body` with a `usage` that has int counts: LlamaIndex's handlers add them up unchecked."""
    others = {name: value for name, value in body.items() if name not in USAGE_FIELDS}
    return others if usage is None else {**others, "usage": reported_usage(reported, usage)}
