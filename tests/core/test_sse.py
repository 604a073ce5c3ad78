"""Events are parsed correctly however the bytes are split into packets."""

from __future__ import annotations

import pytest

from texapi_core.wire.sse import SSEDecoder


def decode(stream: bytes, packet_size: int) -> list[tuple[str, bytes]]:
    decoder = SSEDecoder()
    packets = [stream[at : at + packet_size] for at in range(0, len(stream), packet_size)]
    events = [event for packet in packets for event in decoder.feed(packet)]
    return [*events, *decoder.finish()]


@pytest.mark.parametrize("packet_size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\ndata: b\n\n", [("", b"a"), ("", b"b")]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [("", b"a"), ("", b"b")]),
        (b"data: a\r\rdata: b\r\r", [("", b"a"), ("", b"b")]),
        (b"data:a\n\n", [("", b"a")]),
        (b"data:  a\n\n", [("", b" a")]),
        (b"data: a\ndata: b\n\n", [("", b"a\nb")]),
        (b": keep-alive\n\ndata: a\n\n: keep-alive\n\n", [("", b"a")]),
        (b"event: error\ndata: a\n\ndata: b\n\n", [("error", b"a"), ("", b"b")]),
        (b"id: 1\nretry: 10\nunknown: x\ndata: a\n\n", [("", b"a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [("", b"a")]),
        (b"\n\n\ndata: a\n\n\n\n", [("", b"a")]),
        (b"data: a", [("", b"a")]),
        (b"data: a\r", [("", b"a")]),
        ("data: Hà Nội \u2028 x\n\n".encode(), [("", "Hà Nội \u2028 x".encode())]),
        (b"", []),
        (b"data\n\n", []),
    ],
)
def test_events(stream: bytes, events: list[tuple[str, bytes]], packet_size: int) -> None:
    assert decode(stream, packet_size) == events


def test_a_long_line_in_small_packets_costs_linear_time() -> None:
    decoder = SSEDecoder()
    decoder.feed(b"data: ")
    for _ in range(20_000):
        decoder.feed(b"x" * 50)

    ((_, data),) = decoder.feed(b"\n\n")

    assert len(data) == 20_000 * 50
