"""Usage is what the gateway reports, as ints; missing counts are None."""

from __future__ import annotations

from typing import Any

import pytest

from texapi_core.wire.usage import TokenUsage, merge_usage, parse_usage


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
