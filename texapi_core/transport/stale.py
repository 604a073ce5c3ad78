"""Detects that a server closed an idle connection while a request was on its way to it.

Every server closes idle connections some time. A request that is sent in the same moment fails like one that
broke while the model ran, but was never read: it can be sent over a new connection, and costs nothing. The
proof is in the kernel, which knows what the server's kernel has acknowledged.

The HTTP library has no public place to look at a connection before it closes it, so `watch` wraps the backend
of its pool. Where the attributes are missing, such requests fail with an error, as they do over aiohttp.
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

_COUNTERS = struct.Struct("=120xQ72xQQ")
"""Of Linux's `struct tcp_info`: bytes acknowledged, sent, and sent again."""


def watch(transport: Any) -> None:
    """Let the connections of a transport of httpx raise `StaleConnection` where it applies."""
    pool: Any = getattr(transport, "_pool", None)
    backend = getattr(pool, "_network_backend", None)
    if backend is not None:
        library: Any = sys.modules[type(backend).__module__.partition(".")[0]]  # httpcore, or httpcore2
        stale = type("StaleConnection", (library.WriteError,), {})
        is_sync = isinstance(backend, library.NetworkBackend)
        pool._network_backend = (_Backend if is_sync else _AsyncBackend)(backend, stale)


class _Evidence:
    """What one connection has sent and received."""

    def __init__(self, stream: Any, stale: type[Exception]) -> None:
        self._stream = stream
        self._stale = stale
        self.get_extra_info = stream.get_extra_info
        self._was_used = False
        self._is_written = False
        """Whether bytes of a request were written since the last answer."""

    def _check(self, connection: socket.socket | None, error: Exception | None = None) -> None:
        """Raise `StaleConnection` if the request that was written was never read."""
        is_over = error is None or _is_reset(error)
        if self._was_used and self._is_written and is_over and not _all_acknowledged(connection):
            raise self._stale("the server closed the connection before the request came") from error

    def _received(self, data: bytes) -> bytes:
        if data and self._is_written:
            self._was_used, self._is_written = True, False
        return data


class _Stream(_Evidence):
    def read(self, *arguments: Any, **named: Any) -> bytes:
        try:
            data: bytes = self._stream.read(*arguments, **named)
        except Exception as error:
            self._check(self.get_extra_info("socket"), error)
            raise
        if not data:
            self._check(self.get_extra_info("socket"))
        return self._received(data)

    def write(self, *arguments: Any, **named: Any) -> None:
        self._is_written = True
        self._stream.write(*arguments, **named)

    def start_tls(self, *arguments: Any, **named: Any) -> _Stream:
        return _Stream(self._stream.start_tls(*arguments, **named), self._stale)

    def close(self) -> None:
        self._stream.close()


class _AsyncStream(_Evidence):
    _kept: socket.socket | None = None
    """A second socket of the connection: an event loop closes its own before it says that it was reset."""

    async def read(self, *arguments: Any, **named: Any) -> bytes:
        try:
            data: bytes = await self._stream.read(*arguments, **named)
            if not data:
                self._check(self._kept)
        except Exception as error:
            if not isinstance(error, self._stale):
                self._check(self._kept, error)
            raise
        finally:
            if self._kept is not None:
                self._release()
        return self._received(data)

    async def write(self, *arguments: Any, **named: Any) -> None:
        if self._was_used and self._kept is None:
            self._kept = _duplicate(self.get_extra_info("socket"))
        self._is_written = True
        await self._stream.write(*arguments, **named)

    async def start_tls(self, *arguments: Any, **named: Any) -> _AsyncStream:
        stream = _AsyncStream(await self._stream.start_tls(*arguments, **named), self._stale)
        stream.get_extra_info = partial(_tls_info, stream.get_extra_info)
        return stream

    async def aclose(self) -> None:
        self._release()
        await self._stream.aclose()

    def _release(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None


class _Backend:
    def __init__(self, backend: Any, stale: type[Exception]) -> None:
        self._backend = backend
        self._stale = stale

    def connect_tcp(self, *arguments: Any, **named: Any) -> _Stream:
        return _Stream(self._backend.connect_tcp(*arguments, **named), self._stale)

    def connect_unix_socket(self, *arguments: Any, **named: Any) -> _Stream:
        return _Stream(self._backend.connect_unix_socket(*arguments, **named), self._stale)

    def sleep(self, seconds: float) -> None:
        self._backend.sleep(seconds)


class _AsyncBackend:
    def __init__(self, backend: Any, stale: type[Exception]) -> None:
        self._backend = backend
        self._stale = stale

    async def connect_tcp(self, *arguments: Any, **named: Any) -> _AsyncStream:
        return _AsyncStream(await self._backend.connect_tcp(*arguments, **named), self._stale)

    async def connect_unix_socket(self, *arguments: Any, **named: Any) -> _AsyncStream:
        return _AsyncStream(await self._backend.connect_unix_socket(*arguments, **named), self._stale)

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


def _is_reset(error: BaseException | None) -> bool:
    """Whether the connection was reset: by the operating system's error behind the HTTP library's."""
    while error is not None:
        if isinstance(error, ConnectionError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _duplicate(connection: Any) -> socket.socket | None:
    """A second socket of the same connection, where the system can tell what was acknowledged."""
    if not hasattr(socket, "TCP_INFO"):
        return None
    with suppress(AttributeError, OSError):  # an event loop of another kind, or closed meanwhile
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, os.dup(connection.fileno()))
    return None


def _tls_info(get_extra_info: Callable[[str], Any], info: str) -> Any:
    """What an async TLS stream tells of itself; `is_readable` also where the end of TLS has been received.

    It takes all bytes from the kernel that are there, so a `close_notify` that came with the end of an answer
    is in the stream's own buffer, where the HTTP library does not look before a reuse.
    """
    value = get_extra_info(info)
    if info == "is_readable" and not value:
        return _has_more(get_extra_info("ssl_object"))
    return value


def _has_more(tls: object) -> bool:
    """Whether an idle TLS stream with a buffer of its own has received an end, or data that nobody awaits."""
    if not isinstance(tls, ssl.SSLObject):
        return False
    try:
        tls.read(1)
    except ssl.SSLWantReadError:
        return False
    except ssl.SSLError:
        return True
    return True


def _all_acknowledged(connection: socket.socket | None) -> bool:
    """Whether the other side may have received all that was sent; `True` where the system does not say."""
    option = getattr(socket, "TCP_INFO", None)
    if connection is None or option is None:
        return True
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, option, 256)
        acknowledged, sent, again = _COUNTERS.unpack_from(info)
    except (OSError, struct.error):
        return True
    # The count of what is acknowledged may have the byte of the handshake in it.
    return bool(sent - again - acknowledged <= 1)
