"""JSON is read by a fast parser: with the values of Python's own, and all that it takes."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.properties.strategies import examples, json_values
from texapi_core.wire.text import DECODER, has_digits_in_a_row, json_of

_BIG = st.integers(600, 700).map(lambda digits: "7" * digits)
_PIECES = st.sampled_from(
    [
        *'{}[]",:\\ -0123456789.eE\n\t',
        "null",
        "true",
        "NaN",
        "-Infinity",
        '"a":',
        "\\ud83d",
        "\\ude00",
        "é",
        "\x00",
    ]
)


def _exactly(value: Any) -> str:
    """A value with its types, where `==` would take 1 for 1.0, and NaN for no value."""
    return repr(value)


def _by_python(text: str) -> Any:
    try:
        return DECODER.decode(text)
    except (ValueError, RecursionError):
        return None


@examples
@given(value=json_values, ascii_only=st.booleans(), indent=st.none() | st.just(2), big=_BIG | st.just("1"))
def test_values_are_those_of_pythons_parser(
    value: Any, ascii_only: bool, indent: int | None, big: str
) -> None:
    text = f'{{"a": {json.dumps(value, ensure_ascii=ascii_only, indent=indent)}, "b": [{big}, -{big}]}}'

    assert _exactly(json_of(text)) == _exactly(_by_python(text))


@examples
@given(text=st.lists(_PIECES, max_size=30).map("".join) | st.text(max_size=30))
def test_any_text_is_read_as_by_pythons_parser(text: str) -> None:
    assert _exactly(json_of(text)) == _exactly(_by_python(text))


def test_deep_nesting_is_read() -> None:
    assert json_of("[" * 500 + "]" * 500) == _by_python("[" * 500 + "]" * 500)


@examples
@given(
    before=st.text(st.sampled_from("x1 é\ud800"), max_size=40),
    digits=st.integers(0, 40),
    after=st.text(st.sampled_from("x1 é,"), max_size=40),
    stretch=st.sampled_from([0, 7, 2**16 - 20, 2**16]),
    count=st.integers(8, 24),
)
def test_digits_in_a_row_are_found_wherever_they_are(
    before: str, digits: int, after: str, stretch: int, count: int
) -> None:
    text = "x" * stretch + before + "4" * digits + after

    assert has_digits_in_a_row(text, count) == bool(re.search(f"[0-9]{{{count}}}", text))
