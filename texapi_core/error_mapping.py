"""What the gateway and the network say -> the error of `texapi_core.errors` for it."""

from __future__ import annotations

import email.utils
import json
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import openai

from texapi_core import errors
from texapi_core.wire import ChatReply, CutStream, ErrorAnswer, MalformedAnswer, excerpt, is_deep

LONGEST_RETRY_AFTER = 60.0
"""Seconds. A server that asks for a longer pause is not asked again: the caller is told instead."""


Secrets = Sequence[str]
"""What no error may show: `texapi_core.settings.secrets_of`."""
_URL_PASSWORD = re.compile(r"(//[^/\s:@]*:)[^/\s@]+@")
_SHORTEST_START = 4

_E = TypeVar("_E", bound=errors.TexAPIConnectionError)
_Status = type[errors.TexAPIStatusError]

_CLASS_BY_TYPE: dict[str, _Status] = {
    "invalid_api_key": errors.TexAPIAuthenticationError,
    "authentication_error": errors.TexAPIAuthenticationError,
    "insufficient_credits": errors.TexAPIInsufficientCreditsError,
    "insufficient_quota": errors.TexAPIInsufficientCreditsError,
    "insufficient_balance": errors.TexAPIInsufficientCreditsError,
    "insufficient_user_quota": errors.TexAPIInsufficientCreditsError,
    "billing_not_active": errors.TexAPIInsufficientCreditsError,
    "billing_hard_limit_reached": errors.TexAPISpendingLimitError,
    "daily_spending_cap_exceeded": errors.TexAPIDailySpendingCapError,
    "api_key_monthly_limit_exceeded": errors.TexAPIMonthlyKeyLimitError,
    "rate_limited": errors.TexAPIRateLimitError,
    "rate_limit_error": errors.TexAPIRateLimitError,
    "rate_limit_exceeded": errors.TexAPIRateLimitError,
    "context_length_exceeded": errors.TexAPIContextLengthError,
    "model_not_found": errors.TexAPINotFoundError,
    "not_found_error": errors.TexAPINotFoundError,
    "permission_error": errors.TexAPIPermissionDeniedError,
    "permission_denied": errors.TexAPIPermissionDeniedError,
    "all_routes_failed": errors.TexAPIAllRoutesFailedError,
    "provider_unavailable": errors.TexAPIProviderUnavailableError,
    "overloaded_error": errors.TexAPIServerError,
    "server_error": errors.TexAPIServerError,
    "api_error": errors.TexAPIServerError,
    "internal_error": errors.TexAPIServerError,
    "internal_server_error": errors.TexAPIServerError,
    "invalid_request_error": errors.TexAPIBadRequestError,
}
"""`type` or `code` of an error object -> class: the gateway's own, then what providers behind it send."""

_ONLY_WITHOUT_STATUS = frozenset({"invalid_request_error", "server_error", "api_error"})
"""Types that say less than a status does, so the status decides when there is one."""

_SPENT = re.compile(
    "insufficient_(?:credits|quota|balance|user_quota)|daily_spending_cap_exceeded"
    "|api_key_monthly_limit_exceeded|billing_hard_limit_reached"
)
"""What must not be retried is found wherever an error says it: a retry costs the user."""
_OVERFLOW = re.compile(
    r"context[ _]?length|context ?window|prompt is too long|input tokens exceed|too many input tokens"
    r"|input is too long|reduce the length of (?:the|your) (?:messages|prompt)",
    re.IGNORECASE,
)
"""How providers say that a request is too long for the model where no code says it: OpenAI, Anthropic,
LiteLLM, Google, Bedrock, vLLM."""
_MOST_WRAPPERS = 6

_CLASS_BY_STATUS: dict[int, _Status] = {
    400: errors.TexAPIBadRequestError,
    401: errors.TexAPIAuthenticationError,
    402: errors.TexAPIInsufficientCreditsError,
    403: errors.TexAPIPermissionDeniedError,
    404: errors.TexAPINotFoundError,
    408: errors.TexAPIRequestTimeoutError,
    409: errors.TexAPIConflictError,
    413: errors.TexAPIRequestTooLargeError,
    422: errors.TexAPIUnprocessableEntityError,
    429: errors.TexAPIRateLimitError,
}


def classify(error: Any, status: int | None) -> _Status:
    """The class for an error object of the gateway and the status it came with.

    `status` is None for an error inside an answer or a stream; a numeric `code` stands in for it.
    """
    names = _names_of(error)
    if status is None:
        status = next((int(name) for name in names if re.fullmatch("[1-5][0-9][0-9]", name)), None)
    for name in names:
        error_class = _CLASS_BY_TYPE.get(name)
        if error_class is None or (status is not None and name in _ONLY_WITHOUT_STATUS):
            continue
        if error_class is errors.TexAPIInsufficientCreditsError and status == 429:
            return errors.TexAPIInsufficientQuotaError
        return error_class
    if status in (402, 403, 429) and (spent := _SPENT.search(str(error))):
        return classify({"type": spent.group()}, status)
    if status is None:
        return errors.TexAPIServerError
    if status == 400 and _is_about_tool_choice(error):
        return errors.TexAPIToolChoiceError
    if status == 400 and isinstance(error, Mapping) and _OVERFLOW.search(str(error.get("message"))):
        return errors.TexAPIContextLengthError
    if status >= 500:
        return errors.TexAPIServerError
    return _CLASS_BY_STATUS.get(status, errors.TexAPIStatusError)


def _is_about_tool_choice(error: Any) -> bool:
    """Providers name the parameter in `param` or in the message; there is no code for it."""
    if not isinstance(error, Mapping):
        return False
    return error.get("param") == "tool_choice" or "tool_choice" in str(error.get("message"))


def _names_of(error: Any) -> list[str]:
    if not isinstance(error, Mapping):
        return []
    names = (error.get("code"), error.get("type"))
    return [str(name).strip().lower() for name in names if name is not None and name != ""]


def error_object(body: Any) -> Any:
    """The error in a response's body, out of whatever it is wrapped in; text when it is no JSON.

    `{"error": {...}}` by the protocol; flat, in a list, twice wrapped or as JSON in a string by others.
    """
    value = body
    for _ in range(_MOST_WRAPPERS):
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if isinstance(value, str):
            parsed = _json_in(value)
            if parsed is None:
                return value
            value = parsed
        elif isinstance(value, list) and value:
            value = value[0]
        elif isinstance(value, Mapping):
            inner = next((value[name] for name in ("error", "errors", "detail") if value.get(name)), None)
            if inner is None:
                return value
            if isinstance(inner, str) and _json_in(inner) is None:
                named = {"type": inner} if inner.isidentifier() else {}
                return {**named, **value, "message": value.get("message") or inner}
            value = inner
        else:
            return value
    return value


def _json_in(text: str) -> Any:
    """The object or list that a text begins with, `None` when it begins with neither."""
    text = text.lstrip("\ufeff \t\r\n")
    if not text.startswith(("{", "[", '"')):
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return None if is_deep(value) else value


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
    return issubclass(error_class, (errors.TexAPIInsufficientCreditsError, errors.TexAPISpendingLimitError))


def not_sent(error: Exception, *, secrets: Secrets) -> errors.TexAPIConnectionError:
    """The error for anything else that keeps a request from being sent: proxies, certificates, ..."""
    if _is_aiohttp_s(error):
        return _not_reached(error, None, secrets)
    reason = _redact(_describe_cause(error), secrets)
    advice = "Check the network settings of this machine: proxy, certificates, and your own HTTP client."
    return errors.TexAPIConnectionError(
        _sentence(f"The request to TexAPI could not be sent ({reason}).", advice),
        request=None,
    )


def from_openai(error: openai.APIError, *, secrets: Secrets) -> errors.TexAPIError:
    """The error of ours for one that the SDK raised before an answer began."""
    if isinstance(error, openai.APIStatusError) and _quotes(error, secrets):
        _hide_quoted_secrets(error, secrets)
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
    reason = _redact(f" ({_describe_cause(cause)})" if cause else "", secrets)
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


def _hide_quoted_secrets(error: openai.APIStatusError, secrets: Secrets) -> None:
    """Take the key out of an error in which the gateway quotes it.

    The SDK's error stays on as our cause, and LangChain hands the response's body to tracers.
    """
    error.message = _redact(error.message, secrets)
    error.args = (error.message,)
    error.body = _redact_json(error.body, secrets)
    error.code, error.param, error.type = (
        _redact_json(value, secrets) for value in (error.code, error.param, error.type)
    )
    text = error.response.text
    redacted = _redact(text, secrets)
    said = redacted if redacted != text else json.dumps({"error": error.body})
    error.response = readable(error.response, said.encode(), secrets=secrets)


def _quotes(error: openai.APIStatusError, secrets: Secrets) -> bool:
    response = error.response
    places = (response.text, str(error.body), str(response.headers.multi_items()))
    return any(secret in place for secret in secrets for place in places)


def readable(response: Any, content: bytes = b"", *, secrets: Secrets = ()) -> Any:
    """The response with the content that was read of it, for `error.response.text` to show."""
    dropped = (b"content-encoding", b"content-length", b"transfer-encoding")
    # As bytes: a header that is no ASCII cannot be written back as text.
    headers = [
        (name, _redact(value.decode("latin-1"), secrets).encode("latin-1"))
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
    error = _redact_json(error, secrets)
    error_class = classify(error, None if inside else response.status_code)
    details = error if isinstance(error, Mapping) else {}
    names = _names_of(error)
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
    """The error of ours for an answer that `texapi_core.wire` could not accept."""
    exception: errors.TexAPIError
    if isinstance(error, ErrorAnswer):
        inside = "in the stream" if streamed else "in the answer"
        error.error = _redact_json(error.error, secrets)  # it stays on as the context of ours
        exception = from_response(
            readable(response, secrets=secrets), error.error, secrets=secrets, inside=inside
        )
    elif isinstance(error, CutStream):
        exception = interrupted("TexAPI's stream ended before the answer did.", response)
    else:
        if not isinstance(error, MalformedAnswer):
            error = MalformedAnswer(f"an answer of no known form ({_describe_cause(error)})")
        seen = error.excerpt = _redact_excerpt(error.excerpt, secrets)
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
    return replace(reply, raw=_redact_json(reply.raw, secrets), extras=_redact_json(reply.extras, secrets))


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
    reason = _redact(_describe_cause(beneath), secrets)
    happened = f"The connection to TexAPI broke in the middle of an answer ({reason})."
    if streamed:
        return interrupted(happened, response)
    message = _sentence(happened, errors.TexAPIConnectionError.advice, _id_note(response))
    return _with_response(errors.TexAPIConnectionError(message, request=response.request), response)


def redirect_refused(response: Any, target: str) -> errors.TexAPIRedirectError:
    """The error for a redirect that leaves the host of `base_url`."""
    message = f"TexAPI's address {response.url.host} redirects to {target}: refused."
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
        message = error.get("message") or error.get("detail") or error.get("msg")
        return excerpt(message if isinstance(message, str) else json.dumps(message)) if message else ""
    return excerpt(error) if isinstance(error, str) else ""


def _describe_cause(cause: BaseException) -> str:
    return f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__


def _redact(text: str, secrets: Secrets) -> str:
    """The text without what gateways and proxies like to quote: keys, headers, passwords in addresses."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return _URL_PASSWORD.sub(r"\1***@", text)


def _redact_excerpt(text: str, secrets: Secrets) -> str:
    """Redacts also the beginning of a secret that the end of the excerpt cuts."""
    text = _redact(text, secrets)
    if not text.endswith("…"):
        return text
    for secret in secrets:
        for length in range(len(secret) - 1, _SHORTEST_START - 1, -1):
            if text.endswith(f"{secret[:length]}…"):
                return f"{text[: -length - 1]}***…"
    return text


def _redact_json(value: Any, secrets: Secrets) -> Any:
    if isinstance(value, Mapping):
        return {_redact(str(key), secrets): _redact_json(item, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [_redact_json(item, secrets) for item in value]
    return _redact(value, secrets) if isinstance(value, str) else value
