"""Prompts that ask to select or to rank what is listed."""

from __future__ import annotations

import json
import re

from tests.gateway.brain.context import overlap
from tests.gateway.brain.words import content_words, stems

_CHOICE = re.compile(r"^\((\d+)\)\s*(.*?)(?=^\(\d+\)|^-{5,}|\Z)", re.DOTALL | re.MULTILINE)
_ASKED = re.compile(r"relevant to the\s+question: '(.*?)'\s*(?:\n|$)", re.DOTALL)
_DOCUMENT = re.compile(
    r"^Document (\d+):\s*\n(.*?)(?=^Document \d+:|^Question:|\Z)", re.DOTALL | re.MULTILINE
)
_AT_MOST = re.compile(r"no more than (\d+)")
_PASSAGE = re.compile(r"^\s*\[(\d+)\]\s*(.*)", re.DOTALL)


def ranked_choices(prompt: str) -> list[int] | None:
    """Return the numbers of the best choices in a prompt, or nothing when it lists none."""
    asked = _ASKED.search(prompt)
    if asked is None or "Some choices are given below" not in prompt:
        return None
    listed = {int(number): text for number, text in _CHOICE.findall(prompt)}
    if not listed:
        return None
    ranked = sorted(listed, key=lambda number: (-overlap(listed[number], asked[1]), number))
    limit = _AT_MOST.search(prompt)
    if limit is None:
        return ranked[:1]
    useful = [number for number in ranked if overlap(listed[number], asked[1])] or ranked[:1]
    return useful[: int(limit[1])]


def reason_for(prompt: str, number: int) -> str:
    """Return why a choice was selected."""
    asked = _ASKED.search(prompt)
    held = stems(dict(_texts(prompt)).get(number, ""))
    shared = [word for word in content_words(asked[1] if asked else "") if stems(word) & held]
    about = f" about {', '.join(shared)}" if shared else ""
    return f"Choice {number} fits the question{about} best."


def select(prompt: str) -> str | None:
    """Answer a prompt that lists choices."""
    numbers = ranked_choices(prompt)
    if numbers is None:
        return None
    if "ANSWER: <number" in prompt:
        listed = ", ".join(map(str, numbers))
        return f"ANSWER: {listed}\n{reason_for(prompt, numbers[0])}"
    answer = [{"choice": number, "reason": reason_for(prompt, number)} for number in numbers]
    return json.dumps(answer, ensure_ascii=False)


def ranked_documents(prompt: str) -> list[tuple[int, int]] | None:
    """Return the documents in a prompt with their relevance, the best one first."""
    if "relevance score is a number from 1-10" not in prompt:
        return None
    task = prompt.split("Let's try this now:", 1)[-1]
    question = task.rsplit("Question:", 1)[-1].split("\nAnswer:", 1)[0]
    scored = [(int(number), round(10 * overlap(text, question))) for number, text in _DOCUMENT.findall(task)]
    found = sorted((each for each in scored if each[1]), key=lambda each: (-each[1], each[0]))
    return found or [(number, 1) for number, _ in scored[:1]]


def rerank(prompt: str) -> str | None:
    """Answer a prompt that asks for the relevance of documents."""
    ranked = ranked_documents(prompt)
    if ranked is None:
        return None
    return "\n".join(f"Doc: {number}, Relevance: {relevance}" for number, relevance in ranked)


def rank_passages(prompt: str, earlier: list[str]) -> str | None:
    """Answer a prompt that asks for the order of the passages sent before."""
    asked = re.search(r"Search Query: (.*?)\. ?\nRank the", prompt, re.DOTALL)
    if asked is None:
        return None
    passages = [match for match in map(_PASSAGE.match, earlier) if match]
    ranked = sorted(passages, key=lambda each: (-overlap(each[2], asked[1]), int(each[1])))
    return " > ".join(f"[{each[1]}]" for each in ranked)


def _texts(prompt: str) -> list[tuple[int, str]]:
    """Return the listed choices."""
    return [(int(number), text) for number, text in _CHOICE.findall(prompt)]
