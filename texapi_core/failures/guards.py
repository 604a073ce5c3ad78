"""Around a step of a call: what the SDK and the HTTP library raise there becomes an error of ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import openai

from texapi_core import errors
from texapi_core.call import Call
from texapi_core.failures import mapping

UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What reading an answer may raise: `ErrorAnswer` and `MalformedAnswer`, which are ValueErrors, and what
an answer of an unknown form may cause."""


class PartialAnswer(Protocol):
    """A streamed answer on its way."""

    @property
    def has_finished(self) -> bool:
        """Whether the model has said why it stopped."""
        ...

    def add_partial(self, error: errors.TexAPIError) -> None:
        """Put what has come so far into the error that ends the stream."""
        ...


@contextmanager
def sending(call: Call) -> Generator[None]:
    """Around a request, to the head of its response."""
    try:
        yield
    except errors.TexAPIError as error:
        mapping.redact_error(error, secrets=call.secrets)
        raise
    except openai.APIError as error:
        raise mapping.from_openai(error, secrets=call.secrets) from error
    except Exception as error:
        if not _can_be_sent(call.payload):
            raise errors.TexAPISettingsError(
                f"The request cannot be sent as JSON: {error}. Nothing was sent."
            ) from error
        raise mapping.not_sent(error, secrets=call.secrets) from error


def _can_be_sent(payload: Mapping[str, Any]) -> bool:
    try:
        json.dumps(payload, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        return False
    return True


@contextmanager
def reading(call: Call, response: Any, answer: PartialAnswer | None = None) -> Generator[None]:
    """Around the reading of a response's bytes; `answer` is what a stream of them has given so far.

    openai 2 is built on httpx, openai 3 on httpx2, and both let errors of the layers below through, so
    anything but our own errors and the end of the program is a broken connection.
    """
    try:
        yield
    except (errors.TexAPIError, asyncio.CancelledError, GeneratorExit):
        raise
    except Exception as error:
        if answer is not None and answer.has_finished:
            return  # only the end of the stream is missing, and perhaps usage: the answer is whole
        broken = mapping.connection_broke(error, response, secrets=call.secrets, streamed=answer is not None)
        if answer is not None:
            answer.add_partial(broken)
        raise broken from error


@contextmanager
def parsing(call: Call, response: Any) -> Generator[None]:
    """Around the parsing of a whole body."""
    try:
        yield
    except UNREADABLE as error:
        raise mapping.from_answer(error, response, secrets=call.secrets, streamed=False) from None
