"""The bytes of a body decompressed piece by piece, since a small one may unpack to gigabytes: readers count.

`gzip` and `deflate` are decoded here, since the HTTP library of openai 2 unpacks each packet at once. Other
codings are left to the HTTP library: `Decoder.packets` then returns its decoded bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import suppress
from typing import Any

_PIECE = 2**16
"""Most bytes that are decompressed at a time."""
_SLICE = 2**12
"""Bytes of later gzip members that are fed at a time, since the end of each copies what comes after it."""
_GZIP = b"\x1f\x8b"
_OWN_CODINGS = frozenset({"gzip", "x-gzip", "deflate"})


def decoder_of(response: Any) -> Decoder:
    """The decoder of the packets of a response."""
    coding = _coding(response)
    # A hook of the user may have read the body: then the library has decoded it.
    is_left_to_library = response.is_stream_consumed or coding not in {"", "identity", *_OWN_CODINGS}
    return Decoder(None if is_left_to_library else coding)


def _coding(response: Any) -> str:
    coding: str = response.headers.get("content-encoding", "")
    return coding.strip().lower()


class Decoder:
    """Decodes the packets of one body.

    `coding`: `None` where the HTTP library decodes.
    """

    def __init__(self, coding: str | None) -> None:
        self.decodes = coding in _OWN_CODINGS
        """Whether packets are to be fed; else they are the bytes of the body."""
        self._is_raw = coding is not None
        self._decompressor = zlib.decompressobj(zlib.MAX_WBITS | 32) if self.decodes else None
        self._at_start = True
        self._after_member: bytes | None = None
        """The first two bytes after the end of a gzip member, `None` inside of one."""

    def packets(self, response: Any) -> Iterator[bytes]:
        """The packets of the response."""
        packets: Iterator[bytes] = response.iter_raw() if self._is_raw else response.iter_bytes()
        return packets

    def apackets(self, response: Any) -> AsyncIterator[bytes]:
        """Async twin of `packets`."""
        packets: AsyncIterator[bytes] = response.aiter_raw() if self._is_raw else response.aiter_bytes()
        return packets

    def feed(self, packet: bytes) -> Iterator[bytes]:
        """The decoded bytes of a packet, in pieces. Raises `zlib.error` for a corrupt body."""
        if self._after_member is None:
            packet = yield from self._in_member(packet)
        for start in range(0, len(packet), _SLICE):
            rest = packet[start : start + _SLICE]
            while rest:
                rest = yield from self._in_member(self._next_member(rest))

    def _in_member(self, packet: bytes) -> Generator[bytes, None, bytes]:
        """The decoded bytes of a packet, which returns what comes after the end of the gzip member."""
        assert self._decompressor is not None
        while packet:
            piece = self._decompress(packet)
            packet = self._decompressor.unconsumed_tail
            if piece:
                yield piece
        if not self._decompressor.eof or self._after_member is not None:
            return b""
        self._after_member = b""
        return self._decompressor.unused_data

    def _next_member(self, rest: bytes) -> bytes:
        """The start of another gzip member, `b""` where there is none: padding and junk are ignored."""
        if self._after_member is None:
            return rest
        rest = (self._after_member + rest).lstrip(b"\0")
        if rest.startswith(_GZIP):
            self._after_member = None
            self._decompressor = zlib.decompressobj(zlib.MAX_WBITS | 16)
            return rest
        self._after_member = rest[:2]
        return b""

    def _decompress(self, packet: bytes) -> bytes:
        assert self._decompressor is not None
        is_first, self._at_start = self._at_start, False
        try:
            return self._decompressor.decompress(packet, _PIECE)
        except zlib.error:
            if not is_first:
                raise
        self._decompressor = zlib.decompressobj(-zlib.MAX_WBITS)  # `deflate` without zlib's header
        return self._decompressor.decompress(packet, _PIECE)


def decode_start(response: Any, body: bytes, limit: int) -> bytes:
    """The first `limit` bytes of a raw body, decoded as far as it is intact.

    Of a coding that is not decoded here, nothing; text as it is if it is not compressed after all.
    """
    coding = _coding(response)
    if coding in ("", "identity"):
        return body[:limit]
    decoded = bytearray()
    if coding in _OWN_CODINGS:
        with suppress(zlib.error):
            for piece in Decoder(coding).feed(body):
                if len(decoded) + len(piece) > limit:
                    break
                decoded += piece
    if not decoded:
        try:
            body.decode()
        except UnicodeDecodeError:
            return b""
        return body[:limit]
    return bytes(decoded)
