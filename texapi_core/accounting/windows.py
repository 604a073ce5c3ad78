"""Windows of budgets: the last hours or days, or a calendar period in a time zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

CALENDAR = ("hour", "day", "week", "month")
_ROLLING = re.compile(r"([1-9]\d{0,4})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Window:
    """The time that a budget is for.

    `90m`, `24h`, `30d` and `4w` are the time up to now. `hour`, `day`, `week` (from Monday) and `month` are
    the current ones of the calendar in `timezone`.
    """

    text: str
    timezone: str = "UTC"

    def start(self, now: datetime) -> datetime:
        """When the window that `now` is in began, in UTC."""
        if self.text in CALENDAR:
            return _period(self.text, self.timezone, now)[0]
        return now.astimezone(UTC) - _length(self.text)

    def end(self, now: datetime) -> datetime | None:
        """When the current calendar period ends, in UTC; `None` for a rolling window."""
        return _period(self.text, self.timezone, now)[1] if self.text in CALENDAR else None

    def __str__(self) -> str:
        if self.text not in CALENDAR:
            return f"the last {self.text}"
        return f"this {self.text}" + ("" if self.timezone == "UTC" else f" ({self.timezone})")


def nominal_seconds(window: Window) -> float:
    """The length of a window; of a month, 31 days."""
    if window.text in CALENDAR:
        return {"hour": 1, "day": 24, "week": 7 * 24, "month": 31 * 24}[window.text] * _HOUR.total_seconds()
    return _length(window.text).total_seconds()


def is_window(text: str) -> bool:
    """Whether a text such as `24h` or `month` is a window."""
    return text in CALENDAR or bool(_ROLLING.fullmatch(text))


def is_timezone(name: str) -> bool:
    """Whether a time zone is known, such as `UTC` or `Asia/Ho_Chi_Minh`."""
    try:
        zone(name)
    except (OSError, ValueError, LookupError):
        return False
    return True


def zone(name: str) -> tzinfo:
    """The time zone of this name. UTC needs no table of zones; Windows has none without `tzdata`."""
    return UTC if name == "UTC" else ZoneInfo(name)


@lru_cache
def _length(text: str) -> timedelta:
    return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})


def _period(kind: str, timezone: str, now: datetime) -> tuple[datetime, datetime]:
    """Start and end, in UTC, of the calendar period that contains `now`."""
    local = now.astimezone(zone(timezone))
    if kind == "hour":  # of the clock as it goes now: where it is set by half an hour, hours overlap
        into = (local.replace(tzinfo=None) - datetime.min) % _HOUR
        start = now.astimezone(UTC) - into
        return start, start + _HOUR
    first = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if kind == "week":
        first -= timedelta(days=first.weekday())
    elif kind == "month":
        first = first.replace(day=1)
    days = {"day": 1, "week": 7, "month": 32}[kind]
    following = first + timedelta(days=days)
    if kind == "month":
        following = following.replace(day=1)
    return first.astimezone(UTC), following.astimezone(UTC)
