"""Unwraps and classifies the error objects of gateways."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping
from typing import Any

from texapi_core import errors
from texapi_core.failures.money import Reason, money_class, money_reason
from texapi_core.failures.wording import plain
from texapi_core.wire.error_answers import is_container, raise_for_error_object
from texapi_core.wire.json import is_deep
from texapi_core.wire.values import ErrorAnswer

_Status = type[errors.TexAPIStatusError]

_CLASS_BY_TYPE: dict[str, _Status] = {
    "invalid_api_key": errors.TexAPIAuthenticationError,
    "authentication_error": errors.TexAPIAuthenticationError,
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
"""`type` or `code` of an error object -> class; errors about money are in `failures.money`."""

_ONLY_WITHOUT_STATUS = frozenset({"invalid_request_error", "server_error", "api_error"})
"""Types that are less specific than a status, so that a status takes precedence."""

_CONTEXT_LENGTH_PATTERN = re.compile(
    r"context[ _]?length|context ?window|prompt is too long|input tokens exceed|too many input tokens"
    r"|input is too long|input token count.{0,40}exceeds"
    r"|reduce the length of (?:the|your) (?:messages|prompt)",
    re.IGNORECASE,
)
"""Messages for a request too long for the model, which have no common code: OpenAI, Anthropic, LiteLLM,
Google, Bedrock, vLLM."""
_MAX_WRAPPERS = 6
_MAX_DOCUMENTS = 50
_ENVELOPES = ("response", "data", "result", "body", "fault", "base_resp", "header")
"""Members that hold the error where the object itself has neither an error nor a message."""
_DESCRIPTIONS = frozenset({"error", "errors", "message", "msg", "detail", "error_msg", "status_msg"})
_KNOWN_NAMES = _DESCRIPTIONS.union(_ENVELOPES, ("code", "type", "param", "status"))

_PART_OF_AN_ANSWER = re.compile(
    r'"(?:choices|content|output|output_text|delta|candidates|response|parts|reasoning_content)\\{0,8}"'
)
_MAX_PAGE = 20_000
_MAX_WORDS = 1000
"""Characters of a page, and of what it shows, that may be an error."""

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
    """The class for an error object of the gateway and its HTTP status.

    `status` is None for an error inside an answer or a stream; a numeric `code` then replaces it.
    """
    return classify_as(money_reason(error), error, status)


def classify_as(reason: Reason | None, error: Any, status: int | None) -> _Status:
    """`classify` for an error whose money reason is known."""
    names = names_of(error)
    if status is None:
        status = next((int(name) for name in names if re.fullmatch("[1-5][0-9][0-9]", name)), None)
    named = [_CLASS_BY_TYPE[name] for name in names if name in _CLASS_BY_TYPE]
    if reason is not None and errors.TexAPIContextLengthError not in named:
        return money_class(reason, status)
    for name in names:
        error_class = _CLASS_BY_TYPE.get(name)
        if error_class is None or (status is not None and name in _ONLY_WITHOUT_STATUS):
            continue
        if error_class.is_retryable and not is_transient(status):
            continue
        return error_class
    if status == 400 and _is_about_tool_choice(error):
        return errors.TexAPIToolChoiceError
    if status in (None, 400, 422) and _CONTEXT_LENGTH_PATTERN.search(_text_of(error)):
        return errors.TexAPIContextLengthError
    if status is None or status >= 500:
        return errors.TexAPIServerError
    return _CLASS_BY_STATUS.get(status, errors.TexAPIStatusError)


def is_error(text: bytes | str) -> bool:
    """Whether what came in place of an answer is an error: about money, or one of several JSON objects."""
    documents = parse_body(text)
    if isinstance(documents, list) and any(map(_is_error_object, documents)):
        return True
    return _is_error_about_money(documents)


def _is_error_object(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    try:
        raise_for_error_object(value)
    except ErrorAnswer:
        return True
    return False


def _is_error_about_money(body: Any) -> bool:
    """Whether a body is an error about money: text, a page, cut or quoted JSON.

    What a model may have said is not searched, and a long page on something else neither.
    """
    shown = body if isinstance(body, str) else json.dumps(body)
    if not 0 < len(shown) < _MAX_PAGE or _PART_OF_AN_ANSWER.search(shown):
        return False
    is_json = shown.startswith(("{", "[", '"'))
    if not is_json and len(plain(shown)) > _MAX_WORDS:
        return False
    return money_reason(body, is_error=is_json) is not None


def is_transient(status: int | None) -> bool:
    """Whether a failure with this status may be temporary; `None` is an error inside an answer."""
    return status is None or status in (408, 409, 429) or status >= 500


def _text_of(error: Any) -> str:
    return str(error.get("message")) if isinstance(error, Mapping) else str(error)


def _is_about_tool_choice(error: Any) -> bool:
    """Providers name the parameter in `param` or in the message; no code exists for this error."""
    if not isinstance(error, Mapping):
        return False
    return error.get("param") == "tool_choice" or "tool_choice" in str(error.get("message"))


def names_of(error: Any) -> list[str]:
    """The `code` and the `type` of an error object in lower case, without empty ones."""
    if not isinstance(error, Mapping):
        return []
    names = (error.get("code"), error.get("type"))
    texts = [str(name).strip().lower() for name in names if name is not None]
    return [text for text in texts if text not in ("", "none", "null")]


def parse_body(body: bytes | str) -> Any:
    """The JSON in a response body, a list if there are several documents, else its text."""
    text = _decode(body) if isinstance(body, bytes) else body
    documents: list[Any] = []
    while len(documents) < _MAX_DOCUMENTS and (found := _leading_json(text)) is not None:
        value, text = found
        documents.append(value)
    if text.strip():
        documents.append(text)
    return documents[0] if len(documents) == 1 else documents or ""


def error_object(body: Any) -> Any:
    """The unwrapped error in a response body, or its text if it is not JSON.

    The protocol has `{"error": {...}}`; providers also send it flat, in a list, nested, as a JSON string, in
    an envelope such as `{"data": {...}}`, or with names in capitals.
    """
    value = body
    for _ in range(_MAX_WRAPPERS):
        if isinstance(value, (bytes, str)):
            parsed = parse_body(value)
            if isinstance(parsed, str) and _leading_json(parsed) is None:
                return parsed
            value = parsed
        elif isinstance(value, list) and value:
            value = next((one for one in value if isinstance(one, Mapping) and _describes(one)), value[0])
        elif isinstance(value, Mapping):
            value = _in_small_letters(value)
            inner = _inner_error(value)
            if inner is None:
                return value
            if isinstance(inner, str) and _leading_json(inner) is None:
                named = {"type": inner} if inner.isidentifier() else {}
                return {**named, **value, "message": value.get("message") or inner}
            value = {**_own_members(value), **_without_nulls(inner)} if isinstance(inner, Mapping) else inner
        else:
            return value
    return value


def _inner_error(value: Mapping[str, Any]) -> Any:
    """The wrapped error, `None` if the object is the error itself. A bool or number as `error` is a flag."""
    names = ("error",) if _own_members(value) else ("error", "errors", "detail")
    for name in names:
        if value.get(name) and is_container(value[name]):
            return value[name]
    if value.get("message"):
        return None
    envelopes = (value[name] for name in _ENVELOPES if isinstance(value.get(name), Mapping))
    return next((one for one in envelopes if _describes(one)), None)


def _describes(value: Mapping[str, Any]) -> bool:
    """Whether an object is an error or holds one, seen from its names."""
    return not _DESCRIPTIONS.isdisjoint(name.lower() for name in value)


def _in_small_letters(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object with the names that matter here in small letters: Tencent and AWS use capitals."""
    known = {name: name.lower() for name in value if name.lower() in _KNOWN_NAMES}
    if all(name == small for name, small in known.items()):
        return value
    return {known.get(name, name): member for name, member in value.items()}


def _own_members(value: Mapping[str, Any]) -> dict[str, Any]:
    """The object's own `code`, `type` and `message`, without the type "error" of Anthropic's wrapper."""
    members = {name: value[name] for name in ("code", "type", "message") if value.get(name)}
    return {name: member for name, member in members.items() if member != "error"}


def _without_nulls(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: member for name, member in _in_small_letters(value).items() if member is not None}


def _leading_json(text: str) -> tuple[Any, str] | None:
    """The JSON object, list or string that a text begins with, and the text after it, else `None`."""
    text = text.lstrip("\ufeff \t\r\n")
    if not text.startswith(("{", "[", '"')):
        return None
    try:
        value, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return None if is_deep(value) else (value, text[end:])


def _decode(body: bytes) -> str:
    """The text of a body: UTF-8 or UTF-16, or GB 18030, in which some Chinese providers write."""
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in body[:2]:
        return body.decode(json.detect_encoding(body), "replace")
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(body)  # the body may be cut inside a character
    except UnicodeDecodeError:
        pass
    try:
        return codecs.getincrementaldecoder("gb18030")().decode(body)
    except UnicodeDecodeError:
        return body.decode("utf-8", "replace")
