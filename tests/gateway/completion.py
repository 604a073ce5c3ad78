"""A finished answer, cut to the limits of its request."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from tests.gateway.journal import Journal
from tests.gateway.models import details_reasoning, reasons, signs_tool_calls
from tests.gateway.prompt_cache import PromptUsage
from tests.gateway.request import Request
from tests.gateway.script import Answer, respond
from tests.gateway.tokens import count_tokens, cut_tokens

SIGNATURE = "c2lnbmF0dXJlLW9mLWEtdGhvdWdodA=="


@dataclass(frozen=True)
class ToolCall:
    """One call of a tool in an answer."""

    id: str
    name: str
    arguments: str
    """The JSON, or the input of a custom tool."""
    signature: str | None = None
    is_custom: bool = False


@dataclass(frozen=True)
class Choice:
    """One of the answers to a request."""

    index: int
    text: str | None
    reasoning: str | None
    tool_calls: tuple[ToolCall, ...]
    finish_reason: str

    @property
    def reasoning_tokens(self) -> int:
        return count_tokens(self.reasoning or "")

    @property
    def tokens(self) -> int:
        """How many tokens the answer has, reasoning included."""
        calls = sum(count_tokens(call.name + call.arguments) for call in self.tool_calls)
        return self.reasoning_tokens + count_tokens(self.text or "") + calls


@dataclass(frozen=True)
class Completion:
    """All answers to a request and what they cost."""

    id: str
    model: str
    choices: tuple[Choice, ...]
    prompt: PromptUsage
    has_details: bool
    """Whether signed reasoning blocks are returned next to the reasoning."""
    top_logprobs: int | None
    """How many alternatives per token are returned; nothing when no probabilities are wanted."""

    @property
    def completion_tokens(self) -> int:
        return sum(choice.tokens for choice in self.choices)

    @property
    def reasoning_tokens(self) -> int:
        return sum(choice.reasoning_tokens for choice in self.choices)

    @property
    def usage(self) -> dict[str, Any]:
        prompt: dict[str, Any] = {"cached_tokens": self.prompt.cached, "audio_tokens": 0}
        if self.prompt.written is not None:
            prompt["cache_write_tokens"] = self.prompt.written
        return {
            "prompt_tokens": self.prompt.total,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt.total + self.completion_tokens,
            "prompt_tokens_details": prompt,
            "completion_tokens_details": {
                "reasoning_tokens": self.reasoning_tokens,
                "audio_tokens": 0,
            },
        }


def complete(body: dict[str, Any], journal: Journal) -> Completion:
    """Answer a request that was found to be correct."""
    answer = respond(body, journal.next_answer(body), reasons=reasons(body["model"], body))
    wanted = body.get("n") or 1
    choices = tuple(_choose(body, _variant(answer, index, wanted), index, journal) for index in range(wanted))
    return Completion(
        id=journal.next_id("chatcmpl-"),
        model=body["model"],
        choices=choices,
        prompt=journal.measure(body),
        has_details=details_reasoning(body["model"]),
        top_logprobs=(body.get("top_logprobs") or 0) if body.get("logprobs") else None,
    )


def _variant(answer: Answer, index: int, wanted: int) -> Answer:
    """Return one of several answers; all but the first are numbered."""
    if index == 0 or answer.text is None or answer.is_formatted:
        return answer
    return replace(answer, text=f"{answer.text} (answer {index + 1} of {wanted})")


def _choose(body: dict[str, Any], answer: Answer, index: int, journal: Journal) -> Choice:
    """Cut an answer to the limits of its request."""
    limit: int | None = body.get("max_completion_tokens") or body.get("max_tokens")
    budget = _Budget(limit)
    reasoning = budget.spend(answer.reasoning) if answer.reasoning else None
    text = None if answer.text is None else _stop(answer.text, body.get("stop"))
    text = budget.spend(text) if text is not None else None
    is_signed = signs_tool_calls(body["model"])
    custom = Request(body).custom if answer.calls else set()
    calls: list[ToolCall] = []
    for call in answer.calls:
        if budget.is_spent:
            break
        is_custom = call.name in custom
        arguments = call.arguments["input"] if is_custom else json.dumps(call.arguments, ensure_ascii=False)
        calls.append(
            ToolCall(
                id=journal.next_call_id(signed=is_signed),
                name=budget.spend(call.name, whole=True),
                arguments=budget.spend(arguments),
                signature=SIGNATURE if is_signed else None,
                is_custom=is_custom,
            )
        )
    if not calls and text is None:
        text = ""
    finish_reason = "tool_calls" if calls else "stop"
    if budget.is_overdrawn:
        finish_reason = "length"
    return Choice(index, text, reasoning, tuple(calls), finish_reason)


def _stop(text: str, stop: str | list[str] | None) -> str:
    for word in [stop] if isinstance(stop, str) else stop or []:
        if word:
            text = text.split(word, 1)[0]
    return text


class _Budget:
    """The tokens that an answer may still have."""

    def __init__(self, limit: int | None) -> None:
        self._left = limit
        self.is_overdrawn = False

    @property
    def is_spent(self) -> bool:
        """Whether nothing more fits; asking means that more was to come."""
        if self._left is not None and self._left <= 0:
            self.is_overdrawn = True
        return self.is_overdrawn

    def spend(self, text: str, *, whole: bool = False) -> str:
        if self._left is None:
            return text
        needed = count_tokens(text)
        if needed > self._left and not whole:
            self.is_overdrawn = True
            text = cut_tokens(text, self._left)
        self._left = max(self._left - needed, 0)
        return text
