"""Answers out of a given context."""

from __future__ import annotations

import math
import re
import unicodedata

from tests.gateway.brain.word_sets import CAPITALS
from tests.gateway.brain.words import fold, is_vietnamese, sentences, stem, stems

_NAME = re.compile(rf"(?<!^)(?<![.?!:] )\b[{CAPITALS}][\w-]+")
_DIGIT = re.compile(r"\d")

SAYS_NOTHING = ("The context does not say anything about this.", "Tài liệu không nói về điều này.")
"""What is answered when a context does not help, in English and in Vietnamese."""


def answer_from(context: str, question: str) -> str:
    """Return the sentences of a context that answer a question best, in the language asked."""
    found = best_sentences(context, question)
    vietnamese = is_vietnamese(question)
    if not found:
        return SAYS_NOTHING[vietnamese]
    text = " ".join(found)
    return f"Theo tài liệu: {text}" if vietnamese else text


def best_sentences(context: str, question: str) -> list[str]:
    """Return at most two sentences that share most with a question."""
    wanted = stems(question)
    candidates = list(dict.fromkeys(sentences(context)))
    held = [stems(each) for each in candidates]
    if not wanted or _names_a_stranger(question, context, wanted):
        return []
    weights = {
        word: math.log(1 + len(held) / (1 + sum(word in each for each in held))) + 0.1 for word in wanted
    }
    scores = [
        sum(weights[word] for word in wanted & own) + _fits_kind(question, text) if wanted & own else 0.0
        for text, own in zip(candidates, held, strict=True)
    ]
    ranked = sorted(range(len(candidates)), key=lambda at: (-scores[at], at))
    if not ranked or not scores[ranked[0]]:
        return []
    first = ranked[0]
    if len(wanted) >= 3 and len(wanted & held[first]) < 2:
        return []
    chosen = [first]
    for second in ranked[1:3]:
        adds = (wanted & held[second]) - held[first]
        if adds and scores[second] >= 0.6 * scores[first]:
            chosen.append(second)
            break
    return [candidates[at] for at in sorted(chosen)]


def supports(context: str, statement: str) -> bool:
    """Tell whether a context holds most of what a statement says."""
    wanted = stems(statement)
    held = stems(context)
    return bool(wanted) and len(wanted & held) / len(wanted) >= 0.6


def overlap(text: str, question: str) -> float:
    """Return the share of a question that a text speaks about."""
    wanted = stems(question)
    return len(wanted & stems(text)) / len(wanted) if wanted else 0.0


def _names_a_stranger(question: str, context: str, wanted: frozenset[str]) -> bool:
    """Tell whether a question is about a name that the context never mentions."""
    held = stems(context)
    names = {stem(fold(each)) for each in _NAME.findall(unicodedata.normalize("NFC", question))}
    missing = (names & wanted) - held
    return bool(missing) and len(wanted & held) <= len(wanted) / 2


def _fits_kind(question: str, sentence: str) -> float:
    """Return a small bonus when a sentence has what the question word asks for."""
    folded = fold(question)
    if re.search(r"\b(?:when|how (?:many|much|old|tall|long)|bao nhieu|nam nao|khi nao)\b", folded):
        return 0.4 if _DIGIT.search(sentence) else 0.0
    if re.search(r"\b(?:who|ai)\b", folded):
        return 0.2 if _NAME.search(sentence) else 0.0
    return 0.0
