"""The call styles: both frameworks, sync and async, whole and streamed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeVar

from llama_index.core.base.llms.types import ChatMessage

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.faults.case import Seen

Framework = Literal["langchain", "llama_index"]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Way:
    """One call style of one class."""

    name: str
    framework: Framework
    streamed: bool
    make: Callable[..., Any]
    """Creates the model from base_url, api_key, max_retries and timeout."""
    ask: Callable[[Any], Seen]

    def __call__(self, **where: Any) -> Seen:
        return self.ask(self.make(**where))


_loop: list[asyncio.Runner] = []


@contextlib.contextmanager
def one_loop() -> Iterator[asyncio.Runner]:
    """Run the async call styles in one event loop: TLS setup per loop would take longer than the calls."""
    with asyncio.Runner() as runner:
        _loop.append(runner)
        try:
            yield runner
        finally:
            _loop.clear()


def _run(coroutine: Coroutine[Any, Any, _T]) -> _T:
    return _loop[0].run(coroutine) if _loop else asyncio.run(coroutine)


def _invoke(model: Any) -> Seen:
    return seen_in_langchain(model.invoke("Hello"))


def _ainvoke(model: Any) -> Seen:
    return seen_in_langchain(_run(model.ainvoke("Hello")))


def _stream(model: Any) -> Seen:
    first, *rest = model.stream("Hello")
    return seen_in_langchain(sum(rest, first))


def _astream(model: Any) -> Seen:
    async def collect() -> list[Any]:
        return [chunk async for chunk in model.astream("Hello")]

    first, *rest = _run(collect())
    return seen_in_langchain(sum(rest, first))


def _chat(llm: Any) -> Seen:
    return seen_in_llama_index(llm, llm.chat([ChatMessage("Hello")]))


def _achat(llm: Any) -> Seen:
    return seen_in_llama_index(llm, _run(llm.achat([ChatMessage("Hello")])))


def _stream_chat(llm: Any) -> Seen:
    *_, last = llm.stream_chat([ChatMessage("Hello")])
    return seen_in_llama_index(llm, last)


def _astream_chat(llm: Any) -> Seen:
    async def collect() -> list[Any]:
        return [response async for response in await llm.astream_chat([ChatMessage("Hello")])]

    return seen_in_llama_index(llm, _run(collect())[-1])


def langchain_ways(make: Callable[..., Any]) -> list[Way]:
    return [
        Way("invoke", "langchain", False, make, _invoke),
        Way("ainvoke", "langchain", False, make, _ainvoke),
        Way("stream", "langchain", True, make, _stream),
        Way("astream", "langchain", True, make, _astream),
    ]


def llama_index_ways(make: Callable[..., Any]) -> list[Way]:
    return [
        Way("chat", "llama_index", False, make, _chat),
        Way("achat", "llama_index", False, make, _achat),
        Way("stream_chat", "llama_index", True, make, _stream_chat),
        Way("astream_chat", "llama_index", True, make, _astream_chat),
    ]


def chat_texapi(**where: Any) -> ChatTexAPI:
    return ChatTexAPI(**{"model": "gpt-5.2", "stream_idle_timeout": 0.4, **where})


def texapi(**where: Any) -> TexAPI:
    return TexAPI(**{"model": "gpt-5.2", "stream_idle_timeout": 0.4, **where})


WAYS = [*langchain_ways(chat_texapi), *llama_index_ways(texapi)]
WAYS += [
    replace(way, name=f"{way.name} over aiohttp", make=partial(way.make, async_transport="aiohttp"))
    for way in WAYS
    if way.name.startswith("a")
]


def some_ways(number: int, ways: Sequence[Way]) -> list[Way]:
    """One call style per framework: one whole and one streamed if possible, never both over aiohttp.

    Six consecutive numbers cover every call style.
    """
    chosen = []
    for turn, framework in enumerate(("langchain", "llama_index"), number):
        own = [way for way in ways if way.framework == framework]
        kinds = sorted({way.streamed for way in own})
        alike = [way for way in own if way.streamed == kinds[turn % len(kinds)]]
        chosen.append(alike[turn % len(alike)])
    return chosen


def seen_in_langchain(message: Any) -> Seen:
    usage = message.usage_metadata
    calls = [(call["name"], call["args"]) for call in message.tool_calls]
    return Seen(
        message.text,
        [*calls, *((call["name"], None) for call in message.invalid_tool_calls)],
        (usage["input_tokens"], usage["output_tokens"]) if usage else None,
    )


def seen_in_llama_index(llm: Any, response: Any) -> Seen:
    calls = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
    return Seen(
        response.message.content or "",
        [
            (call.tool_name, None if "invalid_arguments" in call.tool_kwargs else call.tool_kwargs)
            for call in calls
        ],
        _tokens_of(response.raw),
    )


def _tokens_of(response: Any) -> tuple[int, int] | None:
    """Token counts as LlamaIndex's handlers read them: from `raw`, a dict or an SDK object."""
    usage = response.get("usage") if isinstance(response, dict) else getattr(response, "usage", None)
    if not usage:
        return None
    counts = usage if isinstance(usage, dict) else vars(usage)
    return counts["prompt_tokens"], counts["completion_tokens"]
