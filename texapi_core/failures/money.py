"""Recognises errors about money in the words of any provider or relay.

A request that failed for money fails again, so it is sent once. `texapi_core/data/money_words.json` has
the words: a thing of money (balance, budget, plan, ...) beside a state (exhausted, exceeded, expired, ...) is
an error about money, unless the same words speak of a rate or of overload. `money_errors.json` has the codes
and the wordings that no words tell, with a sample of each provider and its public source.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import Any, Literal, NamedTuple

from texapi_core import errors
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
"""Less than 1,000 seconds, and not none."""

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
_THINGS = {**_STRONG, **_WEAK}
_STATES = frozenset({"exhausted", "none", "nothing", "reached", "ended"})
_ONLY_OF_MONEY = frozenset({"no", "low", "have any", "have enough"})
"""States that a budget has in other senses: "at no cost"."""
_BEFORE = {"exhausted": 3, "none": 4, "reached": 4}
_AFTER = {"exhausted": 6, "nothing": 2, "reached": 6, "ended": 5}
"""State -> words that may stand between it and its thing, where it comes before or after the thing."""


class _Word(NamedTuple):
    kind: str
    text: str
    begin: int
    end: int
    """Words of the text before it, and with it."""
    clause: int


@dataclass(slots=True)
class _Sentence:
    """The words of a sentence that mean something here."""

    words: list[_Word] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    clauses: dict[str, set[int]] = field(default_factory=dict)
    """Kind -> the parts between commas in which it is."""

    def has(self, kind: str, first: _Word, last: _Word) -> bool:
        """Whether a word of this kind is in the clauses from one word to another."""
        return any(first.clause <= clause <= last.clause for clause in self.clauses.get(kind, ()))


class _Vocabulary(NamedTuple):
    pattern: re.Pattern[str]
    kind_of: Callable[[str], str]


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
    sentences = [*_sentences(text), *_sentences("|".join(map(plain, names)))]
    for sentence in sentences:
        if reason := _strong_reason(sentence):
            return reason
    said = set().union(*(sentence.kinds for sentence in sentences))
    if waits or "rate" in said or not is_error:
        return None
    in_texts = set().union(*(sentence.kinds for sentence in _sentences(text)))
    for sentence in sentences:
        if reason := _weak_reason(sentence, said, limits_rate="rate_limit" in in_texts):
            return reason
    if "demand" in said and said.isdisjoint(("rate_limit", "trouble", "not_charged")):
        return "balance"
    return None


def _strong_reason(sentence: _Sentence) -> Reason | None:
    for word in sentence.words:
        kind, _, reason = word.kind.partition(":")
        if kind == "phrase" and not any(sentence.has(other, word, word) for other in ("rate", "not_charged")):
            return reason  # type: ignore[return-value]  # from the table of phrases
    for thing, state in _pairs(sentence, _STRONG):
        first, last = sorted((thing, state), key=lambda word: word.begin)
        if sentence.has("rate", first, last) or sentence.has("not_charged", first, last):
            continue
        if state.kind == "reached" and sentence.has("rate_limit", first, last):
            continue
        return _reason_of(thing, state, sentence)
    return None


def _weak_reason(sentence: _Sentence, said: set[str], *, limits_rate: bool) -> Reason | None:
    for thing, state in _pairs(sentence, _WEAK):
        if thing.kind == "account":
            if not said.isdisjoint(("billing", "demand")):
                return "overdue"
            continue
        is_paid_for = thing.kind == "limit" and not limits_rate and _is_paid_for(thing, state, sentence, said)
        if is_paid_for or "period" in sentence.kinds:
            return _reason_of(thing, state, sentence)
    return None


def _is_paid_for(limit: _Word, state: _Word, sentence: _Sentence, said: set[str]) -> bool:
    """Whether other words say that a limit is one of money, of a key or of a plan."""
    if state.kind != "reached" and limit.text in ("quota", "quotas", "配额", "配額"):
        return True
    if not sentence.kinds.isdisjoint(("key", "money")):
        return True
    return not said.isdisjoint(("demand", "paying", "billing", "plan"))


def _reason_of(thing: _Word, state: _Word, sentence: _Sentence) -> Reason:
    is_limit = thing.kind in ("spending", "quota", "limit", "rate_limit")
    if is_limit and ("key" in sentence.kinds or thing.text.startswith("key ")):
        return "key_limit"
    if thing.kind in ("billing", "plan") and state.kind == "ended":
        return "overdue"
    if thing.kind == "spending" or (thing.kind in ("billing", "quota") and state.kind == "reached"):
        return "spending_limit"
    return "spending_limit" if is_limit and "period" in sentence.kinds else "balance"


def _pairs(sentence: _Sentence, things: Mapping[str, frozenset[str]]) -> Iterable[tuple[_Word, _Word]]:
    """Each thing of a sentence with a state that belongs to it: the last one before, the first one after."""
    thing: _Word | None = None
    state: _Word | None = None
    for word in sentence.words:
        if word.kind in things:
            thing = word
            if state and state.kind in things[word.kind] and _is_before(state, word):
                yield word, state
        elif word.kind in _STATES:
            state = word
            if thing and word.kind in things[thing.kind] and _is_after(word, thing):
                yield thing, word


def _is_before(state: _Word, thing: _Word) -> bool:
    if thing.kind == "plan" or state.clause != thing.clause:
        return False
    if state.text in _ONLY_OF_MONEY and thing.kind != "money":
        return False
    return _distance(state, thing) <= _BEFORE.get(state.kind, -1)


def _is_after(state: _Word, thing: _Word) -> bool:
    distance = _distance(thing, state)
    if state.clause != thing.clause:
        return state.kind == "exhausted" and state.clause - thing.clause <= 2 and distance <= 3
    return distance <= _AFTER.get(state.kind, -1)


def _distance(first: _Word, last: _Word) -> int:
    return last.begin - first.end


def _sentences(text: str) -> list[_Sentence]:
    """The sentences of a `plain` text that hold words of the table."""
    vocabulary = _vocabulary()
    sentences = [_Sentence()]
    clause = position = end = 0
    for found in vocabulary.pattern.finditer(text):
        position += _count_words(text[end : found.start()])
        end = found.end()
        word = found[0]
        if word == "|":
            sentences.append(_Sentence())
        elif word == ",":
            clause += 1
        else:
            begin, position = position, position + _count_words(word)
            kind = vocabulary.kind_of(word)
            sentence = sentences[-1]
            sentence.words.append(_Word(kind, word, begin, position, clause))
            sentence.kinds.add(kind.partition(":")[0])
            sentence.clauses.setdefault(kind, set()).add(clause)
    return [sentence for sentence in sentences if sentence.words]


def _count_words(text: str) -> int:
    """Words between spaces; two characters of Chinese count as one."""
    return len(text.split()) if text.isascii() else (len(text) + 1) // 2


@lru_cache(maxsize=1)
def _table() -> _Table:
    rows = _read("money_errors.json")["money"]

    def words(kind: str) -> dict[str, Reason]:
        return {squeezed(word): row["reason"] for row in rows for word in row.get(kind, ())}

    return _Table(words("names"), words("phrases"))


@lru_cache(maxsize=1)
def _vocabulary() -> _Vocabulary:
    groups = _read("money_words.json")
    kinds: dict[str, str] = {}
    for group in ("not_money", "phrases", "hints", "states", "things"):
        for kind, words in groups[group].items():
            for word in words.split(", "):
                kinds.setdefault(word, f"phrase:{kind}" if group == "phrases" else kind)
    longest_first = sorted(kinds, key=len, reverse=True)
    spaced = "|".join(_pattern_of(word) for word in longest_first if word.isascii())
    unspaced = "|".join(re.escape(word) for word in longest_first if not word.isascii())
    pattern = re.compile(rf"[,|]|(?<![a-z0-9])(?:{spaced})(?![a-z0-9]|\.[0-9])|{unspaced}")
    exact = {word: kind for word, kind in kinds.items() if not set("*#") & set(word)}
    open_ended = [
        (re.compile(_pattern_of(word)), kinds[word]) for word in longest_first if set("*#") & set(word)
    ]

    @lru_cache(maxsize=1000)
    def kind_of(word: str) -> str:
        return exact.get(word) or next(kind for one, kind in open_ended if one.fullmatch(word))

    return _Vocabulary(pattern, kind_of)


def _pattern_of(word: str) -> str:
    return re.escape(word).replace(r"\*", "[a-z]*").replace(r"\#", r"\d{1,3}(?:\.\d{1,9})?")


def _read(name: str) -> Any:
    return json.loads(resources.files("texapi_core").joinpath(f"data/{name}").read_text("utf-8"))
