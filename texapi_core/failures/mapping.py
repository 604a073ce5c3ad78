"""Maps exceptions, failed responses and malformed answers to the classes of `texapi_core.errors`."""

from __future__ import annotations

import email.utils
import json
import math
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.request import getproxies, proxy_bypass

import openai

from texapi_core import errors
from texapi_core.failures.classify import (
    classify_as,
    error_object,
    is_error,
    names_of,
    parse_body,
)
from texapi_core.failures.money import ADVICE, money_reason
from texapi_core.failures.secrets import NO_SECRETS, Secrets
from texapi_core.failures.wording import names_model, request_texts
from texapi_core.wire.text import excerpt, printable
from texapi_core.wire.values import CutStream, ErrorAnswer, MalformedAnswer

_NEVER_SENT = frozenset(
    {
        "ConnectError",
        "ConnectTimeout",
        "PoolTimeout",
        "ProxyError",
        "WriteError",
        "WriteTimeout",
        "ClientConnectorError",
        "ClientHttpProxyError",
        "ConnectionTimeoutError",
        "ExceptionGroup",
        "InvalidURL",
    }
)
"""Errors of httpx, anyio and aiohttp that come before the whole request was written."""


_CERTIFICATE_ADVICE = (
    "Check `base_url` and the clock of this machine. If a proxy of your network inspects TLS, or the gateway "
    "has an authority of its own, set SSL_CERT_FILE to its certificates."
)
_PROXY_ADVICE = "Check the network, `base_url` and the proxy that the environment names, then try again."
_STALE = "StaleConnection"
"""The error of `texapi_core.transport.stale`, behind the one that the HTTP library makes of it."""


class ProxyError(Exception):
    """What the HTTP library raises where a proxy refuses a tunnel; a request over plain HTTP gets a 407."""


_MONEY_CLASSES = (errors.TexAPIInsufficientCreditsError, errors.TexAPISpendingLimitError)
_MESSAGE_FIELDS = ("message", "detail", "msg", "errors", "error_msg", "status_msg", "status_message", "title")

_E = TypeVar("_E", bound=errors.TexAPIConnectionError | errors.TexAPIStreamInterruptedError)


def parse_retry_after(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """Seconds to wait before a retry: `retry-after-ms`, else `retry-after` as number or date."""
    for name, divisor in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name) or "") / divisor
        except ValueError:
            continue
        return None if math.isnan(seconds) else max(seconds, 0.0)
    moment = email.utils.parsedate_tz(headers.get("retry-after") or "")
    if moment is None:
        return None
    try:
        seconds = email.utils.mktime_tz(moment) - (time.time() if now is None else now)
    except (ValueError, OverflowError):
        return None
    return max(seconds, 0.0)


def not_sent(error: Exception, secrets: Secrets) -> errors.TexAPIConnectionError:
    """The error for a request that could not be sent for any other reason: proxy, certificates, ..."""
    if _is_from_aiohttp(error) and _was_sent(error):
        return _unreachable(error, None, secrets)
    reason = secrets.redact(_describe_cause(error))
    advice = "Check the network settings of this machine: proxy, certificates, and your own HTTP client."
    if isinstance(error, ImportError):
        advice = 'For a SOCKS proxy: pip install "texapi-integrations[socks]".'
    message = _sentence(f"The request to TexAPI could not be sent ({reason}).", advice)
    failure = errors.TexAPIConnectionError(message, request=None)
    failure.was_sent = failure.is_retryable = False
    return failure


def from_openai(error: openai.APIError, secrets: Secrets) -> errors.TexAPIError:
    """The error for one that the SDK raised before an answer began."""
    if isinstance(error, openai.APIStatusError):
        response = error.response
        if response.status_code == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            return _unreachable(ProxyError("407 Proxy Authentication Required"), error.request, secrets)
        received = parse_body(response.content)
        headers = str(response.headers.multi_items())
        if secrets.are_in(response.text, str(error.body), headers, response.reason_phrase):
            _redact_sdk_error(error, secrets)
        return from_response(error.response, received, secrets)
    cause = _aiohttp_cause(error.__cause__)
    is_time_out = cause is None or not _is_from_aiohttp(cause) or isinstance(cause, TimeoutError)
    if is_time_out and isinstance(error, openai.APITimeoutError):
        failure = timed_out(error.request)
        failure.was_sent = _was_sent(cause)
        return failure
    return _unreachable(cause, error.request, secrets)


def timed_out(request: Any = None) -> errors.TexAPITimeoutError:
    """The error for an answer that did not begin in time."""
    message = _sentence("TexAPI did not answer in time.", errors.TexAPITimeoutError.advice)
    return errors.TexAPITimeoutError(message, request=request)


def _was_sent(cause: BaseException | None) -> bool:
    """Whether the whole request may have been written before this error of the HTTP library."""
    return _NEVER_SENT.isdisjoint(base.__name__ for base in type(cause).__mro__)


def _unreachable(cause: BaseException | None, request: Any, secrets: Secrets) -> errors.TexAPIConnectionError:
    reason = f" ({_describe_cause(cause)})" if cause else ""
    advice = errors.TexAPIConnectionError.advice
    if any("Proxy" in base.__name__ for base in type(cause).__mro__):
        advice = "Check the proxy and its credentials in HTTPS_PROXY, HTTP_PROXY or ALL_PROXY."
    elif "CERTIFICATE_VERIFY_FAILED" in reason:
        advice = _CERTIFICATE_ADVICE
    elif request is not None and _environment_proxy(request.url.scheme, request.url.host):
        advice = _PROXY_ADVICE
    message = _sentence(f"TexAPI could not be reached{secrets.redact(reason)}.", advice)
    failure = errors.TexAPIConnectionError(message, request=request)
    failure.was_sent = _was_sent(cause)
    failure.was_stale = cause is not None and type(cause.__cause__).__name__ == _STALE
    return failure


def _environment_proxy(scheme: str, host: str) -> str:
    """The proxy that the environment names for an address; empty if none."""
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all", "")
    return "" if proxy and proxy_bypass(host) else proxy


def _aiohttp_cause(error: BaseException | None) -> BaseException | None:
    """The cause of `error` if it is aiohttp's, else `error`.

    The aiohttp transport raises a time-out for every connection error.
    """
    cause = error.__cause__ if error else None
    return cause if cause is not None and _is_from_aiohttp(cause) else error


def _is_from_aiohttp(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] == "aiohttp"


def _redact_sdk_error(error: openai.APIStatusError, secrets: Secrets) -> None:
    """Redact an SDK error that quotes a secret.

    The SDK's error is the cause of ours, and LangChain passes the response body to tracers.
    """
    error.__context__ = None  # the HTTP library's error, which holds the original response
    error.message = secrets.redact(error.message)
    error.args = (error.message,)
    error.body = secrets.redact_json(error.body)
    error.code, error.param, error.type = (
        secrets.redact_json(value) for value in (error.code, error.param, error.type)
    )
    text = error.response.text
    redacted = secrets.redact(text)
    content = redacted if redacted != text else json.dumps({"error": error.body})
    error.response = _with_body(error.response, content.encode(), secrets)
    error.request_id = request_id_of(error.response)


def redact_error(error: errors.TexAPIError, secrets: Secrets) -> None:
    """Redact an error that was raised without the secrets at hand, in a hook of the HTTP client."""
    response = getattr(error, "response", None)
    if response is None:
        return
    error.args = tuple(secrets.redact_json(argument) for argument in error.args)
    texts = {name: value for name, value in vars(error).items() if isinstance(value, str)}
    vars(error).update({name: secrets.redact(text) for name, text in texts.items()})
    vars(error)["response"] = _with_body(response, secrets=secrets)


def _with_body(response: Any, content: bytes = b"", secrets: Secrets = NO_SECRETS) -> Any:
    """A redacted copy of the response with `content` as its body, for users to read `error.response.text`."""
    dropped = (b"content-encoding", b"content-length", b"transfer-encoding")
    # As bytes: a non-ASCII header cannot be encoded again from text.
    headers = [
        (name, secrets.redact(value.decode("latin-1")).encode("latin-1"))
        for name, value in response.headers.raw
        if name.lower() not in dropped
    ]
    return type(response)(
        status_code=response.status_code, headers=headers, content=content, request=response.request
    )


def from_response(response: Any, body: Any, secrets: Secrets, inside: str = "") -> errors.TexAPIStatusError:
    """The error for a body that is one; `inside` says where in an answer of status 200 it was."""
    error = error_object(body)
    reason = money_reason(body, lambda: request_texts(response.request))
    error_class = classify_as(reason, error, None if inside else response.status_code)
    if not issubclass(error_class, _MONEY_CLASSES):
        reason = None
    if error_class is errors.TexAPIPermissionDeniedError and names_model(error, response.request):
        error_class = errors.TexAPIModelDeniedError
    error = secrets.redact_json(error)  # a header's value may be a word that decides the class
    details = error if isinstance(error, Mapping) else {}
    names = names_of(error)
    text = _message_of(error)
    what = f"TexAPI answered {response.status_code}" + (f" with an error {inside}" if inside else "")
    name = next((name for name in reversed(names) if not name.isdigit()), "")
    name = excerpt(name)
    happened = f"{what}{f' {name}' if name else ''}: {text}" if text else f"{what} {name}".rstrip()
    retry_after = parse_retry_after(response.headers)
    wait = f"It asks to wait {retry_after:g} seconds." if retry_after is not None else ""
    advice = ADVICE.get(reason, error_class.advice) if reason else error_class.advice
    exception = error_class(
        _sentence(happened, wait, advice, _id_note(response)),
        response=response,
        body=details or text,
    )
    exception.request_id = request_id_of(response)
    exception.type = next(reversed(names), None)
    exception.reason = reason or ("balance" if isinstance(exception, _MONEY_CLASSES[0]) else None)
    if advice != error_class.advice:
        exception.advice = advice
    exception.retry_after = retry_after
    return exception


def from_answer(
    error: Exception, response: Any, secrets: Secrets, *, streamed: bool = False
) -> errors.TexAPIError:
    """The error for an answer that `texapi_core.wire` rejected."""
    exception: errors.TexAPIError
    inside = "in the stream" if streamed else "in the answer"
    if isinstance(error, ErrorAnswer):
        received = error.error
        error.error = secrets.redact_json(error.error)  # visible as the context of our error
        exception = from_response(_with_body(response, secrets=secrets), received, secrets, inside)
    elif isinstance(error, MalformedAnswer) and is_error(error.text):
        received = parse_body(error.text)
        error.text = secrets.excerpt(error.text)
        exception = from_response(_with_body(response, secrets=secrets), received, secrets, inside)
    elif isinstance(error, CutStream):
        happened = "TexAPI's stream ended before the answer did."
        exception = connection_error(errors.TexAPIStreamInterruptedError, happened, response)
    else:
        if not isinstance(error, MalformedAnswer):
            error = MalformedAnswer(f"an answer of unknown form ({_describe_cause(error)})")
        body = error.text = secrets.excerpt(error.text)
        happened = f"TexAPI sent {error} instead of a valid answer" + (f": {body}" if body else "")
        exception = errors.TexAPIResponseError(
            _sentence(happened, errors.TexAPIResponseError.advice, _id_note(response)),
            response=_with_body(response, secrets=secrets),
            body=body,
        )
    exception.request_id = request_id_of(response)
    if isinstance(error, MalformedAnswer):
        exception.usage = error.usage
    return exception


def too_large(limit: int, response: Any, secrets: Secrets) -> errors.TexAPIResponseTooLargeError:
    """The error for a body of more than `limit` bytes."""
    exception = errors.TexAPIResponseTooLargeError(
        _sentence(
            f"TexAPI sent an answer of more than `max_response_bytes`, {limit:,} bytes.",
            errors.TexAPIResponseTooLargeError.advice,
            _id_note(response),
        ),
        response=_with_body(response, secrets=secrets),
        body=None,
    )
    exception.request_id = request_id_of(response)
    return exception


def connection_error(error_class: type[_E], happened: str, response: Any) -> _E:
    """The error for a connection that failed after the response headers arrived."""
    message = _sentence(happened, error_class.advice, _id_note(response))
    exception = error_class(message, request=response.request)
    exception.request_id = request_id_of(response)
    exception.status_code = response.status_code
    return exception


def connection_broke(
    error: Exception, response: Any, secrets: Secrets, *, streamed: bool
) -> errors.TexAPIError:
    """The error for a connection that broke while an answer was read."""
    cause = _aiohttp_cause(error) or error
    if "timeout" in type(cause).__name__.lower():
        return connection_error(errors.TexAPITimeoutError, "TexAPI stopped sending the answer.", response)
    reason = secrets.redact(_describe_cause(cause))
    happened = f"The connection to TexAPI broke in the middle of an answer ({reason})."
    if streamed:
        return connection_error(errors.TexAPIStreamInterruptedError, happened, response)
    return connection_error(errors.TexAPIConnectionError, happened, response)


def redirect_refused(response: Any, how: str) -> errors.TexAPIRedirectError:
    """The error for a redirect to another host, or for one that would lose the request."""
    message = f"TexAPI's address {response.url.host} redirects {how}: refused."
    return errors.TexAPIRedirectError(
        _sentence(message, errors.TexAPIRedirectError.advice), response=_with_body(response), body=None
    )


def request_id_of(response: Any) -> str | None:
    """The gateway's id of a request, from the response headers."""
    request_id = response.headers.get("x-request-id")
    return str(request_id) if request_id else None


def _id_note(response: Any) -> str:
    request_id = request_id_of(response)
    return f"Request id: {excerpt(request_id)}." if request_id else ""


def _sentence(*parts: str) -> str:
    return " ".join(part if part.endswith((".", "!", "?", "…")) else f"{part}." for part in parts if part)


def _message_of(error: Any) -> str:
    if isinstance(error, Mapping):
        message = next((error[name] for name in _MESSAGE_FIELDS if error.get(name)), None)
        return excerpt(message if isinstance(message, str) else json.dumps(message)) if message else ""
    return excerpt(error) if isinstance(error, str) else ""


def _describe_cause(cause: BaseException) -> str:
    """Its class and its text, or the first one behind it where it has none, e.g. anyio's of a reset."""
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    text, behind = _text_of(cause), cause.__cause__ or cause.__context__
    while not text and behind is not None:
        text, behind = _text_of(behind), behind.__cause__ or behind.__context__
    return f"{type(cause).__name__}: {printable(text)}" if text else type(cause).__name__


def _text_of(cause: BaseException) -> str:
    """Its text; none where it is the half of a head that came, cookies included, as aiohttp has it."""
    return str(cause) if isinstance(getattr(cause, "message", ""), str) else ""
