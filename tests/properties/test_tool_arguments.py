"""Streamed tool arguments, however they are split: parsed as JSON only once they may be complete."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.llms.types import ToolCallBlock

from llama_index_texapi._streaming import ResponseStream
from tests.properties.strategies import examples
from texapi_core.wire import tool_calls
from texapi_core.wire.text import json_of
from texapi_core.wire.tool_calls import ToolCallDelta
from texapi_core.wire.values import ChatDelta

_TEXTS = st.text(st.sampled_from('ab{}[]"\\\né'), max_size=6)
_VALUES = st.recursive(
    st.none() | st.integers() | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=8,
)


def streamed(arguments: str, sizes: list[int]) -> Iterator[tuple[str, Any]]:
    """The arguments so far, and as LlamaIndex gets them, for each piece."""
    stream = ResponseStream(requested_model="m")
    start, number = 0, 0
    while start < len(arguments):
        end = start + sizes[number % len(sizes)]
        piece = ToolCallDelta(0, None if start else "call_1", None if start else "f", arguments[start:end])
        response = stream.feed(ChatDelta(tool_calls=(piece,)))
        (block,) = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
        yield arguments[:end], block.tool_kwargs
        start, number = end, number + 1


@examples
@given(
    answer=st.dictionaries(_TEXTS, _VALUES, max_size=4),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    indent=st.none() | st.just(1),
    ascii_only=st.booleans(),
)
def test_arguments_are_parsed_when_they_are_complete(
    answer: dict[str, Any], sizes: list[int], indent: int | None, ascii_only: bool
) -> None:
    arguments = json.dumps(answer, indent=indent, ensure_ascii=ascii_only)

    *parts, (whole, read) = streamed(arguments, sizes)

    assert (whole, read) == (arguments, answer)
    assert all(read_so_far == so_far for so_far, read_so_far in parts)


def test_each_piece_is_scanned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsing all arguments at every `}` took 20 seconds for 200 kB."""
    tried: list[str] = []

    def noted(text: str) -> Any:
        tried.append(text)
        return json_of(text)

    monkeypatch.setattr(tool_calls, "json_of", noted)
    arguments = json.dumps({"rows": [{"number": number} for number in range(500)]})

    *_, (_, read) = streamed(arguments, [len('{"number": 100}, ')])

    assert len(read["rows"]) == 500
    assert tried == [arguments]
