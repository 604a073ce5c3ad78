"""Chunks of a stream -> the events of `stream_events(version="v3")`.

LangChain's own conversion keeps what a provider put on a tool call only if it came with the
first piece of the call, and takes any whole JSON for arguments. Here blocks end as those of a whole answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, BaseRunManager, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import LC_ID_PREFIX, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk
from pydantic import ConfigDict

_GROWING = {
    "text": ("text", "text-delta"),
    "reasoning": ("reasoning", "reasoning-delta"),
    "tool_call_chunk": ("args", "tool-call-delta"),
}
"""Type of a block that comes in pieces -> its member that grows, and the type of its delta."""
_CALLS = ("tool_call", "invalid_tool_call")
_LAST = AIMessageChunk(content="", chunk_position="last")

Event = dict[str, Any]


class EventStreamingChatModel(BaseChatModel):
    """A chat model with the hooks that LangChain looks up for protocol events, from langchain-core 1.6 on."""

    model_config = ConfigDict(defer_build=True)

    def _stream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[Event]:
        events = MessageEvents(run_manager)
        for chunk in self._stream(messages, stop=stop, run_manager=run_manager, **kwargs):
            yield from events.feed(chunk)
        yield from events.finish()

    async def _astream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[Event]:
        events = MessageEvents(run_manager)
        async for chunk in self._astream(messages, stop=stop, run_manager=run_manager, **kwargs):
            for event in events.feed(chunk):
                yield event
        for event in events.finish():
            yield event


class MessageEvents:
    """The events of one answer."""

    def __init__(self, run_manager: BaseRunManager | None) -> None:
        self._id = f"{LC_ID_PREFIX}-{run_manager.run_id}" if run_manager else ""
        self._chunks: list[AIMessageChunk] = []
        self._numbers: dict[Any, int] = {}
        """Index of a content block -> its number among the events."""

    def feed(self, chunk: ChatGenerationChunk) -> Iterator[Event]:
        """What a chunk adds. Blocks that are whole come at the end."""
        message = chunk.message
        if not isinstance(message, AIMessageChunk):
            return
        if not self._chunks:
            provider = message.response_metadata.get("model_provider")
            yield {
                "event": "message-start",
                "role": "ai",
                "id": self._id,
                "metadata": {"provider": provider} if provider else {},
            }
        self._chunks.append(message)
        for key, block in _blocks(message):
            if block["type"] not in _GROWING:
                continue
            member, kind = _GROWING[block["type"]]
            if key not in self._numbers:
                yield self._start(key, {**block, member: ""})
            if piece := block.get(member):
                delta = {"type": kind, member: piece}
                yield {"event": "content-block-delta", "index": self._numbers[key], "delta": delta}

    def finish(self) -> Iterator[Event]:
        """The blocks of the whole message, and its end. Without a chunk there is no message."""
        if not self._chunks:
            return
        first, *others = *self._chunks, _LAST
        message = first + others
        blocks = _blocks(message)
        for key, block in blocks:
            if key not in self._numbers:
                yield self._start(key, block)
        for key, block in sorted(blocks, key=lambda found: self._numbers[found[0]]):
            if block["type"] in _CALLS:
                block.pop("index", None)  # LangChain merges blocks by it, and these are whole
            yield {"event": "content-block-finish", "index": self._numbers[key], "content": block}
        end = {
            "event": "message-finish",
            "usage": message.usage_metadata,
            "metadata": message.response_metadata,
            "additional_kwargs": message.additional_kwargs,
        }
        yield {name: value for name, value in end.items() if value}

    def _start(self, key: Any, block: Mapping[str, Any]) -> Event:
        number = self._numbers[key] = len(self._numbers)
        content = {name: value for name, value in block.items() if name not in ("annotations", "extras")}
        return {"event": "content-block-start", "index": number, "content": content}


def _blocks(message: AIMessageChunk) -> list[tuple[Any, dict[str, Any]]]:
    """The blocks, each with a key that identifies it in the answer."""
    blocks = enumerate(map(dict[str, Any], message.content_blocks))
    return [(block.get("index", (block["type"], position)), block) for position, block in blocks]
