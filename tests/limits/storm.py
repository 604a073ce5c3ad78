"""Processes that send documents to a server with rate limits, and what became of them.

`python -m tests.limits.storm` sends 400 documents from four processes of 50 tasks, with bursts of 1 and 6
seconds, with and without headers, then from eight processes of two frameworks while Redis is away for ten
seconds, and fails where less is reached than `docs/scale.md` says.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import texapi_core.chat  # noqa: F401 # imports the SDK before the clock starts
from tests.limits.limited_server import OUTPUT_TOKENS, Options
from tests.limits.redis_server import Server, why_not

ROOT = Path(__file__).parent.parent.parent
TASKS = 50
_TEXT = "x " * 150


def _ask(framework: str, root: str, limits: str | None) -> Callable[[str], Any]:
    # Imported where they are used: a process of one framework starts in half the time.
    settings: Any = {"model": "m", "api_key": "sk-tex-storm", "max_tokens": OUTPUT_TOKENS, "limits": limits}
    if framework == "langchain":
        from langchain_texapi import ChatTexAPI

        return ChatTexAPI(base_url=root, **settings).ainvoke
    from llama_index_texapi import TexAPI

    return TexAPI(api_base=root, **settings).acomplete


def _work(
    part: int, parts: int, documents: int, framework: str, root: str, limits: str | None, ready: Barrier
) -> None:
    ask = _ask(framework, root, limits)
    ready.wait()

    async def run() -> None:
        mine = iter(range(part, documents, parts))

        async def task() -> None:
            for number in mine:
                try:
                    await ask(f"DOC-{number} {_TEXT}")
                except Exception as error:
                    print(f"process {part}: {type(error).__name__}: {error}"[:300], file=sys.stderr)

        await asyncio.gather(*(task() for _ in range(TASKS)))

    asyncio.run(run())


def run(
    limits: str | None,
    options: Options,
    *,
    documents: int = 400,
    frameworks: tuple[str, ...] = ("langchain",) * 4,
    meanwhile: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """The server's counts after each process has sent its part of the documents."""
    command = [sys.executable, "-m", "tests.limits.limited_server", json.dumps(asdict(options))]
    spawn, parts = multiprocessing.get_context("spawn"), len(frameworks)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        try:
            assert server.stdout is not None
            root = f"http://127.0.0.1:{server.stdout.readline().strip()}"
            ready = spawn.Barrier(parts + 1)
            workers = [
                spawn.Process(
                    target=_work, args=(part, parts, documents, framework, f"{root}/v1", limits, ready)
                )
                for part, framework in enumerate(frameworks)
            ]
            for worker in workers:
                worker.start()
            ready.wait()
            if meanwhile is not None:
                threading.Thread(target=meanwhile, daemon=True).start()
            for worker in workers:
                worker.join()
            with urllib.request.urlopen(f"{root}/stats") as response:
                stats: dict[str, Any] = json.load(response)
        finally:
            server.terminate()
    return stats


def _report(title: str, stats: dict[str, Any], documents: int, most_refused: float, options: Options) -> bool:
    share = stats.get("refused", 0) / stats["requests"]
    used = stats["tokens_per_minute"] / options.tokens
    good = stats["documents"] == documents and share < most_refused and used >= 0.9
    print(
        f"{title}: {stats['documents']}/{documents} answered, {stats['requests']} requests, "
        f"{share:.1%} refused, {used:.1%} of the token limit, {stats['twice']} twice"
        f"{'' if good else ' - NOT REACHED'}",
        flush=True,
    )
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--only", default="", help="only scenarios whose title contains this")
    parser.add_argument("--limits", default="", help="`auto`, or `sqlite:///FILE`, instead of a Redis")
    arguments = parser.parse_args()
    if not arguments.limits and (reason := why_not()):
        print(f"not run: {reason}")
        return 0
    good = True
    for _ in range(arguments.runs):
        for burst in (1, 6):
            for headers in (True, False):
                title = f"burst {burst} s, {'with' if headers else 'without'} headers"
                if arguments.only not in title:
                    continue
                options = Options(burst=burst, headers=headers)
                with ExitStack() as stack:
                    limits = arguments.limits
                    if not limits:
                        redis = Server()
                        stack.callback(redis.remove)
                        redis.start()
                        limits = redis.url
                    stats = run(limits, options)
                good &= _report(title, stats, 400, 0.02 if headers else 0.08, options)
        title = "eight processes of two frameworks, Redis away for 10 s"
        if arguments.only in title and not arguments.limits:
            good &= _outage(title)
    return 0 if good else 1


def _outage(title: str) -> bool:
    """Also prints what was used of the limit after Redis was back."""
    redis, options = Server(), Options(burst=6)
    redis.start()
    back: list[float] = []

    def stop_and_start() -> None:
        time.sleep(20)
        redis.stop()
        time.sleep(10)
        redis.start()
        back.append(time.monotonic())

    frameworks = ("langchain",) * 4 + ("llama_index",) * 4
    try:
        stats = run(redis.url, options, documents=500, frameworks=frameworks, meanwhile=stop_and_start)
    finally:
        redis.remove()
    refused = stats.get("refused", 0)
    after = [moment for moment in stats["times"] if back and moment > back[0]]
    per_request = stats["tokens"] / stats["answered"]
    rate = 60 * (len(after) - 1) * per_request / (after[-1] - after[0]) if len(after) > 1 else 0.0
    good = stats["documents"] == 500 and 0.9 < rate / options.tokens < 1.1
    print(
        f"{title}: {stats['documents']}/500 answered, {stats['requests']} requests, {refused} refused, "
        f"{stats['tokens_per_minute'] / options.tokens:.1%} of the token limit, afterwards "
        f"{rate / options.tokens:.1%}{'' if good else ' - NOT REACHED'}",
        flush=True,
    )
    return good


if __name__ == "__main__":
    sys.exit(main())
