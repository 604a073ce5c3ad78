"""The table of questions and answers."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.gateway.handbook import from_handbook
from tests.gateway.request import Call, Request

NOTHING = "The context does not say anything about this."
_TABLE = Path(__file__).with_name("questions.yaml")


@dataclass(frozen=True)
class Question:
    """An entry of the table."""

    question: str = ""
    given: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    answer: str | dict[str, Any] | None = None


@cache
def questions() -> list[Question]:
    entries: list[Question] = []
    for each in yaml.safe_load(_TABLE.read_text("utf-8")):
        given = each.get("given", [])
        entries.append(
            Question(
                question=each.get("question", ""),
                given=(given,) if isinstance(given, str) else tuple(given),
                calls=tuple(Call(*pair) for call in each.get("calls", ()) for pair in call.items()),
                answer=each.get("answer"),
            )
        )
    return entries


def find_entry(request: Request) -> Question:
    """Return the first matching entry of the table, or an entry without an answer."""
    conversation = unicodedata.normalize("NFC", request.conversation)
    asked = _folded(request.question)
    of_question = [each for each in questions() if not each.question or _folded(each.question) == asked]
    for entry in of_question:
        wants_fields = isinstance(entry.answer, dict)
        if all(text in conversation for text in entry.given) and (request.wants_object or not wants_fields):
            return entry
    if any(each.question for each in of_question):
        return Question(answer=NOTHING)
    return Question(answer=from_handbook(request, asked, NOTHING))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold().strip(" .!?\n")
