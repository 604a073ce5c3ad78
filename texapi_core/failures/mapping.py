"""What the gateway and the network say -> the error of `texapi_core.errors` for it."""

from __future__ import annotations

import email.utils
import json
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import openai

from texapi_core import errors
from texapi_core.failures.classify import classify, error_object, names_of
from texapi_core.failures.secrets import NO_SECRETS, Secrets
from texapi_core.wire.text import excerpt
from texapi_core.wire.values import ChatReply, CutStream, ErrorAnswer, MalformedAnswer

MAX_RETRY_AFTER = 60.0
"""Seconds. A server that asks for a longer pause is not asked again: the caller is told instead."""


_MESSAGE_FIELDS = ("message", "detail", "msg", "errors")

_E = TypeVar("_E", bound=errors.TexAPIConnectionError)


def parse_retry_after(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """Seconds that a response asks to wait: `retry-after-ms`, else `retry-after` as number or date."""
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


def must_not_retry(status: int, body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether sending a failed request again would only cost the user time or money."""
    retry_after = parse_retry_after(headers)
    if retry_after is not None and retry_after > MAX_RETRY_AFTER:
        return True
    error_class = classify(error_object(body), status)
    return issubclass(error_class, (errors.TexAPIInsufficientCreditsError, errors.TexAPISpendingLimitError))


def not_sent(error: Exception, *, secrets: Secrets) -> errors.TexAPIConnectionError:
    """The error for anything else that keeps a request from being sent: proxies, certificates, ..."""
    if _is_aiohttp_s(error):
        return _not_reached(error, None, secrets)
    reason = secrets.redact(_describe_cause(error))
    advice = "Check the network settings of this machine: proxy, certificates, and your own HTTP client."
    return errors.TexAPIConnectionError(
        _sentence(f"The request to TexAPI could not be sent ({reason}).", advice),
        request=None,
    )


def from_openai(error: openai.APIError, *, secrets: Secrets) -> errors.TexAPIError:
    """The error of ours for one that the SDK raised before an answer began."""
    if isinstance(error, openai.APIStatusError) and _quotes(error, secrets):
        _redact_quotes(error, secrets)
    if isinstance(error, openai.APIStatusError):
        return from_response(error.response, error_object(error.response.content), secrets=secrets)
    cause = _beneath(error.__cause__)
    if isinstance(error, openai.APITimeoutError) and _is_time_out(cause):
        return errors.TexAPITimeoutError(
            _sentence("TexAPI did not answer in time.", errors.TexAPITimeoutError.advice),
            request=error.request,
        )
    return _not_reached(cause, error.request, secrets)


def _not_reached(cause: BaseException | None, request: Any, secrets: Secrets) -> errors.TexAPIConnectionError:
    reason = secrets.redact(f" ({_describe_cause(cause)})" if cause else "")
    return errors.TexAPIConnectionError(
        _sentence(f"TexAPI could not be reached{reason}.", errors.TexAPIConnectionError.advice),
        request=request,
    )


def _beneath(error: BaseException | None) -> BaseException | None:
    """The error of aiohttp that `error` stands for, else `error` itself.

    The transport over aiohttp calls every error of a connection a time-out.
    """
    cause = error.__cause__ if error else None
    return cause if cause is not None and _is_aiohttp_s(cause) else error


def _is_aiohttp_s(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] == "aiohttp"


def _is_time_out(cause: BaseException | None) -> bool:
    return cause is None or not _is_aiohttp_s(cause) or isinstance(cause, TimeoutError)


def _redact_quotes(error: openai.APIStatusError, secrets: Secrets) -> None:
    """Take the key out of an error in which the gateway quotes it.

    The SDK's error stays on as our cause, and LangChain hands the response's body to tracers.
    """
    error.__context__ = None  # the HTTP library's error, which holds the response as it came
    error.message = secrets.redact(error.message)
    error.args = (error.message,)
    error.body = secrets.redact_json(error.body)
    error.code, error.param, error.type = (
        secrets.redact_json(value) for value in (error.code, error.param, error.type)
    )
    text = error.response.text
    redacted = secrets.redact(text)
    said = redacted if redacted != text else json.dumps({"error": error.body})
    error.response = readable(error.response, said.encode(), secrets=secrets)
    error.request_id = request_id_of(error.response)


def redact_error(error: errors.TexAPIError, *, secrets: Secrets) -> None:
    """Take the key out of an error that was made where nobody knew it: in a hook of the HTTP client."""
    response = getattr(error, "response", None)
    if response is None:
        return
    error.args = tuple(secrets.redact_json(argument) for argument in error.args)
    vars(error).update({name: secrets.redact(value) for name, value in _texts_of(error)})
    vars(error)["response"] = readable(response, secrets=secrets)


def _texts_of(error: errors.TexAPIError) -> list[tuple[str, str]]:
    return [(name, value) for name, value in vars(error).items() if isinstance(value, str)]


def _quotes(error: openai.APIStatusError, secrets: Secrets) -> bool:
    response = error.response
    places = (response.text, str(error.body), str(response.headers.multi_items()))
    return secrets.are_in(*places)


def readable(response: Any, content: bytes = b"", *, secrets: Secrets = NO_SECRETS) -> Any:
    """The response with the content that was read of it, for `error.response.text` to show."""
    dropped = (b"content-encoding", b"content-length", b"transfer-encoding")
    # As bytes: a header that is no ASCII cannot be written back as text.
    headers = [
        (name, secrets.redact(value.decode("latin-1")).encode("latin-1"))
        for name, value in response.headers.raw
        if name.lower() not in dropped
    ]
    return type(response)(
        status_code=response.status_code, headers=headers, content=content, request=response.request
    )


def from_response(
    response: Any, error: Any, *, secrets: Secrets, inside: str = ""
) -> errors.TexAPIStatusError:
    """The error of ours for an error object; `inside` names an answer of status 200 that held it."""
    error = secrets.redact_json(error)
    error_class = classify(error, None if inside else response.status_code)
    details = error if isinstance(error, Mapping) else {}
    names = names_of(error)
    said = _message_of(error)
    what = f"TexAPI answered {response.status_code}" + (f" with an error {inside}" if inside else "")
    name = next((name for name in reversed(names) if not name.isdigit()), "")
    happened = f"{what}{f' {name}' if name else ''}: {said}" if said else f"{what} {name}".rstrip()
    retry_after = parse_retry_after(response.headers)
    wait = f"It asks to wait {retry_after:g} seconds." if retry_after is not None else ""
    exception = error_class(
        _sentence(happened, wait, error_class.advice, _id_note(response)),
        response=response,
        body=details or said,
    )
    exception.request_id = request_id_of(response)
    exception.type = next(reversed(names), None)
    exception.retry_after = retry_after
    return exception


def from_answer(error: Exception, response: Any, *, secrets: Secrets, streamed: bool) -> errors.TexAPIError:
    """The error of ours for an answer that `texapi_core.wire.reply` could not accept."""
    exception: errors.TexAPIError
    if isinstance(error, ErrorAnswer):
        inside = "in the stream" if streamed else "in the answer"
        error.error = secrets.redact_json(error.error)  # it stays on as the context of ours
        exception = from_response(
            readable(response, secrets=secrets), error_object(error.error), secrets=secrets, inside=inside
        )
    elif isinstance(error, CutStream):
        exception = interrupted("TexAPI's stream ended before the answer did.", response)
    else:
        if not isinstance(error, MalformedAnswer):
            error = MalformedAnswer(f"an answer of no known form ({_describe_cause(error)})")
        seen = error.text = secrets.excerpt(error.text)
        exception = errors.TexAPIResponseError(
            _sentence(
                f"TexAPI sent {error} where an answer was due" + (f": {seen}" if seen else ""),
                errors.TexAPIResponseError.advice,
                _id_note(response),
            ),
            response=readable(response, secrets=secrets),
            body=seen,
        )
    exception.request_id = request_id_of(response)
    if isinstance(error, MalformedAnswer):
        exception.usage = error.usage
    return exception


def partial_reply(reply: ChatReply, *, secrets: Secrets) -> ChatReply:
    """What a broken stream had given, for its error to carry: the chunk that broke it may quote."""
    return replace(reply, raw=secrets.redact_json(reply.raw), extras=secrets.redact_json(reply.extras))


def interrupted(happened: str, response: Any) -> errors.TexAPIStreamInterruptedError:
    """The error for a stream that broke after it had begun."""
    return _with_response(
        errors.TexAPIStreamInterruptedError(
            _sentence(happened, errors.TexAPIStreamInterruptedError.advice, _id_note(response)),
            request=response.request,
        ),
        response,
    )


def timed_out(happened: str, response: Any) -> errors.TexAPITimeoutError:
    """The error for an answer that began and then did not go on in time."""
    return _with_response(
        errors.TexAPITimeoutError(
            _sentence(happened, errors.TexAPITimeoutError.advice, _id_note(response)),
            request=response.request,
        ),
        response,
    )


def connection_broke(
    cause: Exception, response: Any, *, secrets: Secrets, streamed: bool
) -> errors.TexAPIConnectionError:
    """The error for a connection that broke while an answer was read."""
    beneath = _beneath(cause) or cause
    if "timeout" in type(beneath).__name__.lower():
        return timed_out("TexAPI stopped sending the answer.", response)
    reason = secrets.redact(_describe_cause(beneath))
    happened = f"The connection to TexAPI broke in the middle of an answer ({reason})."
    if streamed:
        return interrupted(happened, response)
    message = _sentence(happened, errors.TexAPIConnectionError.advice, _id_note(response))
    return _with_response(errors.TexAPIConnectionError(message, request=response.request), response)


def redirect_refused(response: Any, how: str) -> errors.TexAPIRedirectError:
    """The error for a redirect that leaves the host of `base_url`, or that would lose the request."""
    message = f"TexAPI's address {response.url.host} redirects {how}: refused."
    return errors.TexAPIRedirectError(
        _sentence(message, errors.TexAPIRedirectError.advice), response=readable(response), body=None
    )


def request_id_of(response: Any) -> str | None:
    """The gateway's id of a request, from the response's headers."""
    request_id = response.headers.get("x-request-id")
    return str(request_id) if request_id else None


def _with_response(exception: _E, response: Any) -> _E:
    exception.request_id = request_id_of(response)
    exception.status_code = response.status_code
    return exception


def _id_note(response: Any) -> str:
    request_id = request_id_of(response)
    return f"Request id: {request_id}." if request_id else ""


def _sentence(*parts: str) -> str:
    return " ".join(part if part.endswith((".", "!", "?", "…")) else f"{part}." for part in parts if part)


def _message_of(error: Any) -> str:
    if isinstance(error, Mapping):
        message = next((error[name] for name in _MESSAGE_FIELDS if error.get(name)), None)
        return excerpt(message if isinstance(message, str) else json.dumps(message)) if message else ""
    return excerpt(error) if isinstance(error, str) else ""


def _describe_cause(cause: BaseException) -> str:
    return f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__
