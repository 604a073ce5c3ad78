"""Redacts secrets that gateways and proxies quote, so that errors do not show them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any
from urllib.request import getproxies

from texapi_core.settings import CallOptions, Settings
from texapi_core.wire.escapes import has_escapes, unescaped, unescaped_with_places
from texapi_core.wire.text import excerpt
from texapi_core.wire.values import ChatReply

_URL_PASSWORD = re.compile(r"(//[^/\s:@]*:)[^/\s@]+@")
_MIN_LENGTH = 8
"""Characters. Shorter header values are words and numbers, not secrets."""
_MIN_PIECE = 12
"""Characters of the shortest piece that is redacted; at the end of a text, `_MIN_LENGTH`: it may be cut."""
_STEP = 6
"""Characters. Steps begin at its multiples, so each piece of `_MIN_PIECE` characters has a whole step."""
_MAX_EXCERPTED = 100_000
"""Characters of a text that are redacted for an excerpt, which is much shorter."""
_REQUEST_ID = "x-request-id"
"""A header that is not secret."""


class Secrets:
    """The key, header values and proxies' passwords of a call. Its repr is `***`, and it pickles empty."""

    __slots__ = ("_steps", "_values")

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values = tuple({form for value in values if value for form in (value, unescaped(value))})
        self._steps = tuple({step for secret in self._values for _, step in _steps_of(secret)})

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> tuple[type[Secrets], tuple[()]]:
        return Secrets, ()

    def __copy__(self) -> Secrets:
        return self

    def __deepcopy__(self, memo: object) -> Secrets:
        return self

    def are_in(self, *texts: str) -> bool:
        """Whether one of the texts contains a secret or a piece of one, escaped or not."""
        for text in texts:
            for step in self._steps:
                if step in text and self._pieces_in(text):
                    return True
            if "%" in text or "&" in text or "\\" in text:
                without = unescaped(text)
                if without != text and self._pieces_in(without):
                    return True
        return False

    def redact(self, text: str) -> str:
        """The text with keys, header values, pieces of them, and passwords in URLs replaced by `***`.

        They are found as they are and behind escapes, see `unescaped`.
        """
        pieces = self._pieces_in(text)
        if has_escapes(text) and (without := unescaped(text)) != text and self._pieces_in(without):
            without, starts, ends = unescaped_with_places(text)
            pieces += [(starts[begin], ends[end - 1]) for begin, end in self._pieces_in(without)]
        text = _without(text, sorted(pieces))
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

    def redact_reply(self, reply: ChatReply) -> ChatReply:
        """The reply with its model, id, finish reasons and metadata redacted, which logs and ledgers show.

        Headers that contain a secret are left out.
        """
        names = f"{reply.model} {reply.id} {reply.extras}"
        for choice in reply.choices:
            names += f" {choice.finish_reason} {choice.metadata}"
        if not self.are_in(names, "\n".join(reply.headers.values())):
            return reply
        redact = self.redact_json
        choices = [
            replace(choice, finish_reason=redact(choice.finish_reason), metadata=redact(choice.metadata))
            for choice in reply.choices
        ]
        return replace(
            reply,
            model=redact(reply.model),
            id=redact(reply.id),
            headers={name: value for name, value in reply.headers.items() if not self.are_in(value)},
            extras=redact(reply.extras),
            choices=tuple(choices),
        )

    def redact_partial(self, reply: ChatReply) -> ChatReply:
        """The received part of a broken stream, redacted: the chunk that broke it may quote a secret."""
        reply = self.redact_reply(reply)
        return replace(reply, raw=self.redact_json(reply.raw), extras=self.redact_json(reply.extras))

    def excerpt(self, text: bytes | str) -> str:
        """The start of a text on one line, redacted before it is cut, so that no part of a secret remains."""
        if isinstance(text, bytes):
            text = text[:_MAX_EXCERPTED].decode("utf-8", "replace")
        return excerpt(self.redact(text[:_MAX_EXCERPTED]))

    def _pieces_in(self, text: str) -> list[tuple[int, int]]:
        """Where the secrets and the pieces of them begin and end in a text."""
        pieces: list[tuple[int, int]] = []
        for secret in self._values:
            for at, step in _steps_of(secret):
                if step in text:
                    pieces += _pieces_at(text, secret, at, step)
        return pieces


def _steps_of(secret: str) -> list[tuple[int, str]]:
    """Where each six characters of a secret begin, and what they are; a shorter secret is one."""
    return [(at, secret[at : at + _STEP]) for at in range(0, max(len(secret) - _STEP, 0) + 1, _STEP)]


def _pieces_at(text: str, secret: str, at: int, step: str) -> Iterator[tuple[int, int]]:
    """The pieces of a secret in a text that hold its characters `step`, which are at `at` in it."""
    read = 0
    found = text.find(step)
    while found >= 0:
        start, first = found, at
        while start > read and first and text[start - 1] == secret[first - 1]:
            start, first = start - 1, first - 1
        end, last = found + len(step), at + len(step)
        while end < len(text) and last < len(secret) and text[end] == secret[last]:
            end, last = end + 1, last + 1
        is_cut = not first and end == len(text)
        if end - start >= min(_MIN_LENGTH if is_cut else _MIN_PIECE, len(secret)):
            yield start, end
            read = end
        found = text.find(step, end)


def _without(text: str, pieces: list[tuple[int, int]]) -> str:
    """A text with these places, which are in order, replaced by `***`; those that overlap are one."""
    parts, read = [], 0
    for start, end in pieces:
        if end <= read:
            continue
        if start >= read:
            parts += [text[read:start], "***"]
        read = end
    return "".join([*parts, text[read:]]) if parts else text


NO_SECRETS = Secrets()


def secrets_of(settings: Settings, options: CallOptions) -> Secrets:
    """The secrets of a call: the key, the values of the user's headers and the passwords of proxies."""
    if options.extra_headers:  # not cached: they may belong to one end user
        return _secrets_in(settings.api_key, (*settings.default_headers, *options.extra_headers.items()))
    return _default_secrets(settings.api_key, settings.default_headers)


@lru_cache
def _default_secrets(api_key: str, headers: tuple[tuple[str, str], ...]) -> Secrets:
    return _secrets_in(api_key, headers)


def _secrets_in(api_key: str, headers: tuple[tuple[str, str], ...]) -> Secrets:
    values = [value for name, value in headers if name.lower() != _REQUEST_ID]
    words = [word for value in values for word in (value, *value.split()) if len(word) >= _MIN_LENGTH]
    return Secrets((api_key, *words, *_passwords_of_proxies()))


@lru_cache(maxsize=1)
def _passwords_of_proxies() -> list[str]:
    """Passwords of the environment's proxies, also those with an unescaped `@`, `:` or `/`."""
    addresses = [address.partition("//")[2] or address for address in getproxies().values()]
    passwords = [address.rpartition("@")[0].partition(":")[2] for address in addresses]
    return [password for password in passwords if len(password) >= _MIN_LENGTH]
