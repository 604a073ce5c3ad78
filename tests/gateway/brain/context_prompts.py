"""Prompts that hold a context and a question."""

from __future__ import annotations

import re

from tests.gateway.brain.context import answer_from, best_sentences, overlap
from tests.gateway.brain.conversation import Conversation
from tests.gateway.brain.extractions import standalone
from tests.gateway.brain.words import is_vietnamese, sentences

_RULE = r"\n?\s*-{5,}\s*\n"
_BLOCK = re.compile(rf"{_RULE}(.*?){_RULE}", re.DOTALL)
_TAGGED = re.compile(r"<(context|documents?|sources?)>(.*?)</\1>", re.DOTALL | re.IGNORECASE)
_LABELLED = re.compile(
    r"(?:^|\n|\b(?:following|provided|given|this) )\s*(?:new )?"
    r"(?:context|ngữ cảnh|tài liệu|retrieved (?:context|documents))\s*:\s*(.+?)"
    r"(?=\n\s*(?:question|query|câu hỏi|original answer|answer|trả lời|helpful answer)\s*:|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_QUESTION = re.compile(
    r"(?:^|\n)\s*(?:question|query|user question|câu hỏi)\s*:\s*(.+?)"
    r"(?=\n\s*(?:answer|helpful answer|context|original answer|refined answer|trả lời"
    r"|ngữ cảnh)\s*:|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_ORIGINAL = re.compile(r"The original query is as follows: (.*?)\nWe have provided", re.DOTALL)
_TASK = re.compile(
    r"(?:give a response to the following task|based on the below query)[:.]\s*(.*)", re.DOTALL
)
_EXISTING = (
    re.compile(r"We have provided an existing answer:\s*(.*?)\s*(?:\nWe have the opp|Below are)", re.DOTALL),
    re.compile(r"Original Answer:\s*(.*?)\s*\n\s*New Answer:", re.DOTALL),
    re.compile(r"Existing Answer:\s*(.*?)\s*(?:\n\s*-{5,}|\n\s*Instruction:)", re.DOTALL),
)
_SOURCE = re.compile(r"Source (\d+):\s*\n?(.*?)(?=\n\s*Source \d+:|\n-{4,}|\Z)", re.DOTALL)
_IN_SYSTEM = re.compile(
    r"\b(?:context|documents?|sources?|retrieved|passages?|knowledge|ngữ cảnh|tài liệu|thông tin)\b"
    r"[^\n:]{0,80}:\s*(.+)",
    re.DOTALL | re.IGNORECASE,
)
_SPEAKS_OF_CONTEXT = re.compile(
    r"\b(?:context|documents?|sources?|passages?|ngữ cảnh|tài liệu)\b", re.IGNORECASE
)
_AFTER_CONTEXT = re.compile(r"\n\s*(?:Instruction:|Existing Answer:|User question)")
_EXAMPLE_END = "Now it's your turn."


def answer_with_context(conversation: Conversation) -> str | None:
    """Answer from the context in the prompt, or return nothing when there is none."""
    prompt = conversation.question
    if _EXAMPLE_END in prompt and "Source 1:" in prompt:
        return _cite(prompt)
    context = find_context(prompt)
    question = find_question(prompt)
    if context is None or question is None:
        context = _system_context(conversation.system)
        question = prompt
        if context is not None and not best_sentences(context, question):
            history = "\n".join(f"user: {text}" for text in conversation.earlier)
            question = standalone(history, question)
    if context is None:
        return None
    existing = _existing(prompt) or _existing(conversation.system)
    if existing is not None:
        return _refine(existing, context, question)
    return answer_from(context, question)


def find_context(prompt: str) -> str | None:
    """Return the context that a prompt of the user holds."""
    for pattern, group in ((_TAGGED, 2), (_BLOCK, 1)):
        match = pattern.search(prompt)
        if match:
            return match[group].strip()
    match = re.search(r"-{5,}\n(.*?)\n-{5,}", prompt, re.DOTALL) or _LABELLED.search(prompt)
    return match[1].strip() if match else None


def find_question(prompt: str) -> str | None:
    """Return the question that a prompt with a context asks."""
    for pattern in (_ORIGINAL, _TASK):
        match = pattern.search(prompt)
        if match:
            return match[1].strip()
    found = _QUESTION.findall(_outside_context(prompt))
    if found:
        return str(found[-1]).strip()
    rest = _TAGGED.sub("", prompt).strip()
    return sentences(rest)[-1] if rest != prompt.strip() and sentences(rest) else None


def _outside_context(prompt: str) -> str:
    """Return a prompt without its context between rules."""
    return _BLOCK.sub("\n", _TAGGED.sub("\n", prompt))


def _system_context(system: str) -> str | None:
    """Return the context that the instructions hold."""
    found = find_context(system)
    if found is None:
        match = _IN_SYSTEM.search(system)
        found = match[1] if match else _after_instruction(system)
    if found is None:
        return None
    found = _AFTER_CONTEXT.split(found, maxsplit=1)[0].strip()
    return found if len(found) >= 20 else None


def _after_instruction(system: str) -> str | None:
    """Return what follows a first paragraph that speaks of a context."""
    first, _, rest = system.partition("\n\n")
    return rest if _SPEAKS_OF_CONTEXT.search(first) else None


def _existing(prompt: str) -> str | None:
    """Return the answer that shall be refined."""
    for pattern in _EXISTING:
        match = pattern.search(prompt)
        if match:
            return match[1].strip()
    return None


def _refine(existing: str, context: str, question: str) -> str:
    """Return a better answer when the context has one, or else the existing one."""
    found = " ".join(best_sentences(context, question))
    if not found or overlap(found, question) <= overlap(existing, question):
        return existing
    return answer_from(context, question)


def _cite(prompt: str) -> str:
    """Answer from numbered sources and name them."""
    task = prompt.split(_EXAMPLE_END, 1)[1]
    question = find_question(task) or ""
    sources = {int(number): text for number, text in _SOURCE.findall(task)}
    found = best_sentences("\n".join(sources.values()), question)
    cited: list[str] = []
    for sentence in found:
        number = next((each for each, text in sources.items() if sentence in sentences(text)), 1)
        cited.append(f"{sentence.rstrip('.')} [{number}].")
    existing = _existing(task)
    if existing is not None and not cited:
        return existing
    if not cited:
        return answer_from("", question)
    text = " ".join(cited)
    return f"Theo tài liệu: {text}" if is_vietnamese(question) else text
