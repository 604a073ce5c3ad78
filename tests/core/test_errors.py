"""Each failure raises its class, with a helpful message, after the right number of requests."""

from __future__ import annotations

import asyncio
import copy
import pickle
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_core.exceptions import ModelError

import texapi_core
from tests.conftest import Endpoint
from tests.faults.ways import chat_texapi, texapi
from tests.gateway import Fault, Gateway
from texapi_core import CallOptions, ChatReply, TexAPIError, resolve_settings
from texapi_core.failures.classify import classify
from texapi_core.failures.mapping import parse_retry_after
from texapi_core.settings import Settings

PAYLOAD: dict[str, Any] = {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Hello"}]}


def settings(endpoint: Endpoint, **changes: Any) -> Settings:
    arguments = {"api_key": endpoint.api_key, "base_url": endpoint.base_url, "timeout": 5, "max_retries": 2}
    return resolve_settings(**{**arguments, **changes})


def _complete(settings: Settings) -> ChatReply:
    return texapi_core.complete(settings, PAYLOAD)


def _acomplete(settings: Settings) -> ChatReply:
    return asyncio.run(texapi_core.acomplete(settings, PAYLOAD))


def _stream(settings: Settings) -> ChatReply:
    *_, reply = texapi_core.stream(settings, PAYLOAD)
    assert isinstance(reply, ChatReply)
    return reply


def _astream(settings: Settings) -> ChatReply:
    async def last() -> ChatReply:
        items = [item async for item in texapi_core.astream(settings, PAYLOAD)]
        assert isinstance(items[-1], ChatReply)
        return items[-1]

    return asyncio.run(last())


WAYS = [_complete, _acomplete, _stream, _astream]
Way = Callable[[Settings], ChatReply]


@pytest.fixture(autouse=True)
def _no_sleep_between_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the delays: retries are counted here, not timed."""
    monkeypatch.setattr("texapi_core.transport.retries.FIRST_WAIT", 0.001)


ERRORS: list[tuple[int, str, str, type[openai.OpenAIError], int]] = [
    (401, "invalid_api_key", "TexAPIAuthenticationError", openai.AuthenticationError, 1),
    (402, "insufficient_credits", "TexAPIInsufficientCreditsError", openai.APIStatusError, 1),
    (402, "insufficient_quota", "TexAPIInsufficientCreditsError", openai.APIStatusError, 1),
    (429, "insufficient_quota", "TexAPIInsufficientQuotaError", openai.RateLimitError, 1),
    (429, "insufficient_credits", "TexAPIInsufficientQuotaError", openai.RateLimitError, 1),
    (429, "daily_spending_cap_exceeded", "TexAPIDailySpendingCapError", openai.RateLimitError, 1),
    (429, "api_key_monthly_limit_exceeded", "TexAPIMonthlyKeyLimitError", openai.RateLimitError, 1),
    (429, "rate_limited", "TexAPIRateLimitError", openai.RateLimitError, 3),
    (503, "all_routes_failed", "TexAPIAllRoutesFailedError", openai.InternalServerError, 3),
    (503, "provider_unavailable", "TexAPIProviderUnavailableError", openai.InternalServerError, 3),
    (400, "context_length_exceeded", "TexAPIContextLengthError", openai.BadRequestError, 1),
    (400, "", "TexAPIBadRequestError", openai.BadRequestError, 1),
    (403, "", "TexAPIPermissionDeniedError", openai.PermissionDeniedError, 1),
    (404, "model_not_found", "TexAPINotFoundError", openai.NotFoundError, 1),
    (408, "", "TexAPIRequestTimeoutError", openai.APIStatusError, 1),
    (409, "", "TexAPIConflictError", openai.ConflictError, 1),
    (413, "", "TexAPIRequestTooLargeError", openai.APIStatusError, 1),
    (422, "", "TexAPIUnprocessableEntityError", openai.UnprocessableEntityError, 1),
    (429, "", "TexAPIRateLimitError", openai.RateLimitError, 3),
    (500, "", "TexAPIServerError", openai.InternalServerError, 3),
    (502, "", "TexAPIServerError", openai.InternalServerError, 3),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("status", "type_", "name", "openai_class", "requests"), ERRORS)
def test_an_error_has_its_class_and_number_of_requests(
    gateway: Gateway,
    endpoint: Endpoint,
    way: Way,
    status: int,
    type_: str,
    name: str,
    openai_class: type[openai.OpenAIError],
    requests: int,
) -> None:
    gateway.misbehave(Fault(status=status, error_type=type_ or None, message="provider message"), times=5)

    with pytest.raises(TexAPIError) as caught:
        way(settings(endpoint))

    error = caught.value
    assert type(error).__name__ == name
    assert isinstance(error, openai_class)
    assert error.status_code == status  # type: ignore[attr-defined] # every error of a status has it
    assert error.request_id == gateway_request_id(gateway)
    assert error.advice in str(error)
    assert "provider message" in str(error)
    assert len(gateway.requests) == requests


def gateway_request_id(gateway: Gateway) -> str:
    return f"req_{len(gateway.requests):06d}"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("where", ["code", "error_type"])
def test_an_empty_balance_is_recognized_by_code_or_type(
    gateway: Gateway, endpoint: Endpoint, way: Way, where: str
) -> None:
    body = {"message": "Insufficient balance", "type": None, "code": None}
    body["code" if where == "code" else "type"] = "insufficient_quota"
    gateway.misbehave(Fault(status=429, body={"error": body}), times=5)

    with pytest.raises(texapi_core.TexAPIInsufficientQuotaError):
        way(settings(endpoint))

    assert len(gateway.requests) == 1


def test_an_empty_balance_is_not_retried_even_with_retry_after(gateway: Gateway, endpoint: Endpoint) -> None:
    headers = {"x-should-retry": "true", "retry-after": "1"}
    gateway.misbehave(Fault(status=429, error_type="insufficient_quota", headers=headers), times=5)

    with pytest.raises(texapi_core.TexAPIInsufficientQuotaError):
        _complete(settings(endpoint))

    assert len(gateway.requests) == 1


@pytest.mark.parametrize("retry_after", ["3600", "Wed, 21 Oct 2099 07:28:00 GMT"])
@pytest.mark.parametrize("way", [_complete, _acomplete])
def test_an_excessive_retry_after_raises_instead_of_waiting(
    gateway: Gateway, endpoint: Endpoint, way: Way, retry_after: str
) -> None:
    gateway.misbehave(Fault(status=429, headers={"retry-after": retry_after}), times=5)

    with pytest.raises(texapi_core.TexAPIRateLimitError, match="asks to wait") as caught:
        way(settings(endpoint))

    assert caught.value.retry_after is not None
    assert caught.value.retry_after >= 3600
    assert len(gateway.requests) == 1


@pytest.mark.parametrize("way", WAYS)
def test_a_transient_failure_is_retried_until_answered(
    gateway: Gateway, endpoint: Endpoint, way: Way
) -> None:
    gateway.misbehave(Fault(status=503, headers={"retry-after-ms": "1"}), times=2)

    assert way(settings(endpoint)).choice.text
    assert len(gateway.requests) == 3


@pytest.mark.parametrize("way", WAYS)
def test_max_retries_of_zero_is_one_request(gateway: Gateway, endpoint: Endpoint, way: Way) -> None:
    gateway.misbehave(Fault(status=503), times=5)

    with pytest.raises(texapi_core.TexAPIServerError):
        way(settings(endpoint, max_retries=0))

    assert len(gateway.requests) == 1


@pytest.mark.parametrize("way", [_stream, _astream])
@pytest.mark.parametrize(
    ("fault", "error_class"),
    [
        (Fault(cut_after=4), texapi_core.TexAPIStreamInterruptedError),
        (Fault(stall_after=4), texapi_core.TexAPIStreamInterruptedError),
        (Fault(stall_after=4, keepalive=True), texapi_core.TexAPIStreamInterruptedError),
    ],
)
def test_a_broken_stream_raises_and_keeps_what_was_received(
    gateway: Gateway, endpoint: Endpoint, way: Way, fault: Fault, error_class: type[TexAPIError]
) -> None:
    gateway.misbehave(fault)

    with pytest.raises(error_class) as caught:
        way(settings(endpoint, stream_idle_timeout=0.3))

    assert caught.value.partial_text
    assert caught.value.request_id == "req_000001"
    assert len(gateway.requests) == 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(raw=b"<html>busy</html>", content_type="text/html"), "an HTML page"),
        (Fault(raw=b"", content_type="application/json"), "an empty body"),
        (Fault(body={"choices": []}), "without"),
        (Fault(body={"choices": None}), "without"),
    ],
)
def test_an_invalid_answer_is_described_in_the_error(
    gateway: Gateway, endpoint: Endpoint, way: Way, fault: Fault, message: str
) -> None:
    gateway.misbehave(fault)

    with pytest.raises(texapi_core.TexAPIResponseError, match=message) as caught:
        way(settings(endpoint))

    assert isinstance(caught.value, openai.APIError)
    assert caught.value.request_id == "req_000001"


@pytest.mark.parametrize("way", WAYS)
def test_an_error_object_in_a_200_raises_that_error(gateway: Gateway, endpoint: Endpoint, way: Way) -> None:
    gateway.misbehave(Fault(body={"error": {"type": "insufficient_credits", "message": "Empty."}}))

    with pytest.raises(texapi_core.TexAPIInsufficientCreditsError, match=r"Empty\."):
        way(settings(endpoint))

    assert len(gateway.requests) == 1


@pytest.mark.parametrize("way", WAYS)
def test_a_refused_connection(way: Way) -> None:
    nowhere = resolve_settings(api_key="sk-tex-1", base_url="http://127.0.0.1:1/v1", timeout=5, max_retries=1)

    with pytest.raises(texapi_core.TexAPIConnectionError, match="base_url") as caught:
        way(nowhere)

    assert isinstance(caught.value, openai.APIConnectionError)


@pytest.mark.parametrize("way", WAYS)
def test_a_timeout(gateway: Gateway, endpoint: Endpoint, way: Way) -> None:
    gateway.misbehave(Fault(delay=3.0))

    with pytest.raises(texapi_core.TexAPITimeoutError) as caught:
        way(settings(endpoint, timeout=0.2, max_retries=0))

    assert isinstance(caught.value, openai.APITimeoutError)


def test_the_timeout_of_one_call_takes_precedence(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.misbehave(Fault(delay=3.0))

    with pytest.raises(texapi_core.TexAPITimeoutError):
        texapi_core.complete(settings(endpoint, timeout=60), PAYLOAD, CallOptions(timeout=0.2, max_retries=0))


def test_a_key_that_the_gateway_quotes_is_not_shown(gateway: Gateway, endpoint: Endpoint) -> None:
    key = endpoint.api_key
    gateway.misbehave(Fault(status=401, error_type="invalid_api_key", message=f"Wrong key {key}."))

    with pytest.raises(texapi_core.TexAPIAuthenticationError) as caught:
        _complete(settings(endpoint))

    error: BaseException | None = caught.value
    while error is not None:
        assert key not in f"{error} {error!r} {getattr(error, 'body', '')}"
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (
            {"code": "insufficient_quota", "type": "invalid_request_error"},
            429,
            "TexAPIInsufficientQuotaError",
        ),
        (
            {"code": "context_length_exceeded", "type": "invalid_request_error"},
            400,
            "TexAPIContextLengthError",
        ),
        ({"code": 429}, None, "TexAPIRateLimitError"),
        ({"code": 402}, None, "TexAPIInsufficientCreditsError"),
        ({"type": "overloaded_error"}, None, "TexAPIServerError"),
        ({"type": "server_error"}, 400, "TexAPIBadRequestError"),
        ({"code": "²"}, None, "TexAPIServerError"),
        ({"code": "9" * 5000}, None, "TexAPIServerError"),
        ({}, None, "TexAPIServerError"),
        ({"type": "None", "code": "null", "message": "no"}, 400, "TexAPIBadRequestError"),
        ({"message": "the context window is full"}, None, "TexAPIContextLengthError"),
        ({"message": "upstream: insufficient_quota"}, None, "TexAPIInsufficientCreditsError"),
        ("text", 418, "TexAPIStatusError"),
        (None, 599, "TexAPIServerError"),
    ],
)
def test_classification(error: Any, status: int | None, name: str) -> None:
    assert classify(error, status).__name__ == name


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-2"}, 0.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Thu, 01 Jan 1970 00:02:00 GMT"}, 20.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert parse_retry_after(headers, now=100.0) == seconds


def test_every_public_error_class_is_exported() -> None:
    from texapi_core import errors

    classes = {name for name in vars(errors) if name.startswith("TexAPI")}

    assert classes == {name for name in texapi_core.__all__ if name.startswith("TexAPI")}


def test_every_error_is_documented() -> None:
    rows = re.findall(
        r"^\| `(TexAPI\w+)` \|",
        Path(__file__, "../../../docs/errors.md").resolve().read_text("utf-8"),
        re.MULTILINE,
    )

    names = {name for name in texapi_core.__all__ if name.endswith("Error")}
    assert sorted(rows) == sorted(names - {"TexAPIError"})


@pytest.mark.parametrize("way", [_complete, _astream])
@pytest.mark.parametrize(
    "body",
    [
        b'{"error": {}, "code": "insufficient_quota"}',
        b'[{"error": {"type": "insufficient_quota"}}]',
        b'{"error": {"error": {"code": "insufficient_quota"}}}',
        b'{"errors": [{"code": "insufficient_quota"}]}',
        b'{"detail": {"error": {"code": "insufficient_quota"}}}',
        b'{"error": "insufficient_quota"}',
        b'{"error": {"message": "upstream said: insufficient_quota"}}',
        b'{"error": {"code": "insufficient_quota"}} trailing',
        b'{"error": {"message": "\xff", "code": "insufficient_quota"}}',
        b'"{\\"error\\": {\\"code\\": \\"insufficient_quota\\"}}"',
        b"<p>insufficient_quota</p>",
        b'{"error": ' * 5000 + b'"insufficient_quota"' + b"}" * 5000,
    ],
)
def test_an_empty_balance_is_found_in_whatever_it_is_wrapped(
    gateway: Gateway, endpoint: Endpoint, way: Way, body: bytes
) -> None:
    gateway.misbehave(Fault(status=429, body=body, content_type="application/json"), times=5)

    with pytest.raises(texapi_core.TexAPIInsufficientQuotaError):
        way(settings(endpoint))

    assert len(gateway.requests) == 1


@pytest.mark.parametrize("way", [_complete, _acomplete])
def test_a_failure_with_an_undecodable_body_is_classified_by_status(
    gateway: Gateway, endpoint: Endpoint, way: Way
) -> None:
    gateway.misbehave(Fault(status=402, body=b"no gzip", headers={"content-encoding": "gzip"}), times=5)

    with pytest.raises(texapi_core.TexAPIInsufficientCreditsError):
        way(settings(endpoint))

    assert len(gateway.requests) == 1


@pytest.mark.parametrize("way", WAYS)
def test_a_payload_that_cannot_be_sent_raises_before_anything_is_sent(
    gateway: Gateway, endpoint: Endpoint, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PAYLOAD, "metadata", {"a": object()})

    with pytest.raises(texapi_core.TexAPISettingsError, match="cannot be sent as JSON"):
        way(settings(endpoint))

    assert gateway.requests == []


@pytest.mark.parametrize("way", WAYS)
def test_halves_of_characters_are_replaced(
    gateway: Gateway, endpoint: Endpoint, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text from a PDF or a file name may hold one half of a surrogate pair, which UTF-8 cannot encode."""
    monkeypatch.setitem(PAYLOAD, "metadata", {"a\ud800": ["\udcff", "\ud83d\ude00"]})

    way(settings(endpoint))

    assert gateway.requests[0].body["metadata"] == {"a\ufffd": ["\ufffd", "\U0001f600"]}


@pytest.mark.parametrize("way", [_complete, _acomplete, _stream])
def test_a_failure_body_that_arrives_slowly_is_not_waited_for(
    gateway: Gateway, endpoint: Endpoint, way: Way
) -> None:
    dripping: list[bytes | float] = [b"{", *[0.2, b" "] * 300]  # type: ignore[list-item] # a mixed list
    gateway.misbehave(Fault(status=402, raw=dripping))
    started = time.monotonic()

    with pytest.raises(texapi_core.TexAPIInsufficientCreditsError):
        way(settings(endpoint, timeout=0.5))

    assert time.monotonic() - started < 10


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
def test_an_unusable_proxy_in_the_environment_raises(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    from texapi_core.transport import clients as client

    monkeypatch.setattr(client, "_pools", {})
    monkeypatch.setattr(client, "_clients", client._clients.__class__())
    monkeypatch.setenv(variable, "gopher://127.0.0.1:1")

    with pytest.raises(texapi_core.TexAPIConnectionError, match="proxy"):
        _complete(settings(endpoint, default_headers={"X-Run": variable}))


def test_a_status_error_can_be_pickled(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.misbehave(Fault(status=402, error_type="insufficient_credits", message="Empty."))
    with pytest.raises(texapi_core.TexAPIInsufficientCreditsError) as caught:
        _complete(settings(endpoint))

    crossed = pickle.loads(pickle.dumps(caught.value))

    assert type(crossed) is texapi_core.TexAPIInsufficientCreditsError
    assert (str(crossed), crossed.request_id, crossed.status_code) == (str(caught.value), "req_000001", 402)


@pytest.mark.parametrize("take_across", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
@pytest.mark.parametrize("make", [chat_texapi, texapi])
def test_a_stream_interrupted_error_is_pickled_completely(
    gateway: Gateway, endpoint: Endpoint, make: Callable[..., Any], take_across: Callable[[Any], Any]
) -> None:
    gateway.misbehave(Fault(cut_after=4))
    model = make(base_url=endpoint.base_url, api_key=endpoint.api_key, max_retries=0)
    with pytest.raises(texapi_core.TexAPIStreamInterruptedError) as caught:
        list(model.stream("Hello") if make is chat_texapi else model.stream_complete("Hello"))

    crossed = take_across(caught.value)

    assert type(crossed) is type(caught.value)
    assert isinstance(crossed, ModelError) == (make is chat_texapi)
    assert crossed.partial_text == caught.value.partial_text != ""
    assert hasattr(crossed, "request")


def test_a_copied_error_keeps_its_response_and_a_pickled_one_has_none(
    gateway: Gateway, endpoint: Endpoint
) -> None:
    gateway.misbehave(Fault(status=400))
    with pytest.raises(texapi_core.TexAPIBadRequestError) as caught:
        _complete(settings(endpoint))

    assert copy.copy(caught.value).response is caught.value.response
    crossed = pickle.loads(pickle.dumps(caught.value))
    assert (crossed.response, crossed.request) == (None, None)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=401, headers={"x-echo": "sk-tex-standin-000000000000"}),
        Fault(status=401, body=b'{"error": {"message": "Wrong key sk-\\u0074ex-standin-000000000000"}}'),
    ],
)
def test_a_key_quoted_in_a_header_or_in_escapes_is_not_shown(
    gateway: Gateway, endpoint: Endpoint, fault: Fault
) -> None:
    gateway.misbehave(fault)

    with pytest.raises(texapi_core.TexAPIAuthenticationError) as caught:
        _complete(settings(endpoint))

    error: Any = caught.value
    while error is not None:
        assert endpoint.api_key not in f"{error} {getattr(error, 'body', '')}"
        if hasattr(error, "response"):
            assert endpoint.api_key not in f"{error.response.headers} {error.response.text}"
        error = error.__cause__
