"""Prompts that ask for keywords, titles, summaries, questions and the like."""

from __future__ import annotations

import json
import re

from tests.gateway.brain.commands import summarise
from tests.gateway.brain.context import overlap
from tests.gateway.brain.word_sets import CAPITALS
from tests.gateway.brain.words import (
    capitalise,
    content_words,
    is_vietnamese,
    sentences,
    stems,
    words,
)

_RULED = re.compile(r"-{4,}\n?(.*?)\n?-{4,}", re.DOTALL)
_SUMMARY = (
    re.compile(r"Write a summary of the following\..*?\n\n(.*?)\n+SUMMARY:", re.DOTALL),
    re.compile(r"content of the section:\n(.*?)\n+Summarize the key topics", re.DOTALL),
    re.compile(
        r"(?:concise summary of the following|Summarize (?:the )?following)[^\n:]*:?\s*(.+?)"
        r"(?:CONCISE SUMMARY:|\Z)",
        re.DOTALL | re.IGNORECASE,
    ),
)
_TITLE = re.compile(r"\A(?:Context: )?(.*?)\. (?:Give a title that|Based on the above cand)", re.DOTALL)
_KEYWORDS = re.compile(r"\A(.*?)\. Give (\d+) unique keywords", re.DOTALL)
_QUESTIONS = re.compile(
    r"(?:Here is the context:|Context information is below\.\s*-{5,})\s*(.*?)\s*"
    r"(?:-{5,}\s*)?Given the context(?:ual)? information.*?(?:generate|setup)\s+(only|\d+)?",
    re.DOTALL,
)
_QUERIES = re.compile(r"Generate (\d+) search queries.*?Query: (.*?)\nQueries:", re.DOTALL)
_PASSAGE = re.compile(r"write a passage to answer the question.*?\n\n\n(.*?)\n\n\nPassage", re.DOTALL)
_SYNONYMS = re.compile(r"QUERY: (.*?)\n-+\nKEYWORDS:", re.DOTALL)
_TRIPLETS = re.compile(r"\A.*\nText: (.*?)\nTriplets:", re.DOTALL)
_SUB_QUESTION = re.compile(
    r"# Example 2\s*<Tools>\s*```json\s*(.*?)```\s*<User Question>\s*(.*?)\s*<Output>", re.DOTALL
)
_DECOMPOSE = re.compile(r"The original question is as follows: (.*?)\nWe have an opp", re.DOTALL)
_CONDENSE = (
    re.compile(r"<Chat History>(.*?)<Follow Up Message>(.*?)<Standalone question>", re.DOTALL),
    re.compile(
        r"Chat History:(.*?)Follow Up (?:Input|question):(.*?)Standalone question:",
        re.DOTALL | re.IGNORECASE,
    ),
)
_INNER_NAME = re.compile(rf"(?<=[\w,] )[{CAPITALS}]\w+(?: [{CAPITALS}]\w+)*")
_REFERS = {"it", "its", "he", "she", "his", "her", "they", "their", "them", "that", "this", "there"}
_REFERS |= {"no", "do", "ay", "nay", "ho"}


def extract(prompt: str) -> str | None:
    """Draw out what a prompt asks for, or return nothing when it asks for something else."""
    for each in (_keywords, _title, _summary, _questions, _lines, _sub_questions, condense):
        answer = each(prompt)
        if answer is not None:
            return answer
    return None


def condense(prompt: str) -> str | None:
    """Turn a follow-up question into one that stands for itself."""
    for pattern in _CONDENSE:
        match = pattern.search(prompt)
        if match:
            return standalone(match[1], match[2].strip())
    return None


def standalone(history: str, question: str) -> str:
    """Return a question together with what it refers to."""
    if not _REFERS & set(words(question)):
        return question
    said = re.findall(r"(?:^|\n)\s*(?:user|human)\s*:\s*(.+)", history, re.IGNORECASE)
    names = _INNER_NAME.findall(said[-1] if said else history)
    about = names[-1] if names else " ".join(content_words(said[-1])[-2:] if said else [])
    if not about or stems(about) <= stems(question):
        return question
    link = "về" if is_vietnamese(question) else "about"
    return f"{question.rstrip(' ?.')} ({link} {about})?"


def keywords(text: str, most: int) -> list[str]:
    """Return the words that a text uses most."""
    found = content_words(text)
    held = [stems(each) for each in sentences(text)]
    counts = [sum(stem in each for each in held) for stem in map(_stem, found)]
    ranked = sorted(range(len(found)), key=lambda at: (-counts[at], at))
    return [found[at].lower() for at in ranked[:most]]


def title(text: str) -> str:
    """Return a title for a text."""
    first = (sentences(text) or ["Untitled"])[0]
    return capitalise(" ".join(first.split()[:9]).rstrip(" .,;:"))


def questions(text: str, most: int) -> list[str]:
    """Return questions that a text answers."""
    vietnamese = is_vietnamese(text)
    asked: list[str] = []
    for sentence in sentences(text)[:most]:
        match = re.match(r"(.{3,60}?) (is|are|was|were|has|have|là|có) ", sentence)
        if match and match[2] in ("is", "are", "was", "were"):
            asked.append(f"What {match[2]} {match[1]}?")
        elif match and vietnamese:
            asked.append(f"{match[1]} {match[2]} gì?")
        else:
            about = " ".join(content_words(sentence)[:5])
            asked.append(f"Tài liệu nói gì về {about}?" if vietnamese else f"What about {about}?")
    return asked


def _stem(word: str) -> str:
    return next(iter(stems(word)), word)


def _keywords(prompt: str) -> str | None:
    """List keywords."""
    match = _KEYWORDS.search(prompt)
    if match:
        return ", ".join(keywords(match[1], int(match[2])))
    if "KEYWORDS: <keywords>" in prompt:
        ruled = _RULED.search(prompt)
        limit = re.search(r"up to (\d+) keywords", prompt)
        return f"KEYWORDS: {', '.join(keywords(ruled[1] if ruled else prompt, _int(limit, 10)))}"
    match = _SYNONYMS.search(prompt)
    if match and "separated by '^'" in prompt:
        return "^".join(content_words(match[1]))
    return None


def _title(prompt: str) -> str | None:
    """Give a title."""
    match = _TITLE.search(prompt)
    return title(match[1]) if match and prompt.rstrip().endswith("Title:") else None


def _summary(prompt: str) -> str | None:
    """Give a summary."""
    for pattern in _SUMMARY:
        match = pattern.search(prompt)
        if match:
            return summarise(match[1])
    return None


def _questions(prompt: str) -> str | None:
    """Ask questions that a context answers."""
    match = _QUESTIONS.search(prompt)
    if match is None or "question" not in prompt.split(match[1], 1)[-1].lower():
        return None
    amount = re.search(r"(?:generate|setup)\s+(\d+)", prompt)
    return "\n".join(
        f"{number}. {each}" for number, each in enumerate(questions(match[1], _int(amount, 2)), 1)
    )


def _lines(prompt: str) -> str | None:
    """Answer the prompts that want one or a few plain lines."""
    match = _QUERIES.search(prompt)
    if match:
        endings = ("", " explained", " overview", " facts", " details", " examples")
        return "\n".join(f"{match[2].rstrip('?')}{each}" for each in endings[: int(match[1])])
    match = _PASSAGE.search(prompt)
    if match:
        about = " ".join(content_words(match[1]))
        return f"This passage answers the question: {match[1].strip()} It is about {about}."
    match = _TRIPLETS.search(prompt)
    if match and "knowledge triplets" in prompt:
        found = [re.match(r"(.+?) (is|are|was|has|là|có) (.+?)\W*$", s) for s in sentences(match[1])]
        return "\n".join(f"({each[1]}, {each[2]}, {each[3]})" for each in found if each)
    match = _DECOMPOSE.search(prompt)
    if match:
        is_done = "Previous reasoning:\n-" in prompt.rsplit("Knowledge source context:", 1)[-1]
        return "None" if is_done else match[1].strip()
    return None


def _sub_questions(prompt: str) -> str | None:
    """Divide a question between tools."""
    match = _SUB_QUESTION.search(prompt)
    if match is None:
        return None
    tools: dict[str, str] = json.loads(match[1])
    question = match[2]
    useful = {name: text for name, text in tools.items() if overlap(f"{name} {text}", question) > 0} or tools
    items = [
        {"sub_question": _sub_question(question, name, text, useful), "tool_name": name}
        for name, text in useful.items()
    ]
    return f"```json\n{json.dumps({'items': items}, ensure_ascii=False, indent=4)}\n```"


def _sub_question(question: str, name: str, description: str, tools: dict[str, str]) -> str:
    """Return the part of a question that one tool answers."""
    own = f"{name} {description}"
    best = max(re.split(r",|\band\b|\bvà\b", question), key=lambda part: len(stems(own) & stems(part)))
    if len(best.split()) >= 4:
        return f"{capitalise(best.strip(' ?.'))}?"
    shared = [stems(f"{other} {text}") for other, text in tools.items() if other != name]
    others = set().union(*shared) - stems(own)
    kept = [word for word in question.split() if not stems(word) & others]
    text = " ".join(word for word in kept).strip(" ?.")
    text = re.sub(r"\band the$|\s+(?:and|or|với|và)(?=$|\s+(?:in|for|of)\b)|\b(?:and|và)\s*$", "", text)
    text = re.sub(r"^(\w+) (?:and|và) ", r"\1 ", text.strip())
    return f"{capitalise(text)}?"


def _int(match: re.Match[str] | None, otherwise: int) -> int:
    """Return the number that was found, or another one."""
    return int(match[1]) if match else otherwise
