"""Failures by status, type and code, and calls that get no answer: which error, sent how often."""

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
    408: (texapi_core.TexAPIRequestTimeoutError, True),
    409: (texapi_core.TexAPIConflictError, True),
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
    "JSON": (b'{"error": {"message": "as told"}}', JSON),
    "HTML": (b"<html><h1>as told</h1></html>", "text/html"),
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
            says = "" if name == "nothing" else "as told"
            yield f"{status} with {name}", _failure(fault, error, retried=retried, says=says)


def _names() -> Iterator[tuple[str, Case]]:
    for status, name, error, retried in _BY_NAME:
        for place in ("type", "code"):
            body: dict[str, Any] = {"message": "as told", "type": None, "code": None, place: name}
            fault = Fault(status=status, body={"error": body}, headers=_SOON)
            yield f"{status} {name} as {place}", _failure(fault, error, retried=retried, says="as told")


def _failure(fault: Fault | Verbatim, error: type[TexAPIError], *, retried: bool, says: str = "") -> Case:
    return Case(fault, error, requests=_RETRIES + 1 if retried else 1, max_retries=_RETRIES, says=says)


def _busy(retry_after: str, name: str = "retry-after") -> Fault:
    return Fault(status=429, headers={name: retry_after})


def _date(seconds: float) -> str:
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


FAILURES: dict[str, Case] = {
    **dict(_statuses()),
    **dict(_names()),
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
        _busy(_date(86_400)), texapi_core.TexAPIRateLimitError, retried=False, says="wait 86"
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
    "no answer in time": Case(Fault(delay=4.0), texapi_core.TexAPITimeoutError),
    "closed without an answer": Case(Verbatim(b""), texapi_core.TexAPIConnectionError),
    "reset without an answer": Case(Verbatim(b"", reset=True), texapi_core.TexAPIConnectionError),
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
