"""Reading takes time in proportion to the bytes, for every shape of answer: function calls at two sizes.

Copying in C makes no calls, so each shape is also read at a size at which quadratic copying takes minutes.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

import openai
import pytest

from langchain_texapi._streaming import create_chunk, partial_object
from llama_index_texapi._streaming import ResponseStream
from texapi_core import resolve_settings
from texapi_core.call import Call
from texapi_core.failures.money import money_reason
from texapi_core.failures.secrets import Secrets
from texapi_core.transport.read import Body
from texapi_core.wire.arguments import ArgumentsText
from texapi_core.wire.json import parse_json_object
from texapi_core.wire.reader import StreamReader
from texapi_core.wire.reply import parse_reply
from texapi_core.wire.text import json_objects, json_of
from texapi_core.wire.values import ChatDelta, ChatReply

_Shape = Callable[[int], Iterator[dict[str, Any]]]
"""The deltas of a stream of about a size."""


def _calls(n: int) -> Iterator[dict[str, Any]]:
    for index in range(n):
        yield {"tool_calls": [_call(index)]}


def _call(index: int, arguments: str = "{}") -> dict[str, Any]:
    return {"index": index, "id": f"c{index}", "function": {"name": f"f{index}", "arguments": arguments}}


def _calls_in_one_chunk(n: int) -> Iterator[dict[str, Any]]:
    yield {"tool_calls": [_call(index) for index in range(n)]}


def _calls_without_ids(n: int) -> Iterator[dict[str, Any]]:
    for _ in range(n):
        yield {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": '{"a": 1}'}}]}


def _pieces_of_arguments(piece: str) -> _Shape:
    def shape(n: int) -> Iterator[dict[str, Any]]:
        yield {"tool_calls": [_call(0, "")]}
        for _ in range(n):
            yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}

    return shape


def _arguments_with_new_ids(n: int) -> Iterator[dict[str, Any]]:
    for number in range(n):
        entry = {"index": 0, "id": f"c{number}", "function": {"name": "f", "arguments": '"},{"'}}
        yield {"tool_calls": [entry]}


def _same(**delta: Any) -> _Shape:
    return lambda n: (delta for _ in range(n))


def _details(n: int) -> Iterator[dict[str, Any]]:
    for number in range(n):
        yield {"reasoning_details": [{"type": "reasoning.text", "index": number, "text": "thought"}]}


def _names(n: int) -> Iterator[dict[str, Any]]:
    for _ in range(n):
        yield {"tool_calls": [{"index": 0, "function": {"name": "f"}}]}


_STREAMS: dict[str, _Shape] = {
    "texts": _same(content="text "),
    "texts, each begun by the first": _same(content="a"),
    "reasoning": _same(reasoning_content="thought "),
    "reasoning details, one index": _same(
        reasoning_details=[{"type": "reasoning.text", "index": 0, "text": "thought"}]
    ),
    "reasoning details, many indexes": _details,
    "refusals": _same(refusal="no "),
    "calls": _calls,
    "calls in one chunk": _calls_in_one_chunk,
    "calls without ids": _calls_without_ids,
    "names in pieces": _names,
    "arguments": _pieces_of_arguments('"k": 1, '),
    "arguments of open braces": _pieces_of_arguments("{"),
    "arguments of closed braces": _pieces_of_arguments("{}"),
    "arguments of quotes": _pieces_of_arguments('"'),
    "arguments of blanks": _pieces_of_arguments(" "),
    "arguments with new ids": _arguments_with_new_ids,
    "sound": _same(audio={"id": "a", "data": "QUJD" * 100, "transcript": "la "}),
    "annotations": lambda n: ({"annotations": [{"url": f"https://{number}"}]} for number in range(n)),
    "images": _same(images=[{"image_url": {"url": "data:"}}]),
}


def _stream(shape: _Shape, n: int) -> bytes:
    return b"".join(
        b"data: %s\n\n" % json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode()
        for delta in shape(n)
    )


def _items(body: bytes) -> Iterator[ChatDelta | ChatReply]:
    reader = StreamReader()
    for start in range(0, len(body), 1000):
        yield from reader.feed(body[start : start + 1000])
    yield from reader.feed(b"data: [DONE]\n\n")
    yield from reader.finish()
    yield reader.state.reply(request_id=None, headers={})


def _read_stream(body: bytes) -> None:
    for _ in _items(body):
        pass


def _message_chunks(n: int) -> bytes:
    first = {"choices": [{"index": 0, "delta": {"content": "text", "reasoning_content": "thought"}}]}
    later = {"choices": [{"index": 0, "message": {"content": "t", "reasoning_content": "t"}}]}
    return b"".join(b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in (first, *[later] * n))


def _new_members_of_usage(n: int) -> bytes:
    chunks = ({"choices": [], "usage": {f"n{number}": number, "prompt_tokens": 3}} for number in range(n))
    text = {"choices": [{"index": 0, "delta": {"content": "x"}}]}
    return b"".join(b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in (text, *chunks))


_BODIES: dict[str, Callable[[int], bytes]] = {
    "messages as chunks": _message_chunks,
    "usage with new members": _new_members_of_usage,
    "blank lines": lambda n: b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n' + b"\n" * n,
    "one line": lambda n: b"data: " + b"x" * n,
    "a document": lambda n: json.dumps(
        {"choices": [{"message": {"content": "x" * n}, "finish_reason": "stop"}]}
    ).encode(),
    "data lines of one event": lambda n: b"data: 1\n" * n + b"\n",
    "carriage returns": lambda n: b"\r" * n,
    "choices": lambda n: (
        b"data: %s\n\n"
        % json.dumps({"choices": [{"index": i, "delta": {"content": "x"}} for i in range(n)]}).encode()
    ),
}

_TEXTS: dict[str, Callable[[int], str]] = {
    "braces": lambda n: "{" * n,
    "braces and quotes": lambda n: '{"' * n,
    "nested objects that never end": lambda n: '{"a":' * n,
    "objects that never end": lambda n: '{"a": {"b": [1]}, ' * n,
    "objects": lambda n: '{"a": 1} ' * n,
    "blanks after braces": lambda n: ("{" + " " * 50) * n,
}


def _read_broken(body: bytes) -> None:
    with contextlib.suppress(ValueError):
        _read_stream(body)


def _read_whole(message: dict[str, Any]) -> None:
    body = parse_json_object(json.dumps({"choices": [{"message": message}]}).encode())
    parse_reply(body, request_id=None, headers={})


def _on(read: Callable[[Any], Any], make: Callable[[int], Any]) -> Callable[[int], Callable[[], Any]]:
    """Size -> the reading of what `make` returns for it."""

    def work(n: int) -> Callable[[], Any]:
        made = make(n)
        return lambda: read(made)

    return work


def _streaming(shape: _Shape) -> Callable[[int], bytes]:
    return lambda n: _stream(shape, n)


def _whole_calls(n: int) -> dict[str, Any]:
    return {"tool_calls": [_call(index) for index in range(n)]}


def _whole_parts(n: int) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": "x"}] * n}


def _objects(text: str) -> list[Any]:
    return list(json_objects(text))


_ERRORS: dict[str, Callable[[int], Any]] = {
    "words": lambda n: {"message": "limit balance exceeded, try again in 1 " * n},
    "members": lambda n: {f"m{number}": "no balance check" for number in range(n)},
    "sentences": lambda n: {"message": "The limit was. Exceeded? " * n},
    "quoted requests": lambda n: {"message": '{"messages": [{"content": "a"}]} ' * n},
    "requests that never end": lambda n: {"message": '"messages": [{"content": "' * n},
    "backslashes in a request": lambda n: {"message": '"messages": [' + "\\" * 50 * n},
    "escapes": lambda n: {"message": "\\u4f59\\\\n%e4&#20313;" * n},
}

_SECRETS = Secrets(["sk-tex-Zq8vXw2pLk9mNb4cTr7y"])
_QUOTES: dict[str, Callable[[int], str]] = {
    "escaped pieces": lambda n: "sk%2Dtex-Zq8vXw2p&#76;k9mNb4cTr7y " * n,
    "starts": lambda n: "sk-tex-Zq8 " * n,
    "escapes": lambda n: "\\\\u0041%2525&amp;lt;" * n,
    "layers": lambda n: "%" + "25" * n,
}

_WORK = {
    **{f"stream: {name}": _on(_read_stream, _streaming(shape)) for name, shape in _STREAMS.items()},
    **{f"bytes: {name}": _on(_read_broken, make) for name, make in _BODIES.items()},
    **{f"text: {name}": _on(_objects, make) for name, make in _TEXTS.items()},
    "whole: calls": _on(_read_whole, _whole_calls),
    "whole: parts": _on(_read_whole, _whole_parts),
    **{f"error: {name}": _on(money_reason, make) for name, make in _ERRORS.items()},
    **{f"secrets: {name}": _on(_SECRETS.redact, make) for name, make in _QUOTES.items()},
}


def _count_calls(work: Callable[[], Any], packages: tuple[str, ...] = ("",)) -> int:
    """The calls that the code of these packages makes, or of all."""
    count = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        if event in ("call", "c_call"):
            count += frame.f_globals.get("__name__", "").startswith(packages)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("name", _WORK)
def test_function_calls_grow_in_proportion_to_the_bytes(name: str) -> None:
    _count_calls(_WORK[name](10))  # what is imported or cached on first use
    few, many = (_count_calls(_WORK[name](n)) for n in (100, 400))

    assert many < 4.4 * few + 50


def _read_for_langchain(body: bytes) -> None:
    for item in _items(body):
        create_chunk(item, "m", with_headers=False)


def _read_for_llama_index(body: bytes) -> None:
    responses = ResponseStream(requested_model="m")
    for item in _items(body):
        responses.feed(item)


@pytest.mark.parametrize("read", [_read_for_langchain, _read_for_llama_index])
@pytest.mark.parametrize("shape", _STREAMS.values(), ids=_STREAMS)
def test_what_a_framework_is_given_takes_calls_in_proportion_too(
    shape: _Shape, read: Callable[[bytes], None]
) -> None:
    """Calls of this project's code: LlamaIndex itself looks at all blocks of each partial response."""
    own = ("texapi_core", "langchain_texapi", "llama_index_texapi")
    work = _on(read, _streaming(shape))
    few, many = (_count_calls(work(n), own) for n in (25, 100))

    assert many < 4.4 * few + 50


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.combination) for name in _WORK])
def test_a_large_answer_takes_seconds_at_most(name: str) -> None:
    """8,000 pieces: 0.7 s at most on a quiet machine; quadratic work took 10 s and more."""
    work = _WORK[name](8000)
    start = time.process_time()

    work()

    assert time.process_time() - start < 7


def test_sound_in_many_pieces() -> None:
    """16 MB in 4,000 pieces took 36 seconds when each piece was added to the sum of those before it."""
    body = _stream(_same(audio={"data": "A" * 4000}), 4000)
    start = time.process_time()

    _read_stream(body)

    assert time.process_time() - start < 8


@pytest.mark.parametrize("coding", ["", "gzip"])
def test_a_whole_answer_is_copied_once(coding: str) -> None:
    """Its bytes and its text are in memory, and no more of either at the same time."""
    text = "abcdefgh ij" * 10**6
    body = json.dumps({"choices": [{"message": {"content": text}}]}).encode()
    sent = gzip.compress(body, 1) if coding else body
    packets = [sent[at : at + 2**16] for at in range(0, len(sent), 2**16)]
    http = import_module(openai.DefaultHttpxClient.__mro__[1].__module__)
    response = http.Response(
        200, headers={"content-encoding": coding} if coding else {}, stream=http.ByteStream(b"")
    )
    call = Call(resolve_settings(api_key="sk-tex-1", base_url=None, timeout=60, max_retries=0))
    del text

    tracemalloc.start()
    try:
        read = Body(call, response)
        while packets:
            read.feed(packets.pop(0))
        reply = read.reply()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(reply.choice.text) > 0.99 * len(body)
    assert peak < 2.3 * len(body)


def test_a_large_integer_is_found_at_any_place() -> None:
    number = "123456789012345678901"
    for before in range(30):
        for after in ("}", "5}"):
            text = f'{{"a": "{"x" * before}", "n": {number}{after}'
            read = ArgumentsText()
            assert json.loads(read.feed(text) + read.finish())["n"] == number + after[:-1]


def test_no_python_runs_for_each_value_of_json() -> None:
    """A call for each integer made 5 MB of arguments stall an event loop for three times as long."""
    rows = [{"id": number, "price": number / 7, "name": f"row {number}"} for number in range(5_000)]

    assert _count_calls(lambda: json_of(json.dumps({"rows": rows}))) < 100


def test_no_python_runs_for_each_value_of_arguments() -> None:
    """A price has as many digits as a large integer; 5 MB of them stalled an event loop for over a second."""
    rows = [{"id": number, "price": number / 7, "name": f'row "{number}"'} for number in range(5_000)]
    whole, large = json.dumps({"rows": rows}), f'{{"n": {10**30}, "rows": {json.dumps(rows)}}}'

    for text in (whole, whole[:-4], large):
        read = ArgumentsText()
        assert _count_calls(partial(read.feed, text)) < 100


def test_langchain_reads_cut_arguments_once_for_each_way_to_close_them() -> None:
    """It reads them character by character, which takes a second for 5 MB."""
    body = _stream(lambda _: iter([{"tool_calls": [_call(0, '{"path": "/ho')]}]), 1)
    read = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal read
        read += event == "call" and frame.f_code is partial_object.__code__

    items = list(_items(body))
    sys.setprofile(note)
    try:
        create_chunk(items[-1], "m", with_headers=False)
    finally:
        sys.setprofile(None)

    assert read == 3  # as it is, with a bracket, and with its string closed before the bracket
