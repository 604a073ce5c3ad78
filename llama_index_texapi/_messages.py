"""LlamaIndex messages -> the messages of a payload."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping, Sequence
from io import IOBase
from typing import Any

from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from texapi_core.accounting.record import logger
from texapi_core.adapter_base.replies import kept_extras
from texapi_core.request.calls import join_calls, signed_call, tool_call, wire_call
from texapi_core.request.media import address, as_base64, data_url, file_part, is_data_url, legal_part
from texapi_core.request.payload import (
    WIRE_ROLES,
    Part,
    ReplayReasoning,
    ToolMedia,
    WireMessage,
    assistant_message,
    at_message,
    place_media,
    tool_message,
)
from texapi_core.request.replay import TOOL_CALL_EXTRAS, with_generated
from texapi_core.wire.signatures import signed_members

GENERATED_IMAGES = "generated_images"
"""Key of `additional_kwargs`: the images of an answer. LlamaIndex expects its own documents in `images`."""


def to_openai_message_dicts(
    messages: Sequence[ChatMessage],
    *,
    replay_reasoning: ReplayReasoning = "auto",
    tool_media: ToolMedia = "user_message",
) -> list[WireMessage]:
    """The messages of a payload.

    Raises:
        ValueError: a content block that chat completions cannot carry, by its name and place.
    """
    converted: list[WireMessage] = []
    for position, message in enumerate(messages):
        try:
            if not isinstance(message, ChatMessage):
                raise ValueError(f"`messages` must hold `ChatMessage`s, not {type(message).__name__}.")
            role = WIRE_ROLES[message.role]
            content = _wire_content(message, role)
            if message.additional_kwargs:
                if "cache_control" in message.additional_kwargs:
                    content = _with_cache_mark(content, message.additional_kwargs)
                if role != "assistant":
                    _log_unknown(message.additional_kwargs)
            if role == "assistant":
                refusal = message.additional_kwargs.get("refusal")
                wire = assistant_message(
                    content,
                    tool_calls=_wire_tool_calls(message),
                    reasoning=_wire_reasoning(message),
                    refusal=refusal if isinstance(refusal, str) else None,
                    replay_reasoning=replay_reasoning,
                )
                if message.additional_kwargs:
                    wire = with_generated(wire, _generated_extras(message))
            elif role == "tool":
                wire = tool_message(message.additional_kwargs.get("tool_call_id"), content)
            else:
                wire = {"role": role, "content": content}
            if message.additional_kwargs and (name := message.additional_kwargs.get("name")):
                wire = {**wire, "name": name}
            converted.append(wire)
        except ValueError as error:
            if type(error) is not ValueError:
                raise
            raise at_message(position, error) from error
    return place_media(converted, tool_media)


def _wire_content(message: ChatMessage, role: str) -> str | list[Part]:
    """A string where there is only text: some routes accept lists in user messages only.

    A cache point marks the part before it, or the first part when it comes first.
    """
    if len(message.blocks) == 1 and isinstance(message.blocks[0], TextBlock):
        return message.blocks[0].text
    parts: list[Part] = []
    first_mark: dict[str, Any] | None = None
    is_assistant = role == "assistant"
    for block in message.blocks:
        if isinstance(block, CachePoint):
            mark = block.cache_control.model_dump(exclude_none=True)
            if parts:
                parts[-1]["cache_control"] = mark
            else:
                first_mark = mark
        elif isinstance(block, CitationBlock) and is_assistant and message.content:
            continue  # a page that the text refers to, not a part of what the model said
        elif not is_assistant:
            parts += _wire_parts(block)
        elif not isinstance(block, (ThinkingBlock, ToolCallBlock)):
            parts += _carried_parts(block)
    if first_mark is not None:
        if not parts:
            raise ValueError(
                f"A CachePoint stands in a message of the role '{message.role.value}' that has no text or "
                "media to mark. Put it into the message before. Nothing was sent."
            )
        parts[0].setdefault("cache_control", first_mark)
    if all(part.keys() == {"type", "text"} for part in parts):
        return "\n".join(part["text"] for part in parts)  # as `.content` shows them
    return parts


_KNOWN_KWARGS = frozenset(
    {
        *("name", "tool_call_id", "tool_calls", "function_call", "refusal", "cache_control"),
        "session_id",  # of a memory block
        "images",  # documents, see `ChatMessage.images`
        *(TOOL_CALL_EXTRAS, GENERATED_IMAGES),
    }
)
"""The keys of `additional_kwargs` that are sent, or that LlamaIndex puts there for itself."""
_logged_kwargs: set[str] = set()


def _log_unknown(kwargs: Mapping[str, Any]) -> None:
    """Log each key that is not sent once, but of answers: their provider put many there."""
    if _KNOWN_KWARGS.issuperset(kwargs):
        return
    if unknown := sorted(kwargs.keys() - _KNOWN_KWARGS - _logged_kwargs):
        _logged_kwargs.update(unknown)
        logger.warning("`additional_kwargs` of a message has keys that are not sent: %s.", ", ".join(unknown))


def _with_cache_mark(content: str | list[Part], kwargs: Mapping[str, Any]) -> str | list[Part]:
    """The content with the `cache_control` of its message, e.g. of `DocumentContextExtractor`, at its end."""
    mark = kwargs.get("cache_control")
    if not mark or not content:
        return content
    if not isinstance(mark, Mapping) or not isinstance(mark.get("type"), str):
        raise ValueError(
            f'`cache_control` of a message must be {{"type": "ephemeral"}}, not {mark!r}. Nothing was sent.'
        )
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [*parts[:-1], {**parts[-1], "cache_control": parts[-1].get("cache_control", mark)}]


_SOURCES: Mapping[type, tuple[str, ...]] = {
    ImageBlock: ("image", "path", "url"),
    AudioBlock: ("audio", "path", "url"),
    VideoBlock: ("video", "path", "url"),
}


def _carried_parts(block: Any) -> list[Part]:
    """The parts of a block of an earlier answer: its text alone if chat completions cannot carry it."""
    try:
        return _wire_parts(block)
    except ValueError as error:
        logger.debug("A content block of an earlier answer is not sent. %s", error)
        text = getattr(block, "text", None)
        return [{"type": "text", "text": text}] if isinstance(text, str) and text else []


def _wire_parts(block: Any) -> list[Part]:
    sources = _SOURCES.get(type(block), ())
    if sources and not any(getattr(block, name) for name in sources):
        raise ValueError(
            f"Unsupported content block: {type(block).__name__} needs one of {', '.join(sources)}."
        )
    if isinstance(block, TextBlock):
        return [{"type": "text", "text": block.text}]
    if isinstance(block, ImageBlock):
        url = address(block.url) if block.url else _inline_image(block)
        detail = {"detail": block.detail} if block.detail else {}
        return [legal_part({"type": "image_url", "image_url": {"url": url, **detail}})]
    if isinstance(block, AudioBlock):
        if block.url and not block.audio and not block.path and not is_data_url(str(block.url)):
            raise ValueError(
                "Unsupported content block: AudioBlock with a `url`. Providers take no address of sound, and "
                "nothing is downloaded in a call. Give its bytes as `audio`, or its `path`. Nothing was sent."
            )
        audio = as_base64(block.resolve_audio().read())
        sound = {"data": audio, "format": block.format or "wav"}
        return [legal_part({"type": "input_audio", "input_audio": sound})]
    if isinstance(block, VideoBlock):
        return [legal_part({"type": "video_url", "video_url": {"url": _video_url(block)}})]
    if isinstance(block, DocumentBlock):
        return [_wire_document(block)]
    if isinstance(block, CitableBlock):
        about = "\n".join(filter(None, (block.title, block.source)))
        parts = [part for inner in block.content for part in _wire_parts(inner)]
        return [{"type": "text", "text": about}, *parts] if about else parts
    if isinstance(block, CitationBlock):
        return _wire_parts(block.cited_content)
    raise ValueError(
        f"Unsupported content block: {type(block).__name__}. Chat completions carry text, images, "
        "audio, video and documents."
    )


def _wire_document(block: DocumentBlock) -> Part:
    if block.url and not block.data and not block.path:
        return legal_part({"type": "file", "file": {"filename": block.title, "file_data": str(block.url)}})
    guessed, _ = mimetypes.guess_type(str(block.path or block.title or ""))
    return file_part(block.resolve_document().read(), block.document_mimetype or guessed, block.title)


def _inline_image(block: ImageBlock) -> str:
    guessed, _ = mimetypes.guess_type(str(block.path or ""))
    if isinstance(block.image, IOBase) and block.image.seekable():
        block.image.seek(0)  # LlamaIndex 0.14.17 reads it when the block is made, and does not go back
    return data_url(block.resolve_image().read(), block.image_mimetype or guessed, "image")


def _video_url(block: VideoBlock) -> str:
    if block.url:
        return address(block.url, "video")
    guessed, _ = mimetypes.guess_type(str(block.path or ""))
    return data_url(block.resolve_video().read(), block.video_mimetype or guessed, "video")


def _wire_tool_calls(message: ChatMessage) -> list[dict[str, Any]]:
    kwargs = message.additional_kwargs
    calls: list[dict[str, Any]] = []
    for at, block in enumerate(message.blocks):
        if isinstance(block, ToolCallBlock):
            extras = _extras_of_call(kwargs, block.tool_call_id, at) if kwargs else None
            calls.append(tool_call(block.tool_call_id, block.tool_name, block.tool_kwargs, extras))
    if further := kwargs.get("tool_calls"):
        calls = join_calls(calls, further)
    if calls:
        return calls
    legacy = kwargs.get("function_call")
    return [wire_call({"function": legacy})] if legacy else []


def _extras_of_call(kwargs: Mapping[str, Any], id_: str | None, at: int) -> Mapping[str, Any] | None:
    """What goes back beside the call in the block `at`; of Gemini's, GoogleGenAI has the signatures so."""
    if TOOL_CALL_EXTRAS in kwargs:
        return kept_extras(kwargs).get(id_)
    signatures = kwargs.get("thought_signatures")
    return signed_call(signatures[at]) if isinstance(signatures, list) and at < len(signatures) else None


def _generated_extras(message: ChatMessage) -> Mapping[str, Any]:
    kwargs = message.additional_kwargs
    return {**kwargs, "images": kwargs[GENERATED_IMAGES]} if GENERATED_IMAGES in kwargs else kwargs


def _wire_reasoning(message: ChatMessage) -> dict[str, Any]:
    """The reasoning, in the fields that it arrived in; what another class's is signed with."""
    wire: dict[str, Any] = {}
    parts: list[dict[str, Any]] = []
    for block in message.blocks:
        if not isinstance(block, ThinkingBlock):
            continue
        origin = block.additional_information
        if details := origin.get("details"):
            name = origin.get("details_field") or "reasoning_details"
            wire[name] = [*wire.get(name, []), *details]
        elif origin and "field" not in origin:
            parts.append(
                {**origin, "type": origin.get("type") or "thinking", "thinking": block.content or ""}
            )
        field = origin.get("field") or "reasoning_content"
        if block.content and not isinstance(wire.get(field), list):
            wire[field] = wire.get(field, "") + block.content
    return {**signed_members(parts), **wire} if parts else wire
