"""An error of several JSON documents has one class, wherever it comes: about money if one of them is."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import pytest

import texapi_core
from tests.core.test_secret_places import _refused, _streamed, _whole
from texapi_core import TexAPIError

_HALF = b'data: {"choices": [{"delta": {"content": "half"}}]}\n\n'
_DOCUMENTS: dict[str, tuple[Any, type[TexAPIError]]] = {
    "gone": ({"error": {"message": "Provider returned error", "code": 502}}, texapi_core.TexAPIServerError),
    "rate": (
        {"error": {"type": "rate_limited", "message": "slow down"}},
        texapi_core.TexAPIRateLimitError,
    ),
    "key": (
        {"error": {"type": "invalid_api_key", "message": "bad key"}},
        texapi_core.TexAPIAuthenticationError,
    ),
    "flat": ({"message": "gone", "code": 503}, texapi_core.TexAPIServerError),
    "money": (
        {"error": {"type": "insufficient_credits", "message": "empty"}},
        texapi_core.TexAPIInsufficientCreditsError,
    ),
}
_FORMS = {
    "data lines of an error event": lambda a, b: _streamed(
        _HALF, f"event: error\ndata: {a}\ndata: {b}\n\n".encode()
    ),
    "one line of an error event": lambda a, b: _streamed(_HALF, f"event: error\ndata: {a}{b}\n\n".encode()),
    "one line of an event": lambda a, b: _streamed(_HALF, f"data: {a} {b}\n\n".encode()),
    "lines without a field name": lambda a, b: _streamed(_HALF, f"{a}\n{b}\n\n".encode()),
    "an answer": lambda a, b: _whole(f"{a}\n{b}".encode()),
    "a refusal": lambda a, b: _refused(f"{a}\n{b}".encode(), status=500),
}


@pytest.mark.parametrize("form", _FORMS)
def test_the_class_is_that_of_money_else_of_the_first(form: str) -> None:
    for first, second in permutations(_DOCUMENTS, 2):
        expected = _DOCUMENTS["money" if "money" in (first, second) else first][1]

        error = _FORMS[form](*(json.dumps(_DOCUMENTS[name][0]) for name in (first, second)))

        cause = error.__cause__ if isinstance(error, texapi_core.TexAPIStreamInterruptedError) else error
        assert type(cause) is expected or isinstance(cause, expected), (first, second)


def test_documents_that_are_no_error_are_an_answer_that_cannot_be_read() -> None:
    for text in (b'{"seen": 1}\n{"seen": 2}', b'{"choices": []} {"choices": []}', b"[]\n[]"):
        assert type(_whole(text)) is texapi_core.TexAPIResponseError
