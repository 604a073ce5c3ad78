"""Servers before the gateway: TLS, IPv6, and proxies (HTTP, and SOCKS5 by RFC 1928 and RFC 1929)."""

from __future__ import annotations

import base64
import contextlib
import selectors
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, Self
from urllib.parse import quote, urlsplit

USER, PASSWORD = "proxy-user", "planted-proxy-password"
_TIMEOUT = 30.0


@dataclass
class Front:
    """Forwards connections to `target`, over TLS with a context."""

    target: str = ""
    """`host:port`."""
    host: str = "127.0.0.1"
    tls: ssl.SSLContext | None = None
    targets: list[str] = field(default_factory=list)
    """`host:port` of each forwarded connection."""
    connections: int = 0
    """That were accepted."""
    port: int = 0
    _open: set[socket.socket] = field(default_factory=set)

    @property
    def base_url(self) -> str:
        """Where clients reach the gateway through it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}/v1"

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """Serve in threads, which end with the block."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.create_server((self.host, 0), family=family) as listener:
            self.port = listener.getsockname()[1]
            accepting = threading.Thread(target=self._accept, args=(listener,), daemon=True)
            accepting.start()
            try:
                yield self
            finally:
                listener.shutdown(socket.SHUT_RDWR)
                accepting.join(_TIMEOUT)
                for connection in list(self._open):
                    _shut(connection)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.settimeout(_TIMEOUT)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            client = stack.enter_context(connection)
            if self.tls is not None:
                client = stack.enter_context(self.tls.wrap_socket(connection, server_side=True))
            self._open.add(client)
            stack.callback(self._open.discard, client)
            self._handle(client)

    def _handle(self, client: socket.socket) -> None:
        self._forward(self.target, client)

    def _forward(self, target: str, client: socket.socket, *, reply: bytes = b"", first: bytes = b"") -> None:
        self.targets.append(target)
        host, port = target.rsplit(":", 1)
        with socket.create_connection((host.strip("[]"), int(port)), _TIMEOUT) as server:
            client.sendall(reply)
            server.sendall(first)
            _forward_both_ways(client, server)


@dataclass
class Proxy(Front):
    """A proxy, which forwards to where each request asks."""

    scheme: Literal["http", "socks5"] = "http"
    credentials: bool = False
    """Whether it asks for `USER` and `password`."""
    password: str = PASSWORD
    refused: int = 0
    """Connections without the right credentials."""

    def url(self, password: str = "") -> str:
        """Its address, with credentials where it asks for them."""
        login = f"{USER}:{quote(password or self.password, safe='')}@" if self.credentials else ""
        return f"{self.scheme}://{login}127.0.0.1:{self.port}"

    @property
    def _login(self) -> str:
        return f"Basic {base64.b64encode(f'{USER}:{self.password}'.encode()).decode()}"

    def _handle(self, client: socket.socket) -> None:
        if self.scheme == "http":
            self._handle_http(client)
        else:
            self._handle_socks(client)

    def _handle_http(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(65536) or b"\r\n\r\n"
        before, _, body = head.partition(b"\r\n\r\n")
        request, *lines = before.decode("latin-1").split("\r\n")
        method, target, _ = request.split(" ")
        headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
        if self.credentials and headers.get("proxy-authorization") != self._login:
            self.refused += 1
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
        elif method == "CONNECT":
            self._forward(target, client, reply=b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            url = urlsplit(target)
            path = target.removeprefix(f"{url.scheme}://{url.netloc}")
            sent = [line for line in lines if not line.lower().startswith(("proxy-", "connection:"))]
            sent = [f"{method} {path} HTTP/1.1", *sent, "connection: close", "", ""]
            self._forward(url.netloc, client, first="\r\n".join(sent).encode("latin-1") + body)

    def _handle_socks(self, client: socket.socket) -> None:
        method = 2 if self.credentials else 0
        offered = _exactly(client, _exactly(client, 2)[1])
        client.sendall(bytes([5, method if method in offered else 0xFF]))
        if method not in offered or (self.credentials and not _is_login(client)):
            self.refused += 1
            return
        kind = _exactly(client, 4)[3]
        families = {1: socket.AF_INET, 4: socket.AF_INET6}
        address = _exactly(client, {1: 4, 4: 16}.get(kind) or _exactly(client, 1)[0])
        host = socket.inet_ntop(families[kind], address) if kind in families else address.decode()
        port = int.from_bytes(_exactly(client, 2), "big")
        self._forward(f"{host}:{port}", client, reply=b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")


def _is_login(client: socket.socket) -> bool:
    _exactly(client, 1)
    user, password = (_exactly(client, _exactly(client, 1)[0]).decode() for _ in range(2))
    client.sendall(bytes([1, (user, password) != (USER, PASSWORD)]))
    return (user, password) == (USER, PASSWORD)


def _exactly(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = client.recv(count - len(data))
        if not piece:
            raise ConnectionError("The client left.")
        data += piece
    return data


def _forward_both_ways(client: socket.socket, server: socket.socket) -> None:
    """Until either leaves. In one thread, since two must not use a TLS connection at once."""
    with selectors.DefaultSelector() as selector:
        selector.register(client, selectors.EVENT_READ, (client, server))
        selector.register(server, selectors.EVENT_READ, (server, client))
        while True:
            is_decrypted = isinstance(client, ssl.SSLSocket) and client.pending()
            ready = [] if is_decrypted else selector.select(_TIMEOUT)
            for source, target in [(client, server)] if is_decrypted else [key.data for key, _ in ready]:
                piece = source.recv(65536)
                if not piece:
                    return
                target.sendall(piece)


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
