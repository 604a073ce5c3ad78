"""What must hold for any bytes of a gateway: `check(data)` raises AssertionError where it does not.

The first byte chooses the reader: a stream, a document, an error's body or the text of an answer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from texapi_core.failures.classify import classify, error_object
from texapi_core.failures.secrets import Secrets
from texapi_core.wire.escapes import unescaped, unescaped_with_places
from texapi_core.wire.json import parse_json_object
from texapi_core.wire.reader import StreamReader
from texapi_core.wire.reply import parse_reply
from texapi_core.wire.text import excerpt, json_objects
from texapi_core.wire.usage import TokenUsage, parse_usage
from texapi_core.wire.values import ChatDelta, ChatReply, ErrorAnswer, MalformedAnswer

_MAX_CALLS_PER_BYTE = 60
"""Function calls; reading takes 1 to 10."""


_SECRETS = Secrets(["sk-tex-Zq8vXw2pLk9mNb4cTr7y"])

classify({"message": "balance"}, None)  # the first error makes the table of words, for all that come


def check(data: bytes) -> None:
    """Read bytes in the way that the first of them says."""
    readers = (_check_stream, _check_document, _check_error, _check_text)
    _count(readers[data[0] % len(readers)] if data else _check_stream, data[1:])


def _count(read: Callable[[bytes], None], data: bytes) -> None:
    calls = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        read(data)
    finally:
        sys.setprofile(before)
    assert calls < 20_000 + 2 * _MAX_CALLS_PER_BYTE * len(data), calls


def _check_stream(data: bytes) -> None:
    """However the bytes are cut into packets, the answer is the same."""
    at_once, by_byte = _stream([data]), _stream([data[i : i + 1] for i in range(len(data))])
    assert at_once == by_byte, (at_once, by_byte)


def _stream(packets: list[bytes]) -> Any:
    reader = StreamReader()
    deltas: list[ChatDelta] = []
    try:
        for packet in packets:
            if not reader.done:
                deltas += reader.feed(packet)
        deltas += reader.finish()
    except (ErrorAnswer, MalformedAnswer) as error:
        return type(error), _known(reader.state.usage)
    reply = reader.state.reply(request_id=None, headers={})
    choice = reply.choice
    assert "".join(delta.text for delta in deltas) == choice.text
    assert "".join(delta.refusal for delta in deltas) == choice.refusal
    for index, call in enumerate(choice.tool_calls):
        pieces = [piece for delta in deltas for piece in delta.tool_calls if piece.index == index]
        assert "".join(piece.arguments for piece in pieces) == call.arguments
        call.parse_arguments()
    assert len({call.id for call in choice.tool_calls}) == len(choice.tool_calls)
    return _sound(reply)


def _check_document(data: bytes) -> None:
    """A document of one choice is the same answer where a stream was asked for."""
    try:
        reply = parse_reply(parse_json_object(data), request_id=None, headers={})
    except (ErrorAnswer, MalformedAnswer):
        return
    whole = _sound(reply)
    if len(reply.choices) > 1 or reply.choice.finish_reason is None:
        return  # a stream takes the first choice, and a document without an end is a cut stream
    streamed = _stream([data])
    assert streamed == whole, (streamed, whole)


def _sound(reply: ChatReply) -> tuple[Any, ...]:
    choice = reply.choice
    str(reply).encode()
    calls = [(call.name, call.arguments) for call in choice.tool_calls]
    return (choice.text, choice.refusal, choice.finish_reason, calls), _known(reply.usage), reply.model


def _known(usage: TokenUsage | None) -> TokenUsage | None:
    if usage is None:
        return None
    counts = [count for count in (usage.input_tokens, usage.output_tokens) if count is not None]
    assert all(0 <= count < 2**53 for count in counts)
    assert usage.total_tokens is None or usage.total_tokens >= sum(counts)
    assert usage.cost is None or 0 <= usage.cost <= 10_000
    shown = usage.as_wire()
    again = parse_usage(shown)
    assert again is None or again.as_wire() == shown
    return usage


def _check_error(data: bytes) -> None:
    error = error_object(data)
    for status in (None, 400, 402, 429, 500):
        classify(error, status)
    _SECRETS.redact_json(error)
    assert excerpt(str(error)).isprintable()


def _check_text(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for value in json_objects(text):
        assert isinstance(value, dict)
    without, starts, ends = unescaped_with_places(text)
    assert without == unescaped(text)
    assert all(start < end for start, end in zip(starts, ends, strict=True))
    assert not _SECRETS.are_in(_SECRETS.redact(text))
