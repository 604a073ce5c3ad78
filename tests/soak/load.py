"""The process under load: calls of every kind from threads and from an event loop."""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import operator
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.tools import FunctionTool

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from texapi_core import TexAPIError

BATCH = 500
THREADS = 16
TASKS = 32
_STATM = Path("/proc/self/statm")

FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "cut": ({"cut_after": 3}, "TexAPIConnectionError", "TexAPIStreamInterruptedError"),
    "empty balance": (
        {"status": 429, "error_type": "insufficient_quota"},
        "TexAPIInsufficientQuotaError",
        "TexAPIInsufficientQuotaError",
    ),
    "empty balance, in Chinese": (
        {"status": 429, "body": {"error": {"code": "1113", "message": "余额不足或无可用资源包,请充值。"}}},
        "TexAPIInsufficientQuotaError",
        "TexAPIInsufficientQuotaError",
    ),
    "empty balance, as a 500": (
        {"status": 500, "body": {"error": {"type": "api_error", "message": "insufficient balance (1008)"}}},
        "TexAPIInsufficientCreditsError",
        "TexAPIInsufficientCreditsError",
    ),
    "no choices": ({"body": {"choices": []}}, "TexAPIResponseError", "TexAPIResponseError"),
}
"""Injected by header, so that the affected call is known: the fault, and the error of a whole and of
a streamed call. Failures that a retry fixes are put into the stand-in's queue instead."""


class Outcome(NamedTuple):
    """The outcome of one call, as its caller saw it."""

    number: int
    expected: str
    """The expected error's name; `""` for an answer."""
    error: str
    request_id: str | None
    tokens: tuple[int, int] | None
    answered: bool
    """Whether there is text, or a tool call if one was expected."""


def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


class Calls:
    """One model object per framework, and their eight call styles."""

    def __init__(self, base_url: str, api_key: str) -> None:
        where: dict[str, Any] = {"base_url": base_url, "api_key": api_key, "timeout": 60, "max_retries": 6}
        self._chat = ChatTexAPI(model="gpt-5.2", **where)
        self._chat_with_tools = self._chat.bind_tools([multiply])
        self._llm = TexAPI(model="gpt-5.2", **where)
        self._tool = FunctionTool.from_defaults(multiply)

    def sync_call(self, number: int) -> Outcome:
        kind = _Kind(number)
        try:
            ask = self._langchain if kind.is_langchain else self._llama_index
            return kind.outcome(ask(kind))
        except TexAPIError as error:
            return kind.failure(error)

    async def async_call(self, number: int) -> Outcome:
        kind = _Kind(number)
        try:
            ask = self._alangchain if kind.is_langchain else self._allama_index
            return kind.outcome(await ask(kind))
        except TexAPIError as error:
            return kind.failure(error)

    def _langchain(self, kind: _Kind) -> Any:
        chat = self._chat_with_tools if kind.has_tools else self._chat
        if kind.is_streamed:
            return functools.reduce(operator.add, chat.stream(kind.prompt, **kind.arguments))
        return chat.invoke(kind.prompt, **kind.arguments)

    async def _alangchain(self, kind: _Kind) -> Any:
        chat = self._chat_with_tools if kind.has_tools else self._chat
        if kind.is_streamed:
            chunks = [chunk async for chunk in chat.astream(kind.prompt, **kind.arguments)]
            return functools.reduce(operator.add, chunks)
        return await chat.ainvoke(kind.prompt, **kind.arguments)

    def _llama_index(self, kind: _Kind) -> ChatResponse:
        llm, message = self._llm, ChatMessage(kind.prompt)
        if kind.has_tools and kind.is_streamed:
            *_, last = llm.stream_chat_with_tools([self._tool], message, **kind.arguments)
            return last
        if kind.has_tools:
            return llm.chat_with_tools([self._tool], message, **kind.arguments)
        if kind.is_streamed:
            *_, last = llm.stream_chat([message], **kind.arguments)
            return last
        return llm.chat([message], **kind.arguments)

    async def _allama_index(self, kind: _Kind) -> ChatResponse:
        llm, message = self._llm, ChatMessage(kind.prompt)
        if kind.has_tools and kind.is_streamed:
            stream = await llm.astream_chat_with_tools([self._tool], message, **kind.arguments)
            return [response async for response in stream][-1]
        if kind.has_tools:
            return await llm.achat_with_tools([self._tool], message, **kind.arguments)
        if kind.is_streamed:
            return [response async for response in await llm.astream_chat([message], **kind.arguments)][-1]
        return await llm.achat([message], **kind.arguments)


class _Kind:
    """The kind of call for a number."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.is_langchain = number % 2 == 0
        self.is_streamed = number // 2 % 2 == 0
        self.has_tools = number // 4 % 3 == 0
        names = list(FAULTS)
        self._fault = names[number // 33 % len(names)] if number % 33 == 32 else None

    @property
    def prompt(self) -> str:
        return f"Multiply {self.number} by 3" if self.has_tools else f"What is {self.number} + 1000?"

    @property
    def arguments(self) -> dict[str, Any]:
        arguments: dict[str, Any] = {"user": f"call-{self.number}"}
        if self._fault:
            arguments["extra_headers"] = {"x-standin-fault": json.dumps(FAULTS[self._fault][0])}
        return arguments

    @property
    def expected(self) -> str:
        if self._fault is None:
            return ""
        _, whole, streamed = FAULTS[self._fault]
        return streamed if self.is_streamed else whole

    def outcome(self, answer: Any) -> Outcome:
        if isinstance(answer, ChatResponse):
            kwargs = answer.additional_kwargs
            tokens = (kwargs["prompt_tokens"], kwargs["completion_tokens"])
            request_id = kwargs["request_id"]
            text, calls = answer.message.content, answer.message.additional_kwargs.get("tool_calls")
        else:
            usage = answer.usage_metadata
            tokens = (usage["input_tokens"], usage["output_tokens"])
            request_id = answer.response_metadata["request_id"]
            text, calls = answer.text, answer.tool_calls
        answered = bool(calls) if self.has_tools else str(self.number + 1000) in (text or "")
        return Outcome(self.number, self.expected, "", request_id, tokens, answered)

    def failure(self, error: TexAPIError) -> Outcome:
        name = type(error).__name__
        return Outcome(self.number, self.expected, name, error.request_id, None, answered=False)


def run(pipe: Connection, base_url: str, api_key: str, count: int) -> None:
    """Make the calls, and send the outcomes and the memory in use for each batch."""
    calls = Calls(base_url, api_key)
    with ThreadPoolExecutor(THREADS) as threads, asyncio.Runner() as runner:
        for first in range(0, count, BATCH):
            numbers = range(first, min(first + BATCH, count))
            half = len(numbers) // 2
            waiting = [threads.submit(calls.sync_call, number) for number in numbers[:half]]
            outcomes = runner.run(_all(calls.async_call, numbers[half:]))
            outcomes += [each.result() for each in waiting]
            gc.collect()
            pipe.send((outcomes, _memory()))
    pipe.send(None)


async def _all(call: Callable[[int], Any], numbers: range) -> list[Outcome]:
    room = asyncio.Semaphore(TASKS)

    async def one(number: int) -> Outcome:
        async with room:
            outcome: Outcome = await call(number)
            return outcome

    return list(await asyncio.gather(*map(one, numbers)))


def _memory() -> float | None:
    """Resident memory in MiB, where the system reports it."""
    if not _STATM.exists():
        return None
    return int(_STATM.read_text().split()[1]) * 4096 / 2**20
