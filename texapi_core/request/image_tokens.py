"""How many tokens an image has, by its size and by how a model counts.

A rule is text in the model table:

- `tiles BASE EACH`: the image is scaled down to fit 2,048 pixels, and its short side 768; each started square
  of 512 pixels counts. OpenAI, https://platform.openai.com/docs/guides/images-vision
- `patches SIDE LONGEST MOST TIMES`: it is scaled down to a longest side and to a number of patches. Claude,
  https://platform.claude.com/docs/en/build-with-claude/vision, and newer models of OpenAI
- `squares SIDE EACH`: up to 384 pixels it counts once, else each started square does. Gemini 2,
  https://ai.google.dev/gemini-api/docs/tokens
- `fixed TOKENS`: whatever its size. Gemini 3, https://ai.google.dev/gemini-api/docs/media-resolution
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Callable

DEFAULT_RULE = "patches 28 1568 1568 1"
"""For models of which nothing is known."""
DEFAULT_SIZE = (1024, 1024)
"""Pixels, for images whose size is not known, e.g. those of an address."""
_HEAD = 65_536
"""Characters of base64 in which the size is looked for: a JPEG has its thumbnail before it."""
_MAX_SIDE = 32_768
_URL_SAFE = str.maketrans("-_", "+/")
_LOW_DETAIL = 512
"""Pixels to which OpenAI scales an image with `detail="low"`."""


def image_tokens(rule: str | None, size: tuple[int, int] | None, detail: str | None = None) -> int:
    """The tokens of an image of `size` (width and height in pixels), by a rule of the model table."""
    kind, *figures = (rule or DEFAULT_RULE).split()
    width, height = size or DEFAULT_SIZE
    return math.ceil(_RULES[kind](width, height, detail == "low", *map(float, figures)))


def _tiles(width: float, height: float, is_low: bool, base: float, each: float) -> float:
    if is_low:
        return base
    scale = min(1.0, 2048 / max(width, height), 768 / min(width, height))
    return base + each * _squares_in(math.floor(width * scale), math.floor(height * scale), 512)


def _patches(
    width: float, height: float, is_low: bool, side: float, longest: float, most: float, times: float
) -> float:
    if is_low and side == 32:
        longest = min(longest, _LOW_DETAIL)
    scale = min(1.0, longest / max(width, height))
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    patches: float = _squares_in(width, height, side)
    if patches > most:
        scale = math.sqrt(most * side * side / (width * height))
        across, down = width * scale / side, height * scale / side
        scale *= min(max(1, math.floor(across)) / across, max(1, math.floor(down)) / down)
        patches = min(most, _squares_in(width * scale, height * scale, side))
    return patches * times


def _squares(width: float, height: float, is_low: bool, side: float, each: float) -> float:
    return each if max(width, height) <= 384 else each * _squares_in(width, height, side)


def _fixed(width: float, height: float, is_low: bool, tokens: float) -> float:
    return tokens


_RULES: dict[str, Callable[..., float]] = {
    "tiles": _tiles,
    "patches": _patches,
    "squares": _squares,
    "fixed": _fixed,
}


def _squares_in(width: float, height: float, side: float) -> int:
    return max(1, math.ceil(round(width / side, 6))) * max(1, math.ceil(round(height / side, 6)))


def image_size(source: str | bytes) -> tuple[int, int] | None:
    """Width and height of an image: of its bytes, in base64 of any kind or in a `data:` URL.

    At most 32,768 pixels each, which no provider takes; `None` if they cannot be read.
    """
    try:
        size = _size_in(source[:_HEAD] if isinstance(source, bytes) else _decoded(source))
    except (binascii.Error, ValueError, struct.error, IndexError):
        return None
    return size and (min(size[0], _MAX_SIDE), min(size[1], _MAX_SIDE))


def _decoded(source: str) -> bytes:
    head, separator, _ = source[:256].lower().partition(";base64,")
    start = len(head) + len(separator) if separator else 0
    if not separator and ":" in head:
        return b""
    encoded = "".join(source[start : start + _HEAD].translate(_URL_SAFE).split()).rstrip("=")
    encoded = encoded[: len(encoded) - (len(encoded) % 4 == 1)]
    return base64.b64decode(encoded + "=" * (-len(encoded) % 4))


def _size_in(content: bytes) -> tuple[int, int] | None:
    width, height = 0, 0
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        width, height = struct.unpack(">II", content[16:24])
    elif content[:4] == b"GIF8":
        width, height = struct.unpack("<HH", content[6:10])
    elif content[:2] == b"\xff\xd8":
        width, height = _size_in_jpeg(content)
    elif content[:2] == b"BM":
        width, height = map(abs, struct.unpack("<ii", content[18:26]))
    elif content[4:8] == b"ftyp" and (at := content.find(b"ispe")) > 0:  # AVIF, HEIC
        width, height = struct.unpack(">II", content[at + 8 : at + 16])
    elif content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        width, height = _size_in_webp(content)
    return (width, height) if width and height else None


def _size_in_jpeg(content: bytes) -> tuple[int, int]:
    place = 2
    while place + 9 <= len(content):
        marker = content[place + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", content[place + 5 : place + 9])
            return width, height
        place += 2 + struct.unpack(">H", content[place + 2 : place + 4])[0]
    return 0, 0


def _size_in_webp(content: bytes) -> tuple[int, int]:
    kind = content[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", content[26:30])
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        bits = struct.unpack("<I", content[21:25])[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return (
        int.from_bytes(content[24:27], "little") + 1,
        int.from_bytes(content[27:30], "little") + 1,
    )
