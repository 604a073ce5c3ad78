"""Content blocks of LangChain messages -> content parts of the wire, one function per block type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.messages import BaseMessage

from texapi_core.accounting.record import logger
from texapi_core.request.calls import read_call
from texapi_core.request.foreign import typed, typed_result
from texapi_core.request.media import address, as_base64, data_url, file_part, legal_part
from texapi_core.request.prompt_cache import CACHE_MARKS
from texapi_core.wire.media_types import audio_format
from texapi_core.wire.signatures import is_thought

Block = Mapping[str, Any]
Part = dict[str, Any]

_NOT_CONTENT = frozenset(
    {
        "tool_use",
        "tool_call",
        "tool_call_chunk",
        "invalid_tool_call",
        "function_call",
        "custom_tool_call",
        "refusal",
    }
)
"""Blocks that an assistant message sends outside of `content`: tool calls and refusal have separate fields,
as reasoning has."""

_MEDIA = frozenset({"image", "image_url", "audio", "video", "file"})


def blocks_of(message: BaseMessage) -> list[Mapping[str, Any]]:
    """The blocks of a message that are no plain text."""
    if isinstance(message.content, str):
        return []
    return [block for block in message.content if isinstance(block, dict)]


def carried_by_assistant(content: list[Any]) -> list[str | Block]:
    """The blocks of an earlier answer that are part of its content.

    Providers have their own block types and add new ones: of a block that chat completions cannot
    carry, only its `text` is kept.
    """
    kept: list[str | Block] = []
    for block in content:
        if isinstance(block, str) or block.get("type") == "text":
            kept.append(block)
        elif (
            not is_thought(block) and str(block.get("type")) not in _NOT_CONTENT and read_call(block) is None
        ):
            kept += _carried(block)
    return kept


def _carried(block: Block) -> list[str | Block]:
    if (found := typed(block)).get("type") in _MEDIA:
        block = found  # as another provider has it
    try:
        _to_part(block, "an earlier answer")
    except ValueError:
        logger.debug("A content block of an earlier answer is not sent: %s", _type_of(block))
        text = block.get("text")
        return [{"type": "text", "text": text}] if isinstance(text, str) and text else []
    return [block]


def _type_of(block: Block) -> str:
    return repr(block.get("type") or sorted(map(str, block)))


def text_of(content: str | list[Any]) -> str:
    """The text blocks of a content, joined."""
    if isinstance(content, str):
        return content
    texts = [block if isinstance(block, str) else block.get("text") for block in content]
    return "".join(text for text in texts if isinstance(text, str))


def is_plain_text(block: Mapping[str, Any]) -> bool:
    """Whether a block is a text without a cache mark."""
    extras = block.get("extras")
    marked = any(block.get(name) or (isinstance(extras, dict) and extras.get(name)) for name in CACHE_MARKS)
    return block.get("type") == "text" and not marked


def result_content(content: Any, result: Mapping[str, Any]) -> str | list[Part]:
    """The content of a result; a cache mark on it goes to its last part."""
    marks = {name: result[name] for name in CACHE_MARKS if result.get(name)}
    blocks = [content] if isinstance(content, str) else [typed_result(block) for block in content]
    plain = all(isinstance(block, str) or is_plain_text(block) for block in blocks)
    if plain and not (marks and content):
        return text_of(blocks)
    parts = to_parts(blocks, where="a tool_result")
    parts[-1] = {**marks, **parts[-1]}
    return parts


def to_parts(content: list[Any], *, where: str) -> list[Part]:
    """The parts of a list content. `where` names the message in the error for an unknown block."""
    parts: list[Part] = []
    for block in content:
        part = _to_part(block, where)
        if part["type"] != "text" and (label := _label(block, None if part["type"] == "file" else "")):
            parts.append({"type": "text", "text": label})
        parts.append(part)
    return parts


def _label(block: Any, text: str | None) -> str:
    """What is said about media or a document, above its text; a file says its name itself (`None`)."""
    named = _name_of(block) if text is None else None
    lines = [block.get(name) for name in ("filename", "title", "context")]
    return "\n".join(line for line in (*lines, text) if isinstance(line, str) and line and line != named)


def _name_of(block: Block) -> Any:
    about = {**(block.get("metadata") or {}), **(block.get("extras") or {})}
    return block.get("filename") or about.get("filename") or about.get("name") or block.get("title")


def _to_part(block: str | Block, where: str) -> Part:
    if isinstance(block, str):
        return {"type": "text", "text": block}
    block_type = block.get("type")
    convert = _CONVERTERS.get(block_type) if isinstance(block_type, str) else None
    if convert is None:
        raise ValueError(
            f"Unsupported content block in {where}: {block_type!r}. Chat completions carry "
            f"{', '.join(sorted(_CONVERTERS))}."
        )
    try:
        part = legal_part(convert(block))
    except (TypeError, AttributeError, KeyError) as error:
        raise ValueError(
            f"Unsupported content block in {where}: {block_type!r} with a member of another type."
        ) from error
    extras = block.get("extras")
    for name in CACHE_MARKS:
        if mark := block.get(name) or (isinstance(extras, dict) and extras.get(name)):
            part[name] = mark
    return part


def _text(block: Block) -> Part:
    return {"type": "text", "text": str(block.get("text") or "")}


def _image_url(block: Block) -> Part:
    image_url = block.get("image_url")
    if not (image_url.get("url") if isinstance(image_url, dict) else image_url):
        raise ValueError("Unsupported content block: 'image_url' without a `url`.")
    image = {"url": image_url} if isinstance(image_url, str) else dict(image_url or {})
    return {"type": "image_url", "image_url": {**image, "url": address(image["url"])}}


def _image(block: Block) -> Part:
    image_url: dict[str, Any] = {"url": _url_of(block, "image/jpeg")}
    detail = block.get("detail") or (block.get("extras") or {}).get("detail")
    if detail:
        image_url["detail"] = detail
    return {"type": "image_url", "image_url": image_url}


def _audio(block: Block) -> Part:
    data, mime_type = _base64_of(block)
    if data is None:
        raise ValueError("Unsupported content block: 'audio' without `base64` data and `mime_type`.")
    audio = {"data": as_base64(data), "format": audio_format(mime_type or "audio/wav")}
    return {"type": "input_audio", "input_audio": audio}


def _input_audio(block: Block) -> Part:
    return {"type": "input_audio", "input_audio": block.get("input_audio") or {}}


def _file(block: Block) -> Part:
    if isinstance(block.get("file"), dict):
        return {"type": "file", "file": dict(block["file"])}
    named = _name_of(block)
    file: dict[str, Any] = {"filename": named} if named else {}
    file_id = block.get("file_id") or (block.get("id") if block.get("source_type") == "id" else None)
    file_id = file_id or (block.get("source") or {}).get("file_id")
    if file_id:
        return {"type": "file", "file": {"file_id": file_id}}
    data, mime_type = _base64_of(block)
    if data is None:
        url = _remote_url_of(block)
        if url is None:
            raise ValueError(
                "Unsupported content block: 'file' needs `base64` with `mime_type`, `url` or `file_id`."
            )
        return {"type": "file", "file": {"file_data": address(url, "file"), **file}}
    mime_type = mime_type or ("text/plain" if block.get("type") == "text-plain" else None)
    return file_part(data, mime_type, named)


def _document(block: Block) -> Part:
    """An Anthropic document: a PDF, or plain text."""
    source = block.get("source") or {}
    if source.get("type") == "text":
        return {"type": "text", "text": _label(block, str(source.get("data") or ""))}
    return _file(block)


def _text_plain(block: Block) -> Part:
    text = block.get("text")
    return {"type": "text", "text": _label(block, text)} if isinstance(text, str) else _file(block)


def _video(block: Block) -> Part:
    return {"type": "video_url", "video_url": {"url": _url_of(block, "video/mp4")}}


def _video_url(block: Block) -> Part:
    video_url = block.get("video_url")
    video = {"url": video_url} if isinstance(video_url, str) else dict(video_url or {})
    return {"type": "video_url", "video_url": {**video, "url": address(video.get("url") or "", "video")}}


_CONVERTERS: dict[str, Callable[[Block], Part]] = {
    "text": _text,
    "text-plain": _text_plain,
    "image": _image,
    "image_url": _image_url,
    "audio": _audio,
    "input_audio": _input_audio,
    "file": _file,
    "document": _document,
    "video": _video,
    "video_url": _video_url,
}
"""Block type -> converter. `image_url`, `input_audio` and `file` with a `file` are the wire's; the others
are LangChain's standard blocks, in their v1 and v0 forms, and Anthropic's."""


def _url_of(block: Block, default_mime_type: str) -> str:
    url = _remote_url_of(block)
    if url is not None:
        return address(url, default_mime_type.partition("/")[0])
    data, mime_type = _base64_of(block)
    if data is None:
        raise ValueError(
            f"Unsupported content block: {block.get('type')!r} needs `url`, or `base64` with `mime_type`."
        )
    return data_url(data, mime_type or default_mime_type, default_mime_type.partition("/")[0])


def _remote_url_of(block: Block) -> str | None:
    source = block.get("source")
    url = source.get("url") if isinstance(source, dict) else block.get("url")
    return url if isinstance(url, str) and url else None


def _base64_of(block: Block) -> tuple[str | bytes | None, str | None]:
    """Data and MIME type: v1 `base64`, v0 `data`, Anthropic `source`; each may be bytes or a data URL."""
    source = block.get("source")
    if isinstance(source, dict):
        data, mime_type = source.get("data"), source.get("media_type")
    else:
        data = block.get("base64") or (block.get("data") if block.get("source_type") == "base64" else None)
        mime_type = block.get("mime_type")
        if data is None and str(url := block.get("url"))[:5].lower() == "data:":
            data = url
    if isinstance(data, str) and data[:5].lower() == "data:":
        mime_type = data[5:].partition(",")[0].partition(";")[0] or mime_type
    return data, mime_type
