"""Which tools to call, and with which arguments."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise
from typing import Any

from tests.gateway.brain.arithmetic import find_expression, single_steps
from tests.gateway.brain.clauses import STRONG, Fit, fits, is_search, score, unserved
from tests.gateway.brain.context_prompts import find_context
from tests.gateway.brain.conversation import Conversation, Tool
from tests.gateway.brain.evidence import Evidence
from tests.gateway.brain.filling import Filler
from tests.gateway.brain.handoff import HANDOFF, hand_off
from tests.gateway.brain.hints import field_hints
from tests.gateway.brain.knowledge import is_small_talk, recall
from tests.gateway.brain.material import is_task, material
from tests.gateway.brain.schema import Schema
from tests.gateway.brain.thought import Call
from tests.gateway.brain.words import stems

_REFERS = re.compile(
    r"\b(?:the |that |this )?(?:result|it|that|sum|product|answer)\b|kết quả|số đó", re.IGNORECASE
)
_SIGN_STEMS = {
    "+": stems("add sum plus"),
    "-": stems("subtract minus difference"),
    "*": stems("multiply product times"),
    "/": stems("divide quotient"),
    "**": stems("power exponentiate"),
}
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_MOST_CALLS = 8
_ASKS = re.compile(
    r"\?|^\W*(?:what|who|when|where|why|how|which|tell|explain|describe|find|search|compare|"
    r"summari[sz]e|list|cho|tìm|giải thích|so sánh)\b",
    re.IGNORECASE,
)


def choose_calls(conversation: Conversation, answer: str) -> list[Call]:
    """Return the tool calls that the conversation asks for now."""
    if not conversation.tools or conversation.choice == "none":
        return []
    calls = [call for call in _wanted(conversation) if not _was_made(call, conversation)]
    forced = conversation.choice == "required"
    named = next((tool for tool in conversation.tools if tool.name == conversation.choice), None)
    if named is not None:
        calls = [call for call in calls if call.name == named.name]
        if not calls or not _is_about(named, conversation):
            calls = [_fill_whole(named, conversation, answer)]
    elif forced and not calls:
        calls = [_fill_whole(_fallback(conversation), conversation, answer)]
    return calls[: _MOST_CALLS if conversation.is_parallel else 1]


def fill_arguments(tool: Tool, text: str, hints: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return arguments for a tool from a text."""
    text = re.sub(rf"\b{re.escape(tool.name)}\b", " ", text)
    return Filler(Evidence(text, hints), generous=False).object(Schema(tool.parameters))


def _wanted(conversation: Conversation) -> list[Call]:
    """Return all calls that the last question asks for, made already or not."""
    question = unicodedata.normalize("NFC", conversation.question)
    tools = tuple(tool for tool in conversation.tools if tool.name != HANDOFF)
    if is_task(question) or find_context(question):
        return []
    calls = _step_by_step(question, tools, conversation)
    if calls:
        return calls
    for fit in fits(question, tools):
        for call in _calls(fit, conversation):
            if call not in calls:
                calls.append(call)
    if calls and not all(_was_made(call, conversation) for call in calls):
        return calls
    handed = hand_off(conversation, unserved(question, tools) if calls else question)
    if handed is not None:
        return [handed]
    if calls:
        return calls
    return _searches(question, tools) if _ASKS.search(question) else []


def _step_by_step(question: str, tools: tuple[Tool, ...], conversation: Conversation) -> list[Call]:
    """Return the calls for a calculation of several steps, up to the first not yet made."""
    expression = find_expression(question)
    steps = single_steps(expression) if expression else []
    calls: list[Call] = []
    for sign, first, second in steps if len(steps) > 1 else []:
        tool = next((each for each in tools if _computes(each, sign)), None)
        if tool is None:
            return []
        names = Schema(tool.parameters).required[:2]
        numbers = [int(each) if each == int(each) else each for each in (first, second)]
        calls.append(Call(tool.name, dict(zip(names, numbers, strict=True))))
        if not _was_made(calls[-1], conversation):
            break
    return calls


def _computes(tool: Tool, sign: str) -> bool:
    """Tell whether a tool joins two numbers by a sign."""
    return _wants_numbers(tool) == 2 and bool(_SIGN_STEMS[sign] & stems(tool.name.replace("_", " ")))


def _searches(question: str, tools: tuple[Tool, ...]) -> list[Call]:
    """Return the search for a question that nothing else answers."""
    searching = [tool for tool in tools if is_search(tool)]
    if not searching or is_small_talk(question) or recall(question) is not None:
        return []
    best = max(searching, key=lambda tool: score(tool, question))
    return [Call(best.name, fill_arguments(best, question))]


def _calls(fit: Fit, conversation: Conversation) -> list[Call]:
    """Return the calls of one tool for one part of the question."""
    results = [text for _, text in conversation.results]
    clause = fit.clause
    if _REFERS.search(clause) and _wants_numbers(fit.tool) > _count_numbers(clause):
        numbers = [found for text in results for found in _NUMBER.findall(text)]
        if not numbers:
            return []
        clause = _REFERS.sub(numbers[-1], clause, count=1) if numbers else clause
    return [Call(fit.tool.name, fill_arguments(fit.tool, text)) for text in _shares(fit.tool, clause)]


def _shares(tool: Tool, clause: str) -> list[str]:
    """Divide a part that gives one field of a tool several values, one text for each value."""
    fields = Schema(tool.parameters)
    needed = fields.required or list(fields.properties)[:1]
    if len(needed) != 1 or needed[0] not in fields.properties:
        return [clause]
    field = fields.properties[needed[0]].branches[0]
    evidence = Evidence(re.sub(rf"\b{re.escape(tool.name)}\b", " ", clause))
    values: list[str] = []
    if field.kind in ("number", "integer"):
        values = [str(each) for each in evidence.numbers]
    elif field.kind == "string" and not field.options and not is_search(tool):
        values = evidence.quoted or _enumerated(evidence.names, clause)
    if len(values) < 2:
        return [clause]
    return [_without(clause, [each for each in values if each != kept]) for kept in values]


def _enumerated(names: list[str], clause: str) -> list[str]:
    """Return the names that a text lists next to each other with ``and``."""
    joined = [
        re.search(
            rf"{re.escape(a)}\s*(?:,|and|và|&|or|hay|,\s*and)\s*(?:in |ở |for )?{re.escape(b)}",
            clause,
        )
        for a, b in pairwise(names)
    ]
    has_word = any(match and re.search(r"and|và|&|or|hay", match[0]) for match in joined)
    if not has_word:
        return []
    return [n for at, n in enumerate(names) if any(joined[max(at - 1, 0) : at + 1])]


def _without(text: str, values: list[str]) -> str:
    """Return a text without these values."""
    for value in sorted(values, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", " ", text)
    text = re.sub(r"(?:\s*(?:,|\band\b|\bvà\b|&|\bor\b))+\s*(?=[?.!]|$)", "", text)
    return re.sub(r"\s+(?:(?:,|and|và|&)\s+)+", " ", text)


def _fill_whole(tool: Tool, conversation: Conversation, answer: str) -> Call:
    """Return the call of a tool that must be called, whatever the question is."""
    text = re.sub(rf"\b{re.escape(tool.name)}\b", " ", material(conversation, answer))
    hints = field_hints(text, answer)
    filler = Filler(Evidence(text, hints), generous=True)
    return Call(tool.name, filler.object(Schema(tool.parameters)))


def _fallback(conversation: Conversation) -> Tool:
    """Return the tool to call when one must be called and none was asked for."""
    made = {call.name for call, _ in conversation.results}
    open_tools = [tool for tool in conversation.tools if tool.name not in made]
    tools = open_tools or list(conversation.tools)
    return max(tools, key=lambda tool: score(tool, conversation.question))


def _is_about(tool: Tool, conversation: Conversation) -> bool:
    """Tell whether the question asks for an action and not for a form to be filled."""
    return score(tool, conversation.question) >= STRONG or conversation.choice != tool.name


def _was_made(call: Call, conversation: Conversation) -> bool:
    """Tell whether a call was made since the last question."""
    return any(call == made for made, _ in conversation.results)


def _wants_numbers(tool: Tool) -> int:
    """Return how many numbers a tool needs."""
    schema = Schema(tool.parameters)
    kinds = [schema.properties[name].kind for name in schema.required if name in schema.properties]
    return sum(kind in ("number", "integer") for kind in kinds)


def _count_numbers(text: str) -> int:
    """Return how many numbers a text has."""
    return len(Evidence(text).numbers)
