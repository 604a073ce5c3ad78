"""Invalid answers and broken streams: each must raise a fitting error."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

from tests.faults.case import DONE, END, Case, chunk, document, event, raw, whole
from tests.faults.streams import events
from tests.faults.verbatim import STREAM_HEAD, Verbatim
from tests.gateway import Fault
from texapi_core import (
    TexAPIConnectionError,
    TexAPIContextLengthError,
    TexAPIDailySpendingCapError,
    TexAPIError,
    TexAPIInsufficientCreditsError,
    TexAPIProviderUnavailableError,
    TexAPIRateLimitError,
    TexAPIResponseError,
    TexAPIServerError,
    TexAPIStreamInterruptedError,
    TexAPITimeoutError,
)

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_000001\r\n"
_CHUNKED = STREAM_HEAD.replace(b"connection: close", b"transfer-encoding: chunked")
_BLANKS: list[bytes | float] = [0.1, b" "] * 40
_BROKE = "broke in the middle of an answer|could not be reached"
_DOCUMENT = json.dumps(document({"content": "ok"})).encode()

_EMPTY = {"type": "insufficient_quota", "message": "empty"}

NO_ANSWERS: dict[str, Case] = {
    "HTML": Case(raw(b"<html>busy</html>", "text/html"), TexAPIResponseError, says="HTML page"),
    "HTML said to be JSON": Case(raw(b"<!DOCTYPE html><html>busy</html>"), TexAPIResponseError, says="HTML"),
    "text": Case(raw(b"busy", "text/plain"), TexAPIResponseError, says="busy"),
    "text like events": Case(raw(b"database is down", "text/plain"), TexAPIResponseError),
    "nothing": Case(raw(b""), TexAPIResponseError, says="empty body"),
    "nothing, said to be a stream": Case(raw(b"", "text/event-stream"), TexAPIResponseError, says="empty"),
    "blanks": Case(raw(b" \n \n"), TexAPIResponseError, says="empty body"),
    "a byte order mark alone": Case(raw(b"\xef\xbb\xbf"), TexAPIResponseError, says="empty body"),
    "status 204": Case(
        Verbatim(b"HTTP/1.1 204 No Content\r\nx-request-id: req_000001\r\nconnection: close\r\n\r\n"),
        TexAPIResponseError,
        says="empty body",
    ),
    "half a document": Case(raw(b'{"choices": ['), TexAPIResponseError, says="broken JSON"),
    "no UTF-8": Case(raw(b'{"choices": [{"message": {"content": "\xff\xfe"}}]}'), TexAPIResponseError),
    "JSON null": Case(raw(b"null"), TexAPIResponseError, says="no object"),
    "a JSON list": Case(raw(b"[]"), TexAPIResponseError),
    "a JSON text": Case(raw(b'"ok"'), TexAPIResponseError),
    "a JSON number": Case(raw(b"5"), TexAPIResponseError),
    "an empty object": Case(raw(b"{}"), TexAPIResponseError, says="without"),
    "JSON nested too deeply": Case(raw(b"[" * 100_000), TexAPIResponseError),
    "choices empty": Case(Fault(body={"choices": []}), TexAPIResponseError, says="without"),
    "choices null": Case(Fault(body={"choices": None}), TexAPIResponseError, says="without"),
    "choices missing": Case(whole({}, choices=...), TexAPIResponseError, says="without"),
    "choices a text": Case(Fault(body={"choices": "ok"}), TexAPIResponseError, says="without"),
    "choices of nulls": Case(Fault(body={"choices": [None]}), TexAPIResponseError, says="without"),
    "of Gemini's API": Case(
        Fault(body={"candidates": [{"content": {"parts": [{"text": "ok"}]}}]}),
        TexAPIResponseError,
        says="Gemini",
    ),
    "of Gemini's API, in a list": Case(
        Fault(body='[{"candidates": []}, {"candidates": []}]'), TexAPIResponseError, says="Gemini"
    ),
    "of Bedrock's API": Case(
        Fault(body={"output": {"message": {"content": [{"text": "ok"}]}}, "stopReason": "end_turn"}),
        TexAPIResponseError,
        says="Bedrock",
    ),
    "a message in place of choices": Case(
        Fault(body={"message": {"role": "assistant", "content": []}}), TexAPIResponseError, says="without"
    ),
    "a success without an answer": Case(
        Fault(body={"code": 200, "message": "ok", "error": {"code": 0}}), TexAPIResponseError, says="without"
    ),
    "broken gzip": Case(raw(b"no gzip", content_encoding="gzip"), TexAPIError, says=_BROKE),
    "gzip cut short": Case(raw(gzip.compress(_DOCUMENT * 50)[:60], content_encoding="gzip"), TexAPIError),
    "error object": Case(
        Fault(body={"error": {"type": "rate_limited", "message": "slow down"}}),
        TexAPIRateLimitError,
        says="slow down",
    ),
    "error object of an empty balance": Case(
        Fault(body={"error": {"type": "insufficient_credits", "message": "empty"}}),
        TexAPIInsufficientCreditsError,
        says="Top up",
    ),
    "error object beside choices": Case(
        Fault(body={"choices": [], "error": {"type": "daily_spending_cap_exceeded"}}),
        TexAPIDailySpendingCapError,
    ),
    "error object with a number for a code": Case(
        Fault(body={"error": {"code": 503, "message": "gone"}}), TexAPIServerError, says="gone"
    ),
    "error in the choice": Case(
        Fault(body={"choices": [{"message": {"content": ""}, "error": {"code": 502, "message": "gone"}}]}),
        TexAPIServerError,
        says="gone",
    ),
    "finished by an error, whole": Case(whole({"content": ""}, finish_reason="error"), TexAPIServerError),
    "finished by a failing network, whole": Case(
        whole({"content": ""}, finish_reason="network_error"), TexAPIServerError, says="network_error"
    ),
    "error in the message": Case(
        whole({"content": "", "error": {"code": 502, "message": "gone"}}), TexAPIServerError, says="gone"
    ),
    "error in x_groq": Case(
        whole({"content": "ok"}, x_groq={"error": "gone"}), TexAPIServerError, says="gone"
    ),
    "flat error": Case(
        Fault(body={"code": "insufficient_credits", "message": "empty"}), TexAPIInsufficientCreditsError
    ),
    "error text": Case(Fault(body={"error": "no"}), TexAPIServerError, says="no"),
    "error in a list": Case(
        Fault(body='[{"error": {"code": 429, "message": "slow down"}}]', content_type="application/json"),
        TexAPIRateLimitError,
        says="slow down",
    ),
    "a flag for an error, whole": Case(
        Fault(body={"error": True, "code": "insufficient_credits", "message": "empty"}),
        TexAPIInsufficientCreditsError,
        says="empty",
    ),
    "an empty balance as text": Case(
        Fault(body={"error": "insufficient_quota"}), TexAPIInsufficientCreditsError, says="Top up"
    ),
    "an empty balance in an error in an error": Case(
        Fault(body={"error": {"error": _EMPTY}}), TexAPIInsufficientCreditsError, says="empty"
    ),
    "an empty balance as JSON in text": Case(
        Fault(body={"error": json.dumps({"error": _EMPTY})}), TexAPIInsufficientCreditsError, says="empty"
    ),
    "an empty balance in a detail": Case(
        Fault(body={"detail": {"error": _EMPTY}}), TexAPIInsufficientCreditsError, says="empty"
    ),
    "an empty balance in words, whole": Case(
        Fault(body={"error": {"message": "Insufficient credits"}}), TexAPIInsufficientCreditsError
    ),
    "too long for the model, whole": Case(
        Fault(body={"error": {"message": "prompt is too long"}}), TexAPIContextLengthError, says="too long"
    ),
    "a body that drips for ever": Case(raw([b'{"choices": ', *_BLANKS]), TexAPITimeoutError, "whole"),
    "a body that stalls": Case(raw([b'{"choices": ', 4.0]), TexAPITimeoutError, "whole"),
    "a stream of comments alone": Case(events(b": x\n\n" * 5), TexAPIResponseError),
    "a stream of [DONE] alone": Case(events(DONE), TexAPIResponseError, says="without an answer"),
    "a stream of no choices": Case(events(chunk(choices=[]), DONE), TexAPIResponseError),
    "a stream of nulls": Case(events(b"data: null\n\n", DONE), TexAPIResponseError),
    "a stream of broken JSON": Case(events(b"data: {broken\n\n", DONE), TexAPIResponseError),
    "a stream of an error": Case(
        events(chunk(error={"type": "provider_unavailable", "message": "gone"}), DONE),
        TexAPIProviderUnavailableError,
        says="gone",
    ),
    "a body shorter than it said": Case(
        Verbatim(_HEAD + b"content-length: 1000\r\n\r\n" + _DOCUMENT[:40]),
        TexAPIConnectionError,
        "whole",
    ),
    "a body longer than it said": Case(
        Verbatim(_HEAD + b"content-length: 40\r\nconnection: close\r\n\r\n" + _DOCUMENT),
        TexAPIResponseError,
        over_aiohttp=TexAPIConnectionError,
    ),
    "a reset within a body": Case(
        Verbatim([_HEAD + b"content-length: 1000\r\n\r\n" + _DOCUMENT[:40], 0.1], reset=True),
        TexAPIConnectionError,
        "whole",
    ),
    "broken chunks of HTTP": Case(
        Verbatim(_HEAD + b"transfer-encoding: chunked\r\n\r\nnot hex\r\n" + _DOCUMENT),
        TexAPIError,
        says=_BROKE,
    ),
}

HALF = event({"content": "half an "}) + event({"content": "answer"})
_HALF = "half an answer"
_KEEP_ALIVES: list[bytes | float] = [0.1, b": keep-alive\n\n"] * 20
_EMPTY_DELTAS: list[bytes | float] = [0.1, event({"content": ""})] * 20


def _broken(*pieces: bytes | float) -> Fault:
    fault = events(HALF, *pieces)
    assert isinstance(fault, Fault)
    return fault


def _break(fault: Fault | Verbatim, error: type[TexAPIError], says: str = "") -> Case:
    return Case(fault, error, "streamed", partial=_HALF, says=says)


BREAKS: dict[str, Case] = {
    "closed early": _break(_broken(), TexAPIStreamInterruptedError),
    "closed within an event": _break(_broken(b'data: {"id": "c1", "ch'), TexAPIStreamInterruptedError),
    "closed within a character": _break(
        _broken(event({"content": "Đ"}).partition(b"\x90")[0]), TexAPIStreamInterruptedError
    ),
    "closed after empty deltas": _break(_broken(event({}), event(None)), TexAPIStreamInterruptedError),
    "usage but no end": _break(
        _broken(event({}, usage={"prompt_tokens": 3, "completion_tokens": 2})), TexAPIStreamInterruptedError
    ),
    "dropped": _break(Verbatim(_CHUNKED + b"%x\r\n%s\r\n" % (len(HALF), HALF)), TexAPIStreamInterruptedError),
    "reset": _break(Verbatim([STREAM_HEAD + HALF, 0.1], reset=True), TexAPIStreamInterruptedError),
    # aiohttp does not report it: the limit between two chunks ends the stream.
    "chunks of HTTP broken": replace(
        _break(
            Verbatim([_CHUNKED + b"%x\r\n%s\r\n" % (len(HALF), HALF), 0.1, b"not hex\r\n"]),
            TexAPIStreamInterruptedError,
        ),
        limited=True,
    ),
    "stalled": _break(_broken(3.0, END), TexAPITimeoutError),
    "stalled but kept alive": _break(_broken(*_KEEP_ALIVES, END), TexAPITimeoutError, "nothing new"),
    "stalled but for empty chunks": _break(_broken(*_EMPTY_DELTAS, END), TexAPITimeoutError, "nothing new"),
    "error in the middle": _break(
        _broken(chunk(error={"type": "provider_unavailable", "message": "gone"})),
        TexAPIProviderUnavailableError,
        "gone",
    ),
    "error in the middle, then [DONE]": _break(
        _broken(chunk(error={"type": "insufficient_credits", "message": "empty"}), DONE),
        TexAPIInsufficientCreditsError,
        "Top up",
    ),
    "error with choices": _break(
        _broken(event({"content": ""}, "error", error={"code": 502, "message": "gone"}), DONE),
        TexAPIServerError,
        "gone",
    ),
    "error text in the middle": _break(_broken(chunk(error="gone"), DONE), TexAPIServerError, "gone"),
    "a flag for an error in the middle": _break(
        _broken(b'data: {"error": true, "code": "insufficient_credits", "message": "empty"}\n\n', DONE),
        TexAPIInsufficientCreditsError,
        "empty",
    ),
    "an error in an error in the middle": _break(
        _broken(chunk(error={"error": _EMPTY}), DONE), TexAPIInsufficientCreditsError, "empty"
    ),
    "an error in a list in the middle": _break(
        _broken(b'data: [{"error": {"code": 402, "message": "empty"}}]\n\n', DONE),
        TexAPIInsufficientCreditsError,
        "empty",
    ),
    "error event": _break(_broken(b'event: error\ndata: {"message": "gone"}\n\n'), TexAPIServerError, "gone"),
    "error event of text": _break(_broken(b"event: error\ndata: gone\n\n"), TexAPIServerError, "gone"),
    "an empty error event": _break(_broken(b"event: error\n\n", DONE), TexAPIServerError),
    "finished by an error": _break(_broken(event({}, "error"), DONE), TexAPIServerError),
    **{
        f"finished by {reason}": _break(_broken(event({}, reason), DONE), TexAPIServerError, reason)
        for reason in ("network_error", "insufficient_system_resource", "abort")
    },
    "finish reason null as text, then closed": _break(
        events(HALF.replace(b'"finish_reason": null', b'"finish_reason": "null"')),
        TexAPIStreamInterruptedError,
    ),
    "error in x_groq, then [DONE]": _break(
        _broken(event({}, x_groq={"error": "gone"}), DONE), TexAPIServerError, "gone"
    ),
    "error in the delta, then [DONE]": _break(
        _broken(event({"error": {"code": 502, "message": "gone"}}), DONE), TexAPIServerError, "gone"
    ),
    "error in another choice, then [DONE]": _break(
        _broken(chunk(choices=[{"index": 1, "delta": {}, "error": {"message": "gone"}}]), DONE),
        TexAPIServerError,
        "gone",
    ),
    "a flat error": _break(_broken(b'data: {"message": "gone", "code": 503}\n\n', DONE), TexAPIServerError),
    "an error without a field name": _break(
        _broken(b'{"error": {"type": "rate_limited"}}\n\n', DONE), TexAPIRateLimitError
    ),
    "an error over many lines without a field name": _break(
        _broken(
            b'{\n  "error": {\n    "type": "rate_limited",\n    "message": "slow down"\n  }\n}\n\n', DONE
        ),
        TexAPIRateLimitError,
        "slow down",
    ),
    "no blank lines, then closed": _break(events(HALF.replace(b"\n\n", b"\n")), TexAPIStreamInterruptedError),
    "a page of many lines in the middle": _break(
        _broken(b"<html>\n<p>502</p>\n</html>\n\n", DONE), TexAPIResponseError, "502"
    ),
    "a page in the middle": _break(_broken(b"<html>502</html>\n\n", DONE), TexAPIResponseError),
    "broken JSON": _break(_broken(b"data: {broken\n\n", DONE), TexAPIResponseError),
    "a JSON list in the middle": _break(_broken(b"data: []\n\n", DONE), TexAPIResponseError),
    "a stall before anything": Case(events(3.0, END), TexAPITimeoutError, "streamed"),
    "comments before anything": Case(
        events(*_KEEP_ALIVES, END), TexAPITimeoutError, "streamed", says="nothing new"
    ),
    "an error before anything": Case(
        events(chunk(error={"type": "rate_limited", "message": "slow down"})),
        TexAPIRateLimitError,
        "streamed",
    ),
}
