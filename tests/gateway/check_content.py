"""The strict check of media: each is labelled as what its first bytes are."""

from __future__ import annotations

import base64
import re
from typing import Any

from tests.gateway.refusal import invalid

_SIGNATURES = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "application/pdf": re.compile(rb"%PDF-"),
    "audio/wav": re.compile(rb"RIFF....WAVE", re.DOTALL),
    "audio/mp3": re.compile(rb"ID3[\x02-\x04]|\xff\xfb"),
    "audio/flac": re.compile(rb"fLaC"),
    "video/webm": re.compile(rb"\x1aE\xdf\xa3"),
    "video/mp4": re.compile(rb"....ftyp(isom|mp4)", re.DOTALL),
}
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_DATA_URL = re.compile(r"data:(\w+/[\w.+-]+)((?:;[\w=-]+)*);base64,(.*)", re.DOTALL)
_ENDING = re.compile(r".+\.\w+")


def check_media(messages: list[dict[str, Any]]) -> None:
    """Check that media are of the type that they are declared as, by their first bytes."""
    for index, message in enumerate(messages):
        content = message.get("content")
        for at, part in enumerate(content if isinstance(content, list) else ()):
            path = f"messages.{index}.content.{at}"
            if part.get("type") == "image_url":
                _check_data_url(part["image_url"]["url"], f"{path}.image.source.base64", "image")
            elif part.get("type") == "video_url":
                _check_data_url(part["video_url"]["url"], f"{path}.video", "video")
            elif part.get("type") == "file":
                _check_file(part["file"], path)
            elif part.get("type") == "input_audio":
                _check_audio(part["input_audio"], path)


def _check_file(file: dict[str, Any], path: str) -> None:
    data = file.get("file_data")
    if not isinstance(data, str) or data.startswith(("http://", "https://")):
        return
    _check_data_url(data, f"{path}.document.source", "")
    if not _ENDING.fullmatch(file.get("filename") or ""):
        raise invalid(
            f"{path}.file.filename",
            "Invalid input: Expected context stuffing file type to be a supported format: .pdf but got none.",
        )


def _check_audio(audio: dict[str, Any], path: str) -> None:
    """Check the format among those of sound: sound is in containers of video too."""
    actual = _type_of(audio["data"], path)
    if actual.startswith("audio/") and actual != f"audio/{audio['format']}":
        raise invalid(path, f"{path}: The audio is not of the format '{audio['format']}' but {actual}.")


def _check_data_url(url: str, path: str, kind: str) -> None:
    if url.startswith(("http://", "https://")):
        return
    matched = _DATA_URL.fullmatch(url)
    if not matched or (matched[2] and not matched[1].startswith("text/")):
        raise invalid(
            path, f"{path}: Expected a base64-encoded data URL with a MIME type, but got another value."
        )
    if not matched[1].startswith(kind):
        raise invalid(path, f"{path}: Unsupported MIME type: '{matched[1]}'.")
    _check_data(matched[1], matched[3], path)


def _check_data(declared: str, data: str, path: str) -> None:
    declared = declared.replace("audio/mpeg", "audio/mp3")
    actual = _type_of(data, path) or declared
    if actual != declared:
        raise invalid(
            path,
            f"{path}: The image was specified using the {declared} media type, but the image appears to be "
            f"a {actual} image",
        )


def _type_of(data: str, path: str) -> str:
    """The type by the first bytes, empty if they show none."""
    if not _BASE64.fullmatch(data) or len(data) % 4:
        raise invalid(path, f"{path}: invalid base64 data")
    start = base64.b64decode(data[:64])
    return next((kind for kind, signature in _SIGNATURES.items() if signature.match(start)), "")
