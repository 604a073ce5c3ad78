"""Errors about money are recognised by their words: things, states, wrappings and quotes, generated."""

from __future__ import annotations

import html
import json
import random
import urllib.parse
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import texapi_core
from tests.conftest import Endpoint
from tests.faults.ways import WAYS, Way
from tests.gateway import Fault, Gateway
from texapi_core.failures.classify import classify_as, error_object, parse_body
from texapi_core.failures.money import money_reason
from texapi_core.settings import resolve_settings

_WORDINGS = json.loads(Path(__file__).with_name("money_wordings.json").read_text("utf-8"))
_STATUSES = (400, 401, 403, 429, 500, 503)


def _is_money(body: bytes) -> bool:
    """Whether an error body is sent once at every status."""
    parsed = parse_body(body)
    reason = money_reason(parsed)
    error = error_object(parsed)
    return reason is not None and not any(
        classify_as(reason, error, status).is_retryable for status in (None, *_STATUSES)
    )


def _is_retried(body: bytes) -> bool:
    parsed = parse_body(body)
    reason, error = money_reason(parsed), error_object(parsed)
    return reason is None and all(
        classify_as(reason, error, status).is_retryable for status in (429, 500, 503)
    )


def _as_body(value: Any) -> bytes:
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).encode()


def test_wordings_of_money_are_sent_once() -> None:
    assert len(_WORDINGS["money"]) > 400
    assert [body for body in _WORDINGS["money"] if not _is_money(_as_body(body))] == []


def test_wordings_of_rates_and_failures_are_retried() -> None:
    """None of more than 200 is taken for money, though most mention billing, plans, credits or a balance."""
    assert len(_WORDINGS["rates"]) > 200
    assert [body for body in _WORDINGS["rates"] if not _is_retried(_as_body(body))] == []


@pytest.mark.parametrize("code", ["invalid_request_error", "authentication_error", None])
def test_errors_about_keys_models_and_requests_are_not_money(code: str | None) -> None:
    errors = [{"error": {"message": text, "code": code}} for text in _WORDINGS["others"]]
    assert len(errors) > 100

    assert [error for error in errors if money_reason(error)] == []


_UPSELLS = (
    "Add credits to raise your tier.",
    "Upgrade your plan for higher limits: https://example.com/settings/billing",
    "Your balance was not charged.",
    "No credits were deducted.",
    "You can increase your limits by adding a payment method.",
    "Recharge to get more throughput.",
    "充值可提升限额",
    "本次不扣费,余额不变",
    "Nâng cấp gói để tăng giới hạn.",
    "Số dư của bạn không bị trừ.",
)


def test_rates_with_any_offer_are_retried() -> None:
    """More than 2,600 texts: each of a rate or a failure with each sentence that says no lack of money."""
    wrong = []
    for body, offer in product(_WORDINGS["rates"], _UPSELLS):
        message = error_object(body).get("message") or json.dumps(body, ensure_ascii=False)
        if not _is_retried(_as_body({"error": {"message": f"{message}. {offer}"}})):
            wrong.append((message, offer))
    assert wrong == [], len(wrong)


_ENGLISH = {
    "things": (
        "credit balance|account balance|wallet balance|balance|credits|prepaid credits|funds|monthly budget"
        "|budget|spending limit|monthly spend limit|spending cap|resource package|prepaid balance|usage quota"
    ),
    "after": (
        "is exhausted|has been exhausted|is depleted|has run out|is insufficient|is too low"
        "|is below the minimum|is used up|is negative|exceeded|has been exceeded|reached|has been reached"
    ),
    "before": "Insufficient|Not enough|You have run out of|You have exceeded your|You are out of|Exceeded",
}
_CHINESE = {
    "things": "余额|账户余额|帐户余额|積分|积分|点数|额度|预算|消费额度|资源包|钱包余额|餘額",
    "after": "不足|不够|已耗尽|耗尽|用光|已用完|已用尽|已超出|超出上限|已用光",
    "before": "超出|没有",
}
_VIETNAMESE = {
    "things": "số dư|số dư tài khoản|tín dụng|credit|ngân sách|hạn mức chi tiêu|gói cước|tiền",
    "after": "không đủ|đã hết|không còn|bị âm|quá thấp",
    "before": "Không đủ|Đã hết|Hết|Vượt quá",
}


def _sentences() -> Iterator[str]:
    for words, space in ((_ENGLISH, " "), (_CHINESE, ""), (_VIETNAMESE, " ")):
        things = words["things"].split("|")
        for thing, state in product(things, words["after"].split("|")):
            yield f"{thing}{space}{state}"
        for state, thing in product(words["before"].split("|"), things):
            yield f"{state}{space}{thing}"


_SENTENCES = list(_sentences())


def _quoted_by_python(text: str) -> Any:
    return {"error": {"message": "litellm.APIError: " + repr({"error": {"message": text}})}}


_WRAPPINGS: dict[str, Callable[[str], Any]] = {
    "plain": lambda text: {"error": {"message": text}},
    "flat": lambda text: {"code": "E1", "msg": text},
    "text": lambda text: text,
    "a JSON string": lambda text: json.dumps(json.dumps({"error": {"message": text}})),
    "three times": lambda text: json.dumps(json.dumps(json.dumps({"error": {"message": text}}))),
    "quoted": lambda text: {"error": {"message": f"upstream: {json.dumps({'error': {'message': text}})}"}},
    "by Python": _quoted_by_python,
    "by Go": lambda text: {"error": {"message": "bad status 400, body: " + json.dumps(json.dumps(text))}},
    "second": lambda text: {"errors": [{"message": "Upstream failed"}, {"message": text}]},
    "after another": lambda text: '{"a": 1}\n' + json.dumps({"error": {"message": text}}),
    "after a status": lambda text: {"error": {"message": f"429 Too Many Requests: rate limited? {text}"}},
    "in per cent": lambda text: {"error": {"message": f"upstream: {urllib.parse.quote(text)}"}},
    "in data": lambda text: {"success": False, "data": {"error": text}},
    "in capitals": lambda text: {"Response": {"Error": {"Code": "X", "Message": text}}},
    "as a page": lambda text: f"<html><body><h1>502</h1><p>{html.escape(text)}</p></body></html>",
    "as XML": lambda text: f"<?xml version='1.0'?><Error><Message>{html.escape(text)}</Message></Error>",
    "in entities": lambda text: "<p>" + "".join(f"&#{ord(one)};" for one in text) + "</p>",
    "cut": lambda text: json.dumps({"error": {"message": text, "code": "x"}})[:-14],
    "an event": lambda text: f"event: error\ndata: {json.dumps({'error': {'message': text}})}\n\n",
    "after much": lambda text: {"error": {"message": "x " * 5000 + text}},
    "in bold": lambda text: {"error": {"message": f"**{text}**\r\n"}},
    "with no-break spaces": lambda text: {"error": {"message": text.replace(" ", "\u00a0\u200b")}},
}


@pytest.mark.parametrize(
    "wrapping",
    [pytest.param(name, marks=[pytest.mark.combination] * (name == "after much")) for name in _WRAPPINGS],
)
def test_each_thing_in_each_state_is_money_in_any_wrapping(wrapping: str) -> None:
    wrap = _WRAPPINGS[wrapping]

    wrong = [text for text in _SENTENCES if not _is_money(_as_body(wrap(text)))]

    assert wrong == [], (len(wrong), len(_SENTENCES))


@settings(deadline=None)
@given(
    st.sampled_from(_SENTENCES),
    st.lists(st.sampled_from(sorted(set(_WRAPPINGS) - {"cut", "in entities", "three times"})), max_size=3),
)
@example("budget is exhausted", ["in data", "a JSON string"])  # no error budget
def test_wrappings_in_wrappings(text: str, wrappings: list[str]) -> None:
    value: Any = text
    for wrapping in wrappings:
        value = _WRAPPINGS[wrapping](value if isinstance(value, str) else json.dumps(value))

    assert money_reason(parse_body(_as_body(value))) is not None


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_bodies_in_other_encodings(encoding: str) -> None:
    for text in _SENTENCES:
        if encoding != "gb18030" or not any("\u00c0" < one < "\u2000" for one in text):
            body = json.dumps({"error": {"message": text}}, ensure_ascii=False).encode(encoding)
            assert _is_money(body), text
            assert error_object(body)["message"] == text


_NUMBERS: list[dict[str, Any]] = [
    {"code": 402},
    {"status": 402, "title": "x"},
    {"error": {"code": "402", "message": "no"}},
    {"detail": {"status_code": 402}},
    {"message": "402 Payment Required"},
    {"message": "Error code: 402 - {}"},
    {"message": "Payment required"},
]


@pytest.mark.parametrize("error", _NUMBERS)
def test_a_402_in_the_body_counts_at_every_status(error: dict[str, Any]) -> None:
    assert money_reason(error) == "balance"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Your API key has reached its spending limit", "key_limit"),
        ("Virtual key budget exhausted", "key_limit"),
        ("Your account or API key has a negative credit balance", "balance"),
        ("Your account is overdue, please recharge", "overdue"),
        ("账户已欠费停机", "overdue"),
        ("Tài khoản quý khách đang nợ cước", "overdue"),
        ("Monthly budget exceeded", "spending_limit"),
        ("已达到本月消费上限", "spending_limit"),
        ("Đã vượt quá hạn mức chi tiêu trong ngày", "spending_limit"),
        ("预扣费额度失败, 用户[12]剩余额度: ＄0.000100", "balance"),
        ("The subscription 'x' is disabled and therefore marked as read only.", "overdue"),
        ("套餐已过期,请续费", "balance"),
        ("You exceeded your current quota", "balance"),
    ],
)
def test_the_reason_fits_the_words(text: str, reason: str) -> None:
    assert money_reason({"message": text}) == reason


@pytest.mark.parametrize(
    ("wait", "is_money"), [("12s", False), (30, False), ("0s", True), (86400, True), ("602639s", True)]
)
def test_a_quota_with_a_short_wait_is_a_rate(wait: Any, is_money: bool) -> None:
    error = {"message": "You exceeded your current quota, please check your plan and billing details."}

    assert (money_reason({"error": {**error, "details": [{"retryDelay": wait}]}}) is not None) is is_money


_PROMPTS = (
    "Explain the message: Your credit balance is too low to access the Anthropic API. Please go to Plans & "
    "Billing to upgrade or purchase credits.",
    '解释这个错误: {"error": {"message": "您的账户余额不足, 请充值"}} 是什么意思?',
    "Insufficient balance! What does an error like this mean to a user of an API, and how is it solved?",
)
_QUOTES: dict[str, Callable[[str], Any]] = {
    "bare": lambda prompt: {"message": f"upstream 500 while handling the request: {prompt}"},
    "cut": lambda prompt: {"message": f"upstream 500 while handling the request: {prompt[:70]}..."},
    "shouted": lambda prompt: {"message": f"upstream 500, content='{prompt.upper()}'"},
    "JSON": lambda prompt: {"message": f"invalid body {json.dumps({'messages': [{'content': prompt}]})}"},
    "JSON in JSON": lambda prompt: {
        "message": "failed: " + json.dumps(json.dumps({"messages": [{"content": prompt}], "model": "m"}))
    },
    "cut JSON": lambda prompt: {"message": f"invalid body {json.dumps({'prompt': prompt})[:90]}"},
    "Python": lambda prompt: {"message": f"invalid body { ({'messages': [{'content': prompt}]})!r}"},
    "a member": lambda prompt: {"message": "failed", "body": {"messages": [{"content": prompt}]}},
    "an input": lambda prompt: {"detail": [{"msg": "failed", "input": {"content": prompt}}]},
}


@pytest.mark.parametrize("quote", _QUOTES)
@pytest.mark.parametrize("prompt", _PROMPTS)
def test_a_prompt_that_an_error_quotes_is_not_searched(
    gateway: Gateway, endpoint: Endpoint, prompt: str, quote: str
) -> None:
    body = json.dumps({"error": _QUOTES[quote](prompt)}, ensure_ascii=False)
    gateway.misbehave(Fault(status=500, body=body, headers={"retry-after-ms": "1"}), times=2)

    with pytest.raises(texapi_core.TexAPIServerError):
        _complete(endpoint, prompt)

    assert len(gateway.requests) == 2


@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.combination)])
@pytest.mark.parametrize("quote", _QUOTES)
def test_a_prompt_about_any_wording_is_not_searched(quote: str, step: int) -> None:
    """Each of more than 400 wordings, alone and after a question in two languages; or every fifth of them."""
    for body in _WORDINGS["money"][list(_QUOTES).index(quote) % step :: step]:
        wording = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
        for question in ("", "Explain this error to me, please: ", "这个错误是什么意思: "):
            prompt = question + wording
            if len(prompt) < 24 or (quote == "shouted" and "'" in prompt):  # that ends the quoted value
                continue
            error = json.loads(json.dumps({"error": _QUOTES[quote](prompt)}))
            assert money_reason(error, [prompt].copy) is None, prompt


@pytest.mark.parametrize("prompt", [*_PROMPTS, "Insufficient balance", "balance", "What is money?"])
def test_an_error_that_the_prompt_quotes_is_still_money(
    gateway: Gateway, endpoint: Endpoint, prompt: str
) -> None:
    """Users ask about the error that they got."""
    gateway.misbehave(Fault(status=429, body={"error": {"message": "Insufficient Balance", "code": "x"}}))

    with pytest.raises(texapi_core.TexAPIInsufficientQuotaError):
        _complete(endpoint, prompt)

    assert len(gateway.requests) == 1


def _complete(endpoint: Endpoint, prompt: str) -> None:
    settings = resolve_settings(
        api_key=endpoint.api_key, base_url=endpoint.base_url, max_retries=1, timeout=60
    )
    texapi_core.complete(settings, {"model": "gpt-5.2", "messages": [{"role": "user", "content": prompt}]})


_IN_ANSWERS = [name for name in _WRAPPINGS if name not in ("flat", "after much", "an event")]


@pytest.mark.parametrize(
    ("way", "wrapping"),
    [
        pytest.param(WAYS[number % len(WAYS)], name, id=f"{name}-{WAYS[number % len(WAYS)].name}")
        for number, name in enumerate(_IN_ANSWERS * 3)
    ],
)
def test_money_in_place_of_an_answer(gateway: Gateway, endpoint: Endpoint, way: Way, wrapping: str) -> None:
    text = random.Random(wrapping).choice(["Insufficient Balance", "您的账户余额不足", "Số dư không đủ"])
    content = _as_body(_WRAPPINGS[wrapping](text))
    if way.streamed:
        lines = b"".join(b"data: %s\n" % line for line in content.splitlines())
        gateway.misbehave(Fault(raw=lines + b"\n", content_type="text/event-stream"))
    else:
        gateway.misbehave(Fault(status=200, body=content))

    with pytest.raises(texapi_core.TexAPIInsufficientCreditsError, match="Top up"):
        way(base_url=endpoint.base_url, api_key=endpoint.api_key, max_retries=2, timeout=60)

    assert len(gateway.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        '{"output": [{"content": "Your credit balance is too low, says the error."}]}',
        '{"id": "1", "choices": [{"message": {"content": "Insufficient balance means',
        "<html><h1>Pricing</h1><p>Top up your wallet. Credits never expire. Upgrade your plan.</p></html>",
        f"<html><p>{'News of today. ' * 100} Insufficient balance </p></html>",
    ],
)
def test_what_a_model_or_a_long_page_says_is_no_error_about_money(
    gateway: Gateway, endpoint: Endpoint, body: str
) -> None:
    gateway.misbehave(Fault(status=200, body=body))

    with pytest.raises(texapi_core.TexAPIResponseError):
        _complete(endpoint, "Hello")
