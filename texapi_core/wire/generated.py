"""What an answer holds beside text, reasoning and tool calls: images, sound, citations."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from texapi_core.wire.media_types import audio_format, first_bytes, media_type

CONTENT_PARTS = "content_parts"
"""Key of a message's extras: the parts of its `content` that are neither text nor reasoning."""
PARTS = (CONTENT_PARTS, "tool_outputs")
"""Keys of a message's extras that may hold images among other things; langchain-openai has the second one."""
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,([A-Za-z0-9+/]+={0,2})")
_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**64 - 1


def storable(value: Any) -> Any:
    """A JSON value that every store and every request takes.

    Integers beyond 64 bits, which LangGraph's checkpoints refuse, and numbers that are not finite, which no
    request may hold, become text.
    """
    if isinstance(value, dict):
        return {name: storable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [storable(inner) for inner in value]
    if isinstance(value, int):
        return value if _MIN_INTEGER <= value <= _MAX_INTEGER else str(value)
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True, slots=True)
class Audio:
    """A spoken answer."""

    id: str | None
    """By which the provider finds it, until `expires_at`."""
    data: str | None
    """Base64."""
    format: str | None
    """By its first bytes; `None` when they do not show it, as with PCM."""
    transcript: str | None
    expires_at: float | None
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Citation:
    """A web page that the answer rests on."""

    url: str
    title: str | None
    start: int | None
    """Where in the answer's text the cited part begins."""
    end: int | None
    text: str | None
    """What the page says."""


def read_images(extras: Mapping[str, Any]) -> list[str]:
    """URLs of the images of an answer, `data:` URLs for those that came with it, each once."""
    urls = [_image_url(entry, is_image=True) for entry in _list(extras.get("images"))]
    urls += [_image_url(part) for name in PARTS for part in _list(extras.get(name))]
    return list(dict.fromkeys(url for url in urls if url))


def _image_url(entry: Any, *, is_image: bool = False) -> str | None:
    if not isinstance(entry, dict):
        is_url = isinstance(entry, str) and entry.startswith(("data:image/", "http"))
        return entry if is_url else None
    is_image = is_image or "image" in str(entry.get("type"))
    for name in ("image_url", "url", "source"):
        if isinstance(entry.get(name), (str, dict)):
            return _image_url(entry[name], is_image=is_image)
    inline = entry.get("inline_data") or entry.get("inlineData") or entry
    names = ("data", "b64_json", "result")
    data = next(filter(None, map(inline.get, names)), None) if isinstance(inline, dict) else None
    if not isinstance(data, str):
        return None
    given = inline.get("mime_type") or inline.get("mimeType") or inline.get("media_type")
    # What has `data` may be anything, e.g. encrypted reasoning.
    mime_type = given or media_type(first_bytes(data)) or ("image/png" if is_image else "")
    return f"data:{mime_type};base64,{data}" if str(mime_type).startswith("image/") else None


def split_data_url(url: str) -> tuple[str, str] | None:
    """MIME type and base64 of a `data:` URL; `None` for any other."""
    match = _DATA_URL.fullmatch(url)
    return (match[1], match[2]) if match else None


def read_audio(extras: Mapping[str, Any]) -> Audio | None:
    """The sound of an answer."""
    audio = extras.get("audio")
    if not isinstance(audio, dict):
        return None
    data, expires_at = _text(audio.get("data")), audio.get("expires_at")
    kind = media_type(first_bytes(data or ""), "audio") or ""
    return Audio(
        id=_text(audio.get("id")),
        data=data,
        format=audio_format(kind) if kind.startswith("audio/") else None,
        transcript=_text(audio.get("transcript")),
        expires_at=expires_at if isinstance(expires_at, (int, float)) else None,
    )


def read_annotations(extras: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The annotations of an answer's text."""
    return [annotation for annotation in _list(extras.get("annotations")) if isinstance(annotation, dict)]


def read_citation(annotation: Mapping[str, Any]) -> Citation | None:
    """The web page that an annotation cites, `None` for an annotation of another kind."""
    cited = annotation.get("url_citation")
    cited = cited if isinstance(cited, dict) else annotation
    url = _text(cited.get("url"))
    if url is None:
        return None
    return Citation(
        url,
        _text(cited.get("title")),
        _position(cited.get("start_index")),
        _position(cited.get("end_index")),
        _text(cited.get("content")),
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _position(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
