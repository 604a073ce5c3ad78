"""How things are measured: CPU time in interleaved rounds, and counts independent of machine load."""

from __future__ import annotations

import contextlib
import cProfile
import gc
import json
import os
import pstats
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
import urllib.request
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.clients import KEY, Client

_BUDGET = 0.06
"""Seconds of CPU for one client in one round."""
_PROJECT = Path(__file__).parent.parent
_PACKAGES = tuple(
    f"{_PROJECT}{os.sep}{package}{os.sep}"
    for package in ("texapi_core", "langchain_texapi", "llama_index_texapi")
)
_STATM = Path("/proc/self/statm")

Work = Callable[[], Any]
"""The operation to measure, run once per call."""


@dataclass
class Stub:
    """The stub server in its own process."""

    base_url: str
    tls_url: str | None = None
    """The same over TLS, where a certificate could be created."""

    def connections(self) -> int:
        """The number of connections it has accepted."""
        with urllib.request.urlopen(f"{self.base_url}/count") as response:
            seen: int = json.load(response)["connections"]
        return seen


@contextlib.contextmanager
def stub(*, tls: bool = False) -> Generator[Stub]:
    """Run a stub server for the duration of the block.

    With `tls`, this process trusts its certificate until the block ends.
    """
    with contextlib.ExitStack() as stack:
        certificates = [stack.enter_context(_certificate())] if tls and shutil.which("openssl") else []
        command = [sys.executable, "-m", "benchmarks.stub", *certificates]
        process = stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_PROJECT)
        )
        assert process.stdin
        assert process.stdout
        port, *tls_ports = process.stdout.readline().split()
        urls = [f"https://localhost:{tls_port}/v1" for tls_port in tls_ports]
        yield Stub(f"http://127.0.0.1:{port}/v1", *urls)
        process.stdin.close()


@contextlib.contextmanager
def _certificate() -> Generator[str]:
    """A file with a new certificate for localhost and its key."""
    with tempfile.TemporaryDirectory(prefix="texapi-bench-") as folder:
        path = f"{folder}/certificate.pem"
        request = (
            f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
            f"-subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout {path} -out {path}.crt"
        )
        subprocess.run(request.split(), check=True, capture_output=True)
        certificate = Path(f"{path}.crt").read_text()
        Path(path).write_text(Path(path).read_text() + certificate)
        before = os.environ.get("SSL_CERT_FILE")
        os.environ["SSL_CERT_FILE"] = f"{path}.crt"
        try:
            yield path
        finally:
            del os.environ["SSL_CERT_FILE"]
            if before is not None:
                os.environ["SSL_CERT_FILE"] = before


@dataclass
class Figures:
    """One row: the figures of each client, by name."""

    title: str
    unit: str
    values: dict[str, list[float]] = field(default_factory=dict)
    """One per round; the rounds of all clients are interleaved."""

    def median(self, client: str) -> float:
        """The median of the rounds."""
        return statistics.median(self.values[client])

    def ratios(self, client: str, reference: str) -> list[float]:
        """The cost relative to the reference, per round."""
        pairs = zip(self.values[client], self.values[reference], strict=True)
        return [mine / theirs if theirs else float(mine > 0) for mine, theirs in pairs]


def cpu_time(title: str, works: dict[str, Work], *, rounds: int, per: int = 1) -> Figures:
    """CPU microseconds of each operation, in rounds that run all of them in turn.

    If an operation returns seconds, that value is used: it has timed a part of itself.
    """
    figures = Figures(title, "us", {name: [] for name in works})
    repeats = {}
    for name, work in works.items():
        work()  # connections, caches, lazy imports
        with no_collection():
            started = time.process_time()
            work()
        repeats[name] = max(1, int(_BUDGET / max(time.process_time() - started, 1e-6)))
    for name in _in_turns(works, rounds):
        with no_collection():
            started = time.process_time()
            parts = [works[name]() for _ in range(repeats[name])]
            spent = time.process_time() - started
        if isinstance(parts[0], float):
            spent = sum(parts)
        figures.values[name].append(spent / repeats[name] / per * 1e6)
    return figures


def cpu_and_throughput(
    title: str, works: dict[str, Work], *, rounds: int, times: int
) -> tuple[Figures, Figures]:
    """CPU microseconds per call, and calls per second, of operations that make this many calls at once."""
    cpu = Figures(f"{title}, per call", "us", {name: [] for name in works})
    throughput = Figures(f"{title}, throughput", "/s", {name: [] for name in works})
    for work in works.values():
        work()
    for name in _in_turns(works, rounds):
        with no_collection():
            started, began = time.process_time(), time.perf_counter()
            works[name]()
            cpu.values[name].append((time.process_time() - started) / times * 1e6)
            throughput.values[name].append(times / (time.perf_counter() - began))
    return cpu, throughput


def returned(title: str, works: dict[str, Work], *, rounds: int) -> Figures:
    """The milliseconds that each operation returns, in rounds that run all of them in turn."""
    figures = Figures(title, "ms", {name: [] for name in works})
    for work in works.values():
        work()
    for name in _in_turns(works, rounds):
        with no_collection():
            figures.values[name].append(works[name]())
    return figures


def growth(title: str, small: dict[str, Work], large: dict[str, Work], *, rounds: int, times: int) -> Figures:
    """The cost ratio of the large to the small operation, divided by `times`: 1 is linear."""
    figures = Figures(title, "x", {name: [] for name in small})
    for works in (small, large):
        for work in works.values():
            work()
    for name in _in_turns(small, rounds):
        spent = []
        for work, repeats in ((small[name], times), (large[name], 1)):
            with no_collection():
                started = time.process_time()
                for _ in range(repeats):
                    work()
                spent.append(time.process_time() - started)
        figures.values[name].append(spent[1] / spent[0])
    return figures


def _in_turns(works: dict[str, Work], rounds: int) -> Generator[str]:
    """The names of all operations for each round, in a different order each time."""
    order = list(works)
    for turn in range(rounds):
        yield from order[turn % len(order) :] + order[: turn % len(order)]


@contextlib.contextmanager
def no_collection() -> Generator[None]:
    """Collect garbage first, then disable the collector for the block.

    A collection would be charged to whichever client is running, and on openai 2 a peer's stream that is
    collected in the middle of a call waits forever for the lock of the connection pool.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def count_calls(work: Work) -> int:
    """The number of Python and C function calls this thread makes: the same on any machine."""
    for _ in range(3):
        work()
    with no_collection(), cProfile.Profile() as profile:
        work()
    total: int = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]  # not in its stub
    return total


def files_of_functions(work: Work) -> list[str]:
    """The file of each function of the three packages that runs, in order."""
    files: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(_PACKAGES):
            files.append(path)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return files


def function_calls(title: str, works: dict[str, Work], less: dict[str, Work], *, per: int = 1) -> Figures:
    """Function calls of each operation, optionally minus those of another one and divided."""
    figures = Figures(title, "calls")
    for name, work in works.items():
        taken_off = count_calls(less[name]) if less else 0
        figures.values[name] = [(count_calls(work) - taken_off) / per]
    return figures


def new_connections(title: str, server: Stub, works: dict[str, Work], *, times: int) -> Figures:
    """New connections opened while the operation is repeated, not counting the first one."""
    figures = Figures(title, "connections")
    for name, work in works.items():
        work()
        before = server.connections()
        for _ in range(times):
            work()
        figures.values[name] = [float(server.connections() - before - 1)]  # counting takes one itself
    return figures


def left_behind(title: str, works: dict[str, Work], *, times: int, warm_up: int) -> list[Figures]:
    """Growth of the process after this many repetitions: memory, and objects that the collector tracks."""
    memory = Figures(f"{title}, memory", "KiB")
    objects = Figures(f"{title}, objects", "objects")
    for name, work in works.items():
        for _ in range(warm_up):
            work()
        gc.collect()
        pages, held = _resident_pages(), len(gc.get_objects())
        for _ in range(times):
            work()
        gc.collect()
        memory.values[name] = [(_resident_pages() - pages) * os.sysconf("SC_PAGE_SIZE") / 1024]
        objects.values[name] = [float(len(gc.get_objects()) - held)]
    return [memory, objects] if _STATM.exists() else [objects]


def peak_memory(title: str, works: dict[str, Work], *, size: int) -> Figures:
    """The most bytes that Python held during the operation beyond those from before, divided by `size`."""
    figures = Figures(title, "x")
    for name, work in works.items():
        work()
        gc.collect()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            work()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        figures.values[name] = [(peak - before) / size]
    return figures


def _resident_pages() -> int:
    return int(_STATM.read_text().split()[1]) if _STATM.exists() else 0


def cold(clients: Sequence[type[Client]], base_url: str, *, rounds: int) -> list[Figures]:
    """CPU of new processes: the import, and the import, a model and its first answer.

    Bytecode is there, as in every installed program after its first run: a round that is not counted writes
    it into a folder of its own.
    """
    names = [client.name for client in clients]
    frameworks, imports, answers = (
        Figures(title, "ms", {name: [] for name in names})
        for title in (
            "import of the framework alone, new process",
            "import with bytecode, new process",
            "import with bytecode, model and first answer, new process",
        )
    )
    with tempfile.TemporaryDirectory(prefix="texapi-bench-") as bytecode:
        for turn in range(rounds + 1):
            for client in clients:
                construction = client.construction.format(base_url=base_url, key=KEY)
                for figures, statements in (
                    (frameworks, [client.framework_import]),
                    (imports, [client.import_statement]),
                    (answers, [client.import_statement, construction, client.first_call.format()]),
                ):
                    spent = _process_milliseconds(bytecode, *statements)
                    figures.values[client.name] += [spent] * (turn > 0)
    beside = Figures("import, times that of the framework alone", "x")
    for name in names:
        pairs = zip(imports.values[name], frameworks.values[name], strict=True)
        beside.values[name] = [whole / alone for whole, alone in pairs]
    return [frameworks, imports, beside, answers]


def _process_milliseconds(bytecode: str, *statements: str) -> float:
    program = "\n".join(["import time", *statements, "print(time.process_time() * 1000)"])
    others = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**others, "PYTHONPYCACHEPREFIX": bytecode},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.splitlines()[-1])


def exhaust(items: Any) -> None:
    """Read a stream to the end."""
    for _ in items:
        pass


async def aexhaust(items: Any) -> None:
    """Read a stream to the end."""
    async for _ in items:
        pass
