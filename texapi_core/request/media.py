"""Images, sound, video and files of a request, labelled by what their first bytes are.

Providers refuse a picture under another type than its own, e.g. a JPEG that is called `.png`. What was given
or guessed is used where the bytes say nothing.
"""

from __future__ import annotations

import base64
import io
import mimetypes
import re
import string
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote_to_bytes

from texapi_core.wire.media_types import SNIFFED, audio_format, first_bytes, media_type

Part = dict[str, Any]

_OFFICE = "application/vnd.openxmlformats-officedocument."
_IN_ZIP = {
    "word/": f"{_OFFICE}wordprocessingml.document",
    "xl/": f"{_OFFICE}spreadsheetml.sheet",
    "ppt/": f"{_OFFICE}presentationml.presentation",
}
"""A folder in a zip file -> the type of office document that it is."""
_SAME = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "application/x-pdf": "application/pdf",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/mp3": "audio/mpeg",
}
"""Other names of a type that providers refuse."""
_UNKNOWN = frozenset({"", "application/octet-stream", "application/zip", "application/x-zip-compressed"})
_ENDINGS = {
    "application/pdf": ".pdf",
    "text/plain": ".txt",
    "text/csv": ".csv",
    "text/markdown": ".md",
    "text/html": ".html",
    "application/json": ".json",
    "application/xml": ".xml",
    "application/msword": ".doc",
    "application/vnd.ms-excel": ".xls",
    "application/vnd.ms-powerpoint": ".ppt",
    "application/rtf": ".rtf",
    "application/epub+zip": ".epub",
    **{
        _IN_ZIP[folder]: ending
        for folder, ending in (("word/", ".docx"), ("xl/", ".xlsx"), ("ppt/", ".pptx"))
    },
}
"""The usual ending of a type; `mimetypes` depends on the files of the machine."""
_DEFAULTS = {"image": "image/png", "video": "video/mp4", "audio": "audio/wav"}
_KINDS = {"image_url": "image", "video_url": "video"}
_MEDIA_PARTS = (*_KINDS, "input_audio", "file")
_ALPHABET = f"{string.ascii_letters}{string.digits}+/".encode()
_STANDARD = str.maketrans("-_", "+/", " \n\r\t")


def data_url(content: bytes | str, given: str | None = None, kind: str = "") -> str:
    """Bytes, base64 or a data URL as the data URL that providers take."""
    if isinstance(content, str) and is_data_url(content):
        return legal_data_url(content, kind)
    return legal_data_url(f"data:{given or ''};base64,{as_base64(content)}", kind)


def as_base64(content: bytes | str) -> str:
    """Bytes, base64 in any alphabet and layout, or the content of a data URL, as plain base64."""
    if isinstance(content, str):
        return _content_of(content) if is_data_url(content) else _plain_base64(content)
    text = content[:SNIFFED].translate(None, b" \n\r\t")
    if media_type(content) is None and re.fullmatch(rb"[A-Za-z0-9+/_=-]+", text):
        with suppress(ValueError):
            encoded = _plain_base64(content.decode("ascii", "replace"))
            if media_type(first_bytes(encoded)) is not None:
                return encoded  # bytes of base64
    return base64.b64encode(content).decode()


def legal_data_url(url: str, kind: str = "") -> str:
    """The data URL as plain base64 under the type that its bytes have; the same if it is so already."""
    parameters = url[len("data:") : url.index(",")].split(";")
    given = parameters[0].strip().lower()
    data = _content_of(url)
    sniffed = media_type(first_bytes(data), kind)
    mime_type = sniffed or _SAME.get(given, given)
    if mime_type in _UNKNOWN or "/" not in mime_type or (sniffed is None and mime_type == "application/pdf"):
        mime_type = _office_type(data) or _DEFAULTS.get(kind) or _file_type(data, mime_type)
    stripped = [each.strip() for each in parameters[1:]]
    kept = [each for each in stripped if mime_type.startswith("text/") and each not in ("", "base64")]
    return f"data:{';'.join([mime_type, *kept, 'base64'])},{data}"


def address(url: Any, kind: str = "image") -> str:
    """The address of media by `http`, `https` or `data`, as providers take it; base64 as a data URL.

    Raises:
        ValueError: an address that a provider cannot read, e.g. a path of this machine.
    """
    text = str(url).strip()
    scheme, separator, rest = text.partition(":")
    if separator and scheme.lower() in ("http", "https", "data"):
        return f"{scheme.lower()}:{rest}"
    if not separator:
        with suppress(ValueError):
            if found := media_type(first_bytes(_plain_base64(text)), kind):
                return data_url(text, found, kind)
    raise ValueError(
        f"Unsupported content block: the address {text[:40]!r} of the {kind} is none that a provider can "
        "read. Give an https address, a data URL or the bytes. Nothing was sent."
    )


def legal_part(part: Part) -> Part:
    """The part of media under the type that its bytes have, a file with a name that ends so; else the same.

    Raises:
        ValueError: media that no provider can read.
    """
    kind = part.get("type")
    if kind not in _MEDIA_PARTS:
        return part
    held = part.get(kind)
    if not isinstance(held, Mapping):
        raise ValueError(f"Unsupported content block: '{kind}' with a member of another type.")
    if kind in _KINDS and is_data_url(held.get("url")):
        legal = legal_data_url(held["url"], _KINDS[kind])
        if not legal.startswith(f"data:{_KINDS[kind]}/"):
            return _part_of_another_kind(part, legal)
        return {**part, kind: {**held, "url": legal}}
    if kind == "input_audio":
        data = as_base64(_content(held, "data", kind))
        sniffed = media_type(first_bytes(data), "audio") or ""
        if sniffed and not sniffed.startswith("audio/"):
            return _part_of_another_kind(part, f"data:{sniffed};base64,{data}")
        given = held.get("format")
        found = audio_format(sniffed if sniffed.startswith("audio/") else str(given or "wav"))
        return {**part, kind: {**held, "data": data, "format": found}}
    if kind == "file" and not (isinstance(held.get("file_id"), str) and held["file_id"]):
        return {**part, kind: _legal_file(held)}
    return part


def _content(held: Mapping[str, Any], name: str, kind: str) -> str | bytes:
    content = held.get(name)
    if not isinstance(content, (str, bytes)) or not content:
        raise ValueError(f"Unsupported content block: '{kind}' without `{name}`.")
    return content


def _part_of_another_kind(part: Part, url: str) -> Part:
    """The part of the kind that a data URL is of, e.g. of a file for a PDF that is called an image."""
    rest = {name: value for name, value in part.items() if name != part["type"]}
    mime_type, _, data = url[len("data:") :].partition(";base64,")
    kind = mime_type.partition("/")[0]
    if kind in ("image", "video"):
        return {**rest, "type": f"{kind}_url", f"{kind}_url": {"url": url}}
    if kind == "audio":
        sound = {"data": data, "format": audio_format(mime_type)}
        return {**rest, "type": "input_audio", "input_audio": sound}
    return {**rest, "type": "file", "file": _legal_file({"file_data": url})}


def file_part(content: bytes | str, mime_type: str | None, name: str | None) -> Part:
    """The part of a file, with a name that ends as its type does."""
    file = {"filename": name or "", "file_data": data_url(content, mime_type or _guessed(name))}
    return {"type": "file", "file": _legal_file(file)}


def _legal_file(file: Mapping[str, Any]) -> dict[str, Any]:
    data, name = _content(file, "file_data", "file"), file.get("filename")
    name = name if isinstance(name, str) else None
    if isinstance(data, str) and ":" in data and not is_data_url(data):
        return {**file, "file_data": address(data, "file")}
    legal = data_url(data, _guessed(name))
    if not (name and PurePosixPath(name).suffix):
        name = f"{name or 'document'}{_ending_of(legal[len('data:') : legal.index(';')])}"
    named = file if "filename" in file else {"filename": name, **file}
    return {**named, "filename": name, "file_data": legal}


def _guessed(name: Any) -> str | None:
    return mimetypes.guess_type(str(name))[0] if name else None


def _ending_of(mime_type: str) -> str:
    kind, _, subtype = mime_type.partition("/")
    usual = f".{audio_format(subtype)}" if kind in _DEFAULTS and subtype.isalnum() else ".bin"
    return _ENDINGS.get(mime_type) or mimetypes.guess_extension(mime_type) or usual


def is_data_url(url: Any) -> bool:
    """Whether a value is a data URL."""
    return isinstance(url, str) and url[:5].lower() == "data:" and "," in url


def _content_of(url: str) -> str:
    """The content of a data URL as plain base64."""
    comma = url.index(",")
    content = url[comma + 1 :]
    if url[:comma].lower().endswith("base64"):
        return _plain_base64(content)
    return _plain_base64(base64.b64encode(unquote_to_bytes(content)).decode())


def _plain_base64(text: str) -> str:
    """Base64 without line ends, in the standard alphabet, with padding.

    Raises:
        ValueError: something else than base64.
    """
    further = text.encode("ascii", "replace").translate(None, _ALPHABET)
    if further.strip(b"="):
        text = (unquote_to_bytes(text).decode("ascii", "replace") if "%" in text else text).translate(
            _STANDARD
        )
        further = text.encode("ascii", "replace").translate(None, _ALPHABET)
    padding = "=" * len(further)
    length = len(text) - len(padding)
    if further.strip(b"=") or not text.endswith(padding) or not length or length % 4 == 1:
        raise ValueError(
            "Unsupported content block: media whose data are empty or not base64. Give bytes, base64 or a "
            "data URL. Nothing was sent."
        )
    missing = -length % 4 - len(padding)
    return text + "=" * missing if missing >= 0 else text[:missing]


def _file_type(data: str, given: str) -> str:
    """The type of a file without a signature: text, or what was given, or what most files are.

    LangChain gives the type of a PDF to each file in OpenAI's form.
    """
    start = first_bytes(data)
    is_text = bool(start) and b"\0" not in start and "\ufffd" not in start[:-4].decode("utf-8", "replace")
    if is_text and b"%PDF-" not in start:
        return "text/plain"
    return given if "/" in given else "application/pdf"


def _office_type(data: str) -> str | None:
    """The type of an office document, which is a zip file with a folder that shows it."""
    if not first_bytes(data).startswith(b"PK\x03\x04"):
        return None
    with (
        suppress(ValueError, zipfile.BadZipFile),
        zipfile.ZipFile(io.BytesIO(base64.b64decode(data))) as file,
    ):
        names = file.namelist()
        found = (kind for folder, kind in _IN_ZIP.items() if any(name.startswith(folder) for name in names))
        return next(found, "application/zip")
    return None
