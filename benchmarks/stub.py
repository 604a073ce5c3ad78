"""A gateway with almost no cost: every answer is prepared as bytes before it is requested.

The model's name selects the answer: its kind, its length, and an optional delay.

    whole            a short text
    text-500         500 words, as many chunks when streamed
    reasoning-500    500 words of reasoning, then a short text
    tools-500        one tool call, its arguments in about 500 pieces
    large-2000       2,000 pieces of 5,000 bytes
    largetools-1000  one tool call, its arguments a text in 1,000 pieces of 5,000 bytes
    rowtools-100000  one tool call, its arguments 100,000 objects of 50 bytes
    whole-50ms       the same as `whole`, 50 ms later

Run with `python -m benchmarks.stub [CERTIFICATE]`: prints its port, and a TLS port if given a file with a
certificate and its key, and exits when its standard input closes. `GET /count` returns how many
connections and requests it has seen.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import ssl
import sys
import threading
from functools import cache
from typing import Any

_MODEL = re.compile(rb'"model"\s*:\s*"([^"]*)"')
_STREAM = re.compile(rb'"stream"\s*:\s*true')
_TOOL = re.compile(rb'"function"\s*:\s*\{\s*"name"\s*:\s*"([^"]+)"')
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "a",
    "lazy",
    "dog",
    "and",
    "says",
    "so",
    "in",
    "a",
    "few",
    "plain",
    "words",
]
_USAGE = {
    "prompt_tokens": 12,
    "completion_tokens": 34,
    "total_tokens": 46,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 8},
}
_OF_TOOLS = ("tools", "largetools", "rowtools", "answer")
_ANSWER = {"city": "Paris", "temperature": 21, "unit": "celsius", "tags": ["mild", "sunny"]}
_ENVELOPE = {
    "id": "chatcmpl-bench",
    "created": 1_790_000_000,
    "model": "bench",
    "system_fingerprint": "fp_bench",
}


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _words(count: int, kind: str = "text") -> list[str]:
    size = 5_000 if kind.startswith("large") else 1
    return [(_WORDS[i % len(_WORDS)] + " ").ljust(size, "x") for i in range(count)]


def _arguments(kind: str, count: int) -> str:
    if kind == "answer":
        return json.dumps(_ANSWER)
    if kind == "rowtools":
        return json.dumps({"rows": [{"id": i, "name": f"row {i}", "price": i * 1.5} for i in range(count)]})
    return json.dumps({"city": "Paris", "note": "".join(_words(count, kind))})


def _whole(kind: str, count: int, tool: str) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(_words(count, kind)), "refusal": None}
    finish_reason = "stop"
    if kind == "reasoning":
        message["reasoning_content"] = "".join(_words(count))
    elif kind == "answer" and not tool:
        message["content"] = json.dumps(_ANSWER)
    elif kind in _OF_TOOLS:
        function = {"name": tool or "get_weather", "arguments": _arguments(kind, count)}
        message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
        message["content"], finish_reason = None, "tool_calls"
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
    return _json({**_ENVELOPE, "object": "chat.completion", "choices": [choice], "usage": _USAGE})


def _deltas(kind: str, count: int, tool: str) -> list[dict[str, Any]]:
    if kind in _OF_TOOLS[:3]:
        function = {"name": tool or "get_weather", "arguments": ""}
        head = {"index": 0, "id": "call_1", "type": "function", "function": function}
        arguments = _arguments(kind, count)
        size = max(1, len(arguments) // count)
        pieces = [arguments[i : i + size] for i in range(0, len(arguments), size)]
        return [{"tool_calls": [head]}] + [
            {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces
        ]
    if kind == "reasoning":
        return [{"reasoning_content": word} for word in _words(count)] + [{"content": "Done."}]
    return [{"content": word} for word in _words(count, kind)]


def _events(kind: str, count: int, tool: str) -> list[bytes]:
    finish_reason = "tool_calls" if kind in _OF_TOOLS[:3] else "stop"
    turns: list[tuple[dict[str, Any], str | None]] = [
        ({"role": "assistant", "content": "", "refusal": None}, None)
    ]
    turns += [(delta, None) for delta in _deltas(kind, count, tool)]
    turns += [({}, finish_reason)]
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}], "usage": None}
        for delta, finish in turns
    ]
    chunks.append({"choices": [], "usage": _USAGE})
    head = {**_ENVELOPE, "object": "chat.completion.chunk"}
    return [b"data: " + _json({**head, **chunk}) + b"\n\n" for chunk in chunks] + [b"data: [DONE]\n\n"]


def _head(content_type: str, length: str) -> bytes:
    return (
        f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nx-request-id: req_bench\r\n{length}\r\n\r\n"
    ).encode()


@cache
def _answer(model: str, stream: bool, tool: str) -> tuple[bytes, float]:
    """The bytes of an answer and the seconds to wait before them."""
    kind, *details = model.split("-")
    count = next((int(detail) for detail in details if detail.isdigit()), 16)
    milliseconds = next((int(detail[:-2]) for detail in details if detail.endswith("ms")), 0)
    if not stream:
        body = _whole(kind, count, tool)
        return _head("application/json", f"content-length: {len(body)}") + body, milliseconds / 1000
    # As gateways send them: one HTTP chunk per event.
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(event), event) for event in _events(kind, count, tool))
    head = _head("text/event-stream", "transfer-encoding: chunked")
    return head + chunks + b"0\r\n\r\n", milliseconds / 1000


_seen = {"connections": 0, "requests": 0}


class _Connection(asyncio.Protocol):
    _transport: asyncio.WriteTransport

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        _seen["connections"] += 1

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not found or len(body) < (int(length[1]) if length else 0):
            return
        self._received = b""
        if head.startswith(b"GET"):
            count = _json(_seen)
            self._transport.write(_head("application/json", f"content-length: {len(count)}") + count)
            return
        _seen["requests"] += 1
        model, tool = _MODEL.search(body), _TOOL.search(body)
        answer, seconds = _answer(
            model[1].decode() if model else "whole",
            _STREAM.search(body) is not None,
            tool[1].decode() if tool else "",
        )
        if seconds:
            asyncio.get_running_loop().call_later(seconds, self._transport.write, answer)
        else:
            self._transport.write(answer)


def _end_with_standard_input() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


async def _serve(certificates: list[str]) -> None:
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(_Connection, "127.0.0.1", 0, backlog=1024)]
    for certificate in certificates:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        servers.append(await loop.create_server(_Connection, "127.0.0.1", 0, backlog=1024, ssl=context))
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1:]))
