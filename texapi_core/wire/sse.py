"""Server-sent events: bytes in, the name and the data of each event out.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

import re

_IGNORED_LINE = re.compile(rb":|[a-z_-]+(:|$)")
"""Comments, and fields that are not used: ids, retry times, and what servers invent."""
_MAX_STRAY_LINES = 100
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

ServerSentEvent = tuple[str, bytes]
"""One event of a stream: its name, `""` by default, and its data."""


class SSEDecoder:
    """Decodes a stream of events without I/O, however its bytes are split into packets.

    Lines are split as bytes: a character that spans two packets stays whole, and line ends of Unicode
    (U+2028 and others, legal in JSON) split nothing.
    """

    def __init__(self) -> None:
        self._line_parts: list[bytes] = []
        self._between_events = False
        """Whether the next byte begins an event that is not the first one."""
        self._ends_in_cr = False
        self._at_start = True
        self._has_ended = False
        """Whether `[DONE]` came: lines after it say nothing about the answer."""
        self._event = b""
        self._data: list[bytes] = []
        self.stray_lines: list[bytes] = []
        """The first lines that are no part of an event stream, but of an error page, for example."""

    def feed(self, packet: bytes) -> list[ServerSentEvent]:
        """The events that this packet completes."""
        if self._between_events and packet[-2:] == b"\n\n" and b"\r" not in packet:
            if packet[:6] == b"data: " and b"\n" not in (data := packet[6:-2]):
                return [("", data)]  # what nearly every packet is
            plain = _plain_events(packet)
            if plain is not None:
                return plain
        self._between_events = False
        if self._ends_in_cr:
            packet = b"\r" + packet
        if b"\r" in packet:
            self._ends_in_cr = packet.endswith(b"\r")  # its \n may be in the next packet
            if self._ends_in_cr:
                packet = packet[:-1]
            packet = packet.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        else:
            self._ends_in_cr = False
        self._line_parts.append(packet)
        if b"\n" not in packet:
            return []
        *lines, rest = b"".join(self._line_parts).split(b"\n")
        self._line_parts = [rest] if rest else []
        events = self._take_lines(lines)
        self._between_events = not (self._line_parts or self._data or self._event or self._ends_in_cr)
        return events

    def finish(self) -> list[ServerSentEvent]:
        """The event that the end of the stream completes: some servers omit the last empty line."""
        rest = b"".join(self._line_parts)
        self._line_parts = []
        return self._take_lines([rest, b""])

    def _take_lines(self, lines: list[bytes]) -> list[ServerSentEvent]:
        if self._at_start and lines:
            lines[0] = lines[0].removeprefix(BYTE_ORDER_MARK)
            self._at_start = False
        events: list[ServerSentEvent] = []
        for line in lines:
            if line.startswith(b"data:"):
                if self._data and _begins_another(line, self._data[-1], in_error=self._event == b"error"):
                    events.append(self._event_so_far())
                self._has_ended = self._has_ended or line[5:].lstrip().startswith(b"[DONE]")
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
            elif not line:
                if self._data or self._event == b"error":
                    events.append(self._event_so_far())
                self._event = b""
            elif line.startswith(b"event:"):
                self._event = line[6:].strip()
            elif self._is_stray(line):
                self.stray_lines.append(line)
        return events

    def _is_stray(self, line: bytes) -> bool:
        is_wanted = len(self.stray_lines) < _MAX_STRAY_LINES and not self._has_ended
        return is_wanted and not _IGNORED_LINE.match(line)

    def _event_so_far(self) -> ServerSentEvent:
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data = []
        return self._event.decode("utf-8", "replace") if self._event else "", data


def _begins_another(line: bytes, before: bytes, *, in_error: bool) -> bool:
    """Whether a data line starts a new event although no blank line separates it from the last one.

    No JSON continues with a `{` or `[DONE]` after a `}`; an error may be several objects.
    """
    starts = b"[DONE]" if in_error else (b"{", b"[DONE]")
    return before.rstrip().endswith(b"}") and line[5:].lstrip().startswith(starts)


def _plain_events(packet: bytes) -> list[ServerSentEvent] | None:
    """The events of a packet if each is complete and has a single data line, else `None`."""
    events = []
    for event in packet[:-2].split(b"\n\n"):
        if not event.startswith(b"data: ") or b"\n" in event:
            return None
        events.append(("", event[6:]))
    return events
