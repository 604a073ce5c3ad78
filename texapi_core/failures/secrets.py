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
_REQUEST_ID = "x-request-id"
"""A header that is not secret."""


class Secrets:
    """The key and the header values of a call. Its repr is `***`, and it pickles empty."""

    __slots__ = ("_values",)

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values = tuple(sorted(values, key=len, reverse=True))

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> tuple[type[Secrets], tuple[()]]:
        return Secrets, ()

    def are_in(self, *texts: str) -> bool:
        """Whether one of the texts contains a secret, or may end in the start of one, where it was cut."""
        for secret in self._values:
            for text in texts:
                if secret in text or secret[:_MIN_LENGTH] in text[-len(secret) :]:
                    return True
        return False

    def redact(self, text: str) -> str:
        """The text with keys, header values and passwords in URLs replaced by `***`, even cut at its end."""
        for secret in self._values:
            text = text.replace(secret, "***")
            start = text.rfind(secret[:_MIN_LENGTH], max(len(text) - len(secret), 0))
            if start >= 0 and secret.startswith(text[start:]):
                text = f"{text[:start]}***"
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
