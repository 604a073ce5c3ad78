"""A time until which a PostgreSQL must have answered.

A server that hangs, or a pooler in front of one that is away, keeps connections alive and never answers.
"""

from __future__ import annotations

import socket
import threading
import time
import weakref
from contextlib import suppress
from typing import Any

import sqlalchemy as sa

_MIN_CONNECT_SECONDS = 2  # of libpq


class Deadline:
    """Breaks off the connections of an engine when what was begun is not done until its time."""

    def __init__(self, engine: sa.Engine) -> None:
        self._until: float | None = None
        self._is_set = threading.Event()
        self._sockets: set[socket.socket] = set()
        """Second handles of the connections: a number of a closed one may be another file by then."""
        self._thread: threading.Thread | None = None
        sa.event.listen(engine, "do_connect", self._limit_connecting)
        sa.event.listen(engine, "connect", self._keep)

    def set(self, until: float | None) -> None:
        """Break off at a time of the monotonic clock; `None` if what was begun is done."""
        self._until = until
        if until is not None:
            self._is_set.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="texapi-deadline", daemon=True)
                self._thread.start()

    def _limit_connecting(self, _: Any, __: Any, ___: Any, arguments: dict[str, Any]) -> None:
        if self._until is not None:
            arguments["connect_timeout"] = max(int(self._until - time.monotonic()), _MIN_CONNECT_SECONDS)

    def _keep(self, connection: Any, _: Any) -> None:
        kept = socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        self._sockets.add(kept)
        weakref.finalize(connection, _close, self._sockets, kept)

    def _run(self) -> None:
        while True:
            self._is_set.clear()
            until = self._until
            if until is None:
                self._is_set.wait()
                continue
            time.sleep(max(until - time.monotonic(), 0))
            if self._until == until:
                self._until = None
                for kept in list(self._sockets):
                    with suppress(OSError):
                        kept.shutdown(socket.SHUT_RDWR)


def _close(sockets: set[socket.socket], kept: socket.socket) -> None:
    sockets.discard(kept)
    kept.close()
