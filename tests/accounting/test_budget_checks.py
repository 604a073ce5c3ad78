"""What a budget is made of is checked, and the argument that is wrong is named."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.conftest import Endpoint
from tests.properties.strategies import examples
from texapi_core import TexAPISettingsError
from texapi_core.accounting import budget_checks, parse_budgets
from texapi_core.accounting.windows import Window

MODEL = "claude-sonnet-4-6"


@examples
@given(
    st.sampled_from(["hour", "day", "week", "month", "90m"]),
    st.sampled_from(["UTC", "Australia/Lord_Howe", "Asia/Ho_Chi_Minh", "America/New_York", "Africa/Cairo"]),
    st.datetimes(datetime(1972, 1, 1), datetime(2037, 1, 1)),
)
def test_a_window_holds_the_time_it_is_asked_for(text: str, zone: str, now: datetime) -> None:
    moment = now.replace(tzinfo=UTC)
    window = Window(text, zone)
    start, end = window.start(moment), window.end(moment)

    assert start <= moment
    if end is not None:
        assert moment < end
        assert text != "hour" or (end - start == timedelta(hours=1) and moment - start < timedelta(hours=1))


DEEP = json.loads("[" * 500 + "]" * 500)


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ("[" * 100_000, "`budgets` is not JSON"),
        ('{"max_cost": 1}', "`budgets` is a list"),
        (DEEP, r"`budgets\[0\]` is a dict"),
        ([{"max_cost": DEEP}], r"`budgets\[0\].max_cost`"),
        ([{"max_cost": True}], r"`budgets\[0\].max_cost`"),
        ([{"max_cost": 10**5000}], r"`budgets\[0\].max_cost`"),
        ([{"max_cost": 1}, {"max_tokens_total": 1.5}], r"`budgets\[1\].max_tokens_total`"),
        ([{"max_tokens_total": True}], r"`budgets\[0\].max_tokens_total`"),
        ([{"max_cost": 1, "timezone": "Asia/Saigon_City"}], r"`budgets\[0\].timezone`"),
        ([{"max_cost": 1, "window": 24}], r"`budgets\[0\].window`"),
        ([{"max_cost": 1, "scope": ["all"]}], r"`budgets\[0\].scope`"),
        ([{"max_cost": 1, "warnings": "0.8"}], r"`budgets\[0\].warnings`"),
        ([{"max_cost": 1, "warnings": [True]}], r"`budgets\[0\].warnings`"),
        ([{"max_cost": 1, "warnings": [float("nan")]}], r"`budgets\[0\].warnings`"),
        ([{5: 1}], r"`budgets\[0\]` has a member 5"),
    ],
)
def test_the_member_of_budgets_that_is_wrong_is_named(bad: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named) as raised:
        parse_budgets(bad)
    assert len(str(raised.value)) < 300


def _anything() -> st.SearchStrategy[Any]:
    words = st.sampled_from(["all", "month", "UTC", "tag:team", "0.5", "1e999999999", ""])
    return st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), words, st.text(max_size=5))


@examples
@given(
    st.dictionaries(st.sampled_from(budget_checks._MEMBERS), _anything() | st.lists(_anything(), max_size=2))
)
def test_whatever_a_budget_is_made_of_it_is_one_or_its_member_is_named(row: dict[str, Any]) -> None:
    error = ""
    try:
        (made,) = parse_budgets([row])
    except ValueError as raised:
        error = str(raised)
    else:
        assert made.max_cost is not None or made.max_tokens_total is not None
    assert not error or "`budgets[0]." in error


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TEXAPI_TIMEZONE", "Saigon"),
        ("TEXAPI_OTEL", "perhaps"),
        ("TEXAPI_ON_LEDGER_ERROR", "ajar"),
        ("TEXAPI_UNPRICED", "guess"),
    ],
)
def test_a_wrong_environment_variable_is_an_error_that_leads_to_it(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    name = {"TEXAPI_TIMEZONE": "budget_timezone", "TEXAPI_OTEL": "TEXAPI_OTEL"}.get(
        variable, variable.removeprefix("TEXAPI_").lower()
    )
    with pytest.raises(TexAPISettingsError, match=f"`{name}`.*{value}"):
        ChatTexAPI(model=MODEL, **endpoint.for_langchain(max_cost=1))


@pytest.mark.parametrize(
    "amount", [{"max_cost": True}, {"max_tokens_total": True}, {"max_tokens_total": 1.5}]
)
def test_a_bool_or_a_fraction_is_no_amount(endpoint: Endpoint, amount: dict[str, Any]) -> None:
    for model, arguments in ((ChatTexAPI, endpoint.for_langchain), (TexAPI, endpoint.for_llama_index)):
        with pytest.raises(ValueError, match=next(iter(amount))):
            model(model=MODEL, **arguments(**amount))
