"""A server that sends raw bytes, status line included: also what no HTTP server would send."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: req_000001\r\n"
    b"connection: close\r\n\r\n"
)


@dataclass(frozen=True)
class Verbatim:
    """The pieces of one response (numbers are pauses in seconds), and how the connection ends."""

    pieces: bytes | Sequence[bytes | float] = b""
    reset: bool = False
    """Whether the connection is reset instead of closed."""


class VerbatimServer:
    """Answers every request with the same bytes and closes; counts the requests."""

    key = "sk-tex-verbatim-0000000000"

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._threads: list[threading.Thread] = []
        self.response = Verbatim()
        self.requests: list[bytes] = []

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def __enter__(self) -> VerbatimServer:
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(5)

    def respond(self, response: Verbatim) -> None:
        """Set the response and restart the count."""
        self.response = response
        self.requests = []

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection, self.response), daemon=True).start()

    def _serve(self, connection: socket.socket, response: Verbatim) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(10)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            request = _read_request(connection)
            if request:
                self.requests.append(request)
            pieces = [response.pieces] if isinstance(response.pieces, bytes) else response.pieces
            for piece in pieces:
                if isinstance(piece, bytes):
                    connection.sendall(piece)
                else:
                    time.sleep(piece)
            if response.reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _read_request(connection: socket.socket) -> bytes:
    """The head and the body of one request."""
    received = b""
    while b"\r\n\r\n" not in received:
        packet = connection.recv(65536)
        if not packet:
            return received
        received += packet
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    left = (int(lengths[0].partition(b":")[2]) if lengths else 0) - len(body)
    while left > 0:
        packet = connection.recv(65536)
        if not packet:
            break
        body += packet
        left -= len(packet)
    return head + b"\r\n\r\n" + body
