"""Failures by status, type and code, and calls without an answer: the error and the number of requests."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Iterator
from typing import Any

import texapi_core
from tests.faults.case import JSON, OK, Case, document
from tests.faults.verbatim import Verbatim
from tests.gateway import Fault
from texapi_core import TexAPIError

_SOON = {"retry-after-ms": "1"}
_RETRIES = 2
_DOCUMENT = json.dumps(document({"content": "ok"})).encode()

_BY_STATUS: dict[int, tuple[type[TexAPIError], bool]] = {
    400: (texapi_core.TexAPIBadRequestError, False),
    401: (texapi_core.TexAPIAuthenticationError, False),
    402: (texapi_core.TexAPIInsufficientCreditsError, False),
    403: (texapi_core.TexAPIPermissionDeniedError, False),
    404: (texapi_core.TexAPINotFoundError, False),
    405: (texapi_core.TexAPIStatusError, False),
    408: (texapi_core.TexAPIRequestTimeoutError, False),
    409: (texapi_core.TexAPIConflictError, False),
    413: (texapi_core.TexAPIRequestTooLargeError, False),
    418: (texapi_core.TexAPIStatusError, False),
    422: (texapi_core.TexAPIUnprocessableEntityError, False),
    429: (texapi_core.TexAPIRateLimitError, True),
    500: (texapi_core.TexAPIServerError, True),
    502: (texapi_core.TexAPIServerError, True),
    503: (texapi_core.TexAPIServerError, True),
    504: (texapi_core.TexAPIServerError, True),
    520: (texapi_core.TexAPIServerError, True),
    529: (texapi_core.TexAPIServerError, True),
}
_BODIES: dict[str, tuple[bytes, str]] = {
    "JSON": (b'{"error": {"message": "provider message"}}', JSON),
    "HTML": (b"<html><h1>provider message</h1></html>", "text/html"),
    "nothing": (b"", "text/plain"),
}
_BY_NAME: list[tuple[int, str, type[TexAPIError], bool]] = [
    (401, "invalid_api_key", texapi_core.TexAPIAuthenticationError, False),
    (402, "insufficient_credits", texapi_core.TexAPIInsufficientCreditsError, False),
    (402, "insufficient_quota", texapi_core.TexAPIInsufficientCreditsError, False),
    (429, "insufficient_quota", texapi_core.TexAPIInsufficientQuotaError, False),
    (429, "insufficient_credits", texapi_core.TexAPIInsufficientQuotaError, False),
    (429, "rate_limited", texapi_core.TexAPIRateLimitError, True),
    (429, "daily_spending_cap_exceeded", texapi_core.TexAPIDailySpendingCapError, False),
    (429, "api_key_monthly_limit_exceeded", texapi_core.TexAPIMonthlyKeyLimitError, False),
    (503, "all_routes_failed", texapi_core.TexAPIAllRoutesFailedError, True),
    (503, "provider_unavailable", texapi_core.TexAPIProviderUnavailableError, True),
    (400, "context_length_exceeded", texapi_core.TexAPIContextLengthError, False),
    (404, "model_not_found", texapi_core.TexAPINotFoundError, False),
]


def _statuses() -> Iterator[tuple[str, Case]]:
    for status, (error, retried) in _BY_STATUS.items():
        for name, (body, content_type) in _BODIES.items():
            fault = Fault(status=status, body=body, content_type=content_type, headers=_SOON)
            says = "" if name == "nothing" else "provider message"
            yield f"{status} with {name}", _failure(fault, error, retried=retried, says=says)


def _names() -> Iterator[tuple[str, Case]]:
    for status, name, error, retried in _BY_NAME:
        for place in ("type", "code"):
            body: dict[str, Any] = {"message": "provider message", "type": None, "code": None, place: name}
            fault = Fault(status=status, body={"error": body}, headers=_SOON)
            yield (
                f"{status} {name} as {place}",
                _failure(fault, error, retried=retried, says="provider message"),
            )


_MONEY = {"type": "insufficient_quota", "message": "provider message"}
_BY_BODY: dict[str, tuple[int, Any, type[TexAPIError], bool]] = {
    "an empty balance with details": (
        429,
        {"error": {**_MONEY, "detail": {"balance": 0}}},
        texapi_core.TexAPIInsufficientQuotaError,
        False,
    ),
    "a spending cap with errors": (
        429,
        {
            "error": {
                "code": "daily_spending_cap_exceeded",
                "message": "provider message",
                "errors": [{"message": "x"}],
            }
        },
        texapi_core.TexAPIDailySpendingCapError,
        False,
    ),
    "an empty balance within an error": (
        429,
        {"error": {**_MONEY, "error": {"balance": 0}}},
        texapi_core.TexAPIInsufficientQuotaError,
        False,
    ),
    "a flag for an error": (
        429,
        {"error": True, "code": "insufficient_credits", "message": "provider message"},
        texapi_core.TexAPIInsufficientQuotaError,
        False,
    ),
    "a number for an error": (
        429,
        {"error": 1, "code": "insufficient_credits", "message": "provider message"},
        texapi_core.TexAPIInsufficientQuotaError,
        False,
    ),
    "Moonshot's empty balance": (
        429,
        {"error": {"type": "exceeded_current_quota_error", "message": "provider message"}},
        texapi_core.TexAPIInsufficientQuotaError,
        False,
    ),
    "an empty balance in words": (
        429,
        {"error": {"message": "provider message: Insufficient credits."}},
        texapi_core.TexAPIInsufficientQuotaError,
        False,
    ),
    "a quota in words": (
        429,
        {"error": {"message": "provider message: You exceeded your current quota."}},
        texapi_core.TexAPIInsufficientQuotaError,
        False,
    ),
    "a quota of this minute": (
        429,
        {"error": {"message": "provider message: You exceeded your current quota. Please retry in 12.5s."}},
        texapi_core.TexAPIRateLimitError,
        True,
    ),
    "413 with a code of rate limits": (
        413,
        {"error": {"code": "rate_limit_exceeded", "type": "tokens", "message": "provider message"}},
        texapi_core.TexAPIRequestTooLargeError,
        False,
    ),
    "400 with a type of rate limits": (
        400,
        {"error": {"type": "rate_limit_error", "message": "provider message"}},
        texapi_core.TexAPIBadRequestError,
        False,
    ),
    "400 overloaded": (
        400,
        {"error": {"type": "overloaded_error", "message": "provider message"}},
        texapi_core.TexAPIBadRequestError,
        False,
    ),
    "404 with an internal error": (
        404,
        {"error": {"type": "internal_error", "message": "provider message"}},
        texapi_core.TexAPINotFoundError,
        False,
    ),
    "too long in Google's words": (
        400,
        {
            "error": {
                "message": "provider message: The input token count (1200000) exceeds the maximum (1048576)."
            }
        },
        texapi_core.TexAPIContextLengthError,
        False,
    ),
    "too long in plain text": (
        400,
        b"provider message: prompt is too long",
        texapi_core.TexAPIContextLengthError,
        False,
    ),
    "too long as 422": (
        422,
        {"error": {"message": "provider message: maximum context length is 8192 tokens"}},
        texapi_core.TexAPIContextLengthError,
        False,
    ),
}


def _bodies() -> Iterator[tuple[str, Case]]:
    for name, (status, body, error, retried) in _BY_BODY.items():
        fault = Fault(status=status, body=body, headers=_SOON)
        yield name, _failure(fault, error, retried=retried, says="provider message")


def _unreadable() -> Iterator[tuple[str, Case]]:
    """Failures with a missing or undecodable body: the status decides."""
    for status in (401, 402, 408, 429, 503):
        error, retried = _BY_STATUS[status]
        head = b"HTTP/1.1 %d Odd\r\nretry-after-ms: 1\r\nx-request-id: req_000001\r\n" % status
        gzipped = head + b"content-encoding: gzip\r\nconnection: close\r\n\r\n"
        short = head + b"content-length: 99\r\n\r\n{"
        bodies: dict[str, Verbatim] = {
            "cut": Verbatim(short),
            "reset": Verbatim([short, 0.05], reset=True),
            "in no gzip": Verbatim(gzipped + b"\x1f\x8b\x00\xff\xff"),
        }
        if status == 429:  # one is enough: each takes the time limit twice
            bodies["stalled"] = Verbatim([short, 1.5])
        for name, fault in bodies.items():
            yield (
                f"{status} with a body {name}",
                Case(
                    fault,
                    error,
                    requests=2 if retried else 1,
                    max_retries=1,
                    says=f"answered {status}.*req_000001",
                ),
            )
        said = json.dumps({"error": _MONEY}).encode()
    for name, body in {"that is no gzip": gzipped + said, "cut after the code": short + said[1:]}.items():
        fault = Verbatim(body.replace(b"503", b"429"))
        error = texapi_core.TexAPIInsufficientQuotaError
        yield f"an empty balance {name}", _failure(fault, error, retried=False)


def _failure(fault: Fault | Verbatim, error: type[TexAPIError], *, retried: bool, says: str = "") -> Case:
    return Case(fault, error, requests=_RETRIES + 1 if retried else 1, max_retries=_RETRIES, says=says)


def _busy(retry_after: str, name: str = "retry-after") -> Fault:
    return Fault(status=429, headers={name: retry_after})


def _date(seconds: float) -> str:
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


FAILURES: dict[str, Case] = {
    **dict(_statuses()),
    **dict(_names()),
    **dict(_bodies()),
    "retry-after a fraction of a second": _failure(
        _busy("0.01"), texapi_core.TexAPIRateLimitError, retried=True, says="wait 0.01 seconds"
    ),
    "retry-after in milliseconds": _failure(
        _busy("2", "retry-after-ms"), texapi_core.TexAPIRateLimitError, retried=True, says="wait 0.002"
    ),
    "retry-after an hour": _failure(
        _busy("3600"), texapi_core.TexAPIRateLimitError, retried=False, says="wait 3600 seconds"
    ),
    "retry-after an hour in milliseconds": _failure(
        _busy("3600000", "retry-after-ms"), texapi_core.TexAPIRateLimitError, retried=False, says="wait 3600"
    ),
    "retry-after a far date": _failure(
        # The date is made when this is imported, so most of its digits change while the tests run.
        _busy(_date(890_000)),
        texapi_core.TexAPIRateLimitError,
        retried=False,
        says="wait 8",
    ),
    "retry-after for ever": _failure(
        _busy("1e400"), texapi_core.TexAPIRateLimitError, retried=False, says="wait inf"
    ),
    "max_retries of zero": Case(Fault(status=503), texapi_core.TexAPIServerError, requests=1, max_retries=0),
    "an empty balance that asks for a retry": _failure(
        Fault(status=429, error_type="insufficient_quota", headers={"x-should-retry": "true", **_SOON}),
        texapi_core.TexAPIInsufficientQuotaError,
        retried=False,
        says="Top up",
    ),
    "an empty balance in gzip": _failure(
        Fault(status=402, body=b"no gzip", headers={"content-encoding": "gzip"}),
        texapi_core.TexAPIInsufficientCreditsError,
        retried=False,
    ),
    "a redirect without an address": _failure(
        Fault(status=302, body=b""), texapi_core.TexAPIStatusError, retried=False
    ),
    **dict(_unreadable()),
    **{
        f"a {status} that asks for a retry": _failure(
            Fault(status=status, headers={"x-should-retry": "true", **_SOON}),
            error,
            retried=retried or status in (408, 409),
        )
        for status, (error, retried) in _BY_STATUS.items()
    },
    **{
        f"a {status} that forbids a retry": _failure(
            Fault(status=status, headers={"x-should-retry": "false", **_SOON}), error, retried=False
        )
        for status, (error, retried) in _BY_STATUS.items()
        if retried
    },
    **{
        f"a redirect by {status}": _failure(
            Fault(status=status, body=b"", headers={"location": "/v1/models"}),
            texapi_core.TexAPIRedirectError,
            retried=False,
            says=f"by status {status}",
        )
        for status in (301, 302, 303)
    },
    # Once it is sent, the request may be charged: it is not sent again.
    "no answer in time": Case(Fault(delay=4.0), texapi_core.TexAPITimeoutError, max_retries=2),
    "closed without an answer": Case(Verbatim(b""), texapi_core.TexAPIConnectionError, max_retries=2),
    "reset without an answer": Case(
        Verbatim(b"", reset=True), texapi_core.TexAPIConnectionError, max_retries=2
    ),
    "no HTTP": Case(Verbatim(b"SSH-2.0-OpenSSH_9.9\r\n"), texapi_core.TexAPIConnectionError),
    "half a head": Case(Verbatim(b"HTTP/1.1 200 OK\r\ncontent-ty"), texapi_core.TexAPIConnectionError),
    "a head without end": Case(
        Verbatim(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 2_000_000), texapi_core.TexAPIConnectionError
    ),
    "a status that is none": Case(
        Verbatim(b"HTTP/1.1 999 Odd\r\nconnection: close\r\n\r\n" + _DOCUMENT), TexAPIError
    ),
    "an answer in a status of its own": Case(
        Verbatim(b"HTTP/1.1 201 Created\r\nconnection: close\r\n\r\n" + _DOCUMENT), OK
    ),
}
