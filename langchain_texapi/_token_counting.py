"""About how many tokens messages take, counted offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.tools import BaseTool

from langchain_texapi._tools import format_tools

TOKENS_PER_MEDIA_BLOCK = 1000
"""Tokens counted for a file, a sound or a video. Its length in base64 says little: models count pages and
seconds. LangChain counts 85 for an image."""

_MEDIA = frozenset({"file", "document", "text-plain", "audio", "input_audio", "video", "video_url"})


def count_tokens(messages: Sequence[BaseMessage], tools: Sequence[Any] | None = None) -> int:
    """About how many tokens the messages and tools take."""
    formatted: list[BaseTool | dict[str, Any]] = [*format_tools(tools or [])]
    counted: list[BaseMessage] = []
    media = 0
    for message in messages:
        if isinstance(message.content, list):
            blocks, found = _without_media(message.content)
            media += found
            message = message.model_copy(update={"content": blocks})
        counted.append(message)
    return count_tokens_approximately(counted, tools=formatted or None) + media * TOKENS_PER_MEDIA_BLOCK


def _without_media(content: Sequence[Any]) -> tuple[list[Any], int]:
    """The blocks that are counted by their length, and the number of the other blocks."""
    kept: list[Any] = []
    media = 0
    for block in content:
        if not isinstance(block, Mapping):
            kept.append(block)
        elif block.get("type") == "tool_result" and isinstance(block.get("content"), list):
            blocks, found = _without_media(block["content"])
            kept += blocks
            media += found
        elif block.get("type") not in _MEDIA:
            kept.append(block)
        elif (text := _text_in(block)) is not None:
            kept.append({"type": "text", "text": text})
        else:
            media += 1
    return kept, media


def _text_in(block: Mapping[str, Any]) -> str | None:
    """The text of a document that is plain text."""
    source = block.get("source")
    if isinstance(source, Mapping):
        text = source.get("data") if source.get("type") == "text" else None
    else:
        text = block.get("text")
    return text if isinstance(text, str) else None
