"""Lines per second and memory of `texapi batch`, beside a bare asyncio loop over the openai SDK.

`python -m benchmarks.bulk [LINES]`, 20,000 lines by default, against the stub.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import openai

from benchmarks.clients import KEY

CONCURRENCY = 32
_BATCH = "from texapi_core.cli import main; main()"


async def bare_loop(base_url: str, source: Path, out: Path) -> None:
    """What a user would write: tasks that share the lines of a file. No resume, no errors, no limits."""
    client = openai.AsyncOpenAI(base_url=base_url, api_key=KEY)
    with source.open() as lines, out.open("w") as answers:

        async def ask() -> None:
            for line in lines:
                request = json.loads(line)
                answer = await client.chat.completions.create(**request["body"])
                body = {"custom_id": request["custom_id"], "body": answer.model_dump()}
                answers.write(json.dumps(body) + "\n")

        await asyncio.gather(*(ask() for _ in range(CONCURRENCY)))


def _requests(count: int) -> Iterator[str]:
    for number in range(count):
        message = {"role": "user", "content": f"Summarise document {number}, please."}
        body = {"model": "whole", "messages": [message], "max_tokens": 100}
        request = {
            "custom_id": f"doc-{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": body,
        }
        yield json.dumps(request) + "\n"


def _measured(name: str, command: list[str], count: int, environment: dict[str, str]) -> None:
    begun = time.monotonic()
    process = subprocess.Popen([sys.executable, *command], env={**os.environ, **environment})
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - begun
    assert process.returncode == 0, f"{name}: exit code {process.returncode}"
    print(
        f"{name:<22} {count / seconds:>8,.0f} lines/s  {used.ru_maxrss / 1024:>6,.0f} MiB at most  "
        f"{(used.ru_utime + used.ru_stime) / count * 1e6:>6,.0f} us of CPU a line",
        flush=True,
    )


def main(count: int) -> None:
    """Print a line for each."""
    stub = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.stub"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert stub.stdout is not None
    base_url = f"http://127.0.0.1:{int(stub.stdout.readline())}/v1"
    environment = {"TEXAPI_BASE_URL": base_url, "TEXAPI_API_KEY": KEY}
    try:
        with tempfile.TemporaryDirectory() as folder:
            source, out = Path(folder, "in.jsonl"), Path(folder, "out.jsonl")
            with source.open("w") as file:
                file.writelines(_requests(count))
            bare = ["-m", "benchmarks.bulk", "bare", base_url, str(source), os.devnull]
            batch = ["-c", _BATCH, "batch", str(source), str(out), "--concurrency", str(CONCURRENCY)]
            batch += ["--limits", "none"]
            _measured("asyncio over the SDK", bare, count, environment)
            _measured("texapi batch", batch, count, environment)
            out.unlink()
            aiohttp = [*batch, "--transport", "aiohttp"]
            _measured("texapi batch, aiohttp", aiohttp, count, environment)
            with out.open("rb") as answers:
                assert sum(1 for _ in answers) == count
            _measured("texapi batch, all done", batch, count, environment)
    finally:
        stub.kill()
        stub.wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["bare"]:
        asyncio.run(bare_loop(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])))
    else:
        main(int((sys.argv[1:] or ["20000"])[0]))
