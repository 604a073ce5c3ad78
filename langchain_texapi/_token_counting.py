"""About how many tokens messages take, counted offline."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from langchain_texapi._tools import format_tools
from texapi_core.request.image_tokens import image_size, image_tokens
from texapi_core.request.token_counts import count_text

TOKENS_PER_MEDIA_BLOCK = 1000
"""Tokens counted for a file, a sound or a video. Its length in base64 says little: models count pages and
seconds."""
_TOKENS_PER_MESSAGE = 4
"""The role and what separates messages, as OpenAI counts them."""
_TOKENS_PER_CALL = 8
"""Tokens around a tool call or the declaration of a tool."""

_CHARACTERS_PER_TOKEN = 3
"""Where the form of a value is not known."""

_MEDIA = frozenset({"file", "document", "text-plain", "audio", "input_audio", "video", "video_url"})
_IMAGES = frozenset({"image", "image_url", "input_image"})
_CALLS = frozenset({"tool_use", "tool_call", "tool_call_chunk", "invalid_tool_call", "function_call"})
"""Blocks of calls, which `tool_calls` holds too."""
_TEXTS = ("text", "reasoning", "thinking", "refusal")
"""Members of a block that hold its text."""


def count_tokens(
    messages: Sequence[BaseMessage], tools: Sequence[Any] | None = None, image_rule: str | None = None
) -> int:
    """About how many tokens the messages and tools take, with images by a rule of the model table."""
    declared = [tool.get("function", tool) for tool in format_tools(tools or [])]
    return sum(_count_message(message, image_rule) for message in messages) + sum(
        _TOKENS_PER_CALL + _count_json(tool) for tool in declared
    )


def _count_message(message: BaseMessage, image_rule: str | None) -> int:
    tokens = _TOKENS_PER_MESSAGE + (count_text(message.name) if message.name else 0)
    if isinstance(message, AIMessage):
        for call in (*message.tool_calls, *message.invalid_tool_calls):
            tokens += _TOKENS_PER_CALL + count_text(call["name"] or "") + _count_json(call["args"])
    return tokens + _count_content(message.content, image_rule)


def _count_content(content: str | Sequence[Any], image_rule: str | None) -> int:
    if isinstance(content, str):
        return count_text(content)
    return sum(_count_block(block, image_rule) for block in content)


def _count_block(block: Any, image_rule: str | None) -> int:
    try:
        return _count_known_block(block, image_rule)
    except Exception:  # a block of no form that can be sent, e.g. one that holds itself
        return _count_by_length(block)


def _count_known_block(block: Any, image_rule: str | None) -> int:
    if not isinstance(block, Mapping):
        return count_text(str(block))
    kind = block.get("type")
    if kind in _CALLS:
        return 0
    if kind == "tool_result" and isinstance(block.get("content"), (str, list)):
        return _count_content(block["content"], image_rule)
    if kind in _IMAGES:
        source = _image_source(block)
        given = block.get("image_url")
        detail = (given if isinstance(given, Mapping) else block).get("detail")
        return image_tokens(image_rule, image_size(source) if source else None, detail)
    text = _text_in(block)
    if text is not None:
        return count_text(text)
    return TOKENS_PER_MEDIA_BLOCK if kind in _MEDIA else _count_json(block)


def _image_source(block: Mapping[str, Any]) -> str | bytes | None:
    """The bytes, the base64 or the address of an image, in any form of block."""
    for name in ("base64", "data", "url", "image_url", "source"):
        value = block.get(name)
        found = _image_source(value) if isinstance(value, Mapping) else value
        if isinstance(found, (str, bytes)):
            return found
    return None


def _text_in(block: Mapping[str, Any]) -> str | None:
    """The text of a block, or of a document that is plain text."""
    source = block.get("source")
    if isinstance(source, Mapping) and source.get("type") == "text":
        return str(source.get("data", ""))
    found = [block[name] for name in _TEXTS if isinstance(block.get(name), str)]
    return found[0] if found else None


def _count_json(value: Any) -> int:
    try:
        return count_text(
            value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        )
    except Exception:  # e.g. a value that holds itself, or a key that is no text
        return _count_by_length(value)


def _count_by_length(value: Any) -> int:
    """About how many tokens the texts in a value have, however deep it is."""
    characters, waiting, seen = 0, [value], set()
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            characters += len(each)
        elif isinstance(each, (Mapping, list, tuple, set, frozenset)) and id(each) not in seen:
            seen.add(id(each))
            waiting += [*each, *each.values()] if isinstance(each, Mapping) else each
        else:
            characters += _CHARACTERS_PER_TOKEN
    return -(-characters // _CHARACTERS_PER_TOKEN)
