"""Values for fields whose names say what they hold."""

from __future__ import annotations

import re
from typing import Any

from tests.gateway.brain.commands import summarise
from tests.gateway.brain.context import SAYS_NOTHING
from tests.gateway.brain.evaluations import evaluate
from tests.gateway.brain.extractions import keywords, title
from tests.gateway.brain.knowledge import joke, subject
from tests.gateway.brain.selections import ranked_choices, ranked_documents, reason_for
from tests.gateway.brain.word_sets import word_set
from tests.gateway.brain.words import fold, is_vietnamese, words

_GOOD = word_set(
    "good great love loved excellent happy wonderful amazing best fantastic nice perfect enjoy "
    "enjoyed like tot tuyet thich hay"
)
_BAD = word_set(
    "bad terrible hate hated awful sad worst horrible poor angry disappointed broken slow te ghet buon"
)
_PAYLOAD = re.compile(
    r"(?:passage|text|document|input|review|article|văn bản|đoạn văn)\s*:\s*(.+)",
    re.DOTALL | re.IGNORECASE,
)


def field_hints(prompt: str, answer: str) -> dict[str, Any]:
    """Return values by field name; ``answer`` is the plain answer to the prompt."""
    payload = payload_of(prompt)
    hints: dict[str, Any] = {
        "answer": answer,
        "response": answer,
        "summary": summarise(payload) or answer,
        "title": title(payload),
        "keywords": keywords(payload, 5),
        "tags": keywords(payload, 3),
        "topics": keywords(payload, 3),
        "language": "Vietnamese" if is_vietnamese(payload) else "English",
        "sentiment": _sentiment(payload),
        "reason": "It fits the request best.",
        "reasoning": "It follows from the request.",
        "explanation": "It follows from the request.",
        "feedback": "The response answers the query.",
        "relevant": answer not in SAYS_NOTHING,
        "binary_score": "no" if answer in SAYS_NOTHING else "yes",
    }
    if "joke" in fold(prompt) or "chuyen cuoi" in fold(prompt):
        hints["setup"], hints["punchline"] = joke(subject(prompt))
    if "Guidelines:" in prompt:
        hints["passing"] = True
    verdict = evaluate(prompt)
    if verdict is not None:
        hints["score"] = _number(verdict)
        hints["passing"] = "YES" in verdict
    return {**hints, **_selection_hints(prompt)}


def payload_of(prompt: str) -> str:
    """Return the text that a prompt wants to be worked on."""
    match = _PAYLOAD.search(prompt)
    return match[1].strip() if match else prompt


def _selection_hints(prompt: str) -> dict[str, Any]:
    """Return the values of the fields that hold a selection."""
    hints: dict[str, Any] = {}
    numbers = ranked_choices(prompt)
    if numbers:
        hints["index"] = hints["choice"] = numbers[0]
        hints["reason"] = reason_for(prompt, numbers[0])
        hints["selections"] = [
            {"index": each, "choice": each, "reason": reason_for(prompt, each)} for each in numbers
        ]
    ranked = ranked_documents(prompt)
    if ranked:
        hints["documents"] = [
            {"document_number": number, "relevance": relevance} for number, relevance in ranked
        ]
    return hints


def _sentiment(text: str) -> str:
    """Return whether a text sounds positive, negative or neither."""
    spoken = words(text)
    balance = sum(word in _GOOD for word in spoken) - sum(word in _BAD for word in spoken)
    return "positive" if balance > 0 else "negative" if balance < 0 else "neutral"


def _number(verdict: str) -> float:
    """Return the number in a verdict."""
    match = re.search(r"\d+(?:\.\d+)?", verdict.rsplit("[RESULT]", 1)[-1])
    return float(match[0]) if match else 0.0
