"""Words and sentences of English and Vietnamese."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from tests.gateway.brain.word_sets import CAPITALS, ENGLISH, STOP_WORDS, VIETNAMESE

_VIETNAMESE_LETTERS = re.compile(r"[ăđơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹĩũàáãâèéêìíòóôõùúý]")
_ENDINGS = (
    "ations",
    "ation",
    "ings",
    "ing",
    "edly",
    "ed",
    "ers",
    "er",
    "ies",
    "es",
    "s",
    "ly",
    "y",
    "e",
)
_WORD = re.compile(r"[^\W_]+")
_SENTENCE_END = re.compile(rf"(?<=[.!?…])[\"'”\u2019)]*\s+(?=[\"'“\u2018(]?[{CAPITALS}0-9])")
_ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|vs|e\.g|i\.e|etc|No|TP|Th)\.$")
_METADATA = re.compile(r"^(?:[a-z]+(?:_[a-z]+)+|source|url|page|file|sub question): .*$", re.IGNORECASE)
_MARKUP = re.compile(r"\*\*|^#{1,6} |^```\w*$|^\|?(?: *:?-{3,}:? *\|?)+$")
_LINK = re.compile(r"\[([^\]]+)\]\([^)\s]+\)")
_LABEL = re.compile(r"^(?:response|answer): ", re.IGNORECASE)


def fold(text: str) -> str:
    """Return a text in lower case and without accents."""
    plain = unicodedata.normalize("NFD", text.casefold().replace("đ", "d"))
    return "".join(sign for sign in plain if not unicodedata.combining(sign))


def words(text: str) -> list[str]:
    """Return the folded words of a text."""
    return _WORD.findall(fold(text))


def stem(word: str) -> str:
    """Return a folded word without its usual endings."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def content_words(text: str) -> list[str]:
    """Return the words that carry meaning, in order and without repetition."""
    found: dict[str, str] = {}
    for written in _WORD.findall(unicodedata.normalize("NFC", text)):
        folded = fold(written)
        if folded not in STOP_WORDS and (len(folded) > 1 or folded.isdigit()):
            found.setdefault(stem(folded), written)
    return list(found.values())


@lru_cache(maxsize=4096)
def stems(text: str) -> frozenset[str]:
    """Return the stems of the words that carry meaning."""
    return frozenset(stem(fold(word)) for word in content_words(text))


def is_vietnamese(text: str) -> bool:
    """Tell whether a text is written in Vietnamese, and not only names places there."""
    normal = unicodedata.normalize("NFC", text).lower()
    found = _WORD.findall(normal)
    vietnamese = sum(word in VIETNAMESE for word in found)
    english = sum(word in ENGLISH for word in found)
    return bool(_VIETNAMESE_LETTERS.search(normal)) and vietnamese >= english


def sentences(text: str) -> list[str]:
    """Split a text into sentences, leaving out lines of metadata."""
    found: list[str] = []
    for line in unicodedata.normalize("NFC", text).splitlines():
        line = _without_markup(line.strip()).strip(" -*•\t")
        if not line or _METADATA.match(line):
            continue
        line = _LABEL.sub("", line)
        start = len(found)
        for piece in _SENTENCE_END.split(line):
            if len(found) > start and _ABBREVIATION.search(found[-1]):
                found[-1] += f" {piece}"
            else:
                found.append(piece.strip())
    return [each for each in found if any(sign.isalnum() for sign in each)]


def _without_markup(line: str) -> str:
    """Return a line of Markdown as plain text, the cells of a row of a table joined by semicolons."""
    line = _MARKUP.sub("", _LINK.sub(r"\1", line))
    if line.startswith("|") and line.endswith("|"):
        return "; ".join(cell for each in line.split("|") if (cell := each.strip()))
    return line


def capitalise(text: str) -> str:
    """Return a text whose first letter is a capital."""
    return text[:1].upper() + text[1:]


def topic(text: str) -> str:
    """Return what a text is about in a few of its own words."""
    return " ".join(content_words(text)[:6])
