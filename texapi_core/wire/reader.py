"""The bytes of a streamed answer read, without I/O: `StreamReader.feed(packet)` turns them into deltas."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from texapi_core.wire.error_answers import raise_for_error_object
from texapi_core.wire.json import parse_json_object
from texapi_core.wire.sse import BYTE_ORDER_MARK, ServerSentEvent, SSEDecoder
from texapi_core.wire.stream import StreamState, parse_error
from texapi_core.wire.values import ChatDelta, CutStream, ErrorAnswer, MalformedAnswer

_SSE_START = re.compile(rb"(?:data|event|id|retry)?:")


def looks_like_sse(start: bytes) -> bool:
    """Whether the start of a body is that of an event stream: content types cannot be trusted."""
    return _SSE_START.match(start) is not None


class StreamReader:
    """Bytes of a streamed answer -> its deltas, then the reply. No I/O.

    A gateway may answer a request for a stream with one JSON document, which is read as a stream of
    one chunk. Anything else that is no stream raises `MalformedAnswer` at its end.
    """

    def __init__(self, *, think_tags: bool = False) -> None:
        self.state = StreamState(think_tags=think_tags)
        self._decoder = SSEDecoder()
        self._start = bytearray()
        self._is_sse: bool | None = None
        self._failure: Exception | None = None
        self.done = False
        """Whether nothing more is to be read: the stream ended, or could not be understood."""

    def feed(self, packet: bytes) -> list[ChatDelta]:
        """The deltas that this packet completes. `finish` raises what could not be read."""
        if not self._is_sse:
            packet = self._sniff(packet)
        return self._read(self._decoder.feed(packet)) if packet else []

    def _sniff(self, packet: bytes) -> bytes:
        """All bytes so far once they are known to be events, `b""` until then."""
        self._start += packet
        if self._is_sse is None:
            start = bytes(self._start).removeprefix(BYTE_ORDER_MARK).lstrip()
            self._start = bytearray(start)
            if len(start) >= len("event:"):
                self._is_sse = looks_like_sse(start)
        if not self._is_sse:
            return b""
        packet = bytes(self._start)
        self._start.clear()
        return packet

    def _read(self, events: list[ServerSentEvent]) -> list[ChatDelta]:
        deltas = []
        for event in events:
            try:
                delta = self.state.feed_event(event)
            except (ErrorAnswer, MalformedAnswer) as error:
                if self.state.has_finished:
                    continue  # the answer is complete: only usage may still come
                self._failure, self.done = error, True
                break
            except Exception as error:
                self._failure, self.done = error, True
                break
            if delta is not None:
                deltas.append(delta)
            if self.state.done:
                self.done = True
                break
        return deltas

    def finish(self) -> Iterator[ChatDelta]:
        """The deltas that the end of the bytes completes.

        Raises what `feed` could not read: `ErrorAnswer`, or `MalformedAnswer` when the answer is incomplete
        or something else stands where the rest of it should be.
        """
        if not self._is_sse:
            document = bytes(self._start).removeprefix(BYTE_ORDER_MARK)
            delta = self.state.feed(parse_json_object(document))
            self.state.done = self.done = True
            if delta is not None:
                yield delta
        if not self.done:
            yield from self._read(self._decoder.finish())
            if isinstance(self._failure, MalformedAnswer):  # the last event of the stream is cut
                cut = CutStream("a stream cut before its end", usage=self.state.usage)
                self._failure = None if self.state.has_finished else cut
        if self._failure is not None:
            raise self._failure
        yield from self.state.read_deferred_chunks()
        half = self.state.read_half_characters()
        if half is not None:
            yield half
        if self._decoder.stray_lines and not self.state.has_finished:
            self._raise_for_stray_lines(self._decoder.stray_lines)
        last = self.state.finish()
        if last is not None:
            yield last

    def _raise_for_stray_lines(self, lines: list[bytes]) -> None:
        """Raise the error that the lines are, else `MalformedAnswer`."""
        text = b"\n".join(lines)
        with contextlib.suppress(MalformedAnswer):
            raise_for_error_object(parse_json_object(text))
        if b"error" in lines[0]:
            raise ErrorAnswer(parse_error(text))
        raise MalformedAnswer("a stream broken by other text", text, self.state.usage)
