"""What an earlier answer held beside its text goes into the next request, once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from texapi_core.accounting.record import logger
from texapi_core.request.media import legal_part
from texapi_core.request.payload import Part, WireMessage
from texapi_core.wire.generated import PARTS, Audio, read_audio, read_images
from texapi_core.wire.reasoning import REASONING_FIELDS
from texapi_core.wire.signatures import SIGNATURES, is_signed

TOOL_CALL_EXTRAS = "tool_call_extras"
"""Key of a message's `additional_kwargs`: what a provider put on its tool calls, by tool call id."""

_REPLAYED = frozenset({"images", "audio", *PARTS, SIGNATURES})
_ELSEWHERE = REASONING_FIELDS | {TOOL_CALL_EXTRAS, SIGNATURES}
"""Members that may be signed, and have their own place in a request."""
_SECONDS_TO_SEND = 60


def with_generated(message: WireMessage, extras: Mapping[str, Any]) -> WireMessage:
    """An assistant message with the images, the sound and the signatures of its answer.

    A member that providers do not know goes back if it is an object that holds a signature: strict providers
    refuse any other. Images become parts of the content, unless it already has them as parts. Sound goes back
    by its id; when the provider no longer has it, as a part; in a format that its bytes do not show, by its
    transcript.
    """
    for name, value in extras.items():
        if value.__class__ is dict and name not in message and name not in _ELSEWHERE and is_signed(value):
            message = {**message, name: value}
    if _REPLAYED.isdisjoint(extras):
        return message
    content = message["content"]
    given: list[Part] = content if isinstance(content, list) else _text_parts(content)
    parts = [part for part in given if part["type"] != "text" or part.get("text")]
    replayed: WireMessage = dict(message)
    if not any(part["type"] == "image_url" for part in parts):
        for url in read_images(extras):
            parts += _readable({"type": "image_url", "image_url": {"url": url}})
    audio = read_audio(extras)
    if audio is not None:
        parts = [part for part in parts if part["type"] != "input_audio"]
        if _is_kept_by_provider(audio):
            replayed["audio"] = {"id": audio.id}
        elif audio.data and audio.format:
            sound = {"data": audio.data, "format": audio.format}
            parts += _readable({"type": "input_audio", "input_audio": sound})
        elif audio.transcript and not parts:
            parts = _text_parts(audio.transcript)
    if isinstance(extras.get(SIGNATURES), dict):
        replayed[SIGNATURES] = extras[SIGNATURES]
    if parts != content and parts != _text_parts(content):
        only_text = len(parts) == 1 and parts[0].keys() == {"type", "text"}
        replayed["content"] = parts[0]["text"] if only_text else parts or None
    return replayed


def _readable(part: Part) -> list[Part]:
    """The part of an earlier answer, unless no provider can read it."""
    try:
        return [legal_part(part)]
    except ValueError as error:
        logger.debug("Media of an earlier answer are not sent. %s", error)
        return []


def _text_parts(content: Any) -> list[Part]:
    return [{"type": "text", "text": content}] if content else []


def _is_kept_by_provider(audio: Audio) -> bool:
    return bool(audio.id) and (audio.expires_at is None or audio.expires_at > time.time() + _SECONDS_TO_SEND)
