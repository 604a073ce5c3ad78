"""Server-sent events: bytes as they arrive -> the data of each event.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

import re
from typing import NamedTuple

_LINE_END = re.compile(rb"\r\n|\n|\r")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class ServerSentEvent(NamedTuple):
    """One event of a stream."""

    event: str
    """`""` unless the server named the event."""
    data: bytes


class SSEDecoder:
    """Decodes a stream of events without I/O, whatever way its bytes are cut into packets.

    Works on bytes up to the end of a line: a character split over packets is never torn, and the
    line ends that only text knows (U+2028 and others, legal in JSON) split nothing.
    """

    def __init__(self) -> None:
        self._pending = bytearray()
        self._scanned = 0
        self._at_start = True
        self._event = b""
        self._data: list[bytes] = []

    def feed(self, packet: bytes) -> list[ServerSentEvent]:
        """The events that this packet completes."""
        pending = self._pending
        pending += packet
        if self._at_start:
            if len(pending) < len(BYTE_ORDER_MARK) and BYTE_ORDER_MARK.startswith(pending):
                return []
            self._at_start = False
            if pending.startswith(BYTE_ORDER_MARK):
                del pending[: len(BYTE_ORDER_MARK)]
        events: list[ServerSentEvent] = []
        start = 0
        for line_end in _LINE_END.finditer(pending, self._scanned):
            if line_end.group() == b"\r" and line_end.end() == len(pending):
                break  # the other half of \r\n may be in the next packet
            self._take_line(bytes(pending[start : line_end.start()]), events)
            start = line_end.end()
        del pending[:start]
        self._scanned = max(len(pending) - 1, 0)
        return events

    def finish(self) -> list[ServerSentEvent]:
        """The event that the end of the stream completes: servers forget the last empty line."""
        events: list[ServerSentEvent] = []
        if self._pending:
            self._take_line(bytes(self._pending).rstrip(b"\r"), events)
            self._pending.clear()
        self._take_line(b"", events)
        return events

    def _take_line(self, line: bytes, events: list[ServerSentEvent]) -> None:
        if not line:
            if self._data:
                data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                events.append(ServerSentEvent(self._event.decode("utf-8", "replace"), data))
            self._event = b""
            self._data = []
        elif line.startswith(b"data:"):
            self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
        elif line.startswith(b"event:"):
            self._event = line[6:].strip()
