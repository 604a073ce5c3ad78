"""Answers from what the tools returned."""

from __future__ import annotations

import re

from tests.gateway.brain.handoff import HANDOFF
from tests.gateway.brain.thought import Call
from tests.gateway.brain.words import is_vietnamese

_FAILED = re.compile(r"^\W*(?:error|lỗi|exception|failed|traceback)\b|\berror:", re.IGNORECASE)


def answer_from_results(question: str, results: list[tuple[Call, str]]) -> str:
    """Return an answer that holds what the tools returned and says what failed."""
    vietnamese = is_vietnamese(question)
    useful = [each for each in results if each[0].name != HANDOFF]
    worked = [(call, text.strip()) for call, text in useful if not _FAILED.search(text)]
    failed = [(call, text.strip()) for call, text in useful if _FAILED.search(text)]
    sentences: list[str] = []
    if len(worked) == 1:
        sentences.append(_single(worked[0][1], vietnamese=vietnamese))
    elif worked:
        sentences.append("Kết quả:" if vietnamese else "Here are the results:")
        sentences += [f"- {_title(call)}: {text}" for call, text in worked]
    for call, text in failed:
        prefix = "Công cụ {} gặp lỗi: {}" if vietnamese else "The tool {} failed: {}"
        sentences.append(prefix.format(call.name, text))
    return "\n".join(sentences)


def _single(text: str, *, vietnamese: bool) -> str:
    """Return the answer from one result."""
    if not text:
        return "Công cụ không trả về gì." if vietnamese else "The tool returned nothing."
    if len(text) <= 40 and "\n" not in text and " " not in text:
        return f"Kết quả là {text}." if vietnamese else f"The result is {text}."
    return text if not vietnamese else f"Kết quả: {text}"


def _title(call: Call) -> str:
    """Return how to name the call of a result."""
    values = ", ".join(str(value) for value in call.arguments.values())
    return f"{call.name}({values})" if values else call.name
