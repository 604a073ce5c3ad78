"""Budgets from what a user gave: each error names the argument, or the member of `budgets`, that is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from numbers import Number
from typing import Any

from texapi_core.accounting.budget import Budget
from texapi_core.accounting.windows import CALENDAR, Window, is_timezone, is_window
from texapi_core.wire.text import shown

_MAX_COST = Decimal(4_000_000)
_MAX_TOKENS = 2**62
_DEFAULTS = {"max_cost": None, "max_tokens_total": None, "scope": "all", "window": "24h"}
_MEMBERS = (*_DEFAULTS, "timezone", "warnings")
_ARGUMENTS = {name: name if name.startswith("max_") else f"budget_{name}" for name in _MEMBERS}
"""Member -> the argument of a constructor."""


def parse_budgets(value: Any, timezone: str = "UTC", warnings: Iterable[float] = ()) -> tuple[Budget, ...]:
    """The budgets in a list of dicts, or in its JSON. `timezone` and `warnings` are their defaults.

    Raises:
        ValueError: the value is not a list of budgets; the message names what is wrong, e.g.
            `budgets[0].window`.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"`budgets` is not JSON: {error}.") from None
    if not isinstance(value, (list, tuple)):
        raise ValueError(
            '`budgets` is a list such as [{"max_cost": 50, "scope": "tag:team", "window": "month"}], '
            f"not {shown(value)}."
        )
    defaults = {**_DEFAULTS, "timezone": timezone, "warnings": tuple(warnings)}
    return tuple(
        row if isinstance(row, Budget) else _parse(row, f"budgets[{place}]", defaults)
        for place, row in enumerate(value)
    )


def _parse(row: Any, place: str, defaults: Mapping[str, Any]) -> Budget:
    members = ", ".join(_MEMBERS)
    if not isinstance(row, Mapping):
        raise ValueError(f"`{place}` is a dict of {members}, not {shown(row)}.")
    if unknown := [name for name in row if name not in _MEMBERS]:
        raise ValueError(f"`{place}` has a member {shown(unknown[0])}; those known are {members}.")
    return _check({**defaults, **row}, {name: f"{place}.{name}" for name in _MEMBERS})


def make_budget(
    *, max_cost: Any, max_tokens_total: Any, scope: Any, window: Any, timezone: Any, warnings: Any
) -> Budget:
    """A checked budget from arguments of any type, each the field of that name in `Budget`.

    `timezone` is that of the calendar windows, e.g. `Asia/Ho_Chi_Minh`.

    Raises:
        ValueError: an argument is wrong; the message names it.
    """
    values = (max_cost, max_tokens_total, scope, window, timezone, warnings)
    return _check(dict(zip(_MEMBERS, values, strict=True)), _ARGUMENTS)


def _check(values: Mapping[str, Any], names: Mapping[str, str]) -> Budget:
    """The budget of the values; errors call them by `names`."""

    def wrong(member: str, expected: str) -> ValueError:
        return ValueError(f"`{names[member]}` is {expected}, not {shown(values[member])}.")

    max_cost, max_tokens, scope, window, timezone, warnings = (values[name] for name in _MEMBERS)
    if max_cost is None and max_tokens is None:
        raise ValueError(
            f"A budget needs `{names['max_cost']}` (USD), `{names['max_tokens_total']}`, or both."
        )
    cost, tokens = _number(max_cost), _number(max_tokens)
    if max_cost is not None and not (cost is not None and 0 <= cost <= _MAX_COST):
        raise wrong("max_cost", f"a number from 0 to {_MAX_COST:,} USD")
    if max_tokens is not None and not (tokens is not None and 0 <= tokens <= _MAX_TOKENS and not tokens % 1):
        raise wrong("max_tokens_total", "a whole number of tokens")
    if not isinstance(scope, str) or not _is_scope(scope):
        raise wrong("scope", "all, key, model, tag:NAME or metadata:NAME")
    if not isinstance(window, str) or not is_window(window):
        raise wrong("window", f"90m, 24h, 30d, 4w, {', '.join(CALENDAR)} or the like")
    if not isinstance(timezone, str) or not is_timezone(timezone):
        raise wrong(
            "timezone",
            "a time zone such as UTC or Asia/Ho_Chi_Minh (where the system has none: pip install tzdata)",
        )
    fractions = [_number(one) for one in warnings] if isinstance(warnings, (list, tuple)) else [None]
    found = sorted({float(one) for one in fractions if one is not None and 0 < one <= 1})
    if len(found) < len(set(fractions)):
        raise wrong("warnings", "a list of fractions of the budget, such as (0.8, 0.95)")
    return Budget(
        max_cost=cost,
        max_tokens_total=None if tokens is None else int(tokens),
        window=Window(window, timezone),
        scope=scope,
        warnings=tuple(found),
    )


def _is_scope(scope: str) -> bool:
    kind, _, name = scope.partition(":")
    return scope in ("all", "key", "model") or (kind in ("tag", "metadata") and bool(name))


def _number(value: Any) -> Decimal | None:
    """The finite number that a value is or spells, `None` if there is none."""
    if isinstance(value, bool) or not isinstance(value, (Number, str)):
        return None
    try:
        number = Decimal(str(value))
    except (ArithmeticError, ValueError):  # ValueError: more digits than Python reads
        return None
    return number if number.is_finite() else None
