"""Types of media by the first bytes of their content, in answers and in requests."""

from __future__ import annotations

import base64
import re
from contextlib import suppress

_SIGNATURES: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), mime_type)
    for pattern, mime_type in (
        (rb"\x89PNG\r\n\x1a\n", "image/png"),
        (rb"\xff\xd8\xff", "image/jpeg"),
        (rb"GIF8[79]a", "image/gif"),
        (rb"RIFF....WEBP", "image/webp"),
        (rb"BM.{4}\0{4}", "image/bmp"),
        (rb"II\*\0|MM\0\*", "image/tiff"),
        (rb"\0\0\x01\0.", "image/x-icon"),
        (rb"....ftyp(avif|avis|mif1.{4}[a-z0-9]*avif)", "image/avif"),
        (rb"....ftyp(hei[cxms]|hev[cxms])", "image/heic"),
        (rb"....ftyp(mif1|msf1)", "image/heif"),
        (
            rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg[\s>]",
            "image/svg+xml",
        ),
        (rb"(\xef\xbb\xbf)?\s*%PDF-", "application/pdf"),
        (rb"RIFF....WAVE", "audio/wav"),
        (rb"fLaC", "audio/flac"),
        (rb"\xff[\xf0\xf1\xf8\xf9]", "audio/aac"),
        (rb"ID3[\x02-\x04]|\xff[\xe2\xe3\xf2\xf3\xfa-\xfd]", "audio/mpeg"),
        (rb"FORM....AIF[FC]", "audio/aiff"),
        (rb"#!AMR", "audio/amr"),
        (rb"....ftypM4[AB] ", "audio/mp4"),
        (rb"....ftypqt  |....(moov|mdat|wide)", "video/quicktime"),
        (rb"....ftyp3g", "video/3gpp"),
        (rb"RIFF....AVI ", "video/x-msvideo"),
        (rb"FLV\x01", "video/x-flv"),
        (rb"\0\0\x01[\xb3\xba]", "video/mpeg"),
    )
)
"""The first bytes of a type that holds one kind of media."""
_CONTAINERS = (
    (re.compile(rb"....ftyp", re.DOTALL), "video", "mp4"),
    (re.compile(rb"\x1aE\xdf\xa3"), "video", "webm"),
    (re.compile(rb"OggS"), "audio", "ogg"),
    (re.compile(rb"\x30\x26\xb2\x75"), "video", "x-ms-asf"),
)
"""Types that hold sound or video: the kind that was asked for, else the usual one."""
SNIFFED = 1024
"""Characters or bytes that identify a type."""
_FORMATS = {"x-wav": "wav", "wave": "wav", "mpeg": "mp3", "x-m4a": "m4a", "mp4": "m4a", "x-flac": "flac"}
"""MIME subtype -> `format` of an `input_audio` part where they differ."""


def media_type(start: bytes, kind: str = "") -> str | None:
    """The MIME type by the first bytes, `None` if they show none; `kind` is e.g. `audio`."""
    for signature, mime_type in _SIGNATURES:
        if signature.match(start):
            return mime_type
    for signature, usual, subtype in _CONTAINERS:
        if signature.match(start):
            return f"{kind if kind in ('audio', 'video') else usual}/{subtype}"
    return None


def audio_format(mime_type: str) -> str:
    """The name of a type of sound in chat completions: `format` of an `input_audio` part."""
    subtype = mime_type.lower().rpartition("/")[2].partition(";")[0].strip()
    return _FORMATS.get(subtype, subtype)


def first_bytes(data: str) -> bytes:
    """The start of a content in base64, as long as `media_type` needs it."""
    with suppress(ValueError):
        return base64.b64decode(data[:SNIFFED])
    return b""
