"""Recognises errors about money in the words of any provider or relay.

A request that failed for money fails again, so it is sent once. `texapi_core/data/money_words.json` has
the words: a thing of money (balance, budget, plan, ...) beside a state (exhausted, exceeded, expired, ...) is
an error about money, unless the same words speak of a rate or of overload. `money_errors.json` has the codes
and the wordings that these words miss, with a sample of each provider and its public source.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Literal

from texapi_core import errors
from texapi_core.failures.vocabulary import Sentence, Word, sentences_of
from texapi_core.failures.wording import MAX_TEXT, plain, squeezed, texts_of, without_quotes

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

_NAME_MEMBERS = frozenset(
    {"code", "type", "reason", "status", "errorcode", "statuscode", "errcode", "httpstatus", "httpcode"}
)
_WAIT_MEMBERS = frozenset({"retrydelay", "retryafter", "retryafterseconds"})
_SHORT_WAIT = re.compile(r"(?!0+s?$)\d{1,3}(?:\.\d{1,9})?s?")
"""A wait below 1,000 seconds, but not zero."""

_STRONG: dict[str, frozenset[str]] = {
    "money": frozenset({"exhausted", "none", "nothing", "reached", "ended"}),
    "spending": frozenset({"exhausted", "reached", "none"}),
    "billing": frozenset({"reached", "ended"}),
    "plan": frozenset({"exhausted", "ended"}),
    "quota": frozenset({"exhausted", "none", "nothing", "reached"}),
}
"""Thing -> the states in which it is money, without further words."""
_WEAK: dict[str, frozenset[str]] = {
    "limit": frozenset({"exhausted", "none", "reached"}),
    "rate_limit": frozenset({"reached"}),
    "account": frozenset({"ended"}),
}
"""Thing -> the states in which it is money if other words of the error say so."""
_STATES = frozenset({"exhausted", "none", "nothing", "reached", "ended"})
_PHRASES: dict[str, Reason] = {
    "phrase:balance": "balance",
    "phrase:overdue": "overdue",
    "phrase:spending_limit": "spending_limit",
}
_ONLY_OF_MONEY = frozenset({"no", "low", "have any", "have enough"})
"""States that a budget has in other senses: "at no cost"."""
_BEFORE = {"exhausted": 3, "none": 4, "reached": 4}
_AFTER = {"exhausted": 6, "nothing": 4, "reached": 6, "ended": 5}
"""State -> words that may stand between it and its thing, where it comes before or after the thing."""


@dataclass(frozen=True, slots=True)
class _Table:
    names: Mapping[str, Reason]
    phrases: Mapping[str, Reason]


def money_reason(
    error: Any, asked: Callable[[], list[str]] = list, *, is_error: bool = True
) -> Reason | None:
    """Why an error, with all that is around it, is about money, else `None`.

    `asked` returns the texts of the request: what an error quotes of them is not searched. Where it is not
    sure that the text is an error, `is_error=False` leaves out what a page on prices says too. Takes time in
    proportion to the length of the text.
    """
    names: list[str] = []
    texts: list[str] = []
    waits = False
    length = 0
    for member, text in texts_of(error):
        name = member.replace("_", "").replace("-", "").lower()
        if length > MAX_TEXT:
            break
        length += len(text) + 1
        waits = waits or (name in _WAIT_MEMBERS and _SHORT_WAIT.fullmatch(text) is not None)
        if name in _NAME_MEMBERS:
            names.append(text)
        else:
            texts.append(text)
    table = _table()
    for name in map(squeezed, names):
        if name in table.names:
            return table.names[name]
    spoken = [plain(text) for text in texts]
    reason = _reason_in(spoken, names, waits=waits, is_error=is_error)
    if reason is not None and (quotable := asked()):
        spoken = [without_quotes(text, quotable) for text in spoken]
        reason = _reason_in(spoken, names, waits=waits, is_error=is_error)
    return reason


def money_class(reason: Reason, status: int | None) -> type[errors.TexAPIStatusError]:
    """The class for an error about money with this status."""
    if status == 429 and _CLASSES[reason] is errors.TexAPIInsufficientCreditsError:
        return errors.TexAPIInsufficientQuotaError
    return _CLASSES[reason]


def _reason_in(spoken: list[str], names: list[str], *, waits: bool, is_error: bool) -> Reason | None:
    text = "|".join(spoken)
    joined = "".join(filter(str.isalnum, text))
    phrases = _table().phrases
    exact = next((phrases[phrase] for phrase in phrases if phrase in joined), None)
    if exact is not None:
        return exact
    in_texts = sentences_of(text)
    sentences = [*in_texts, *sentences_of("|".join(map(plain, names)))]
    for sentence in sentences:
        if reason := _strong_reason(sentence):
            return reason
    said = set().union(*(sentence.kinds for sentence in sentences))
    if waits or "rate" in said or not is_error:
        return None
    # Anthropic's type is `rate_limit_error` for a spending limit too.
    limits_rate = any("rate_limit" in sentence.kinds for sentence in in_texts)
    for sentence in sentences:
        if reason := _weak_reason(sentence, said, limits_rate=limits_rate):
            return reason
    if "demand" in said and said.isdisjoint(("rate_limit", "trouble", "not_charged")):
        return "balance"
    return None


def _strong_reason(sentence: Sentence) -> Reason | None:
    for word in sentence.words:
        if word.kind in _PHRASES and not _is_of_a_rate(sentence, word, word):
            return _PHRASES[word.kind]
    for thing, state in _pairs(sentence, _STRONG):
        first, last = sorted((thing, state), key=lambda word: word.begin)
        if _is_of_a_rate(sentence, first, last):
            continue
        if state.kind == "reached" and sentence.has("rate_limit", first, last):
            continue
        return _reason_of(thing, state, sentence)
    return None


def _is_of_a_rate(sentence: Sentence, first: Word, last: Word) -> bool:
    """Whether the clauses from one word to another speak of a rate or overload, or of no charge."""
    return sentence.has("rate", first, last) or sentence.has("not_charged", first, last)


def _weak_reason(sentence: Sentence, said: set[str], *, limits_rate: bool) -> Reason | None:
    for thing, state in _pairs(sentence, _WEAK):
        if thing.kind == "account":
            if not said.isdisjoint(("billing", "demand")):
                return "overdue"
            continue
        is_paid_for = thing.kind == "limit" and not limits_rate and _is_paid_for(thing, state, sentence, said)
        if is_paid_for or "period" in sentence.kinds:
            return _reason_of(thing, state, sentence)
    return None


def _is_paid_for(limit: Word, state: Word, sentence: Sentence, said: set[str]) -> bool:
    """Whether other words say that a limit is one of money, of a key or of a plan."""
    if limit.text == "current quota":  # OpenAI's words, which many repeat
        return True
    if state.kind != "reached" and limit.text in ("quota", "quotas", "配额", "配額"):
        return True
    if not sentence.kinds.isdisjoint(("key", "money")):
        return True
    return not said.isdisjoint(("demand", "paying", "billing", "plan"))


def _reason_of(thing: Word, state: Word, sentence: Sentence) -> Reason:
    is_limit = thing.kind in ("spending", "quota", "limit", "rate_limit")
    if is_limit and ("key" in sentence.kinds or thing.text.startswith("key ")):
        return "key_limit"
    if thing.kind in ("billing", "plan") and state.kind == "ended":
        return "overdue"
    if thing.kind == "spending" or (thing.kind in ("billing", "quota") and state.kind == "reached"):
        return "spending_limit"
    return "spending_limit" if is_limit and "period" in sentence.kinds else "balance"


def _pairs(sentence: Sentence, things: Mapping[str, frozenset[str]]) -> Iterable[tuple[Word, Word]]:
    """Each thing of a sentence with each state near it: the last one before, and those after."""
    thing: Word | None = None
    state: Word | None = None
    for word in sentence.words:
        if word.kind in things:
            thing = word
            if state and state.kind in things[word.kind] and _is_before(state, word):
                yield word, state
        elif word.kind in _STATES:
            state = word
            if thing and word.kind in things[thing.kind] and _is_after(word, thing):
                yield thing, word


def _is_before(state: Word, thing: Word) -> bool:
    if thing.kind == "plan" or state.clause != thing.clause:
        return False
    if state.text in _ONLY_OF_MONEY and thing.kind != "money":
        return False
    return _distance(state, thing) <= _BEFORE.get(state.kind, -1)


def _is_after(state: Word, thing: Word) -> bool:
    distance = _distance(thing, state)
    if state.clause != thing.clause:
        return state.kind == "exhausted" and state.clause - thing.clause <= 2 and distance <= 3
    return distance <= _AFTER.get(state.kind, -1)


def _distance(first: Word, last: Word) -> int:
    return last.begin - first.end


@lru_cache(maxsize=1)
def _table() -> _Table:
    text = resources.files("texapi_core").joinpath("data/money_errors.json").read_text("utf-8")
    rows = json.loads(text)["money"]

    def words(kind: str) -> dict[str, Reason]:
        return {squeezed(word): row["reason"] for row in rows for word in row.get(kind, ())}

    return _Table(words("names"), words("phrases"))
