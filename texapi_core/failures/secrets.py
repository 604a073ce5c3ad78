"""What errors must not show, taken out of what gateways and proxies quote."""

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
"""Characters. Shorter values of headers are words and numbers, not secrets."""
_REQUEST_ID = "x-request-id"
"""A header that is for both sides to see."""


class Secrets:
    """The key and the header values of a call. Shows as `***` wherever it is printed, and pickles empty."""

    __slots__ = ("_values",)

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values = tuple(sorted(values, key=len, reverse=True))

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> tuple[type[Secrets], tuple[()]]:
        return Secrets, ()

    def are_in(self, *texts: str) -> bool:
        """Whether one of the texts quotes a secret."""
        for secret in self._values:
            for text in texts:
                if secret in text:
                    return True
        return False

    def redact(self, text: str) -> str:
        """The text without what gateways and proxies quote: keys, header values, passwords in addresses."""
        for secret in self._values:
            text = text.replace(secret, "***")
        return _URL_PASSWORD.sub(r"\1***@", text)

    def redact_json(self, value: Any) -> Any:
        """A JSON value without secrets in its texts and names."""
        if isinstance(value, Mapping):
            return {self.redact(str(key)): self.redact_json(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.redact_json(item) for item in value]
        return self.redact(value) if isinstance(value, str) else value

    def redact_request_id(self, response: Any) -> None:
        """Redact the id of a response, which is shown in results, records and errors alike."""
        request_id = response.headers.get(_REQUEST_ID)
        if request_id and self.are_in(request_id):
            response.headers[_REQUEST_ID] = self.redact(request_id)

    def excerpt(self, text: bytes | str) -> str:
        """The start of a text on one line. Redacted before it is cut, so that no part of a secret is left."""
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        return excerpt(self.redact(text))


NO_SECRETS = Secrets()


def secrets_of(settings: Settings, options: CallOptions) -> Secrets:
    """What no error of a call may show: the key, and the values of the user's headers."""
    if options.extra_headers:  # which may be a user's of one call, and are not kept
        return _secrets_in(settings.api_key, (*settings.default_headers, *options.extra_headers.items()))
    return _secrets_of_each_call(settings.api_key, settings.default_headers)


@lru_cache
def _secrets_of_each_call(api_key: str, headers: tuple[tuple[str, str], ...]) -> Secrets:
    return _secrets_in(api_key, headers)


def _secrets_in(api_key: str, headers: tuple[tuple[str, str], ...]) -> Secrets:
    values = [value for name, value in headers if name.lower() != _REQUEST_ID]
    words = [word for value in values for word in (value, *value.split()) if len(word) >= _MIN_LENGTH]
    return Secrets({form for word in (api_key, *words) for form in _spellings(word)})


def _spellings(secret: str) -> tuple[str, ...]:
    """A secret as text, as JSON and as Python's `repr` spell it: with a quote in it they differ."""
    in_json = json.dumps(secret)[1:-1]
    return secret, in_json, in_json.replace("/", "\\/"), repr(secret)[1:-1]
