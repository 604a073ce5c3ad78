"""The words of errors about money and of rates, found in a text: `texapi_core/data/money_words.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import NamedTuple


class Word(NamedTuple):
    """A word of the table in a text."""

    kind: str
    """The name of its list in the table, of a phrase with the reason: `phrase:overdue`."""
    text: str
    begin: int
    end: int
    """Words of the text before it, and with it."""
    clause: int
    """Number of the part between commas."""


@dataclass(slots=True)
class Sentence:
    """The words of a sentence that mean something here."""

    words: list[Word] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    clauses: dict[str, set[int]] = field(default_factory=dict)
    """Kind -> the clauses in which it is."""

    def has(self, kind: str, first: Word, last: Word) -> bool:
        """Whether a word of this kind is in the clauses from one word to another."""
        clauses = self.clauses.get(kind, ())
        return any(clause in clauses for clause in range(first.clause, last.clause + 1))


class _Vocabulary(NamedTuple):
    pattern: re.Pattern[str]
    kind_of: Callable[[str], str]


def sentences_of(text: str) -> list[Sentence]:
    """The sentences of a `plain` text that hold words of the table."""
    vocabulary = _vocabulary()
    sentences = [Sentence()]
    clause = position = end = 0
    for found in vocabulary.pattern.finditer(text):
        position += _count_words(text[end : found.start()])
        end = found.end()
        word = found[0]
        if word == "|":
            sentences.append(Sentence())
        elif word == ",":
            clause += 1
        else:
            begin, position = position, position + _count_words(word)
            kind = vocabulary.kind_of(word)
            sentence = sentences[-1]
            sentence.words.append(Word(kind, word, begin, position, clause))
            sentence.kinds.add(kind.partition(":")[0])
            sentence.clauses.setdefault(kind, set()).add(clause)
    return [sentence for sentence in sentences if sentence.words]


def _count_words(text: str) -> int:
    """Words between spaces; two characters of Chinese count as one."""
    return len(text.split()) if text.isascii() else (len(text) + 1) // 2


@lru_cache(maxsize=1)
def _vocabulary() -> _Vocabulary:
    text = resources.files("texapi_core").joinpath("data/money_words.json").read_text("utf-8")
    groups = json.loads(text)
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
