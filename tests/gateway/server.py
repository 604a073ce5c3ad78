"""The gateway as a server in a background thread."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Collection, Sequence

import uvicorn

from tests.gateway.application import Application, Settings
from tests.gateway.journal import Journal
from tests.gateway.models import MODELS

KEY = "sk-tex-standin-000000000000"
"""The key that the gateway accepts by default."""

_MAX_START = 60.0
"""Seconds to wait for the server."""


class Gateway(Journal):
    """A stand-in for TexAPI that listens on localhost.

    Use it as a context manager; it is ready to serve when the block is entered. With ``any_schema`` it takes
    schemas as Claude and OpenAI do, and not only those that every provider takes.
    """

    def __init__(
        self,
        *,
        keys: Collection[str] = (KEY,),
        models: Sequence[str] = MODELS,
        chunk_size: int = 8,
        chunk_delay: float = 0.0,
        any_schema: bool = False,
        port: int = 0,
    ) -> None:
        super().__init__()
        self._settings = Settings(tuple(keys), tuple(models), chunk_size, chunk_delay, any_schema)
        self._port = port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Gateway:
        # asyncio sets TCP_NODELAY only if the protocol is named; otherwise each answer waits 40 ms for
        # the client to acknowledge its head.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        application = Application(self, self._settings)
        server = self._server = _Server(application)
        self._thread = threading.Thread(target=server.serve_in_thread, args=(listener,), daemon=True)
        self._thread.start()
        if not server.ready.wait(_MAX_START):
            raise RuntimeError("The gateway did not start.")
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop listening and drop open connections."""
        if self._server is not None and self._thread is not None:
            self._server.stop()
            self._thread.join()

    @property
    def base_url(self) -> str:
        """The address to give to a client."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def key(self) -> str:
        """An accepted key."""
        return next(iter(self._settings.keys))

    @property
    def connections(self) -> set[tuple[str, int]]:
        """The addresses of the connections over which requests came."""
        return {request.client for request in self.requests}

    @property
    def open_connections(self) -> int:
        """How many connections are open, idle ones too."""
        return len(self._server.server_state.connections) if self._server else 0


class _Server(uvicorn.Server):
    """A server that signals when it is ready and stops without waiting for its clients."""

    def __init__(self, application: Application) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                date_header=False,
                server_header=False,
                timeout_keep_alive=60,
                timeout_graceful_shutdown=0,
            )
        )
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    def serve_in_thread(self, listener: socket.socket) -> None:
        """Serve until stopped; without coverage tracing, which would double the time."""
        sys.settrace(None)
        self.run([listener])

    def stop(self) -> None:
        """Ask the server to stop; any thread may do so."""
        self.should_exit = True
