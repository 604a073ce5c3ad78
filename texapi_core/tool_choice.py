"""Calls that force a tool, with a way out when the model cannot be forced.

Claude refuses while it thinks, some routes always do. A refused request costs nothing, so it is sent
once more with the choice left to the model, and a warning is logged. The functions are those of
`texapi_core.chat` otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import aclosing, closing
from typing import Any

from texapi_core import chat
from texapi_core.errors import TexAPIToolChoiceError
from texapi_core.settings import NO_OPTIONS, CallOptions, Settings
from texapi_core.wire import ChatDelta, ChatReply

_logger = logging.getLogger(__name__)

Payload = Mapping[str, Any]


def complete(settings: Settings, payload: Payload, options: CallOptions = NO_OPTIONS) -> ChatReply:
    """The whole answer to one request, or to its freed twin."""
    try:
        return chat.complete(settings, payload, options)
    except TexAPIToolChoiceError:
        if not _forces_a_tool(payload):
            raise
    return chat.complete(settings, _freed(payload), options)


async def acomplete(settings: Settings, payload: Payload, options: CallOptions = NO_OPTIONS) -> ChatReply:
    """The whole answer to one request, or to its freed twin. Async twin of `complete`."""
    try:
        return await chat.acomplete(settings, payload, options)
    except TexAPIToolChoiceError:
        if not _forces_a_tool(payload):
            raise
    return await chat.acomplete(settings, _freed(payload), options)


def stream(
    settings: Settings, payload: Payload, options: CallOptions = NO_OPTIONS
) -> Generator[ChatDelta | ChatReply]:
    """The answer to one request as it arrives, or to its freed twin."""
    if not _forces_a_tool(payload):
        return chat.stream(settings, payload, options)
    return _stream_or_free(settings, payload, options)


def astream(
    settings: Settings, payload: Payload, options: CallOptions = NO_OPTIONS
) -> AsyncGenerator[ChatDelta | ChatReply]:
    """The answer to one request as it arrives, or to its freed twin. Async twin of `stream`."""
    if not _forces_a_tool(payload):
        return chat.astream(settings, payload, options)
    return _astream_or_free(settings, payload, options)


def _stream_or_free(
    settings: Settings, payload: Payload, options: CallOptions
) -> Generator[ChatDelta | ChatReply]:
    begun = False
    try:
        with closing(chat.stream(settings, payload, options)) as items:
            for item in items:
                begun = True
                yield item
    except TexAPIToolChoiceError:
        if begun:
            raise
    if not begun:
        yield from chat.stream(settings, _freed(payload), options)


async def _astream_or_free(
    settings: Settings, payload: Payload, options: CallOptions
) -> AsyncGenerator[ChatDelta | ChatReply]:
    begun = False
    try:
        async with aclosing(chat.astream(settings, payload, options)) as items:
            async for item in items:
                begun = True
                yield item
    except TexAPIToolChoiceError:
        if begun:
            raise
    if not begun:
        async with aclosing(chat.astream(settings, _freed(payload), options)) as items:
            async for item in items:
                yield item


def _forces_a_tool(payload: Payload) -> bool:
    return payload.get("tool_choice") not in (None, "auto", "none")


def _freed(payload: Payload) -> dict[str, Any]:
    _logger.warning(
        "The model %s cannot be forced to call a tool; asked again with the choice left to it.",
        payload.get("model"),
    )
    return {**payload, "tool_choice": "auto"}
