"""Errors about money, as providers publish them, are recognised in any form and sent once."""

from __future__ import annotations

import json
import random
import time
import unicodedata
from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest

import texapi_core
from tests.conftest import Endpoint
from tests.faults.ways import WAYS, Way
from tests.gateway import Fault, Gateway
from texapi_core.failures.classify import classify, error_object
from texapi_core.failures.money import money_reason
from texapi_core.wire.error_answers import raise_for_error
from texapi_core.wire.values import ErrorAnswer

_ROWS = json.loads(resources.files("texapi_core").joinpath("data/money_errors.json").read_text("utf-8"))
MONEY: list[dict[str, Any]] = _ROWS["money"]
NOT_MONEY: list[dict[str, Any]] = _ROWS["not_money"]

_CLASSES: dict[str, type[texapi_core.TexAPIStatusError]] = {
    "balance": texapi_core.TexAPIInsufficientCreditsError,
    "overdue": texapi_core.TexAPIInsufficientCreditsError,
    "spending_limit": texapi_core.TexAPISpendingLimitError,
    "key_limit": texapi_core.TexAPISpendingLimitError,
    "daily_cap": texapi_core.TexAPIDailySpendingCapError,
    "monthly_key_limit": texapi_core.TexAPIMonthlyKeyLimitError,
}


def _ids(rows: list[dict[str, Any]]) -> list[str]:
    return [f"{row['provider']} {number}" for number, row in enumerate(rows)]


def _each(rows: list[dict[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", rows, ids=_ids(rows))


def _error(row: dict[str, Any]) -> Any:
    """The error of a row, as the code reads it from a response of any status."""
    if row["status"] >= 400:
        return error_object(json.dumps(row["body"]).encode())
    with pytest.raises(ErrorAnswer) as caught:
        raise_for_error(row["body"])
    return error_object(caught.value.error)


def test_the_table_has_fifty_providers_and_a_source_for_each_row() -> None:
    assert len({row["provider"] for row in MONEY}) >= 50
    assert all(row["source"].startswith("https://") for row in (*MONEY, *NOT_MONEY))


@_each(MONEY)
def test_money_is_recognised_at_every_status(row: dict[str, Any]) -> None:
    """Each row at a tenth of the statuses, the next row at other ones."""
    error = _error(row)
    for status in (None, row["status"], *range(400 + MONEY.index(row) % 10, 600, 10)):
        error_class = classify(error, status)
        assert issubclass(error_class, _CLASSES[row["reason"]])
        assert not error_class.is_retryable


@_each(NOT_MONEY)
def test_rate_limits_and_overload_are_not_money(row: dict[str, Any]) -> None:
    error_class = classify(_error(row), row["status"])

    assert money_reason(_error(row)) is None
    assert error_class.is_retryable


def _quoted(error: Any) -> Any:
    return {"error": {"message": f"upstream error 429: {json.dumps(error)}", "type": "api_error"}}


_FORMS: dict[str, Callable[[Any], Any]] = {
    "quoted": _quoted,
    "quoted twice": lambda body: _quoted(_quoted(body)),
    "nested": lambda body: {"error": {"error": {"error": body}}},
    "in a list": lambda body: [{"error": body}],
    "under metadata": lambda body: {"error": {"message": "Provider error", "metadata": {"raw": [body]}}},
    "as text": lambda body: f"<html><p>{json.dumps(body)}</p></html>",
    "in capitals": lambda body: {"error": {"message": json.dumps(body, ensure_ascii=False).upper()}},
    "decomposed": lambda body: {
        "error": {"message": unicodedata.normalize("NFD", json.dumps(body, ensure_ascii=False))}
    },
    "full width": lambda body: {
        "error": {
            "message": "".join(
                chr(ord(one) + 0xFEE0) if "!" <= one <= "~" and one not in '\\"' else one
                for one in json.dumps(body, ensure_ascii=False)
            )
        }
    },
    "underlined": lambda body: {
        "error": {"message": json.dumps(body, ensure_ascii=False).replace(" ", "_\n")}
    },
}


def _has_phrase(row: dict[str, Any]) -> bool:
    """Whether the row is recognised by its words; a numeric code counts only as a whole member."""
    return money_reason(json.dumps(row["body"])) is not None


@pytest.mark.parametrize("form", _FORMS)
def test_money_is_recognised_in_any_form(form: str) -> None:
    rows = [row for row in MONEY if _has_phrase(row)]
    assert len(rows) > len(MONEY) - 5

    for row in rows:
        body = _FORMS[form](row["body"])
        for status in (400, 429, 500):
            error_class = classify(error_object(json.dumps(body).encode()), status)
            assert not error_class.is_retryable, (body, error_class)


@pytest.mark.parametrize("form", _FORMS)
def test_rate_limits_are_retried_in_any_form(form: str) -> None:
    for row in NOT_MONEY:
        body = _FORMS[form](row["body"])
        assert classify(error_object(json.dumps(body).encode()), 429).is_retryable, body


@pytest.mark.parametrize(
    "error",
    [
        {"message": "Invalid value: 'My credit balance is too low'", "param": "messages.[0].content"},
        {"detail": [{"loc": ["body"], "msg": "Input should be a list", "input": "insufficient balance"}]},
    ],
)
def test_a_quoted_prompt_about_money_is_no_error_about_money(error: Any) -> None:
    assert money_reason(error) is None


@pytest.mark.combination
def test_matching_takes_time_in_proportion_to_the_text() -> None:
    """The worst texts for backtracking: a hundred times the length takes far less than a hundred squared."""
    pieces = (
        "<",
        "\\",
        "\\u",
        "&#",
        "%e4",
        "https://",
        '"messages":',
        '["',
        "aA",
        "0.",
        "\n*",
        "余额",
        "不足,",
    )
    for piece in (*pieces, "insufficient ", "exceeded your current ", "try again in 1", "limit "):
        for start in ("", '"messages": ['):
            long = start + piece * (100_000 // len(piece))
            started = time.process_time()
            assert money_reason({"message": long}) is None
            assert time.process_time() - started < 2


def _through_the_gateway() -> list[Any]:
    """Each row with each way of calling; one way per row runs by default for a selection of rows."""
    cases = []
    chosen = random.Random(17)
    for number, (row, is_money) in enumerate(
        [(row, True) for row in MONEY] + [(row, False) for row in NOT_MONEY]
    ):
        by_default = chosen.randrange(len(WAYS))
        for turn, way in enumerate(WAYS):
            marks = () if turn == by_default and number % 6 == 0 else pytest.mark.combination
            cases.append(
                pytest.param(row, is_money, way, id=f"{row['provider']} {number}-{way.name}", marks=marks)
            )
    return cases


_PATIENT = {"timeout": 60, "stream_idle_timeout": 60}


@pytest.mark.parametrize(("row", "is_money", "way"), _through_the_gateway())
def test_money_is_sent_once_and_the_rest_again(
    gateway: Gateway, endpoint: Endpoint, row: dict[str, Any], is_money: bool, way: Way
) -> None:
    body = json.dumps(row["body"], ensure_ascii=False)
    fault = Fault(status=row["status"], body=body, headers={"retry-after-ms": "1"})
    gateway.misbehave(fault, times=3)

    with pytest.raises(texapi_core.TexAPIStatusError) as caught:
        way(base_url=endpoint.base_url, api_key=endpoint.api_key, max_retries=2, **_PATIENT)

    error = caught.value
    assert len(gateway.requests) == (1 if is_money else 3)
    assert error.advice in str(error)
    if is_money:
        assert isinstance(error, _CLASSES[row["reason"]])
        assert error.reason == row["reason"]


_INSIDE = ["余额不足,请充值", "Số dư không đủ", "insufficient balance (1008)"]


@pytest.mark.parametrize(
    ("way", "text"),
    [pytest.param(way, _INSIDE[number % 3], id=way.name) for number, way in enumerate(WAYS)],
)
def test_money_inside_an_answer(gateway: Gateway, endpoint: Endpoint, way: Way, text: str) -> None:
    if way.streamed:
        event = json.dumps({"error": {"message": text, "type": "api_error"}})
        gateway.misbehave(Fault(raw=f"data: {event}\n\n".encode(), content_type="text/event-stream"))
    else:
        gateway.misbehave(Fault(body={"code": 500, "msg": text}))

    with pytest.raises(texapi_core.TexAPIInsufficientCreditsError, match="Top up"):
        way(base_url=endpoint.base_url, api_key=endpoint.api_key, max_retries=2, **_PATIENT)

    assert len(gateway.requests) == 1
