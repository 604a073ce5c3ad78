"""Marks for the prompt cache that the user set, as Claude takes them: others refuse the whole request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from texapi_core.accounting.record import logger

MAX_MARKS = 4
"""Claude refuses a request with more."""
LIFETIMES = {"5m": 300, "1h": 3600}
"""`ttl` of a mark -> seconds."""
DEFAULT_LIFETIME = "5m"
INSTRUCTIONS = ("system", "developer")
_MARK = "cache_control"
_Holder = Mapping[str, Any]


@dataclass(slots=True)
class _Found:
    """A mark with its place; the mark is changed where Claude would refuse it."""

    mark: Any
    at_start: bool
    """Whether it is on a tool or on the instructions at the start."""


def with_legal_marks(payload: dict[str, Any]) -> dict[str, Any]:
    """The payload with the user's marks as Claude takes them. Nothing is changed in place.

    A mark on a blank text is left out, and so are all but four: kept are the last on the tools and the
    instructions at the start, and the last ones of all. A lifetime that is longer than one before it is
    shortened to that. What was mended is logged.

    Raises:
        ValueError: a mark that is none, e.g. of another type or with an unknown `ttl`.
    """
    if not _is_marked(payload):
        return payload
    kinds: Counter[str] = Counter()
    found: list[_Found] = []

    def collect(holder: _Holder, place: str, at_start: bool) -> _Holder:
        if _MARK in holder:
            mark = _legal_mark(holder[_MARK], place)
            if mark and holder.get("type") == "text" and not str(holder.get("text") or "").strip():
                kinds["mark on a blank text"] += 1
                mark = None
            found.append(_Found(mark, at_start))
        return holder

    _each_holder(payload, collect)
    _drop_beyond_four(found, kinds)
    _shorten_lifetimes(found, kinds)
    if kinds:
        logger.warning(
            "Marks for the prompt cache were mended, since Claude refuses them: %s.",
            ", ".join(f"{kind} ({count})" for kind, count in kinds.items()),
        )
    marks = iter(found)

    def replace(holder: _Holder, place: str, at_start: bool) -> _Holder:
        if _MARK not in holder:
            return holder
        mark = next(marks).mark
        if mark is holder[_MARK]:
            return holder
        rest = {name: value for name, value in holder.items() if name != _MARK}
        return {**rest, _MARK: mark} if mark else rest

    return _each_holder(payload, replace)


def _drop_beyond_four(found: Sequence[_Found], kinds: Counter[str]) -> None:
    kept = [each for each in found if each.mark]
    if len(kept) <= MAX_MARKS:
        return
    kinds["more than four marks"] += len(kept) - MAX_MARKS
    start = [at for at, each in enumerate(kept) if each.at_start][-1:]
    others = [at for at in range(len(kept)) if at not in start]
    chosen = {*start, *others[len(start) - MAX_MARKS :]}
    for at, each in enumerate(kept):
        if at not in chosen:
            each.mark = None


def _shorten_lifetimes(found: Sequence[_Found], kinds: Counter[str]) -> None:
    shortest = max(LIFETIMES, key=lambda name: LIFETIMES[name])
    for each in found:
        if not each.mark:
            continue
        lifetime = each.mark.get("ttl") or DEFAULT_LIFETIME
        if LIFETIMES[lifetime] > LIFETIMES[shortest]:
            kinds["lifetime longer than one before it"] += 1
            each.mark = {**each.mark, "ttl": shortest}
        else:
            shortest = lifetime


def _is_marked(payload: _Holder) -> bool:
    """Whether there is any mark: nearly every request has none, and this costs few function calls."""
    if _MARK in payload or ("tools" in payload and any(map(_is_marked_tool, payload["tools"]))):
        return True
    for message in payload["messages"]:
        if _MARK in message:
            return True
        content = message["content"]
        if content.__class__ is list:
            for part in content:
                if _MARK in part:
                    return True
        if "tool_calls" in message:
            for call in message["tool_calls"]:
                if _MARK in call or _MARK in call["function"]:
                    return True
    return False


def _is_marked_tool(tool: _Holder) -> bool:
    return _MARK in tool or _MARK in (tool.get("function") or ())


def _legal_mark(mark: Any, place: str) -> Any:
    """The mark; `None` for an empty one."""
    if not mark:
        return None
    ttl = mark.get("ttl") if isinstance(mark, Mapping) else None
    is_known = ttl is None or (isinstance(ttl, str) and ttl in LIFETIMES)
    if not isinstance(mark, Mapping) or mark.get("type") != "ephemeral" or not is_known:
        raise ValueError(
            f'`{_MARK}` of {place} must be {{"type": "ephemeral"}}, with a `ttl` of "5m" or "1h" if any, '
            f"not {mark!r}. Nothing was sent."
        )
    return mark


def _each_holder(payload: dict[str, Any], change: Callable[[_Holder, str, bool], _Holder]) -> dict[str, Any]:
    """The payload with everything that may hold a mark changed, in the order in which Claude reads it."""
    changed = dict(payload)
    if payload.get("tools"):
        changed["tools"] = [
            _inner(tool, f"`tools[{at}]`", True, change) for at, tool in enumerate(payload["tools"])
        ]
    at_start, messages = True, []
    for at, message in enumerate(payload["messages"]):
        at_start = at_start and message["role"] in INSTRUCTIONS
        messages.append(_inner(message, f"message {at} of the request", at_start, change))
    changed["messages"] = messages
    return dict(change(changed, "the request", False))


def _inner(
    place: _Holder, name: str, at_start: bool, change: Callable[[_Holder, str, bool], _Holder]
) -> _Holder:
    changed = dict(change(place, name, at_start))
    if isinstance(function := place.get("function"), Mapping):
        changed["function"] = change(function, name, at_start)
    for member in ("content", "tool_calls"):
        if isinstance(held := place.get(member), list):
            changed[member] = [
                _inner(each, name, at_start, change) if isinstance(each, Mapping) else each for each in held
            ]
    return changed
