"""Arguments of calls are the same however a stream splits them, and only names and large integers change."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.properties.strategies import examples, texts
from texapi_core.wire.arguments import ArgumentsText
from texapi_core.wire.generated import storable

OWN = {"ten": "tên", "a_b": "a b", "x": 'a "quoted" \\ name'}
keys = st.sampled_from([*OWN, "y", "1", '"', "\\", "{", ""]) | texts
integers = (
    st.integers() | st.integers(-(10**40), 10**40) | st.sampled_from([2**63, 2**64, 2**64 - 1, -(2**63) - 1])
)
values: Any = st.recursive(
    st.none()
    | st.booleans()
    | integers
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | st.sampled_from(["12345678901234567890", "\\", '"', "a\\", "-", "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


def rewritten(text: str, cuts: list[int], own_names: dict[str, str]) -> str:
    reader = ArgumentsText(own_names)
    places = sorted({cut % (len(text) + 1) for cut in cuts})
    pieces = [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]
    return "".join([*map(reader.feed, pieces), reader.finish()])


@examples
@given(
    arguments=st.dictionaries(keys, values, max_size=4),
    cuts=st.lists(st.integers(0, 10**6), max_size=12),
    own_names=st.sampled_from([{}, OWN]),
    indent=st.sampled_from([None, 2]),
)
def test_only_names_and_large_integers_change(
    arguments: dict[str, Any], cuts: list[int], own_names: dict[str, str], indent: int | None
) -> None:
    text = json.dumps(arguments, ensure_ascii=False, indent=indent)

    found = rewritten(text, cuts, own_names)

    expected = {own_names.get(name, name): storable(value) for name, value in arguments.items()}
    assert len(expected) < len(arguments) or json.loads(found) == expected
    if json.dumps(expected, ensure_ascii=False, indent=indent) == text:
        assert found == text


@examples
@given(
    text=st.text(st.sampled_from('{}[]",:\\ -0123456789.eEx\n'), max_size=60),
    cuts=st.lists(st.integers(0, 10**6), max_size=12),
    own_names=st.sampled_from([{}, OWN]),
)
def test_any_text_is_the_same_however_it_is_split(
    text: str, cuts: list[int], own_names: dict[str, str]
) -> None:
    assert rewritten(text, cuts, own_names) == rewritten(text, [], own_names)


@examples
@given(
    number=st.from_regex(r"-?[1-9][0-9]{0,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,30})?", fullmatch=True),
    cuts=st.lists(st.integers(0, 10**6), max_size=6),
)
def test_a_number_is_one_however_it_is_split(number: str, cuts: list[int]) -> None:
    text = f'{{"a": {number}}}'
    is_large_integer = number.lstrip("-").isdecimal() and isinstance(storable(int(number)), str)

    assert rewritten(text, cuts, {}) == (f'{{"a": "{number}"}}' if is_large_integer else text)
