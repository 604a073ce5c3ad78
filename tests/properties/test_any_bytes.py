"""Any bytes after the status line become a typed answer or a typed error."""

from __future__ import annotations

import contextlib
import functools
import json
import operator
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from langchain_core.messages import BaseMessage
from llama_index.core.base.llms.types import ChatMessage, ChatResponse

from tests.faults.verbatim import Verbatim, VerbatimServer
from tests.faults.ways import WAYS
from tests.properties.line import Line
from tests.properties.strategies import answers, cut, examples, json_values, streams
from texapi_core import ChatReply, TexAPIError


@st.composite
def _corrupt_json(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value with one of its parts replaced or removed."""
    if not isinstance(value, (dict, list)) or not value or draw(st.integers(0, 5)) == 0:
        return draw(json_values)
    place = draw(st.sampled_from(list(value) if isinstance(value, dict) else range(len(value))))
    spoilt = value.copy()
    if draw(st.integers(0, 5)) == 0:
        del spoilt[place]
    else:
        spoilt[place] = draw(_corrupt_json(value[place]))
    return spoilt


@st.composite
def _corrupt_documents(draw: st.DrawFn) -> bytes:
    return json.dumps(draw(_corrupt_json(json.loads(draw(answers()).document())))).encode()


@st.composite
def _corrupt_streams(draw: st.DrawFn) -> bytes:
    """A stream with one corrupted chunk."""
    lines = draw(streams(draw(answers()))).splitlines(keepends=True)
    place = draw(st.integers(0, len(lines) - 1))
    data = lines[place].partition(b"data:")[2].strip()
    with contextlib.suppress(ValueError):
        lines[place] = b"data: %s\n" % json.dumps(draw(_corrupt_json(json.loads(data)))).encode()
    return b"".join(lines)


@st.composite
def _corrupt_bytes(draw: st.DrawFn) -> bytes:
    """A stream or a document with a range of its bytes replaced."""
    answer = draw(answers())
    whole = draw(streams(answer)) if draw(st.booleans()) else answer.document()
    start = draw(st.integers(0, len(whole)))
    end = draw(st.integers(start, len(whole)))
    return whole[:start] + draw(st.binary(max_size=20)) + whole[end:]


_bodies = st.one_of(st.binary(max_size=60), _corrupt_bytes(), _corrupt_documents(), _corrupt_streams())


def _asks(line: Line) -> list[Callable[[], Any]]:
    hello = [ChatMessage("Hello")]
    return [
        line.complete,
        line.stream,
        line.acomplete,
        line.astream,
        lambda: line.chat_texapi.invoke("Hello"),
        lambda: functools.reduce(operator.add, line.chat_texapi.stream("Hello")),
        lambda: line.texapi.chat(hello),
        lambda: list(line.texapi.stream_chat(hello))[-1],
    ]


@examples
@given(packets=_bodies.flatmap(cut))
@example(packets=[b'{"choices": [{"message": {"content": "x", "tool_calls": [{"function": {"name": 5}}]}}]}'])
@example(packets=[b'data: {"choices": [{"delta": {"content": "\\ud83c"}, "finish_reason": "stop"}]}\n\n'])
def test_any_body(line: Line, packets: list[bytes]) -> None:
    line.send(*packets)

    for ask in _asks(line):
        with contextlib.suppress(TexAPIError):
            answer = ask()
            assert isinstance(answer, (ChatReply, ChatResponse, BaseMessage))
            str(answer).encode()


@pytest.mark.parametrize(
    "arguments",
    ['{"a": ' * 2000, '{"a": ' * 2000 + "1" + "}" * 2000, "[" * 2000],
    ids=["open", "whole", "list"],
)
@pytest.mark.parametrize("place", ["arguments", "content"])
def test_what_is_nested_too_deeply_to_be_read(line: Line, arguments: str, place: str) -> None:
    """It is no call and no object: in each way of asking the answer is the same."""
    call = {"index": 0, "id": "a", "type": "function", "function": {"name": "get", "arguments": arguments}}
    delta = {"tool_calls": [call]} if place == "arguments" else {"content": arguments}
    chunk = {"choices": [{"index": 0, "delta": delta, "finish_reason": "stop"}]}
    line.send(b"data: " + json.dumps(chunk).encode() + b"\n\ndata: [DONE]\n\n")

    for ask in _asks(line):
        answer = ask()
        assert not getattr(answer, "tool_calls", None)
    structured = line.chat_texapi.with_structured_output({"title": "A", "type": "object"}, method="json_mode")
    with contextlib.suppress(ValueError, TexAPIError):
        list(structured.stream("Hello"))


@pytest.fixture(scope="module")
def server() -> Iterator[VerbatimServer]:
    with VerbatimServer() as opened:
        yield opened


_head_lines = st.sampled_from(
    [
        b"content-length: 5",
        b"content-length: -5",
        b"content-length: many",
        b"transfer-encoding: chunked",
        b"transfer-encoding: gzip",
        b"content-encoding: gzip",
        b"content-type: \xff",
        b"content-type: application/json; charset=\x80",
        b"location: //",
        b"x-request-id: ",
        b"retry-after: soon",
        b"no colon",
        b": no name",
    ]
)


@st.composite
def _after_status(draw: st.DrawFn) -> bytes:
    head = b"".join(line + b"\r\n" for line in draw(st.lists(_head_lines, max_size=3)))
    return head + draw(st.sampled_from([b"\r\n", b"\n", b""])) + draw(_bodies)


@examples
@given(status=st.sampled_from([200, 204, 302, 402, 429, 500]), rest=_after_status())
def test_any_head_and_body(server: VerbatimServer, status: int, rest: bytes) -> None:
    server.respond(Verbatim(b"HTTP/1.1 %d Status\r\n%s" % (status, rest)))

    for way in WAYS:
        if not way.name.startswith("a"):
            with contextlib.suppress(TexAPIError):
                way(base_url=server.base_url, api_key=server.key, timeout=2, max_retries=0)
