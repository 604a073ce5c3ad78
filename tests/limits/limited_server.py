"""A server with rate limits that counts: `python -m tests.limits.limited_server '{"requests": 600, ...}'`.

It prints its port, then answers `POST .../chat/completions` as a gateway whose limits fill up continuously,
and `GET /stats`. A document is named by `DOC-<n>` in the prompt.
"""

from __future__ import annotations

import asyncio
import collections
import json
import math
import random
import re
import sys
import time
from dataclasses import dataclass
from typing import Any

from tests.limits.simulation import Bucket

_DOCUMENT = re.compile(rb"DOC-(\d+)")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
OUTPUT_TOKENS = 34
_LATENCY = (0.3, 0.6)


@dataclass
class Options:
    requests: float = 600
    tokens: float = 60_000
    burst: float = 1
    headers: bool = True


class Limits:
    """Both limits, and what was counted."""

    def __init__(self, options: Options) -> None:
        self._headers = options.headers
        self._buckets = {
            "requests": (options.requests, Bucket(options.requests, options.burst)),
            "tokens": (options.tokens, Bucket(options.tokens, options.burst)),
        }
        self._start = time.monotonic()
        self.counts: collections.Counter[str] = collections.Counter()
        self.documents: collections.Counter[bytes] = collections.Counter()
        self.times: list[float] = []
        """Of the requests, by the clock of the machine."""
        self.last = 0.0

    def seconds_until(self, tokens: float) -> float:
        now = time.monotonic() - self._start
        amounts = {"requests": 1.0, "tokens": tokens}
        return max(bucket.seconds_until(amounts[kind], now) for kind, (_, bucket) in self._buckets.items())

    def take(self, tokens: float) -> None:
        self._buckets["requests"][1].level -= 1
        self._buckets["tokens"][1].level -= tokens

    def headers(self) -> str:
        if not self._headers:
            return ""
        self.seconds_until(0)
        lines = []
        for kind, (per_minute, bucket) in self._buckets.items():
            full = (bucket.capacity - bucket.level) / bucket.rate
            lines += [
                f"x-ratelimit-limit-{kind}: {per_minute:.0f}",
                f"x-ratelimit-remaining-{kind}: {max(0.0, bucket.level):.0f}",
                f"x-ratelimit-reset-{kind}: {full:.3f}s",
            ]
        return "".join(f"{line}\r\n" for line in lines)

    def retry_after(self, wait: float) -> str:
        return f"retry-after: {max(1, math.ceil(wait))}\r\n" if self._headers else ""

    def stats(self) -> dict[str, Any]:
        span = self.last - self.times[0] if self.last else 0.0
        return {
            **self.counts,
            "documents": len(self.documents),
            "twice": sum(count > 1 for count in self.documents.values()),
            "seconds": span,
            "tokens_per_minute": round(60 * self.counts["tokens"] / span) if span else 0,
            "times": self.times,
        }


class Connection(asyncio.Protocol):
    def __init__(self, limits: Limits) -> None:
        self._limits, self._buffer = limits, b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            length = _LENGTH.search(head)
            size = int(length[1]) if length else 0
            if not found or len(rest) < size:
                return
            self._buffer = rest[size:]
            self._handle(head, rest[:size])

    def _send(self, status: str, body: Any, headers: str = "") -> None:
        content = json.dumps(body).encode()
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{headers}"
        if not self._transport.is_closing():
            self._transport.write(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)

    def _handle(self, head: bytes, body: bytes) -> None:
        limits = self._limits
        if head.startswith(b"GET /stats"):
            return self._send("200 OK", limits.stats())
        limits.counts["requests"] += 1
        limits.times.append(time.monotonic())
        tokens = max(1, len(body) // 4) + OUTPUT_TOKENS
        if wait := limits.seconds_until(tokens):
            limits.counts["refused"] += 1
            error = {"error": {"type": "rate_limited", "message": "slow down"}}
            return self._send("429 Too Many Requests", error, limits.retry_after(wait) + limits.headers())
        limits.take(tokens)
        loop = asyncio.get_running_loop()
        loop.call_later(random.uniform(*_LATENCY), self._answer, body, tokens)
        return None

    def _answer(self, body: bytes, tokens: int) -> None:
        limits = self._limits
        limits.counts["answered"] += 1
        limits.counts["tokens"] += tokens
        limits.last = time.monotonic()
        if document := _DOCUMENT.search(body):
            limits.documents[document[1]] += 1
        message = {"role": "assistant", "content": "summary"}
        self._send(
            "200 OK",
            {
                "id": f"chatcmpl-{limits.counts['answered']}",
                "object": "chat.completion",
                "created": 1,
                "model": "m",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {
                    "prompt_tokens": tokens - OUTPUT_TOKENS,
                    "completion_tokens": OUTPUT_TOKENS,
                    "total_tokens": tokens,
                },
            },
            limits.headers(),
        )


async def main() -> None:
    limits = Limits(Options(**json.loads(sys.argv[1])))
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(limits), "127.0.0.1", 0, backlog=2048
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
