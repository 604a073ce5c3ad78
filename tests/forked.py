"""Processes of the tests, forked from one that has imported the packages of others, which takes seconds.

`texapi_core` and its adapters are not among those: each process imports them itself, and it ends as any other
does. What a test says of an import itself needs a new interpreter.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parent.parent
_IMPORTED = (
    "h11",
    "httpcore",
    "httpcore2",
    "langchain_core.language_models.chat_models",
    "langchain_core.output_parsers.openai_tools",
    "langchain_core.tracers.langchain",
    "openai.resources.chat.completions",
    "openai.resources.models",
    "psycopg",
    "redis.asyncio",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
)
"""What is not installed is left out."""
_SERVER = "from tests.forked import serve; exec(serve())"


class Process:
    """Runs code as `python -c` does; like `subprocess.Popen` with text in pipes."""

    def __init__(
        self, code: str, *arguments: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None
    ) -> None:
        self._control, theirs = socket.socketpair()
        stdin, self.stdin = _pipe_to()
        self.stdout, stdout = _pipe_from()
        self.stderr, stderr = _pipe_from()
        socket.send_fds(_server()[1], [b"."], [theirs.fileno(), stdin, stdout, stderr])
        theirs.close()
        for end in (stdin, stdout, stderr):
            os.close(end)
        asked = {"code": code, "argv": ["-c", *arguments], "cwd": str(cwd), "env": dict(env or os.environ)}
        self._answers = self._control.makefile("r")
        self._control.sendall(json.dumps(asked).encode() + b"\n")
        self.pid = int(self._answers.readline())
        self.returncode: int | None = None

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self) -> tuple[str, str]:
        """Wait for the end; return what the process wrote, as text."""
        with suppress(BrokenPipeError):
            self.stdin.close()
        with self.stdout, self.stderr, ThreadPoolExecutor(1) as reader:
            complained = reader.submit(self.stderr.read)
            said = self.stdout.read()
        with self._control, self._answers:
            self.returncode = int(self._answers.readline())
        return said, complained.result()


def run(
    code: str, *arguments: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """Return the exit code, output and errors of a process."""
    process = Process(code, *arguments, cwd=cwd, env=env)
    said, complained = process.communicate()
    assert process.returncode is not None
    return process.returncode, said, complained


def module(name: str) -> str:
    """Code that does what `python -m` does."""
    return f"import runpy; runpy.run_module({name!r}, run_name='__main__', alter_sys=True)"


def stop() -> None:
    """End the process that forks, if there is one."""
    if _server.cache_info().currsize:
        process, connection = _server()
        connection.close()
        process.wait()
        _server.cache_clear()


def _pipe_to() -> tuple[int, IO[str]]:
    reading, writing = os.pipe()
    return reading, os.fdopen(writing, "w", encoding="utf-8")


def _pipe_from() -> tuple[IO[str], int]:
    reading, writing = os.pipe()
    return os.fdopen(reading, "r", encoding="utf-8"), writing


@cache
def _server() -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(theirs.fileno())],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    theirs.close()
    return process, ours


# In the process that forks


def serve() -> str:
    """Fork for each message; return in the new process, with its code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = socket.socket(fileno=int(sys.argv[1]))
    for name in _IMPORTED:
        with suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, 1, 4)
        if not message:
            sys.exit()
        if os.fork() == 0:
            connection.close()
            return _begin(*descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _begin(control: int, *pipes: int) -> str:
    """Become the process that was asked for; another one waits for its end and reports it."""
    with socket.socket(fileno=control) as connection:
        with connection.makefile("r") as lines:
            asked = json.loads(lines.readline())
        child = os.fork()
        if child:
            for descriptor in pipes:
                os.close(descriptor)
            connection.sendall(b"%d\n" % child)
            _, status = os.waitpid(child, 0)
            with suppress(BrokenPipeError):
                connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
            os._exit(0)
    for descriptor, number in zip(pipes, range(3), strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    # Those of the process that forks are not of pipes.
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    sys.argv = asked["argv"]
    code: str = asked["code"]
    return code
