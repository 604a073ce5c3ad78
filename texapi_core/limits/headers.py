"""Reads the limits that a gateway states in the headers of an answer."""

from __future__ import annotations

import re
from collections.abc import Mapping

from texapi_core.limits.state import Seen

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d{1,20}(?:\.\d{1,20})?)(ms|s|m|h|d)?", re.ASCII)
_MAX_RESET = 90.0
"""Seconds. A limit that takes longer to refill is one of an hour or a day: it sets no rate."""
_MAX_LIMIT = 1e12


def seen_in(headers: Mapping[str, str]) -> Seen | None:
    """The limits per minute in `x-ratelimit-*`, `None` without any."""
    requests, left_requests = _limit(headers, "requests")
    tokens, left_tokens = _limit(headers, "tokens")
    return Seen(requests, tokens, left_requests, left_tokens) if requests or tokens else None


def _limit(headers: Mapping[str, str], kind: str) -> tuple[float, float]:
    limit = _number(headers.get(f"x-ratelimit-limit-{kind}"))
    if not limit or _seconds(headers.get(f"x-ratelimit-reset-{kind}")) > _MAX_RESET:
        return 0.0, 0.0
    return limit, min(_number(headers.get(f"x-ratelimit-remaining-{kind}")), limit)


def _number(text: str | None) -> float:
    try:
        number = float(text or "")
    except ValueError:
        return 0.0
    return number if 0 < number < _MAX_LIMIT else 0.0


def _seconds(text: str | None) -> float:
    """A duration such as `6m0s`, `20ms` or `1.5`; 0 if it is none, e.g. a time of day."""
    text = (text or "").strip()
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return 0.0
    if len(parts) == 1 and not parts[0][1] and float(parts[0][0]) > 1e8:
        return 0.0  # a Unix time
    return sum(float(number) * _UNITS[unit or "s"] for number, unit in parts)
