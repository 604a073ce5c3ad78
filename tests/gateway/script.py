"""The gateway's answers: deterministic, by the first matching rule."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.gateway.filling import fill
from tests.gateway.questions import find_entry
from tests.gateway.request import Call, Request

_HANDOFF = "handoff"
_SAY = re.compile(r"(?:say|reply with (?:exactly:|the word)|repeat:) +(.+?)\.?", re.IGNORECASE | re.DOTALL)
_COUNT = re.compile(r"count from (\d+) to (\d+)", re.IGNORECASE)
_SUM = re.compile(r"(-?\d+) *(\+|-|\*|plus|minus|times) *(-?\d+)")
_SIGNS = {"plus": "+", "minus": "-", "times": "*"}
_COMMON = {"get", "tool", "the", "and", "function", "search"}


Given = str | dict[str, Any] | Sequence[Call]
"""An answer given by a test or the table: text, the fields of an object, or tool calls."""


@dataclass(frozen=True)
class Answer:
    """The answer to a request."""

    text: str | None = None
    calls: tuple[Call, ...] = ()
    reasoning: str | None = None
    is_formatted: bool = False
    """Whether the text has a format, such as JSON, so that nothing may be appended to it."""


class GivenAnswers:
    """The answers set by a test: for the next requests, or for all that match."""

    def __init__(self) -> None:
        self._next: deque[Given] = deque()
        self._standing: list[tuple[str, str, Given]] = []

    def add(self, answers: Sequence[Given], to: str, given: str) -> None:
        """Store answers for the next requests or, with a text to look for, for all that contain it."""
        if to or given:
            self._standing += [(to, given, answer) for answer in answers]
        else:
            self._next.extend(answers)

    def take(self, body: dict[str, Any]) -> Given | None:
        request = Request(body)
        for to, given, answer in self._standing:
            if to in request.text and given in request.conversation:
                return answer
        return self._next.popleft() if self._next else None


def respond(body: dict[str, Any], given: Given | None = None, *, reasons: bool = False) -> Answer:
    request = Request(body)
    answer = _by_rules(request) if given is None else _as_wanted(request, given)
    if not reasons:
        return answer
    names = ", ".join(call.name for call in answer.calls)
    step = f"I need to call {names}." if names else "I can answer this directly."
    reasoning = f"The user says: {' '.join(request.text.split())[-160:]} {step}"
    return replace(answer, reasoning=reasoning)


def _by_rules(request: Request) -> Answer:
    entry = find_entry(request)
    if isinstance(entry.answer, dict):
        return _as_wanted(request, entry.answer)
    plain = entry.answer or (_results(request.results) if request.results else _plain(request.question))
    calls = _pending(request, entry.calls)
    if not calls and (request.is_forced or _is_called(request)):
        made = [call.name for call, _ in request.results]
        names = _named(request) + list(request.tools)
        name = next((name for name in names if name not in made), names[0])
        calls = (Call(name, fill({"type": "object", **request.tools[name]}, request.text, plain)),)
    if calls:
        return Answer(calls=calls if request.body.get("parallel_tool_calls") is not False else calls[:1])
    if request.wants_object:
        return Answer(json.dumps(_object(request, plain), ensure_ascii=False), is_formatted=True)
    return Answer(plain)


def _as_wanted(request: Request, given: Given) -> Answer:
    """Return a given answer in the form that the request asks for."""
    if isinstance(given, str):
        return Answer(given)
    if not isinstance(given, dict):
        return Answer(calls=tuple(given))
    if request.is_forced:
        return Answer(calls=(Call(next(iter(request.tools)), given),))
    return Answer(json.dumps(given, ensure_ascii=False), is_formatted=True)


# Tools


def _pending(request: Request, calls: tuple[Call, ...]) -> tuple[Call, ...]:
    """Return the available calls not made since the question; a handoff comes last."""
    if request.choice == "none":
        return ()
    made = [call for call, _ in request.results]
    left = tuple(call for call in calls if call.name in request.tools and call not in made)
    return tuple(call for call in left if call.name != _HANDOFF) or left


def _is_called(request: Request) -> bool:
    """Return whether the question names a tool that may be called and nothing was called yet."""
    return request.choice == "auto" and not request.results and bool(_named(request))


def _named(request: Request) -> list[str]:
    words = set(re.findall(r"\w+", request.question.lower()))
    return [name for name in request.tools if words & (set(re.split(r"[_\W]+", name.lower())) - _COMMON)]


def _results(results: list[tuple[Call, str]]) -> str:
    if len(results) == 1:
        text = results[0][1]
        return text if " " in text else f"The result is {text}."
    lines = [
        f"- {call.name}({', '.join(map(str, call.arguments.values()))}): {text}" for call, text in results
    ]
    return "\n".join(["Here are the results:", *lines])


# Words and JSON


def _plain(question: str) -> str:
    if match := _SAY.fullmatch(question):
        return match[1]
    if match := _COUNT.search(question):
        return ", ".join(map(str, range(int(match[1]), int(match[2]) + 1)))
    if match := _SUM.search(question):
        sign = _SIGNS.get(match[2], match[2])
        first, second = int(match[1]), int(match[3])
        value = {"+": first + second, "-": first - second, "*": first * second}[sign]
        return f"{first} {sign} {second} = {value}"
    return f"You said: {question[-80:]}"


def _object(request: Request, plain: str) -> Any:
    """Return the requested object: by its schema, or with the fields that the question names."""
    if request.schema is not None:
        return fill(request.schema, request.text, plain)
    names = re.findall(r"(\w+): |'(\w+)'", request.text)
    found = [first or second for first, second in names]
    schema = {"properties": {name: {} for name in found}, "required": found}
    return fill(schema, request.text, plain) if found else {"answer": plain}
