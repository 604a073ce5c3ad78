"""The strict check of media: each is labelled as what its first bytes are."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from tests.gateway.refusal import invalid

_SIGNATURES = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
}
_DATA_URL = re.compile(r"data:(image/[\w.+-]+);base64,(.*)", re.DOTALL)


def check_media(messages: list[dict[str, Any]]) -> None:
    """Check that images are of the type that they are declared as, by their first bytes."""
    for index, message in enumerate(messages):
        content = message.get("content")
        for at, part in enumerate(content if isinstance(content, list) else ()):
            if part.get("type") == "image_url":
                _check_image(part["image_url"]["url"], f"messages.{index}.content.{at}.image.source.base64")


def _check_image(url: str, path: str) -> None:
    matched = _DATA_URL.fullmatch(url)
    if not matched:
        return
    declared, data = matched.groups()
    try:
        start = base64.b64decode(data[:64] + "=" * (-len(data[:64]) % 4))
    except binascii.Error:
        raise invalid(path, f"{path}: invalid base64 data") from None
    actual = next((kind for kind, signature in _SIGNATURES.items() if signature.match(start)), declared)
    if actual != declared:
        raise invalid(
            path,
            f"{path}: The image was specified using the {declared} media type, but the image appears to be "
            f"a {actual} image",
        )
