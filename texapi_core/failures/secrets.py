"""Redacts secrets that gateways and proxies quote, so that errors do not show them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from texapi_core.settings import CallOptions, Settings
from texapi_core.wire.text import excerpt

_URL_PASSWORD = re.compile(r"(//[^/\s:@]*:)[^/\s@]+@")
_MIN_LENGTH = 8
"""Characters. Shorter header values are words and numbers, not secrets."""
_MIN_PIECE = 12
"""Characters of a piece of a secret that is one by itself; at the end of a text, cut, `_MIN_LENGTH` are."""
_STEP = 6
"""Every piece of `_MIN_PIECE` characters holds whole six of them from a multiple of six."""
_REQUEST_ID = "x-request-id"
"""A header that is not secret."""


class Secrets:
    """The key and the header values of a call. Its repr is `***`, and it pickles empty."""

    __slots__ = ("_steps", "_values")

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values = tuple(sorted(values, key=len, reverse=True))
        self._steps = tuple({secret[at : at + _STEP] for secret in self._values for at in _offsets(secret)})

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> tuple[type[Secrets], tuple[()]]:
        return Secrets, ()

    def are_in(self, *texts: str) -> bool:
        """Whether one of the texts contains a secret or a piece of one."""
        for step in self._steps:
            for text in texts:
                if step in text and self.redact(text) != text:
                    return True
        return False

    def redact(self, text: str) -> str:
        """The text with keys, header values, pieces of them, and passwords in URLs replaced by `***`."""
        for secret in self._values:
            text = text.replace(secret, "***")
            for at in _offsets(secret):
                if secret[at : at + _STEP] in text:
                    text = _without_pieces(text, secret, at)
        return _URL_PASSWORD.sub(r"\1***@", text)

    def redact_json(self, value: Any) -> Any:
        """A JSON value with its strings and keys redacted."""
        if isinstance(value, Mapping):
            return {self.redact(str(key)): self.redact_json(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.redact_json(item) for item in value]
        return self.redact(value) if isinstance(value, str) else value

    def redact_request_id(self, response: Any) -> None:
        """Redact the request id of a response, which results, records and errors show."""
        request_id = response.headers.get(_REQUEST_ID)
        if request_id and self.are_in(request_id):
            response.headers[_REQUEST_ID] = self.redact(request_id)

    def excerpt(self, text: bytes | str) -> str:
        """The start of a text on one line, redacted before it is cut, so that no part of a secret remains."""
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        return excerpt(self.redact(text))


def _offsets(secret: str) -> range:
    return range(0, len(secret) - _STEP + 1, _STEP)


def _without_pieces(text: str, secret: str, at: int) -> str:
    """The text without the pieces of a secret that hold its `_STEP` characters from `at`."""
    step, parts, read = secret[at : at + _STEP], [], 0
    found = text.find(step)
    while found >= 0:
        start, first = found, at
        while start > read and first and text[start - 1] == secret[first - 1]:
            start, first = start - 1, first - 1
        end, last = found + _STEP, at + _STEP
        while end < len(text) and last < len(secret) and text[end] == secret[last]:
            end, last = end + 1, last + 1
        is_cut = not first and end == len(text)
        if end - start >= (_MIN_LENGTH if is_cut else _MIN_PIECE):
            parts += [text[read:start], "***"]
            read = end
        found = text.find(step, end)
    return "".join([*parts, text[read:]])


NO_SECRETS = Secrets()


def secrets_of(settings: Settings, options: CallOptions) -> Secrets:
    """The secrets of a call: the key and the values of the user's headers."""
    if options.extra_headers:  # not cached: they may belong to one end user
        return _secrets_in(settings.api_key, (*settings.default_headers, *options.extra_headers.items()))
    return _default_secrets(settings.api_key, settings.default_headers)


@lru_cache
def _default_secrets(api_key: str, headers: tuple[tuple[str, str], ...]) -> Secrets:
    return _secrets_in(api_key, headers)


def _secrets_in(api_key: str, headers: tuple[tuple[str, str], ...]) -> Secrets:
    values = [value for name, value in headers if name.lower() != _REQUEST_ID]
    words = [word for value in values for word in (value, *value.split()) if len(word) >= _MIN_LENGTH]
    return Secrets({form for word in (api_key, *words) for form in _spellings(word)})


def _spellings(secret: str) -> tuple[str, ...]:
    """A secret as text, as JSON and as Python's `repr` write it: they differ if it contains a quote."""
    in_json = json.dumps(secret)[1:-1]
    return secret, in_json, in_json.replace("/", "\\/"), repr(secret)[1:-1]
