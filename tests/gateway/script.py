"""What the gateway answers: the same words for the same request, by the first rule that fits."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.gateway.filling import fill

HANDOFF = "handoff"
NOTHING = "The context does not say anything about this."
_QUESTIONS = Path(__file__).with_name("questions.yaml")
_ASKED = re.compile(r"(?:Query|Question|question|Follow Up Input): *'?(.+?)'?$", re.MULTILINE)
_SAY = re.compile(r"(?:say|reply with (?:exactly:|the word)|repeat:) +(.+?)\.?", re.IGNORECASE | re.DOTALL)
_COUNT = re.compile(r"count from (\d+) to (\d+)", re.IGNORECASE)
_SUM = re.compile(r"(-?\d+) *(\+|-|\*|plus|minus|times) *(-?\d+)")
_SIGNS = {"plus": "+", "minus": "-", "times": "*"}
_COMMON = {"get", "tool", "the", "and", "function", "search"}


@dataclass(frozen=True)
class Call:
    """A tool to call and the arguments to call it with."""

    name: str
    arguments: dict[str, Any]


Given = str | dict[str, Any] | Sequence[Call]
"""An answer as a test or the table gives it: words, the fields of an object, or tool calls."""


@dataclass(frozen=True)
class Answer:
    """What to answer."""

    text: str | None = None
    calls: tuple[Call, ...] = ()
    reasoning: str | None = None
    is_formatted: bool = False
    """Whether the text has a format, such as JSON, that nothing may be added to."""


@dataclass(frozen=True)
class Question:
    """An entry of the table."""

    question: str = ""
    given: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    answer: str | dict[str, Any] | None = None


@dataclass
class Request:
    """A request as the script reads it."""

    body: dict[str, Any]
    tools: dict[str, dict[str, Any]] = field(init=False)
    """The parameters of the tools that may be called, by name."""
    choice: str = field(init=False)
    """``none``, ``auto``, ``required`` or the name of a tool."""
    text: str = field(init=False)
    """The last message of the user."""
    conversation: str = field(init=False)
    """All messages."""
    results: list[tuple[Call, str]] = field(init=False)
    """The calls since the last message of the user, with their results."""

    def __post_init__(self) -> None:
        functions = [each["function"] for each in self.body.get("tools") or []]
        self.tools = {each["name"]: each.get("parameters") or {} for each in functions}
        choice = self.body.get("tool_choice") or "auto"
        if isinstance(choice, dict) and choice["type"] == "allowed_tools":
            allowed = choice.get("allowed_tools", choice)
            names = [each.get("function", each)["name"] for each in allowed["tools"]]
            self.tools = {name: self.tools[name] for name in names}
            choice = allowed.get("mode", "auto")
        self.choice = choice["function"]["name"] if isinstance(choice, dict) else choice
        if self.choice in self.tools:
            self.tools = {self.choice: self.tools[self.choice]}
        messages = self.body["messages"]
        self.conversation = "\n".join(map(_text, messages))
        users = [at for at, each in enumerate(messages) if each["role"] == "user"]
        self.text = _text(messages[users[-1]]) if users else ""
        since = messages[users[-1] + 1 :] if users else messages
        calls = {call["id"]: _call(call) for each in since for call in each.get("tool_calls") or []}
        results = [each for each in since if each["role"] == "tool" and each["tool_call_id"] in calls]
        self.results = [(calls[each["tool_call_id"]], _text(each)) for each in results]

    @property
    def is_forced(self) -> bool:
        """Whether a tool must be called."""
        return bool(self.tools) and self.choice not in ("auto", "none")

    @property
    def wants_object(self) -> bool:
        """Whether the answer must be JSON or a call that carries it."""
        return self.is_forced or (self.body.get("response_format") or {}).get("type", "text") != "text"

    @property
    def schema(self) -> dict[str, Any] | None:
        """The schema of the wanted JSON."""
        declared = (self.body.get("response_format") or {}).get("json_schema") or {}
        return declared.get("schema")

    @property
    def question(self) -> str:
        """The question in the last message of the user, which may be a prompt around it."""
        found = _ASKED.findall(self.text)
        return found[-1] if found else self.text


class GivenAnswers:
    """The answers that a test gave: for the next requests, or for all to which they fit."""

    def __init__(self) -> None:
        self._next: deque[Given] = deque()
        self._standing: list[tuple[str, str, Given]] = []

    def add(self, answers: Sequence[Given], to: str, given: str) -> None:
        """Keep answers for the next requests or, with a text to look for, for all that hold it."""
        if to or given:
            self._standing += [(to, given, answer) for answer in answers]
        else:
            self._next.extend(answers)

    def take(self, body: dict[str, Any]) -> Given | None:
        """Return the answer for a request, if there is one."""
        request = Request(body)
        for to, given, answer in self._standing:
            if to in request.text and given in request.conversation:
                return answer
        return self._next.popleft() if self._next else None


def respond(body: dict[str, Any], given: Given | None = None, *, reasons: bool = False) -> Answer:
    """Return the answer to a request: the given one, or by the rules."""
    request = Request(body)
    answer = _by_rules(request) if given is None else _as_wanted(request, given)
    if not reasons:
        return answer
    names = ", ".join(call.name for call in answer.calls)
    step = f"I need to call {names}." if names else "I can answer this directly."
    reasoning = f"The user says: {' '.join(request.text.split())[-160:]} {step}"
    return Answer(answer.text, answer.calls, reasoning, answer.is_formatted)


def _by_rules(request: Request) -> Answer:
    """Return the answer of the first rule that fits."""
    entry = _entry(request)
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
    """Return a given answer in the form that the request wants it in."""
    if isinstance(given, str):
        return Answer(given)
    if not isinstance(given, dict):
        return Answer(calls=tuple(given))
    if request.is_forced:
        return Answer(calls=(Call(next(iter(request.tools)), given),))
    return Answer(json.dumps(given, ensure_ascii=False), is_formatted=True)


# The table


@cache
def questions() -> list[Question]:
    """Return the entries of the table."""
    entries: list[Question] = []
    for each in yaml.safe_load(_QUESTIONS.read_text("utf-8")):
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


def _entry(request: Request) -> Question:
    """Return the first entry of the table that fits, or one that answers nothing."""
    conversation = unicodedata.normalize("NFC", request.conversation)
    asked = _folded(request.question)
    of_question = [each for each in questions() if not each.question or _folded(each.question) == asked]
    for entry in of_question:
        wants_fields = isinstance(entry.answer, dict)
        if all(text in conversation for text in entry.given) and (request.wants_object or not wants_fields):
            return entry
    return Question(answer=NOTHING if any(each.question for each in of_question) else None)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold().strip(" .!?\n")


# Tools


def _pending(request: Request, calls: tuple[Call, ...]) -> tuple[Call, ...]:
    """Return the calls on offer that were not made since the question; a handoff goes last."""
    if request.choice == "none":
        return ()
    made = [call for call, _ in request.results]
    left = tuple(call for call in calls if call.name in request.tools and call not in made)
    return tuple(call for call in left if call.name != HANDOFF) or left


def _is_called(request: Request) -> bool:
    """Tell whether the question names a tool that may be called and nothing was called yet."""
    return request.choice == "auto" and not request.results and bool(_named(request))


def _named(request: Request) -> list[str]:
    words = set(re.findall(r"\w+", request.question.lower()))
    return [name for name in request.tools if words & (set(re.split(r"[_\W]+", name.lower())) - _COMMON)]


def _results(results: list[tuple[Call, str]]) -> str:
    """Return what the tools returned."""
    if len(results) == 1:
        text = results[0][1]
        return text if " " in text else f"The result is {text}."
    lines = [
        f"- {call.name}({', '.join(map(str, call.arguments.values()))}): {text}" for call, text in results
    ]
    return "\n".join(["Here are the results:", *lines])


# Words and JSON


def _plain(question: str) -> str:
    """Return the answer in words."""
    if match := _SAY.fullmatch(question):
        return match[1]
    if match := _COUNT.search(question):
        return ", ".join(map(str, range(int(match[1]), int(match[2]) + 1)))
    if match := _SUM.search(question):
        sign = _SIGNS.get(match[2], match[2])
        first, second = int(match[1]), int(match[3])
        value = {"+": first + second, "-": first - second, "*": first * second}[sign]
        return f"{first} {sign} {second} = {value}"
    return f"You asked: {question[-80:]}"


def _object(request: Request, plain: str) -> Any:
    """Return the wanted object: by its schema, or with the fields that the question names."""
    if request.schema is not None:
        return fill(request.schema, request.text, plain)
    names = re.findall(r"(\w+): |'(\w+)'", request.text)
    found = [first or second for first, second in names]
    schema = {"properties": {name: {} for name in found}, "required": found}
    return fill(schema, request.text, plain) if found else {"answer": plain}


def _text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "text")


def _call(call: dict[str, Any]) -> Call:
    function = call["function"]
    return Call(function["name"], json.loads(function["arguments"]))
