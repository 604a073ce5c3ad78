"""Unusual but complete streams: each must be read as intended.

A whole call receives events instead of one JSON document here, and must read them too.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from typing import Any

from tests.faults.case import DONE, END, OK, PLAIN, STOP, USAGE, Case, Seen, chunk, event, raw
from tests.faults.verbatim import STREAM_HEAD, Verbatim

STREAM = "text/event-stream"
_TORN = event({"content": "Đà Nẵng 🏖"}) + END
_KEEP_ALIVES: list[bytes | float] = [0.1, b": x\n\n"] * 15
_NO_ENVELOPE = event({"content": "ok"}, id=..., object=..., created=..., model=...)
_ZIPPED = gzip.compress(PLAIN)
_IN_MEMBERS = gzip.compress(PLAIN[:100]) + gzip.compress(PLAIN[100:])


def events(*pieces: bytes | float, content_type: str = STREAM, **headers: str) -> Any:
    return raw(list(pieces), content_type, **headers)


def calls(*deltas: Sequence[dict[str, Any]]) -> Any:
    return events(*(event({"tool_calls": list(delta)}) for delta in deltas), event({}, "tool_calls"), END)


def piece(arguments: str | None = None, **members: Any) -> dict[str, Any]:
    """A part of a tool call."""
    name = members.pop("name", None)
    function = {"name": name} if name else {}
    if "id" in members:
        members["type"] = "function"
    if arguments is not None:
        function["arguments"] = arguments
    return {**members, "function": function}


_F = ("f", {"x": 1})
_CALLED = {"name": "f", "arguments": {"x": 1}}

STREAMS: dict[str, Case] = {
    # Events
    "as documented, streamed": Case(events(PLAIN), OK),
    "byte by byte": Case(events(*(PLAIN[at : at + 1] for at in range(len(PLAIN)))), OK),
    "characters torn": Case(
        events(*(_TORN[at : at + 3] for at in range(0, len(_TORN), 3))), Seen("Đà Nẵng 🏖")
    ),
    "characters torn in halves": Case(
        events(
            event({"content": "ok"}).replace(b'"ok"', rb'"o\ud83c"'),
            event({"content": "ok"}).replace(b'"ok"', rb'"\udf34k"'),
            END,
        ),
        Seen("o🌴k"),
    ),
    "a byte that is no UTF-8": Case(
        events(event({"content": "ok"}).replace(b'"ok"', b'"o\xffk"'), END), Seen("o\ufffdk")
    ),
    "a tab that is not escaped": Case(
        events(event({"content": "ok"}).replace(b'"ok"', b'"o\tk"'), END), Seen("o\tk")
    ),
    "half a character": Case(
        events(event({"content": "ok"}).replace(b'"ok"', rb'"o\udf34k"'), END), Seen("o\ufffdk")
    ),
    "CRLF": Case(events(PLAIN.replace(b"\n", b"\r\n")), OK),
    "CRLF torn": Case(events(*PLAIN.replace(b"\n", b"\r\n").partition(b"\r")), OK),
    "CR": Case(events(PLAIN.replace(b"\n", b"\r")), OK),
    "no blank after the colon": Case(events(PLAIN.replace(b"data: ", b"data:")), OK),
    "comments": Case(events(b": hi\n\n", PLAIN.replace(b"\n\n", b"\n\n: keep-alive\n\n")), OK),
    "a comment within an event": Case(events(PLAIN.replace(b"data: ", b": x\ndata: ")), OK),
    "event lines": Case(events(PLAIN.replace(b"data: ", b"event: message\nid: 1\ndata: ")), OK),
    "events named otherwise": Case(events(PLAIN.replace(b"data: ", b"event: completion.chunk\ndata: ")), OK),
    "ping events": Case(events(b'event: ping\ndata: {"type": "ping"}\n\n', PLAIN), OK),
    "data over lines": Case(events(PLAIN.replace(b', "finish', b',\ndata: "finish')), OK),
    "no blank line before [DONE]": Case(
        events(event({"content": "ok"}), chunk(choices=[], usage=USAGE), event({}, "stop")[:-1], DONE), OK
    ),
    "no blank lines": Case(events(PLAIN.replace(b"\n\n", b"\n")), OK),
    "no blank lines, with names": Case(
        events(PLAIN.replace(b"\n\n", b"\n").replace(b"data:", b"event: message\ndata:")), OK
    ),
    "retry lines": Case(events(b"retry: 3000\n\n", PLAIN), OK),
    "byte order mark, streamed": Case(events(b"\xef\xbb\xbf", PLAIN), OK),
    "blanks before the first event": Case(events(b"\n" * 200, 0.05, PLAIN), OK),
    "line ends that only text knows": Case(
        events(event({"content": "a\u2028b\u0085c"}), END), Seen("a\u2028b\u0085c")
    ),
    # The end
    "no [DONE]": Case(events(PLAIN.removesuffix(DONE)), OK),
    "no last line end": Case(events(PLAIN.removesuffix(DONE), b"data: [DONE]"), OK),
    "[DONE] alone says the end": Case(
        events(event({"content": "ok"}), chunk(choices=[], usage=USAGE), DONE), OK
    ),
    "blanks around [DONE]": Case(events(PLAIN.replace(b"[DONE]", b" [DONE] ")), OK),
    "[DONE] twice": Case(events(PLAIN, DONE), OK),
    "more after [DONE]": Case(events(PLAIN, event({"content": "not this"})), OK),
    "torn after the end": Case(events(PLAIN.removesuffix(DONE), b'data: {"id": "c'), OK),
    "a reset after the end": Case(Verbatim(STREAM_HEAD + PLAIN, reset=True), OK, "streamed"),
    "a reset after the finish reason": Case(
        Verbatim([STREAM_HEAD, PLAIN.removesuffix(DONE), 0.1], reset=True), OK, "streamed"
    ),
    "dropped after the finish reason": Case(
        Verbatim(
            [
                STREAM_HEAD.replace(b"connection: close", b"transfer-encoding: chunked"),
                b"%x\r\n%s\r\n" % (len(PLAIN) - len(DONE), PLAIN.removesuffix(DONE)),
            ]
        ),
        OK,
        "streamed",
    ),
    "broken JSON after the finish reason": Case(
        events(event({"content": "ok"}, "stop"), b"data: {broken\n\n", END), OK
    ),
    "an error event after the finish reason": Case(
        events(event({"content": "ok"}, "stop"), b'event: error\ndata: {"message": "gone"}\n\n', END), OK
    ),
    "an error after the finish reason": Case(
        events(event({"content": "ok"}, "stop"), chunk(error={"message": "gone"}), END), OK
    ),
    "a stall after the finish reason": Case(events(PLAIN.removesuffix(DONE), 2.0, DONE), OK, "streamed"),
    "kept alive after the finish reason": Case(
        events(PLAIN.removesuffix(DONE), *_KEEP_ALIVES, DONE), OK, "streamed"
    ),
    # Chunks
    "an empty first chunk": Case(
        events(chunk(choices=[], id="", model="", created=0, prompt_filter_results=[]), PLAIN), OK
    ),
    "null deltas and no choices": Case(
        events(event(None), chunk(choices=None), chunk(choices=[]), chunk(), PLAIN), OK
    ),
    "a choice null, streamed": Case(events(chunk(choices=[None]), PLAIN), OK),
    "delta missing": Case(events(chunk(choices=[{"index": 0}]), PLAIN), OK),
    "delta a list": Case(events(chunk(choices=[{"index": 0, "delta": []}]), PLAIN), OK),
    "role on every chunk": Case(events(*(event({"role": "assistant", "content": c}) for c in "ok"), END), OK),
    "role null, streamed": Case(events(event({"role": None, "content": "ok"}), END), OK),
    "content null between": Case(
        events(event({"content": "o"}), event({"content": None}), event({"content": "k"}), END), OK
    ),
    "content as parts, streamed": Case(
        events(*(event({"content": [{"type": "text", "text": c}]}) for c in "ok"), END), OK
    ),
    "message instead of delta": Case(
        events(
            chunk(choices=[{"index": 0, "message": {"content": "ok"}, "finish_reason": "stop"}], usage=USAGE),
            DONE,
        ),
        OK,
    ),
    "envelope missing, streamed": Case(events(_NO_ENVELOPE, END), OK),
    "another id on each chunk": Case(
        events(event({"content": "o"}), event({"content": "k"}).replace(b"c1", b"c2"), END), OK
    ),
    "unknown fields, streamed": Case(
        events(event({"content": "o", "mood": [1]}, x={"y": 1}), event({"content": "k", "mood": None}), END),
        OK,
    ),
    "the whole message at the end": Case(
        events(
            event({"content": "o"}),
            event({"content": "k"}),
            chunk(choices=[{"index": 0, "message": {"content": "ok"}, "finish_reason": "stop"}], usage=USAGE),
            DONE,
        ),
        OK,
    ),
    "the whole message at the end, with more": Case(
        events(
            event({"content": "o"}),
            chunk(choices=[{"index": 0, "delta": {}, "message": {"content": "ok"}, "finish_reason": "stop"}]),
            END,
        ),
        OK,
    ),
    "messages instead of deltas": Case(
        events(*(chunk(choices=[{"index": 0, "message": {"content": c}}]) for c in "ok"), END), OK
    ),
    "text in the finish chunk": Case(events(event({"content": "ok"}, "stop"), STOP, DONE), OK),
    "finish reason unknown, streamed": Case(
        events(event({"content": "ok"}, "tired"), chunk(choices=[], usage=USAGE), DONE), OK
    ),
    "finish reason null as text": Case(
        events(
            event({"content": "o"}, "null"),
            event({"content": "k"}, "null"),
            event({}, "stop", usage=USAGE),
            event({}, "null"),
        ),
        OK,
    ),
    "finish reason empty till the end": Case(
        events(event({"content": "o"}, ""), event({"content": "k"}, ""), END), OK
    ),
    "10,000 chunks": Case(events(event({"content": "x"}) * 10_000, END), Seen("x" * 10_000)),
    "5 MB in one chunk": Case(events(event({"content": "x" * 5_000_000}), END), Seen("x" * 5_000_000)),
    "a slow start, streamed": Case(events(0.04, PLAIN), OK),
    "several choices, streamed": Case(
        events(
            chunk(
                choices=[{"index": 1, "delta": {"content": "no"}}, {"index": 0, "delta": {"content": "o"}}]
            ),
            chunk(choices=[{"index": 0, "delta": {"content": "k"}}]),
            chunk(choices=[{"index": 1, "delta": {}, "finish_reason": "stop"}]),
            END,
        ),
        OK,
    ),
    "one choice, numbered 1": Case(
        events(
            *(chunk(choices=[{"index": 1, "delta": {"content": c}}]) for c in "ok"),
            chunk(choices=[{"index": 1, "delta": {}, "finish_reason": "stop"}], usage=USAGE),
        ),
        OK,
    ),
    "several choices, numbered in text": Case(
        events(
            chunk(choices=[{"index": "1", "delta": {"content": "no"}}]),
            chunk(choices=[{"index": "0", "delta": {"content": "ok"}}]),
            chunk(choices=[{"index": 1.0, "delta": {"content": "no"}}]),
            END,
        ),
        OK,
    ),
    # Usage
    "usage on every chunk": Case(
        events(
            event({"content": "o"}, usage={"prompt_tokens": 3, "completion_tokens": 1}),
            event({"content": "k"}, usage={"prompt_tokens": 3, "completion_tokens": 2}),
            event({}, "stop", usage=USAGE),
            DONE,
        ),
        OK,
    ),
    "usage twice, then nothing": Case(events(PLAIN.removesuffix(DONE), STOP, event({}), DONE), OK),
    "usage null but at the end": Case(
        events(event({"content": "ok"}, usage=None), event({}, "stop", usage=None), STOP, DONE), OK
    ),
    "usage on the finish chunk": Case(
        events(event({"content": "ok"}), event({}, "stop", usage=USAGE), DONE), OK
    ),
    "usage in the choice": Case(
        events(
            event({"content": "ok"}),
            chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop", "usage": USAGE}]),
            DONE,
        ),
        OK,
    ),
    "usage in the delta": Case(events(event({"content": "ok"}), event({"usage": USAGE}, "stop"), DONE), OK),
    "usage null in the choice": Case(
        events(
            event({"content": "ok"}),
            chunk(
                choices=[{"index": 0, "delta": {}, "finish_reason": "stop", "usage": None}],
                x_groq={"usage": USAGE},
            ),
            DONE,
        ),
        OK,
    ),
    "usage under two names, one of zeros": Case(
        events(
            event({"content": "ok"}, "stop"),
            chunk(
                choices=[],
                usage={"prompt_tokens": 0, "completion_tokens": 0, "input_tokens": 3, "output_tokens": 2},
            ),
            DONE,
        ),
        OK,
    ),
    "usage in floats, streamed": Case(
        events(
            event({"content": "ok"}, "stop"),
            chunk(choices=[], usage={"prompt_tokens": 3.0, "completion_tokens": 2.0, "total_tokens": 5.0}),
            DONE,
        ),
        OK,
    ),
    "usage partial": Case(
        events(
            event({"content": "ok"}, usage={"prompt_tokens": 3}),
            event({}, "stop", usage={"completion_tokens": 2}),
            DONE,
        ),
        OK,
    ),
    "usage never": Case(events(event({"content": "ok"}, "stop"), DONE), Seen("ok", [], None)),
    # Tool calls
    "a call in pieces": Case(
        calls([piece("", index=0, id="a", name="f")], [piece('{"x"', index=0)], [piece(": 1}", index=0)]),
        Seen("", [_F]),
    ),
    "two calls in one chunk, numbered alike": Case(
        calls([piece('{"x": 1}', index=0, id="a", name="f"), piece('{"y": 2}', index=0, id="b", name="g")]),
        Seen("", [_F, ("g", {"y": 2})]),
    ),
    "two calls, numbered alike": Case(
        calls(
            [piece('{"x": 1}', index=0, id="a", name="f")],
            [piece('{"y": 2}', index=0, id="b", name="g")],
        ),
        Seen("", [_F, ("g", {"y": 2})]),
    ),
    "two calls interleaved": Case(
        calls(
            [piece("", index=0, id="a", name="f"), piece("", index=1, id="b", name="g")],
            [piece('{"x": ', index=0), piece('{"y": ', index=1)],
            [piece("2}", index=1)],
            [piece("1}", index=0)],
        ),
        Seen("", [_F, ("g", {"y": 2})]),
    ),
    "a call without index": Case(
        calls([piece("", id="a", name="f")], [piece('{"x": ')], [piece("1}")]), Seen("", [_F])
    ),
    "the whole message at the end, with its calls": Case(
        events(
            event({"tool_calls": [piece('{"x": ', index=0, id="a", name="f")]}),
            event({"tool_calls": [piece("1}", index=0)]}),
            chunk(
                choices=[
                    {
                        "index": 0,
                        "message": {"content": "", "tool_calls": [piece('{"x": 1}', id="a", name="f")]},
                        "finish_reason": "tool_calls",
                    }
                ]
            ),
            END,
        ),
        Seen("", [_F]),
    ),
    **{
        f"calls numbered in {kind}": Case(
            calls(
                [piece("", index=zero, id="a", name="f"), piece("", index=one, id="b", name="g")],
                [piece('{"x": ', index=zero), piece('{"y": ', index=one)],
                [piece("2}", index=one)],
                [piece("1}", index=zero)],
            ),
            Seen("", [_F, ("g", {"y": 2})]),
        )
        for kind, zero, one in [("text", "0", "1"), ("floats", 0.0, 1.0)]
    },
    "another id on every piece": Case(
        calls(
            [piece("", index=0, id="a", name="f")],
            [piece('{"x"', index=0, id="b", name="f")],
            [piece(": 1}", index=0, id="c", name="f")],
        ),
        Seen("", [_F]),
    ),
    "arguments again at the end": Case(
        calls(
            [piece('{"x": ', index=0, id="a", name="f")],
            [piece("1}", index=0)],
            [piece('{"x":1}', index=0)],
        ),
        Seen("", [_F]),
    ),
    "call again at the end": Case(
        calls(
            [piece('{"x": ', index=0, id="a", name="f")],
            [piece("1}", index=0)],
            [piece('{"x": 1}', index=0, id="a", name="f")],
        ),
        Seen("", [_F]),
    ),
    **{
        f"{first} before the arguments": Case(
            calls(
                [piece(first, index=0, id="a", name="f")],
                [piece('{"x": ', index=0)],
                [piece("1}", index=0)],
            ),
            Seen("", [_F]),
        )
        for first in ("{}", "null", "{} ")
    },
    **{
        f"{nothing} for no arguments, streamed": Case(
            calls([piece(nothing, index=0, id="a", name="f")]), Seen("", [("f", {})])
        )
        for nothing in ("{}", "null")
    },
    "null within the arguments": Case(
        calls([piece('{"x": ', index=0, id="a", name="f")], [piece("null", index=0)], [piece("}", index=0)]),
        Seen("", [("f", {"x": None})]),
    ),
    "arguments encoded twice, streamed": Case(
        calls([piece('"{\\"x\\"', index=0, id="a", name="f")], [piece(': 1}"', index=0)]), Seen("", [_F])
    ),
    "function as text, streamed": Case(
        calls([{"index": 0, "id": "a", "function": '{"name": "f", "arguments": "{\\"x\\": 1}"}'}]),
        Seen("", [_F]),
    ),
    "a call without a name, streamed": Case(
        calls([piece('{"x": ', index=0, id="a")], [piece("1}", index=0)]), Seen("", [("", None)])
    ),
    "calls numbered from one": Case(
        calls([piece('{"x": 1}', index=1, id="a", name="f")], [piece("{}", index=2, id="b", name="g")]),
        Seen("", [_F, ("g", {})]),
    ),
    "a call without id, streamed": Case(
        calls([piece('{"x": ', index=0, name="f")], [piece("1}", index=0)]), Seen("", [_F])
    ),
    "id and name on every piece": Case(
        calls([piece('{"x": ', index=0, id="a", name="f")], [piece("1}", index=0, id="a", name="f")]),
        Seen("", [_F]),
    ),
    "id empty on later pieces": Case(
        calls([piece('{"x": ', index=0, id="a", name="f")], [piece("1}", index=0, id="")]), Seen("", [_F])
    ),
    "a call without arguments": Case(calls([piece(index=0, id="a", name="f")]), Seen("", [("f", {})])),
    "arguments as a dict, streamed": Case(
        events(
            event(
                {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}}]}
            ),
            END,
        ),
        Seen("", [_F]),
    ),
    "arguments broken, streamed": Case(
        calls([piece('{"path": "/ho', index=0, id="a", name="f")]), Seen("", [("f", None)])
    ),
    "function null on later pieces": Case(
        calls([piece('{"x": 1}', index=0, id="a", name="f")], [{"index": 0, "function": None}]),
        Seen("", [_F]),
    ),
    "a tool call null, streamed": Case(
        events(
            event({"tool_calls": [None]}),
            event({"tool_calls": [piece('{"x": 1}', index=0, id="a", name="f")]}),
            event({"tool_calls": None}),
            END,
        ),
        Seen("", [_F]),
    ),
    "legacy function call, streamed": Case(
        events(
            event({"function_call": {"name": "f", "arguments": ""}}),
            event({"function_call": {"arguments": '{"x": 1}'}}),
            event({}, "function_call"),
            END,
        ),
        Seen("", [_F]),
    ),
    # The bytes
    "content type JSON": Case(events(PLAIN, content_type="application/json"), OK),
    "content type text, streamed": Case(events(PLAIN, content_type="text/plain"), OK),
    "gzip, streamed": Case(events(_ZIPPED, content_encoding="gzip"), OK),
    "gzip in two members": Case(events(_IN_MEMBERS, content_encoding="gzip"), OK),
    "gzip byte by byte": Case(
        events(*(_ZIPPED[at : at + 1] for at in range(len(_ZIPPED))), content_encoding="gzip"), OK
    ),
    "HTTP 1.0, streamed": Case(Verbatim(b"HTTP/1.0 200 OK\r\n\r\n" + PLAIN), OK),
}
