"""Runs the examples of RAG in bulk in two processes each against the stand-in, and kills one in the middle.

`python -m examples.rag [rag_ingestion | rag_map_reduce]...`. The processes share a rate limit, in a Redis if
there is a `redis-server`, else in SQLite. Both are started again after the kill, and once more at the end.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from examples.documents import COUNT
from tests.gateway import Gateway

ROOT = Path(__file__).parent.parent
NAMES = ("rag_ingestion", "rag_map_reduce")
_PARTS = 2
_PER_MINUTE = 6000


@contextmanager
def shared_limit(folder: Path) -> Generator[str]:
    """What `TEXAPI_LIMITS` is for the processes of an example."""
    if shutil.which("redis-server") is None:
        yield f"sqlite:///{folder}/limits.db?requests_per_minute={_PER_MINUTE}"
        return
    from tests.limits.redis_server import Server  # redis-py is an extra

    redis = Server()
    redis.start()
    try:
        yield f"{redis.url}?requests_per_minute={_PER_MINUTE}"
    finally:
        redis.remove()


def run(name: str, gateway: Gateway) -> None:
    """Print what was answered and asked in a run, after a kill, and in a run of what is done already."""
    gateway.reset()
    folder = Path(tempfile.mkdtemp())
    with shared_limit(folder) as limits:
        environment = {
            **os.environ,
            "TEXAPI_BASE_URL": gateway.base_url,
            "TEXAPI_API_KEY": gateway.key,
            "TEXAPI_LIMITS": limits,
        }

        def start() -> list[subprocess.Popen[str]]:
            commands = [
                [sys.executable, "-m", f"examples.{name}", str(folder), str(part), str(_PARTS)]
                for part in range(_PARTS)
            ]
            return [
                subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
                for command in commands
            ]

        begun = time.monotonic()
        killed, other = start()
        while killed.poll() is None and len(gateway.requests) < COUNT / 2:
            time.sleep(0.02)
        killed.kill()
        killed.communicate()
        other.communicate()
        before = len(gateway.requests)
        done = sum(int(process.communicate()[0].split()[0]) for process in start())
        seconds, asked = (
            time.monotonic() - begun,
            Counter(str(one.body["messages"]) for one in gateway.requests),
        )
        again = sum(int(process.communicate()[0].split()[0]) for process in start())
    more = len(gateway.requests) - asked.total()
    print(
        f"{name:<16} {done} of {COUNT} done, {asked.total()} calls ({before} before the resume), "
        f"{asked.total() - len(asked)} asked twice, {seconds:.0f} s; "
        f"once more: {again} of {COUNT} done, {more} calls",
        flush=True,
    )
    shutil.rmtree(folder)
    if not done == again == COUNT or more:
        sys.exit(1)


def main(names: list[str]) -> None:
    """Run the named examples, or all."""
    with Gateway() as gateway:
        for name in names or NAMES:
            run(name, gateway)


if __name__ == "__main__":
    main(sys.argv[1:])
