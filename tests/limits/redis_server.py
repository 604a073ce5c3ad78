"""A Redis server for tests: the one at REDIS_URL, or one started from the installed binary on a free port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.waiting import wait_until

GIVEN = os.environ.get("REDIS_URL", "")


def why_not() -> str:
    """Why no server can run here; `""` if one can."""
    if find_spec("redis") is None:
        return "redis-py is not installed (pip install redis)"
    if not GIVEN and shutil.which("redis-server") is None:
        return "no Redis: apt-get install redis-server, or set REDIS_URL to a server for tests"
    return ""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Server:
    """A server that can be stopped, started again on its port, and frozen; with options it is over TLS."""

    def __init__(self, *tls: str) -> None:
        self.port = free_port()
        self.url = f"{'rediss' if tls else 'redis'}://127.0.0.1:{self.port}/0"
        port = str(self.port)
        self._listens = ["--port", "0", "--tls-port", port, *tls] if tls else ["--port", port]
        self._home = Path(tempfile.mkdtemp(prefix="texapi-redis-"))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = ["redis-server", *self._listens, "--bind", "127.0.0.1", "--save", ""]
        self.process = subprocess.Popen(
            [*command, "--appendonly", "no", "--dir", str(self._home)], stdout=subprocess.DEVNULL
        )
        import redis

        unverified = {"ssl_cert_reqs": "none"} if self.url.startswith("rediss:") else {}
        client = redis.Redis.from_url(self.url, **unverified)
        wait_until(lambda: _answers(client))
        client.close()

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._home, ignore_errors=True)


def _answers(client: Any) -> bool:
    try:
        return bool(client.ping())
    except Exception:
        return False


@contextmanager
def server() -> Iterator[str]:
    """The URL of the given server, or of a fresh one."""
    if GIVEN:
        yield GIVEN
        return
    own = Server()
    own.start()
    try:
        yield own.url
    finally:
        own.remove()
