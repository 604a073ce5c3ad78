"""Runs each example against the stand-in, once as it is and once with a worker killed in the middle.

`python -m examples [NAME...]`. Prints what is missing, what was asked twice, and the connections at the
gateway. A worker is killed once the gateway has a third of the requests.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pandas

from examples.documents import COUNT
from tests.gateway import Gateway

ROOT = Path(__file__).parent.parent
WORKERS = {
    "dask": b"spawn_main",
    "ray": b"ray::MapWorker",
    "ray async_actor": b"ray::MapWorker",
    "spark": b"pyspark.daemon",
    "celery": b"celery",
}
"""Example -> what the command line of its workers holds."""
_TIMEOUT = 300


def _descendants(root: int) -> list[int]:
    """All processes below one, children before grandchildren."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found, left = [], [root]
    while left:
        children = parents.get(left.pop(0), [])
        found += children
        left += children
    return found


def _kill_worker(root: int, name: bytes) -> bool:
    """Kill the worker that has used the most CPU."""
    used: dict[int, int] = {}
    for process in _descendants(root):
        folder = Path("/proc", str(process))
        try:
            if name in (folder / "cmdline").read_bytes():
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                used[process] = int(fields[11]) + int(fields[12])
        except OSError:
            continue
    if not used:
        return False
    os.kill(max(used, key=lambda process: used[process]), signal.SIGKILL)
    return True


@contextmanager
def _celery(folder: Path, environment: dict[str, str]) -> Generator[subprocess.Popen[bytes]]:
    """Redis and Celery's workers."""
    socket = folder / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
    redis = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
    environment["CELERY_BROKER"] = f"redis+socket://{socket}"
    command = [sys.executable, "-m", "celery", "-A", "examples.celery_bulk", "worker", "--concurrency", "2"]
    while not socket.exists():
        time.sleep(0.05)
    workers = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield workers
    finally:
        for process in (workers, redis):
            process.terminate()
            process.wait()


def _run(name: str, gateway: Gateway, *, kills: bool) -> None:
    gateway.reset()
    folder = Path(tempfile.mkdtemp())
    script, *options = name.split()
    environment = {
        **os.environ,
        "TEXAPI_BASE_URL": gateway.base_url,
        "TEXAPI_API_KEY": gateway.key,
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", f"examples.{script}_bulk", str(folder / "out"), *options]
    log = (folder / "log").open("w+")
    begun = time.monotonic()

    def wait(workers_of: int | None) -> None:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        killed = not kills
        while process.poll() is None:
            if not killed and len(gateway.requests) > COUNT / 3:
                killed = _kill_worker(workers_of or process.pid, WORKERS[name])
            if time.monotonic() - begun > _TIMEOUT:
                for child in [*_descendants(process.pid), process.pid]:
                    os.kill(child, signal.SIGKILL)
            time.sleep(0.02)
        if process.returncode or not killed:
            log.seek(0)
            sys.exit(f"{name}: exit code {process.returncode}, killed: {killed}\n{log.read()[-3000:]}")

    if script == "celery":
        with _celery(folder, environment) as workers:
            wait(workers.pid)
    else:
        wait(None)
    rows = pandas.concat(map(pandas.read_parquet, sorted((folder / "out").rglob("*.parquet"))))
    right = sum(
        str(number + 1000) in str(answer) for number, answer in zip(rows.number, rows.answer, strict=True)
    )
    asked = Counter(str(request.body["messages"][-1]["content"]) for request in gateway.requests)
    print(
        f"{name:<16} {'a worker killed' if kills else '':<16} {right:>5} of {COUNT} right, "
        f"{COUNT - rows.number.nunique()} missing, {asked.total() - len(asked)} asked twice, "
        f"{len(gateway.connections)} connections, {time.monotonic() - begun:.0f} s",
        flush=True,
    )
    if right != COUNT or rows.number.nunique() != COUNT or (not kills and asked.total() != COUNT):
        sys.exit(f"{name}: {rows}")
    shutil.rmtree(folder)


def main(names: list[str]) -> None:
    """Run the named examples, or all."""
    with Gateway() as gateway:
        for name in names or WORKERS:
            if name == "celery" and shutil.which("redis-server") is None:
                print("celery           left out: there is no redis-server")
                continue
            _run(name, gateway, kills=False)
            _run(name, gateway, kills=True)


if __name__ == "__main__":
    main(sys.argv[1:])
