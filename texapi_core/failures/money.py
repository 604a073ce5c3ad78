"""Recognises errors about money, in the words of any provider or relay: `texapi_core/data/money_errors.json`.

A request that failed for money fails again, so it is sent once. Rate limits and overload, which some
providers word alike, are another table of the same file.
"""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Literal

from texapi_core import errors

Reason = Literal["balance", "overdue", "spending_limit", "key_limit", "daily_cap", "monthly_key_limit"]

_CLASSES: dict[Reason, type[errors.TexAPIStatusError]] = {
    "balance": errors.TexAPIInsufficientCreditsError,
    "overdue": errors.TexAPIInsufficientCreditsError,
    "spending_limit": errors.TexAPISpendingLimitError,
    "key_limit": errors.TexAPISpendingLimitError,
    "daily_cap": errors.TexAPIDailySpendingCapError,
    "monthly_key_limit": errors.TexAPIMonthlyKeyLimitError,
}
ADVICE: dict[Reason, str] = {
    "overdue": "Pay the account's open bill, or ask the gateway's support; the call was not retried.",
    "key_limit": "Raise the spending limit of this key, or use another key; the call was not retried.",
}
"""Advice that differs from the class's."""

_MAX_TEXT = 100_000
"""Characters of an error that are searched."""
_NAME_MEMBERS = frozenset({"code", "type", "reason", "status", "error_code", "status_code"})
_QUOTING_MEMBERS = frozenset({"input", "messages", "prompt", "failed_generation"})
"""Members in which validation errors quote the user's request."""
_REQUEST_PARAMETERS = ("messages", "input", "prompt", "tools")

_TAG = re.compile(r"<[^<>]*>")
_ESCAPED_CHARACTER = re.compile(r"\\u([0-9a-fA-F]{4})")
_ESCAPED_SPACE = re.compile(r"\\[nrt]")
_STROKES = str.maketrans({"đ": "d"})


@dataclass(frozen=True, slots=True)
class _Table:
    names: Mapping[str, Reason]
    phrases: Mapping[str, Reason]
    ambiguous: Mapping[str, Reason]
    not_money: tuple[str, ...]


@lru_cache(maxsize=1)
def _table() -> _Table:
    text = resources.files("texapi_core").joinpath("data/money_errors.json").read_text("utf-8")
    rows = json.loads(text)

    def words(kind: str) -> dict[str, Reason]:
        return {squeezed(word): row["reason"] for row in rows["money"] for word in row.get(kind, ())}

    not_money = tuple(squeezed(phrase) for row in rows["not_money"] for phrase in row.get("phrases", ()))
    return _Table(words("names"), words("phrases"), words("ambiguous"), not_money)


def money_reason(error: Any) -> Reason | None:
    """Why an error object or text is about money, else `None`. Takes time in proportion to its length."""
    if isinstance(error, Mapping) and str(error.get("param") or "").startswith(_REQUEST_PARAMETERS):
        return None
    names: list[str] = []
    texts: list[str] = []
    for member, value in _texts(error):
        texts.append(value)
        if member in _NAME_MEMBERS and len(value) < _MAX_TEXT:
            names.append(squeezed(value))
    table = _table()
    for name in names:
        if name in table.names:
            return table.names[name]
    text = squeezed("\n".join(texts))
    for phrase, reason in table.phrases.items():
        if phrase in text:
            return reason
    for phrase, reason in table.ambiguous.items():
        if phrase in text:
            return None if any(other in text for other in table.not_money) else reason
    return None


def money_class(reason: Reason, status: int | None) -> type[errors.TexAPIStatusError]:
    """The class for an error about money with this status."""
    if status == 429 and _CLASSES[reason] is errors.TexAPIInsufficientCreditsError:
        return errors.TexAPIInsufficientQuotaError
    return _CLASSES[reason]


def squeezed(text: str) -> str:
    """Letters and digits of a text in one case and width, escapes read: `Số dư` and `so_du` are `sodu`."""
    text = text[:_MAX_TEXT]
    if "\\" in text:
        text = _ESCAPED_CHARACTER.sub(lambda found: chr(int(found[1], 16)), text)
        text = _ESCAPED_SPACE.sub(" ", text)
    if "&" in text:
        text = html.unescape(text)
    text = unicodedata.normalize("NFKD", _TAG.sub("", text)).casefold().translate(_STROKES)
    return "".join(filter(str.isalnum, text))


def _texts(error: Any) -> Iterator[tuple[str, str]]:
    """The texts and numbers in an error, each with the name of its member, the outer ones first."""
    level: list[tuple[str, Any]] = [("", error)]
    while level:
        inner: list[tuple[str, Any]] = []
        for name, value in level:
            if isinstance(value, Mapping):
                inner += [(key, item) for key, item in value.items() if key not in _QUOTING_MEMBERS]
            elif isinstance(value, list):
                inner += [(name, item) for item in value]
            elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
                yield name, str(value)
        level = inner
