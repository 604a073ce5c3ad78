"""One process of a mixed run: calls in both frameworks, with every call style and ending."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import Any

from langchain_core.messages import HumanMessage
from llama_index.core.base.llms.types import ChatMessage

from langchain_texapi import ChatTexAPI, TexAPIError
from llama_index_texapi import TexAPI

MODELS = ("claude-sonnet-4-6", "gpt-5-mini", "deepseek-r1", "qwen3-235b")


def fault(**kwargs: Any) -> dict[str, Any]:
    return {"extra_headers": {"x-standin-fault": json.dumps(kwargs)}}


class Worker:
    def __init__(self, base_url: str, api_key: str, number: int) -> None:
        self.number = number
        tags = [f"worker-{number}"]
        settings: dict[str, Any] = {"base_url": base_url, "api_key": api_key, "max_retries": 0}
        self.chat = [ChatTexAPI(model=model, tags=tags, **settings) for model in MODELS]
        self.llms = [TexAPI(model=model, **settings) for model in MODELS]

    async def call(self, index: int) -> None:
        """Make the call with this number, which selects the call style."""
        ways = [
            self.whole,
            self.awhole,
            self.stream,
            self.astream,
            self.whole,
            self.failing,
            self.broken,
            self.closed,
            self.aclosed,
            self.cancelled,
        ]
        text = f"Worker {self.number}, call {index}: what is {index} plus {self.number}?"
        with contextlib.suppress(TexAPIError):
            await ways[index % len(ways)](index // len(ways), text)

    async def whole(self, index: int, text: str, **kwargs: Any) -> None:
        if index % 2:
            self.chat[index % 4].invoke([HumanMessage(text)], **kwargs)
        else:
            self.llms[index % 4].chat([ChatMessage(text)], **kwargs)

    async def awhole(self, index: int, text: str, **kwargs: Any) -> None:
        if index % 2:
            await self.chat[index % 4].ainvoke([HumanMessage(text)], **kwargs)
        else:
            await self.llms[index % 4].achat([ChatMessage(text)], **kwargs)

    async def stream(self, index: int, text: str, **kwargs: Any) -> None:
        if index % 2:
            list(self.chat[index % 4].stream([HumanMessage(text)], **kwargs))
        else:
            list(self.llms[index % 4].stream_chat([ChatMessage(text)], **kwargs))

    async def astream(self, index: int, text: str, **kwargs: Any) -> None:
        if index % 2:
            [_ async for _ in self.chat[index % 4].astream([HumanMessage(text)], **kwargs)]
        else:
            [_ async for _ in await self.llms[index % 4].astream_chat([ChatMessage(text)], **kwargs)]

    async def failing(self, index: int, text: str) -> None:
        status = (400, 401, 402, 429, 503)[index % 5]
        await (self.whole, self.astream)[index % 2](index // 2, text, **fault(status=status))

    async def broken(self, index: int, text: str) -> None:
        await (self.stream, self.astream)[index % 2](index // 2, text, **fault(cut_after=2))

    async def closed(self, index: int, text: str) -> None:
        stream: Any
        if index % 2:
            stream = self.chat[index % 4].stream([HumanMessage(text)])
        else:
            stream = self.llms[index % 4].stream_chat([ChatMessage(text)])
        next(stream)
        stream.close()

    async def aclosed(self, index: int, text: str) -> None:
        stream: Any
        if index % 2:
            stream = self.chat[index % 4].astream([HumanMessage(text)])
        else:
            stream = await self.llms[index % 4].astream_chat([ChatMessage(text)])
        await anext(stream)
        await stream.aclose()

    async def cancelled(self, index: int, text: str) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await (self.awhole, self.astream)[index % 2](index // 2, text, **fault(delay=60))


async def main(base_url: str, api_key: str, number: str, count: str) -> None:
    worker = Worker(base_url, api_key, int(number))
    for start in range(0, int(count), 10):  # several at a time, as agents do
        await asyncio.gather(*(worker.call(index) for index in range(start, min(start + 10, int(count)))))
    # The event loop closes an abandoned stream in a separate task.
    if closing := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(closing, timeout=30)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
