"""Unusual but complete answers: each must be read as intended.

A stream call receives one JSON document instead of events here, and must read it too.
"""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

from tests.faults.case import OK, USAGE, Case, Seen, called, document, raw, whole
from tests.faults.verbatim import Verbatim
from tests.gateway import Fault

_DOCUMENT = json.dumps(document({"content": "ok"})).encode()
_F = ("f", {"x": 1})
_CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
_HUGE = b"9" * 5000
"""More digits than Python reads as an integer."""
_MANY_FIELDS: dict[str, Any] = {
    "mood": {"a": [1]},
    "annotations": [],
    "audio": None,
    "reasoning_content": None,
    "provider_specific_fields": {"x": None},
}
_F_OF_OLLAMA = {"name": "f", "arguments": {"x": 1}}
_OLLAMA = {
    "model": "m",
    "created_at": "2026-11-01T00:00:00Z",
    "message": {"role": "assistant", "content": "ok"},
    "done": True,
    "prompt_eval_count": 3,
    "eval_count": 2,
}
_TWO_ANSWERS: list[dict[str, Any]] = [
    {"index": 1, "message": {"role": "assistant", "content": "no"}, "finish_reason": "stop"},
    {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"},
]

ANSWERS: dict[str, Case] = {
    # The message
    "as documented": Case(whole({"role": "assistant", "content": "ok"}), OK),
    "content as parts": Case(
        whole({"content": [{"type": "text", "text": "o"}, {"type": "text", "text": "k"}]}), OK
    ),
    "content as parts, one null": Case(whole({"content": [None, {"type": "text", "text": "ok"}]}), OK),
    "content null": Case(whole({"content": None}), Seen("")),
    "content missing": Case(whole({"role": "assistant"}), Seen("")),
    "content empty": Case(whole({"content": ""}), Seen("")),
    "role missing": Case(whole({"role": ..., "content": "ok"}), OK),
    "role null": Case(whole({"role": None, "content": "ok"}), OK),
    "5 MB": Case(whole({"content": "x" * 5_000_000}), Seen("x" * 5_000_000)),
    "control characters": Case(
        raw(_DOCUMENT.replace(b'"ok"', rb'"a\u0000b\u2028c\ud83c\udf34"')),
        Seen("a\0b\u2028c🌴"),
    ),
    "a tab that is not escaped, whole": Case(raw(_DOCUMENT.replace(b'"ok"', b'"o\tk"')), Seen("o\tk")),
    "half a character, whole": Case(raw(_DOCUMENT.replace(b'"ok"', rb'"o\ud83ck"')), Seen("o\ufffdk")),
    # The envelope
    "envelope missing": Case(whole({"content": "ok"}, id=..., object=..., created=..., model=...), OK),
    "envelope null": Case(
        whole({"content": "ok"}, id=None, object=None, created=None, model=None, system_fingerprint=None), OK
    ),
    "envelope of other types": Case(
        whole({"content": "ok"}, id=7, object=[], created="now", model={"name": "m"}), OK
    ),
    "created a float": Case(whole({"content": "ok"}, created=1763000000.25), OK),
    "object of a chunk": Case(whole({"content": "ok"}, object="chat.completion.chunk"), OK),
    "unknown fields": Case(whole({"content": "ok", **_MANY_FIELDS}, extra={"b": [2]}, usage_note="x"), OK),
    "error of nothing": Case(whole({"content": "ok"}, error={"code": 0, "message": ""}), OK),
    "error null": Case(whole({"content": "ok"}, error=None), OK),
    "finish reason unknown": Case(whole({"content": "ok"}, finish_reason="tired"), OK),
    "finish reason null": Case(whole({"content": "ok"}, finish_reason=None), OK),
    "finish reason null as text, whole": Case(whole({"content": "ok"}, finish_reason="null"), OK),
    "finish reason a number": Case(whole({"content": "ok"}, finish_reason=1), OK),
    "choices an object": Case(whole({}, choices=_TWO_ANSWERS[1]), OK),
    "several choices, out of order": Case(whole({}, choices=_TWO_ANSWERS), OK),
    "a choice null": Case(whole({}, choices=[None, _TWO_ANSWERS[1]]), OK),
    "choice without index": Case(
        whole({}, choices=[{"message": _TWO_ANSWERS[1]["message"], "finish_reason": "stop"}]), OK
    ),
    "logprobs null": Case(whole({}, choices=[{**_TWO_ANSWERS[1], "logprobs": None}]), OK),
    "logprobs of other forms": Case(
        whole({}, choices=[{**_TWO_ANSWERS[1], "logprobs": {"content": [None, 5], "x": 1}}]),
        OK,
    ),
    # Usage
    "usage missing": Case(whole({"content": "ok"}, usage=...), Seen("ok", [], None)),
    "usage null": Case(whole({"content": "ok"}, usage=None), Seen("ok", [], None)),
    "usage empty": Case(whole({"content": "ok"}, usage={}), Seen("ok", [], None)),
    "usage a list": Case(whole({"content": "ok"}, usage=[]), Seen("ok", [], None)),
    "usage of nulls": Case(
        whole({"content": "ok"}, usage={"prompt_tokens": None, "completion_tokens": None}),
        Seen("ok", [], None),
    ),
    "usage in floats": Case(
        whole({"content": "ok"}, usage={"prompt_tokens": 3.0, "completion_tokens": 2.0}), OK
    ),
    "usage in strings": Case(
        whole({"content": "ok"}, usage={"prompt_tokens": "3", "completion_tokens": "2"}), OK
    ),
    "usage without output": Case(whole({"content": "ok"}, usage={"prompt_tokens": 3, "total_tokens": 5}), OK),
    "usage without input": Case(
        whole({"content": "ok"}, usage={"completion_tokens": 2, "total_tokens": 5}), OK
    ),
    "usage details null": Case(
        whole(
            {"content": "ok"},
            usage={**USAGE, "prompt_tokens_details": None, "completion_tokens_details": None},
        ),
        OK,
    ),
    "usage details of nulls": Case(
        whole(
            {"content": "ok"},
            usage={
                **USAGE,
                "prompt_tokens_details": {"cached_tokens": None, "audio_tokens": None},
                "completion_tokens_details": {"reasoning_tokens": None},
            },
        ),
        OK,
    ),
    "usage in the message": Case(whole({"content": "ok", "usage": USAGE}, usage=...), OK),
    "usage null in the choice, whole": Case(
        whole({}, usage=..., choices=[{**_TWO_ANSWERS[1], "usage": None}], x_groq={"usage": USAGE}), OK
    ),
    "usage under two names, one of zeros, whole": Case(
        whole(
            {"content": "ok"},
            usage={"prompt_tokens": 0, "completion_tokens": 0, "input_tokens": 3, "output_tokens": 2},
        ),
        OK,
    ),
    "usage in Anthropic's names": Case(
        whole({"content": "ok"}, usage={"input_tokens": 3, "output_tokens": 2}), OK
    ),
    # What stands beside the answer
    "error null as text": Case(whole({"content": "ok"}, error="null"), OK),
    "error false": Case(whole({"content": "ok"}, error=False), OK),
    "error of success": Case(whole({"content": "ok"}, error={"code": "success", "message": "ok"}), OK),
    "error of code 200": Case(whole({"content": "ok"}, error={"code": 200, "message": "Success!"}), OK),
    "code 200 and a message": Case(whole({"content": "ok"}, code=200, msg="success"), OK),
    "an error beside a whole answer": Case(
        whole({"content": "ok"}, error={"code": 502, "message": "the log could not be written"}), OK
    ),
    "an error in the choice of a whole answer": Case(
        whole({}, choices=[{**_TWO_ANSWERS[1], "error": {"message": "no audit"}}]), OK
    ),
    "a huge integer": Case(raw(_DOCUMENT.replace(b"{", b'{"x": -' + _HUGE + b", ", 1)), OK),
    "a huge integer in the usage": Case(
        raw(_DOCUMENT.replace(b'"prompt_tokens"', b'"x": ' + _HUGE + b', "prompt_tokens"')), OK
    ),
    "created a huge integer": Case(
        raw(json.dumps(document({"content": "ok"}, created="?")).encode().replace(b'"?"', _HUGE)), OK
    ),
    "finish reason false": Case(whole({"content": "ok"}, finish_reason=False), OK),
    # Envelopes
    "in a list": Case(Fault(body=json.dumps([document({"content": "ok"})])), OK),
    "under body": Case(Fault(body={"statusCode": 200, "body": document({"content": "ok"})}), OK),
    "as text under body": Case(Fault(body={"body": _DOCUMENT.decode(), "error": "null"}), OK),
    "in two envelopes": Case(Fault(body={"code": 0, "data": {"body": [document({"content": "ok"})]}}), OK),
    "of Ollama's API": Case(Fault(body=_OLLAMA), OK),
    "of Ollama's API, a call": Case(
        Fault(body={**_OLLAMA, "message": {"tool_calls": [{"function": _F_OF_OLLAMA}]}}), Seen("", [_F])
    ),
    # Tool calls
    "tool call": Case(
        whole(called(name="f", arguments='{"x": 1}'), finish_reason="tool_calls"), Seen("", [_F])
    ),
    "tool call, finished by stop": Case(whole(called(name="f", arguments='{"x": 1}')), Seen("", [_F])),
    "tool call with text": Case(whole({**called(_CALL), "content": "Let me see"}), Seen("Let me see", [_F])),
    "tool calls null": Case(whole({"content": "ok", "tool_calls": None}), OK),
    "tool calls empty": Case(whole({"content": "ok", "tool_calls": []}), OK),
    "tool calls an object": Case(whole({"content": None, "tool_calls": _CALL}), Seen("", [_F])),
    "a tool call null": Case(whole(called(None, _CALL)), Seen("", [_F])),
    "arguments as a dict": Case(whole(called(name="f", arguments={"x": 1})), Seen("", [_F])),
    "arguments empty": Case(whole(called(name="f", arguments="")), Seen("", [("f", {})])),
    "arguments null": Case(whole(called(name="f", arguments=None)), Seen("", [("f", {})])),
    "arguments missing": Case(whole(called(name="f")), Seen("", [("f", {})])),
    "arguments blank": Case(whole(called(name="f", arguments=" \n")), Seen("", [("f", {})])),
    "arguments broken": Case(whole(called(name="f", arguments='{"x": ')), Seen("", [("f", None)])),
    "arguments a list": Case(whole(called(name="f", arguments="[1]")), Seen("", [("f", None)])),
    "arguments null as text": Case(whole(called(name="f", arguments="null")), Seen("", [("f", {})])),
    "arguments encoded twice": Case(whole(called(name="f", arguments='"{\\"x\\": 1}"')), Seen("", [_F])),
    "function as text": Case(
        whole(called({"id": "a", "function": json.dumps(_CALL["function"])})), Seen("", [_F])
    ),
    "function as text that is no JSON": Case(
        whole(called({"id": "a", "function": "f"})), Seen("", [("", None)])
    ),
    "a call without a name": Case(whole(called(arguments='{"x": 1}')), Seen("", [("", None)])),
    "arguments a string in a string": Case(whole(called(name="f", arguments='"x"')), Seen("", [("f", None)])),
    "arguments cut at the limit": Case(
        whole(called(name="f", arguments='{"path": "/ho'), finish_reason="length"), Seen("", [("f", None)])
    ),
    "no arguments at the limit": Case(
        whole(called(name="f", arguments=""), finish_reason="length"), Seen("", [("f", None)])
    ),
    "arguments null at the limit": Case(
        whole(called(name="f", arguments=None), finish_reason="length"), Seen("", [("f", None)])
    ),
    "arguments null as text, filtered": Case(
        whole(called(name="f", arguments="null"), finish_reason="content_filter"), Seen("", [("f", None)])
    ),
    "arguments of a huge integer": Case(
        whole(called(name="f", arguments='{"x": ' + _HUGE.decode() + "}")),
        Seen("", [("f", {"x": _HUGE.decode()})]),
    ),
    "call without id": Case(
        whole(called({"function": {"name": "f", "arguments": '{"x": 1}'}})), Seen("", [_F])
    ),
    "call with an empty id": Case(whole(called({**_CALL, "id": ""})), Seen("", [_F])),
    "call with a number for an id": Case(whole(called({**_CALL, "id": 7})), Seen("", [_F])),
    "calls with one id": Case(
        whole(called(_CALL, {**_CALL, "function": {"name": "g", "arguments": "{}"}})),
        Seen("", [_F, ("g", {})]),
    ),
    "call without type": Case(whole(called({"id": "a", "function": _CALL["function"]})), Seen("", [_F])),
    "parallel calls of one tool": Case(whole(called(_CALL, {**_CALL, "id": "b"})), Seen("", [_F, _F])),
    "legacy function call": Case(
        whole({"content": None, "function_call": _CALL["function"]}, finish_reason="function_call"),
        Seen("", [_F]),
    ),
    "function call null": Case(whole({"content": "ok", "function_call": None}), OK),
    # The bytes
    "byte order mark": Case(raw(b"\xef\xbb\xbf" + _DOCUMENT), OK),
    "blanks to keep the line open": Case(raw([b"  \n", 0.05, b" \n", _DOCUMENT]), OK),
    "bytes one at a time": Case(raw([_DOCUMENT[at : at + 1] for at in range(len(_DOCUMENT))]), OK),
    "content type text": Case(raw(_DOCUMENT, "text/plain"), OK),
    "content type of a stream": Case(raw(_DOCUMENT, "text/event-stream"), OK),
    "a charset that does not exist": Case(raw(_DOCUMENT, "application/json; charset=utf-9"), OK),
    "gzip": Case(raw(gzip.compress(_DOCUMENT), content_encoding="gzip"), OK),
    "deflate": Case(raw(zlib.compress(_DOCUMENT), content_encoding="deflate"), OK),
    "a slow start": Case(raw([0.04, _DOCUMENT]), OK),
    "no content type": Case(Verbatim(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + _DOCUMENT), OK),
    "HTTP 1.0": Case(Verbatim(b"HTTP/1.0 200 OK\r\n\r\n" + _DOCUMENT), OK),
    "early hints first": Case(
        Verbatim(
            b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n\r\n" + _DOCUMENT
        ),
        OK,
    ),
}
