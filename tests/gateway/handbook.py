"""Answers about the handbook of the RAG notebooks: out of the table that says which words hold them.

What a model would judge, the table knows: a passage is relevant if it holds the words, and an answer is right
if it is the table's. A figure made from such judgements says what a judge that never errs would reach.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from notebooks.handbook import Question, passages, questions
from tests.gateway.request import Request

_LABEL = re.compile(r"^(?:Document|Passage|Source) ([\w-]+):", re.MULTILINE)
_EXAMPLE_ENDS = re.compile(r"Let's try this now|Now it's your turn")
_CHOICES = "Some choices are given below"


def from_handbook(request: Request, asked: str, nothing: str) -> str | dict[str, Any] | None:
    """Return the answer to a question of the handbook, or ``None`` if it is not one of them.

    Args:
        request: The request; its text says what is wanted of the question.
        asked: The question, without the sign at its end, in lower case.
        nothing: The answer when the passage is not in the request.
    """
    found = _table().get(asked)
    if found is None:
        return None
    text = request.conversation
    if _CHOICES in text:
        return _choice(found)
    if "Translate" in text:
        return found.other if asked == _folded(found.question) else found.question
    if "Right answer:" in text:
        is_right = found.answer in text.split("Given answer:")[-1]
        return {"correct": is_right, "reason": "It says the same." if is_right else "It says something else."}
    shown = _EXAMPLE_ENDS.split(text)[-1]
    if "order of relevance" in text:
        ranking = _ranked(shown, found.given)
        return {"ranking": ranking} if request.wants_object else _relevances(ranking)
    if found.given not in text:
        return nothing
    cited = _holding(shown, found.given) if "cite" in text else None
    return f"{found.answer} [{cited}]" if cited else found.answer


@cache
def _table() -> dict[str, Question]:
    return {_folded(text): each for each in questions() for text in (each.question, each.other)}


def _choice(found: Question) -> str:
    """Return which part of the handbook to ask: the first is the English one."""
    language = next(each.language for each in passages() if each.id == found.passage)
    part = {"en": '1, "reason": "It is about an appliance."', "vi": '2, "reason": "It is about service."'}
    return f'[{{"choice": {part[language]}}}]'


def _ranked(text: str, words: str) -> list[str]:
    """Return the labels of the passages: the one that holds the words first, the others as they came."""
    labels: list[str] = _LABEL.findall(text)
    holding = _holding(text, words)
    return sorted(labels, key=lambda label: label != holding)


def _holding(text: str, words: str) -> str | None:
    """Return the label of the passage that holds the words."""
    before, found, _ = text.partition(words)
    labels: list[str] = _LABEL.findall(before)
    return labels[-1] if found and labels else None


def _relevances(labels: list[str]) -> str:
    return "\n".join(f"Doc: {label}, Relevance: {max(10 - at, 1)}" for at, label in enumerate(labels))


def _folded(text: str) -> str:
    return text.casefold().strip(" .!?\n")
