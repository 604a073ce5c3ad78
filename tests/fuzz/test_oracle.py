"""The fuzzer's oracle holds for its corpus, which includes its findings, and for answers that are spoilt."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.oracle import check
from tests.properties.strategies import answers, examples, streams

_CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())


@pytest.mark.parametrize("path", _CORPUS, ids=lambda path: path.name)
def test_corpus(path: Path) -> None:
    check(path.read_bytes())


@st.composite
def _spoilt(draw: st.DrawFn) -> bytes:
    answer = draw(answers())
    is_stream = draw(st.booleans())
    body = draw(streams(answer)) if is_stream else answer.document()
    start = draw(st.integers(0, len(body)))
    end = draw(st.integers(start, min(len(body), start + 20)))
    spoilt = body[:start] + draw(st.binary(max_size=10)) + body[end:]
    return bytes([0 if is_stream else draw(st.integers(1, 3))]) + spoilt


@examples
@given(data=_spoilt())
def test_spoilt_answers(data: bytes) -> None:
    check(data)
