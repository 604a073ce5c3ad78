"""Every error of the gateway, as a class of its own that is also the openai SDK's.

    TexAPIError
    ├── TexAPISettingsError                (openai.OpenAIError, ValueError)  before anything is sent
    ├── TexAPIConnectionError              (openai.APIConnectionError)       retried
    │   ├── TexAPITimeoutError             (openai.APITimeoutError)          retried
    │   └── TexAPIStreamInterruptedError   a stream broke after its first byte; never retried
    ├── TexAPIResponseError                (openai.APIResponseValidationError)  no chat completion
    └── TexAPIStatusError                  (openai.APIStatusError)
        ├── TexAPIBadRequestError          (openai.BadRequestError)          400
        │   └── TexAPIContextLengthError   the prompt is longer than the model's context
        ├── TexAPIAuthenticationError      (openai.AuthenticationError)      401
        ├── TexAPIInsufficientCreditsError 402, or the same as 429: never retried
        │   └── TexAPIInsufficientQuotaError  (openai.RateLimitError)        429
        ├── TexAPIPermissionDeniedError    (openai.PermissionDeniedError)    403
        ├── TexAPINotFoundError            (openai.NotFoundError)            404
        ├── TexAPIRequestTimeoutError      408, retried
        ├── TexAPIConflictError            (openai.ConflictError)            409, retried
        ├── TexAPIRequestTooLargeError     413
        ├── TexAPIUnprocessableEntityError (openai.UnprocessableEntityError) 422
        ├── TexAPIRateLimitError           (openai.RateLimitError)           429, retried
        ├── TexAPISpendingLimitError       (openai.RateLimitError)           429, never retried
        │   ├── TexAPIDailySpendingCapError
        │   └── TexAPIMonthlyKeyLimitError
        ├── TexAPIRedirectError            3xx to another host: refused
        └── TexAPIServerError              (openai.InternalServerError)      5xx, retried
            ├── TexAPIAllRoutesFailedError
            └── TexAPIProviderUnavailableError

"retried" means by the openai client, `max_retries` times, before the error is raised.
"""

from __future__ import annotations

import email.utils
import json
import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import openai

from texapi_core.wire import CutStream, ErrorAnswer, MalformedAnswer, excerpt

if TYPE_CHECKING:
    from texapi_core.usage import TokenUsage
    from texapi_core.wire import ChatReply

LONGEST_RETRY_AFTER = 60.0
"""Seconds. A server that asks for a longer pause is not asked again: the caller is told instead."""


class TexAPIError(openai.OpenAIError):
    """Anything that went wrong between this package and the gateway."""

    is_retryable = False
    """Whether the same request may succeed later."""
    advice = ""
    """What to do, in one sentence."""

    request_id: str | None = None
    """The gateway's `x-request-id`, when a response came."""
    type: str | None = None
    """The gateway's name of the error, e.g. `insufficient_credits`."""
    retry_after: float | None = None
    """Seconds the gateway asked to wait, when it did."""
    partial: ChatReply | None = None
    """What a broken stream had given before it broke."""
    usage: TokenUsage | None = None
    """The usage that the gateway reported before it failed."""

    @property
    def partial_text(self) -> str:
        """The text that a broken stream had given before it broke."""
        return self.partial.choice.text if self.partial else ""


class TexAPISettingsError(TexAPIError, ValueError):
    """A setting is missing or unusable. Nothing was sent."""


class TexAPIConnectionError(TexAPIError, openai.APIConnectionError):
    """The gateway could not be reached, or the connection broke before an answer came."""

    status_code: int | None = None
    """The response's, when one had begun."""

    is_retryable = True
    advice = "Check the network and `base_url`, then try again."

    def __init__(self, message: str, *, request: Any) -> None:
        super().__init__(message=message, request=request)


class TexAPITimeoutError(TexAPIConnectionError, openai.APITimeoutError):
    """No answer, or no further content of a stream, came in time."""

    advice = "Try again, or raise `timeout` (for a stream also `stream_idle_timeout`)."

    def __init__(self, message: str, *, request: Any) -> None:
        openai.APIConnectionError.__init__(self, message=message, request=request)


class TexAPIStreamInterruptedError(TexAPIConnectionError):
    """A stream broke before its end. What had come is in `partial` and `partial_text`."""

    advice = "The answer is not whole; the part that came is in `partial_text`. Send the call again."


class TexAPIResponseError(TexAPIError, openai.APIResponseValidationError):
    """The gateway answered with something that is no chat completion."""

    advice = "If `base_url` is right, report the request id to the gateway's support."

    def __init__(self, message: str, *, response: Any, body: object | None) -> None:
        super().__init__(response, body, message=message)


class TexAPIStatusError(TexAPIError, openai.APIStatusError):
    """The gateway refused or failed the request. `status_code` is the response's."""


class TexAPIBadRequestError(TexAPIStatusError, openai.BadRequestError):
    """400: the gateway or the provider does not accept the request."""

    advice = "Change the request as the message says; sending it again will not help."


class TexAPIContextLengthError(TexAPIBadRequestError):
    """The prompt is longer than the model's context."""

    advice = "Shorten the prompt or choose a model with a longer context."


class TexAPIAuthenticationError(TexAPIStatusError, openai.AuthenticationError):
    """401: the key is unknown, revoked or expired."""

    advice = "Check the key: set `TEXAPI_API_KEY` or pass `api_key=...`."


class TexAPIInsufficientCreditsError(TexAPIStatusError):
    """402, or another status that says so: the balance is used up. Sent once, never retried."""

    advice = "Top up the balance of your TexAPI account; the call was not retried."


class TexAPIInsufficientQuotaError(TexAPIInsufficientCreditsError, openai.RateLimitError):
    """An empty balance reported as 429. Sent once, never retried."""


class TexAPIPermissionDeniedError(TexAPIStatusError, openai.PermissionDeniedError):
    """403: the key may not do this."""

    advice = "Use a key that may use this model, or change the key's rights."


class TexAPINotFoundError(TexAPIStatusError, openai.NotFoundError):
    """404: no such model or address."""

    advice = "Check `model` against `list_models()`, and `base_url`."


class TexAPIRequestTimeoutError(TexAPIStatusError):
    """408: the gateway gave up waiting."""

    is_retryable = True
    advice = "Try again."


class TexAPIConflictError(TexAPIStatusError, openai.ConflictError):
    """409: the gateway is busy with a conflicting request."""

    is_retryable = True
    advice = "Try again."


class TexAPIRequestTooLargeError(TexAPIStatusError):
    """413: the request's body is too large."""

    advice = "Send a shorter prompt, or smaller images and files."


class TexAPIUnprocessableEntityError(TexAPIStatusError, openai.UnprocessableEntityError):
    """422: the gateway understands the request and cannot carry it out."""

    advice = "Change the request as the message says; sending it again will not help."


class TexAPIRateLimitError(TexAPIStatusError, openai.RateLimitError):
    """429: too many requests."""

    is_retryable = True
    advice = "Wait and try again, or send fewer requests at a time."


class TexAPISpendingLimitError(TexAPIStatusError, openai.RateLimitError):
    """A spending limit is reached. Sent once, never retried."""

    advice = "Raise the limit in your TexAPI account or wait for its reset; it was not retried."


class TexAPIDailySpendingCapError(TexAPISpendingLimitError):
    """The account's spending cap of the day is reached. Sent once, never retried."""


class TexAPIMonthlyKeyLimitError(TexAPISpendingLimitError):
    """The key's limit of the month is reached. Sent once, never retried."""


class TexAPIRedirectError(TexAPIStatusError):
    """The address redirects to another host: refused, so that no key or prompt goes there."""

    advice = "Set `base_url` to the address that is meant to receive your key."


class TexAPIServerError(TexAPIStatusError, openai.InternalServerError):
    """5xx: the gateway or the provider behind it failed."""

    is_retryable = True
    advice = "Try again later."


class TexAPIAllRoutesFailedError(TexAPIServerError):
    """503 `all_routes_failed`: no provider of this model answered."""

    advice = "Try again later, or choose another model."


class TexAPIProviderUnavailableError(TexAPIServerError):
    """503 `provider_unavailable`: the provider of this model is down."""

    advice = "Try again later, or choose another model."


_E = TypeVar("_E", bound=TexAPIConnectionError)
_Status = type[TexAPIStatusError]

_CLASS_BY_TYPE: dict[str, _Status] = {
    "invalid_api_key": TexAPIAuthenticationError,
    "authentication_error": TexAPIAuthenticationError,
    "insufficient_credits": TexAPIInsufficientCreditsError,
    "insufficient_quota": TexAPIInsufficientCreditsError,
    "insufficient_balance": TexAPIInsufficientCreditsError,
    "insufficient_user_quota": TexAPIInsufficientCreditsError,
    "billing_not_active": TexAPIInsufficientCreditsError,
    "billing_hard_limit_reached": TexAPISpendingLimitError,
    "daily_spending_cap_exceeded": TexAPIDailySpendingCapError,
    "api_key_monthly_limit_exceeded": TexAPIMonthlyKeyLimitError,
    "rate_limited": TexAPIRateLimitError,
    "rate_limit_error": TexAPIRateLimitError,
    "rate_limit_exceeded": TexAPIRateLimitError,
    "context_length_exceeded": TexAPIContextLengthError,
    "model_not_found": TexAPINotFoundError,
    "not_found_error": TexAPINotFoundError,
    "permission_error": TexAPIPermissionDeniedError,
    "permission_denied": TexAPIPermissionDeniedError,
    "all_routes_failed": TexAPIAllRoutesFailedError,
    "provider_unavailable": TexAPIProviderUnavailableError,
    "overloaded_error": TexAPIServerError,
    "server_error": TexAPIServerError,
    "api_error": TexAPIServerError,
    "internal_error": TexAPIServerError,
    "internal_server_error": TexAPIServerError,
    "invalid_request_error": TexAPIBadRequestError,
}
"""`type` or `code` of an error object -> class: the gateway's own, then what providers behind it send."""

_ONLY_WITHOUT_STATUS = frozenset({"invalid_request_error", "server_error", "api_error"})
"""Types that say less than a status does, so the status decides when there is one."""

_CLASS_BY_STATUS: dict[int, _Status] = {
    400: TexAPIBadRequestError,
    401: TexAPIAuthenticationError,
    402: TexAPIInsufficientCreditsError,
    403: TexAPIPermissionDeniedError,
    404: TexAPINotFoundError,
    408: TexAPIRequestTimeoutError,
    409: TexAPIConflictError,
    413: TexAPIRequestTooLargeError,
    422: TexAPIUnprocessableEntityError,
    429: TexAPIRateLimitError,
}


def classify(error: Any, status: int | None) -> _Status:
    """The class for an error object of the gateway and the status it came with.

    `status` is None for an error inside an answer or a stream; a numeric `code` stands in for it.
    """
    names = _names_of(error)
    if status is None:
        status = next((int(name) for name in names if name.isdigit()), None)
    for name in names:
        error_class = _CLASS_BY_TYPE.get(name)
        if error_class is None or (status is not None and name in _ONLY_WITHOUT_STATUS):
            continue
        if error_class is TexAPIInsufficientCreditsError and status == 429:
            return TexAPIInsufficientQuotaError
        return error_class
    if status is None:
        return TexAPIServerError
    if status >= 500:
        return TexAPIServerError
    return _CLASS_BY_STATUS.get(status, TexAPIStatusError)


def _names_of(error: Any) -> list[str]:
    if not isinstance(error, Mapping):
        return []
    names = (error.get("code"), error.get("type"))
    return [str(name).strip().lower() for name in names if name is not None and name != ""]


def error_object(body: Any) -> Any:
    """The error in an error response's body: `{"error": {...}}`, or a flat object, or text."""
    if isinstance(body, (bytes, str)):
        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            return body if isinstance(body, str) else body.decode("utf-8", "replace")
    if isinstance(body, Mapping):
        inner = body.get("error")
        if isinstance(inner, Mapping):
            return inner
        if isinstance(inner, str):
            return {"message": inner, **{k: v for k, v in body.items() if k != "error"}}
    return body


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
    if retry_after is not None and retry_after > LONGEST_RETRY_AFTER:
        return True
    error_class = classify(error_object(body), status)
    return issubclass(error_class, (TexAPIInsufficientCreditsError, TexAPISpendingLimitError))


def from_openai(error: openai.APIError, *, secret: str) -> TexAPIError:
    """The error of ours for one that the SDK raised before an answer began."""
    if isinstance(error, TexAPIError):
        return error
    if secret in str(error):  # the gateway quotes the key; the SDK's error becomes our __cause__
        error.message = _redact(error.message, secret)
        error.args = (error.message,)
    if isinstance(error, openai.APIStatusError):
        return from_response(error.response, error_object(error.body), secret=secret)
    if isinstance(error, openai.APITimeoutError):
        return TexAPITimeoutError(
            _sentence("TexAPI did not answer in time.", TexAPITimeoutError.advice),
            request=error.request,
        )
    cause = error.__cause__
    reason = _redact(f" ({_describe_cause(cause)})" if cause else "", secret)
    return TexAPIConnectionError(
        _sentence(f"TexAPI could not be reached{reason}.", TexAPIConnectionError.advice),
        request=error.request,
    )


def from_response(response: Any, error: Any, *, secret: str, inside: str = "") -> TexAPIStatusError:
    """The error of ours for an error object; `inside` names an answer of status 200 that held it."""
    error_class = classify(error, None if inside else response.status_code)
    details = error if isinstance(error, Mapping) else {}
    names = _names_of(error)
    said = _redact(_message_of(error), secret)
    what = f"TexAPI answered {response.status_code}" + (f" with an error {inside}" if inside else "")
    name = next((name for name in reversed(names) if not name.isdigit()), "")
    happened = f"{what}{f' {name}' if name else ''}: {said}" if said else f"{what} {name}".rstrip()
    retry_after = parse_retry_after(response.headers)
    wait = f"It asks to wait {retry_after:g} seconds." if retry_after is not None else ""
    exception = error_class(
        _sentence(happened, wait, error_class.advice, _id_note(response)),
        response=response,
        body=_redact_json(details or said, secret),
    )
    exception.request_id = request_id_of(response)
    exception.type = next(reversed(names), None)
    exception.retry_after = retry_after
    return exception


def from_answer(error: ValueError, response: Any, *, secret: str, streamed: bool) -> TexAPIError:
    """The error of ours for an answer that `texapi_core.wire` could not accept."""
    exception: TexAPIError
    if isinstance(error, ErrorAnswer):
        inside = "in the stream" if streamed else "in the answer"
        exception = from_response(response, error.error, secret=secret, inside=inside)
    elif isinstance(error, CutStream):
        exception = interrupted("TexAPI's stream ended before the answer did.", response)
    else:
        seen = _redact(error.excerpt if isinstance(error, MalformedAnswer) else "", secret)
        exception = TexAPIResponseError(
            _sentence(
                f"TexAPI sent {error} where an answer was due" + (f": {seen}" if seen else ""),
                TexAPIResponseError.advice,
                _id_note(response),
            ),
            response=response,
            body=seen,
        )
    exception.request_id = request_id_of(response)
    if isinstance(error, MalformedAnswer):
        exception.usage = error.usage
    return exception


def interrupted(happened: str, response: Any) -> TexAPIStreamInterruptedError:
    """The error for a stream that broke after it had begun."""
    return _with_response(
        TexAPIStreamInterruptedError(
            _sentence(happened, TexAPIStreamInterruptedError.advice, _id_note(response)),
            request=response.request,
        ),
        response,
    )


def timed_out(happened: str, response: Any) -> TexAPITimeoutError:
    """The error for an answer that began and then did not go on in time."""
    return _with_response(
        TexAPITimeoutError(
            _sentence(happened, TexAPITimeoutError.advice, _id_note(response)),
            request=response.request,
        ),
        response,
    )


def connection_broke(
    cause: Exception, response: Any, *, secret: str, streamed: bool
) -> TexAPIConnectionError:
    """The error for a connection that broke while an answer was read."""
    if "timeout" in type(cause).__name__.lower():
        return timed_out("TexAPI stopped sending the answer.", response)
    reason = _redact(_describe_cause(cause), secret)
    happened = f"The connection to TexAPI broke in the middle of an answer ({reason})."
    if streamed:
        return interrupted(happened, response)
    message = _sentence(happened, TexAPIConnectionError.advice, _id_note(response))
    return _with_response(TexAPIConnectionError(message, request=response.request), response)


def redirect_refused(response: Any, target: str) -> TexAPIRedirectError:
    """The error for a redirect that leaves the host of `base_url`."""
    message = f"TexAPI's address {response.url.host} redirects to another host, {target}: refused."
    return TexAPIRedirectError(_sentence(message, TexAPIRedirectError.advice), response=response, body=None)


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
        message = error.get("message") or error.get("detail") or error.get("msg")
        return excerpt(message if isinstance(message, str) else json.dumps(message)) if message else ""
    return excerpt(error) if isinstance(error, str) else ""


def _describe_cause(cause: BaseException) -> str:
    return f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__


def _redact(text: str, secret: str) -> str:
    """Gateways like to quote the key that they refuse."""
    return text.replace(secret, "***") if secret else text


def _redact_json(value: Any, secret: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _redact_json(item, secret) for key, item in value.items()}
    if isinstance(value, list):
        return [_redact_json(item, secret) for item in value]
    return _redact(value, secret) if isinstance(value, str) else value
