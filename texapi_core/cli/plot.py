"""Draws usage: days as stacked bars by model, other groupings as one bar per group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.style
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from texapi_core.accounting.ledger.report import UsageLine
from texapi_core.cli.series import COLORS, OTHERS, amount_of, every_day, is_cost_known, series_of_days
from texapi_core.wire.text import printable

_MAX_BARS = 20
_MAX_LABEL = 50


def draw_usage(lines: Sequence[UsageLine], by: Sequence[str], path: Path, *, dark: bool = False) -> None:
    """Draw usage into a PNG or an SVG, by the path's suffix: USD if any cost is known, else tokens."""
    is_cost = is_cost_known(lines)
    amounts = {tuple(map(printable, line.group)): amount_of(line, is_cost=is_cost) for line in lines}
    unit = "USD" if is_cost else "tokens"
    style = matplotlib.style.context("dark_background" if dark else "default")
    with style, matplotlib.rc_context({"font.size": 10, "text.parse_math": False}):
        figure = Figure(figsize=(9, 4.8), layout="constrained")  # pyplot would need a window system
        axes = figure.subplots()
        if by[0] == "day":
            _draw_days(axes, amounts)
            axes.set_ylabel(f"{unit} a day")
        else:
            _draw_bars(axes, {group[0]: amount for group, amount in amounts.items()}, is_cost=is_cost)
            axes.set_xlabel(unit)
        axes.set_title(f"TexAPI usage: {unit} by {' and '.join(by)}", loc="left", fontweight="bold")
        axes.spines[["top", "right"]].set_visible(False)
        unpriced = sum(line.unpriced for line in lines)
        if is_cost and unpriced:
            note = f"Without {unpriced:,} calls whose cost is not known"
            figure.supxlabel(note, fontsize=8, x=0.02, ha="left")
        figure.savefig(path, format=path.suffix[1:].lower(), dpi=150)


def _draw_days(axes: Any, amounts: Mapping[tuple[str, ...], float | None]) -> None:
    series = series_of_days(amounts)
    days = every_day([day for day, _ in amounts])
    below = [0.0] * len(days)
    for (model, of_day), color in zip(series.items(), COLORS, strict=False):
        heights = [of_day.get(day, 0.0) for day in days]
        axes.bar(range(len(days)), heights, bottom=below, label=_label(model), color=color, width=0.8)
        below = [bottom + height for bottom, height in zip(below, heights, strict=True)]
    step = max(1, -(-len(days) // 12))
    axes.set_xticks(range(0, len(days), step), [day[5:] for day in days[::step]])
    axes.set_xlim(-0.7, max(len(days) - 0.3, 0.7))
    axes.set_ylim(0, max(below, default=0) * 1.06 or 1)
    if series:
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))


def _label(name: str) -> str:
    """A name that leaves room for the bars. Matplotlib leaves those that begin with `_` out of legends."""
    text = name if len(name) <= _MAX_LABEL else f"{name[: _MAX_LABEL - 1]}…"
    return f" {text}" if text.startswith("_") else text


def _draw_bars(axes: Any, amounts: Mapping[str, float | None], *, is_cost: bool) -> None:
    ranked = sorted(amounts.items(), key=lambda item: -(item[1] or 0))
    shown, rest = ranked[:_MAX_BARS], ranked[_MAX_BARS:]
    if rest:
        shown.append((OTHERS, sum(amount or 0 for _, amount in rest)))
    places = range(len(shown))
    bars = axes.barh(places, [amount or 0 for _, amount in shown], color=COLORS[0])
    axes.set_yticks(places, [_label(name) for name, _ in shown])
    digits = 4 if is_cost else 0
    labels = ["unknown" if amount is None else f"{amount:,.{digits}f}" for _, amount in shown]
    axes.bar_label(bars, labels, padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.xaxis.set_major_locator(MaxNLocator(6))
