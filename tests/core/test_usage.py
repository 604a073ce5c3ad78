"""Usage is what the gateway reports, as ints; missing counts are None."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.usage_forms import FORMS, Form
from texapi_core.wire.usage import TokenUsage, merge_usage, parse_usage, reported_usage


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}, TokenUsage(3, 4, 7)),
        ({"prompt_tokens": 3.0, "completion_tokens": "4"}, TokenUsage(3, 4, 7)),
        ({"input_tokens": 3, "output_tokens": 4}, TokenUsage(3, 4, 7)),
        ({"prompt_tokens": 3, "total_tokens": 7}, TokenUsage(3, 4, 7)),
        ({"completion_tokens": 4, "total_tokens": 7}, TokenUsage(3, 4, 7)),
        ({"prompt_tokens": 3}, TokenUsage(3)),
        ({"prompt_tokens": None, "completion_tokens": None}, None),
        ({"prompt_tokens": True, "completion_tokens": -1}, None),
        ({"prompt_tokens": 10**400, "completion_tokens": 4}, TokenUsage(None, 4)),
        ({"prompt_tokens": float("nan"), "completion_tokens": float("inf")}, None),
        ({}, None),
        ({"prompt_tokens": "1_0", "completion_tokens": "٣"}, None),
        ({"prompt_tokens": 2.5, "completion_tokens": 2**63}, None),
        ({"cost": "Infinity", "total_cost": 10**9, "cost_in_usd_ticks": -1}, None),
        ({"cost": 0.25}, TokenUsage(cost=0.25)),
        ({"cost": 0, "total_cost": "0.5"}, TokenUsage(cost=0.5)),
        ({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 5}, TokenUsage(3, 4, 7)),
        (None, None),
        ([], None),
        ("12", None),
    ],
)
def test_counts(usage: Any, expected: TokenUsage | None) -> None:
    assert parse_usage(usage) == expected


@pytest.mark.parametrize(
    ("details", "field", "count"),
    [
        ({"prompt_tokens_details": {"cached_tokens": 2}}, "cached_tokens", 2),
        ({"prompt_cache_hit_tokens": 2}, "cached_tokens", 2),
        ({"cache_read_input_tokens": 2}, "cached_tokens", 2),
        ({"prompt_tokens_details": {"cache_write_tokens": 2}}, "cache_creation_tokens", 2),
        ({"cache_creation_input_tokens": 2}, "cache_creation_tokens", 2),
        ({"completion_tokens_details": {"reasoning_tokens": 2}}, "reasoning_tokens", 2),
        ({"prompt_tokens_details": {"audio_tokens": 2}}, "input_audio_tokens", 2),
        ({"completion_tokens_details": {"audio_tokens": 2}}, "output_audio_tokens", 2),
        ({"prompt_tokens_details": None}, "cached_tokens", None),
        ({"cost": 0.25}, "cost", 0.25),
    ],
)
def test_details(details: dict[str, Any], field: str, count: float | None) -> None:
    usage = parse_usage({"prompt_tokens": 3, "completion_tokens": 4, **details})

    assert getattr(usage, field) == count


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        pytest.param([TokenUsage(3, 1, 4), TokenUsage(3, 4, 7)], TokenUsage(3, 4, 7), id="cumulative"),
        pytest.param([TokenUsage(3, 4, 7), TokenUsage(3, 4, 7)], TokenUsage(3, 4, 7), id="twice"),
        pytest.param([TokenUsage(3, 4, 7), TokenUsage(0, 0, 0)], TokenUsage(3, 4, 7), id="zeros last"),
        pytest.param([TokenUsage(3), TokenUsage(None, 4)], TokenUsage(3, 4, 7), id="input first"),
        pytest.param([TokenUsage(3, 0, 3), TokenUsage(None, 4)], TokenUsage(3, 4, 7), id="total stale"),
        pytest.param([None, TokenUsage(3, 4, 7), None], TokenUsage(3, 4, 7), id="gaps"),
        pytest.param([None], None, id="never"),
    ],
)
def test_reports_of_a_stream_add_up_to_one_usage(
    reports: list[TokenUsage | None], expected: TokenUsage | None
) -> None:
    usage = None
    for report in reports:
        usage = merge_usage(usage, report)

    assert usage == expected


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.provider)
def test_a_providers_form_is_read_as_what_was_billed(form: Form) -> None:
    usage = None
    for report in form.reports:
        usage = merge_usage(usage, parse_usage(report))

    assert usage == form.billed


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.provider)
def test_what_handlers_read_is_what_was_billed(form: Form) -> None:
    """`reported_usage` is read in all places, by names of all providers, and read again as the same."""
    merged = {name: value for report in form.reports for name, value in report.items()}

    shown = reported_usage(merged, form.billed)

    assert parse_usage(shown) == form.billed
    for names in (
        ("prompt_tokens", "input_tokens", "prompt_token_count"),
        ("completion_tokens", "output_tokens", "candidates_token_count"),
    ):
        assert len({shown[name] for name in names if name in shown}) == 1
