"""Errors that stand beside an answer: some say nothing, some end it, and none takes a whole answer away."""

from __future__ import annotations

from typing import Any

import pytest

from tests.properties.reading import COMPLETION, STOP, events, read_stream, read_whole
from texapi_core.wire.values import ErrorAnswer


@pytest.mark.parametrize(
    "error", ["null", "", False, 0, {"code": 0, "message": ""}, {"code": "success", "message": "OK"}, [], {}]
)
def test_an_error_that_says_nothing_beside_each_chunk(error: Any) -> None:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, {"content": "Hi"}, {}]
    ends = [None, None, "stop"]
    choices = [{"index": 0, "delta": d, "finish_reason": end} for d, end in zip(deltas, ends, strict=True)]

    reply = read_stream(events(*({"choices": [choice], "error": error} for choice in choices)))

    assert (reply.choice.text, reply.extras) == ("Hi", {})


@pytest.mark.parametrize("beside", [{"choices": []}, {}, {"choices": [{"delta": {"content": "x"}}]}])
def test_an_error_in_the_middle_of_a_stream_is_one(beside: dict[str, Any]) -> None:
    error = {"code": 502, "message": "gone"}

    with pytest.raises(ErrorAnswer) as caught:
        read_stream(events({"choices": [{"delta": {"content": "Hi"}}]}, {**beside, "error": error}))

    assert caught.value.error == error


def test_an_error_beside_a_whole_answer_is_in_its_metadata() -> None:
    error = {"code": 502, "message": "the log could not be written"}
    body = {**COMPLETION, "error": error}
    parts = ({"choices": [{"delta": {"content": "Hi"}}]}, {**STOP, "error": error})

    for reply in (read_whole(body), read_stream(events(body)), read_stream(events(*parts))):
        assert (reply.choice.text, reply.extras) == ("Hi", {"error": error})


def test_a_huge_integer_of_a_chunk_is_text() -> None:
    body = events({"choices": [{"delta": {"content": "Hi"}}], "x": 1}, STOP)

    reply = read_stream(body.replace(b'"x": 1', b'"x": ' + b"1" * 5000))

    assert (reply.choice.text, reply.extras) == ("Hi", {"x": "1" * 5000})
