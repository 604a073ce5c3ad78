"""What a gateway does wrong x both frameworks x sync and async x whole and streamed: what the user sees.

Each row of the tables says what goes over the wire, and the answer or the error that must come of it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from langchain_core.exceptions import ModelError
from llama_index.core.base.llms.types import ChatMessage

import texapi_core
from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway

JSON = "application/json"


class Seen(NamedTuple):
    """What a user of either framework reads from an answer."""

    text: str
    calls: list[tuple[str, Any]]
    tokens: tuple[int, int] | None


def _of_langchain(message: Any) -> Seen:
    usage = message.usage_metadata
    return Seen(
        message.text,
        [(call["name"], call["args"]) for call in message.tool_calls],
        (usage["input_tokens"], usage["output_tokens"]) if usage else None,
    )


def _of_llama_index(llm: TexAPI, response: Any) -> Seen:
    usage = response.raw.get("usage")
    calls = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
    return Seen(
        response.message.content or "",
        [(call.tool_name, call.tool_kwargs) for call in calls],
        (usage["prompt_tokens"], usage["completion_tokens"]) if usage else None,
    )


def _langchain(endpoint: Endpoint) -> ChatTexAPI:
    return ChatTexAPI(**endpoint.for_langchain(model="gpt-5.2", timeout=5, stream_idle_timeout=0.4))


def _llama_index(endpoint: Endpoint) -> TexAPI:
    return TexAPI(**endpoint.for_llama_index(model="gpt-5.2", timeout=5, stream_idle_timeout=0.4))


def invoke(endpoint: Endpoint) -> Seen:
    return _of_langchain(_langchain(endpoint).invoke("Hello"))


def ainvoke(endpoint: Endpoint) -> Seen:
    return _of_langchain(asyncio.run(_langchain(endpoint).ainvoke("Hello")))


def stream(endpoint: Endpoint) -> Seen:
    first, *rest = _langchain(endpoint).stream("Hello")
    return _of_langchain(sum(rest, first))


def astream(endpoint: Endpoint) -> Seen:
    async def collect() -> list[Any]:
        return [chunk async for chunk in _langchain(endpoint).astream("Hello")]

    first, *rest = asyncio.run(collect())
    return _of_langchain(sum(rest, first))


def chat(endpoint: Endpoint) -> Seen:
    llm = _llama_index(endpoint)
    return _of_llama_index(llm, llm.chat([ChatMessage("Hello")]))


def achat(endpoint: Endpoint) -> Seen:
    llm = _llama_index(endpoint)
    return _of_llama_index(llm, asyncio.run(llm.achat([ChatMessage("Hello")])))


def stream_chat(endpoint: Endpoint) -> Seen:
    llm = _llama_index(endpoint)
    *_, last = llm.stream_chat([ChatMessage("Hello")])
    return _of_llama_index(llm, last)


def astream_chat(endpoint: Endpoint) -> Seen:
    llm = _llama_index(endpoint)

    async def collect() -> list[Any]:
        return [response async for response in await llm.astream_chat([ChatMessage("Hello")])]

    return _of_llama_index(llm, asyncio.run(collect())[-1])


WAYS = [invoke, ainvoke, stream, astream, chat, achat, stream_chat, astream_chat]
STREAMS = [stream, astream, stream_chat, astream_chat]
LANGCHAIN = {invoke, ainvoke, stream, astream}
Way = Callable[[Endpoint], Seen]

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
OK = Seen("ok", [], (3, 2))


def whole(message: Any, usage: Any = USAGE, finish_reason: Any = "stop", **members: Any) -> Fault:
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    body = {"id": "c1", "model": "m", "choices": [choice], "usage": usage, **members}
    return Fault(body={name: value for name, value in body.items() if value != "left out"})


def called(**function: Any) -> dict[str, Any]:
    return {"content": None, "tool_calls": [{"id": "a", "type": "function", "function": function}]}


ANSWERS: dict[str, tuple[Fault, Seen]] = {
    "as documented": (whole({"role": "assistant", "content": "ok"}), OK),
    "content as parts": (
        whole({"content": [{"type": "text", "text": "o"}, {"type": "text", "text": "k"}]}),
        OK,
    ),
    "content null": (whole({"content": None}), Seen("", [], (3, 2))),
    "content missing": (whole({"role": "assistant"}), Seen("", [], (3, 2))),
    "envelope missing": (whole({"content": "ok"}, id="left out", model="left out"), OK),
    "unknown fields": (
        whole({"content": "ok", "mood": {"a": [1]}}, extra={"b": [2]}, finish_reason="stop"),
        OK,
    ),
    "unknown finish reason": (whole({"content": "ok"}, finish_reason="tired"), OK),
    "usage missing": (whole({"content": "ok"}, usage="left out"), Seen("ok", [], None)),
    "usage null": (whole({"content": "ok"}, usage=None), Seen("ok", [], None)),
    "usage of nulls": (
        whole({"content": "ok"}, usage={"prompt_tokens": None, "completion_tokens": None}),
        Seen("ok", [], None),
    ),
    "usage in floats": (whole({"content": "ok"}, usage={"prompt_tokens": 3.0, "completion_tokens": 2.0}), OK),
    "usage without output": (whole({"content": "ok"}, usage={"prompt_tokens": 3, "total_tokens": 5}), OK),
    "tool call": (whole(called(name="f", arguments='{"x": 1}')), Seen("", [("f", {"x": 1})], (3, 2))),
    "arguments as a dict": (whole(called(name="f", arguments={"x": 1})), Seen("", [("f", {"x": 1})], (3, 2))),
    "arguments empty": (whole(called(name="f", arguments="")), Seen("", [("f", {})], (3, 2))),
    "arguments null": (whole(called(name="f", arguments=None)), Seen("", [("f", {})], (3, 2))),
    "call without id": (
        whole({"content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}),
        Seen("", [("f", {})], (3, 2)),
    ),
    "legacy function call": (
        whole({"content": None, "function_call": {"name": "f", "arguments": '{"x": 1}'}}),
        Seen("", [("f", {"x": 1})], (3, 2)),
    ),
    "byte order mark": (
        Fault(
            raw=b"\xef\xbb\xbf"
            + json.dumps({"choices": [{"message": {"content": "ok"}}], "usage": USAGE}).encode(),
            content_type=JSON,
        ),
        OK,
    ),
    "blanks to keep the line open": (
        Fault(
            raw=[
                b"  \n",
                0.05,
                b" \n",
                json.dumps({"choices": [{"message": {"content": "ok"}}], "usage": USAGE}).encode(),
            ],
            content_type=JSON,
        ),
        OK,
    ),
    "5 MB": (whole({"content": "x" * 5_000_000}), Seen("x" * 5_000_000, [], (3, 2))),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ANSWERS)
def test_a_whole_answer(gateway: Gateway, endpoint: Endpoint, name: str, way: Way) -> None:
    """Streams get one JSON document instead of events, and read it all the same."""
    fault, expected = ANSWERS[name]
    gateway.misbehave(fault)

    assert way(endpoint) == expected
    assert len(gateway.requests) == 1


def event(delta: Any = None, finish_reason: str | None = None, **members: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return (
        f"data: {json.dumps({'id': 'c1', 'choices': [choice], **members}, ensure_ascii=False)}\n\n".encode()
    )


STOP = event({}, "stop") + f'data: {{"choices": [], "usage": {json.dumps(USAGE)}}}\n\n'.encode()
DONE = b"data: [DONE]\n\n"
PLAIN = event({"content": "o"}) + event({"content": "k"}) + STOP + DONE
TORN = event({"content": "Đà Nẵng 🏖"}) + STOP + DONE

EVENTS: dict[str, tuple[list[bytes | float], Seen]] = {
    "as documented": ([PLAIN], OK),
    "byte by byte": ([PLAIN[at : at + 1] for at in range(len(PLAIN))], OK),
    "characters torn": ([TORN[at : at + 3] for at in range(0, len(TORN), 3)], Seen("Đà Nẵng 🏖", [], (3, 2))),
    "CRLF": ([PLAIN.replace(b"\n", b"\r\n")], OK),
    "CR": ([PLAIN.replace(b"\n", b"\r")], OK),
    "no blank after the colon": ([PLAIN.replace(b"data: ", b"data:")], OK),
    "comments": ([b": hi\n\n", PLAIN.replace(b"\n\n", b"\n\n: keep-alive\n\n")], OK),
    "event lines": ([PLAIN.replace(b"data: ", b"event: message\nid: 1\ndata: ")], OK),
    "data over lines": ([PLAIN.replace(b', "finish', b',\ndata: "finish')], OK),
    "byte order mark": ([b"\xef\xbb\xbf" + PLAIN], OK),
    "no [DONE]": ([PLAIN.removesuffix(DONE)], OK),
    "no last line end": ([PLAIN.removesuffix(DONE) + b"data: [DONE]"], OK),
    "torn after the end": ([PLAIN.removesuffix(DONE) + b'data: {"id": "c'], OK),
    "blanks before the first event": ([b"\n" * 200, 0.05, PLAIN], OK),
    "blanks around [DONE]": ([PLAIN.replace(b"[DONE]", b" [DONE] ")], OK),
    "an empty first chunk": (
        [
            b'data: {"choices": [], "id": "", "model": "", "created": 0, "prompt_filter_results": []}\n\n',
            PLAIN,
        ],
        OK,
    ),
    "more after [DONE]": ([PLAIN + event({"content": "not this"})], OK),
    "null deltas and no choices": (
        [event(None), b'data: {"choices": null}\n\ndata: {"choices": []}\n\ndata: {}\n\n', PLAIN],
        OK,
    ),
    "usage on every chunk": (
        [
            event({"content": "o"}, usage={"prompt_tokens": 3, "completion_tokens": 1})
            + event({"content": "k"}, usage={"prompt_tokens": 3, "completion_tokens": 2})
            + event({}, "stop", usage=USAGE)
            + DONE
        ],
        OK,
    ),
    "usage twice, then nothing": ([PLAIN.removesuffix(DONE) + STOP + event({}) + DONE], OK),
    "usage never": ([event({"content": "ok"}, "stop") + DONE], Seen("ok", [], None)),
    "10,000 chunks": ([event({"content": "x"}) * 10_000 + STOP + DONE], Seen("x" * 10_000, [], (3, 2))),
    "a slow start": ([0.2, PLAIN], OK),
    "two calls in one chunk": (
        [
            event(
                {
                    "tool_calls": [
                        {"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x": 1}'}},
                        {"index": 0, "id": "b", "function": {"name": "g", "arguments": '{"y": 2}'}},
                    ]
                }
            )
            + STOP
            + DONE
        ],
        Seen("", [("f", {"x": 1}), ("g", {"y": 2})], (3, 2)),
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", EVENTS)
def test_a_streamed_answer(gateway: Gateway, endpoint: Endpoint, name: str, way: Way) -> None:
    """Whole calls get events instead of one JSON document, and read them all the same."""
    packets, expected = EVENTS[name]
    gateway.misbehave(Fault(raw=packets))

    assert way(endpoint) == expected
    assert len(gateway.requests) == 1


BROKEN: dict[str, tuple[Fault, type[texapi_core.TexAPIError]]] = {
    "HTML": (Fault(raw=b"<html>busy</html>", content_type="text/html"), texapi_core.TexAPIResponseError),
    "text": (Fault(raw=b"busy", content_type="text/plain"), texapi_core.TexAPIResponseError),
    "nothing": (Fault(raw=b"", content_type=JSON), texapi_core.TexAPIResponseError),
    "half a document": (Fault(raw=b'{"choices": [', content_type=JSON), texapi_core.TexAPIResponseError),
    "choices empty": (Fault(body={"choices": []}), texapi_core.TexAPIResponseError),
    "choices null": (Fault(body={"choices": None}), texapi_core.TexAPIResponseError),
    "error object": (
        Fault(body={"error": {"type": "rate_limited", "message": "slow down"}}),
        texapi_core.TexAPIRateLimitError,
    ),
    "flat error": (
        Fault(body={"code": "insufficient_credits", "message": "empty"}),
        texapi_core.TexAPIInsufficientCreditsError,
    ),
    "text like events": (
        Fault(raw=b"database is down", content_type="text/plain"),
        texapi_core.TexAPIResponseError,
    ),
    "error text": (Fault(body={"error": "no"}), texapi_core.TexAPIServerError),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_answer(gateway: Gateway, endpoint: Endpoint, name: str, way: Way) -> None:
    fault, error_class = BROKEN[name]
    gateway.misbehave(fault)

    with pytest.raises(error_class) as caught:
        way(endpoint)

    assert caught.value.request_id == "req_000001"
    assert isinstance(caught.value, ModelError) == (way in LANGCHAIN)
    assert isinstance(caught.value.response.text, str)  # type: ignore[attr-defined] # all have a response
    assert len(gateway.requests) == 1


KEEP_ALIVES: list[bytes | float] = [0.1, b": keep-alive\n\n"] * 20
HALF = event({"content": "half an "}) + event({"content": "answer"})
BREAKS: dict[str, tuple[Fault, type[texapi_core.TexAPIError]]] = {
    "closed early": (Fault(raw=HALF), texapi_core.TexAPIStreamInterruptedError),
    "dropped": (Fault(cut_after=4), texapi_core.TexAPIStreamInterruptedError),
    "stalled": (Fault(raw=[HALF, 3.0, STOP + DONE]), texapi_core.TexAPITimeoutError),
    "stalled but kept alive": (
        Fault(raw=[HALF, *KEEP_ALIVES, STOP + DONE]),
        texapi_core.TexAPITimeoutError,
    ),
    "error object": (
        Fault(raw=HALF + b'data: {"error": {"type": "provider_unavailable", "message": "gone"}}\n\n'),
        texapi_core.TexAPIProviderUnavailableError,
    ),
    "error event": (
        Fault(raw=HALF + b'event: error\ndata: {"message": "gone"}\n\n'),
        texapi_core.TexAPIServerError,
    ),
    "finished by an error": (Fault(raw=HALF + event({}, "error") + DONE), texapi_core.TexAPIServerError),
    "a flat error": (
        Fault(raw=HALF + b'data: {"message": "gone", "code": 503}\n\n' + DONE),
        texapi_core.TexAPIServerError,
    ),
    "an empty error event": (Fault(raw=HALF + b"event: error\n\n" + DONE), texapi_core.TexAPIServerError),
    "an error without a field name": (
        Fault(raw=HALF + b'{"error": {"type": "rate_limited"}}\n\n' + DONE),
        texapi_core.TexAPIRateLimitError,
    ),
    "a page in the middle": (
        Fault(raw=HALF + b"<html>502</html>\n\n" + DONE),
        texapi_core.TexAPIResponseError,
    ),
    "torn in an event": (
        Fault(raw=HALF + b'data: {"id": "c1", "ch'),
        texapi_core.TexAPIStreamInterruptedError,
    ),
    "broken JSON": (Fault(raw=HALF + b"data: {broken\n\n" + DONE), texapi_core.TexAPIResponseError),
}


@pytest.mark.parametrize("way", STREAMS)
@pytest.mark.parametrize("name", BREAKS)
def test_a_stream_that_breaks(gateway: Gateway, endpoint: Endpoint, name: str, way: Way) -> None:
    fault, error_class = BREAKS[name]
    gateway.misbehave(fault)

    with pytest.raises(error_class) as caught:
        way(endpoint)

    assert caught.value.partial_text
    assert caught.value.request_id == "req_000001"
    assert isinstance(caught.value, ModelError) == (way in LANGCHAIN)
    assert len(gateway.requests) == 1
