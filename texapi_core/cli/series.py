"""What a chart of days shows: an amount for each day and model, the largest models by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from texapi_core.accounting.ledger.report import UsageLine

OTHERS = "others"
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a800", "#999999")
"""Okabe and Ito's colour-blind safe palette, for light and dark backgrounds."""
_MAX_SERIES = 7
_MAX_DAYS = 1_000


def is_cost_known(lines: Sequence[UsageLine]) -> bool:
    """Whether charts of these lines are in USD: if any cost is known, else in tokens."""
    return any(line.cost for line in lines)


def amount_of(line: UsageLine, *, is_cost: bool) -> float | None:
    """The length of a bar; `None` for an unknown cost."""
    if is_cost:
        return None if line.cost is None else float(line.cost)
    return float(line.input_tokens + line.output_tokens)


def series_of_days(amounts: Mapping[tuple[str, ...], float | None]) -> dict[str, dict[str, float]]:
    """Model -> its amounts by day, the largest first; `amounts` are by day and model."""
    by_model: dict[str, dict[str, float]] = defaultdict(dict)
    for (day, model), amount in amounts.items():
        if amount is not None:
            by_model[model][day] = amount
    ranked = sorted(by_model, key=lambda model: -sum(by_model[model].values()))
    shown = ranked if len(ranked) <= _MAX_SERIES else ranked[: _MAX_SERIES - 1]
    series = {model: by_model[model] for model in shown}
    for model in ranked[len(shown) :]:
        others = series.setdefault(OTHERS, {})
        for day, amount in by_model[model].items():
            others[day] = others.get(day, 0) + amount
    return series


def every_day(days: Sequence[str]) -> list[str]:
    """All days from the first to the last, but those without calls where a wrong clock makes too many."""
    if not days:
        return []
    first, last = date.fromisoformat(min(days)), date.fromisoformat(max(days))
    if (last - first).days > _MAX_DAYS:
        return sorted(set(days))
    return [(first + timedelta(n)).isoformat() for n in range((last - first).days + 1)]
