"""Answers with any value in any member are the same answer whole and streamed, or the same error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.llms.types import ChatMessage

from tests.properties.line import Line
from tests.properties.reading import delta_events, events, read_stream, read_whole
from tests.properties.strategies import examples
from texapi_core import ChatReply, TexAPIError, TexAPIStreamInterruptedError
from texapi_core.wire.reader import StreamReader
from texapi_core.wire.values import ErrorAnswer, MalformedAnswer

_ODD_TEXTS = ("", "x", "null", "0", "error", "length", "{}", "\ud83d")
_ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    2.5,
    10**25,
    1e308,
    [],
    {},
    ["x"],
    [None],
    [[]],
    {"a": 1},
    [{"a": 1}],
)
_ODD_OBJECTS = ({"code": 0}, {"message": "m"}, {"content": "c"})
_ODD: st.SearchStrategy[Any] = st.sampled_from((*_ODD_TEXTS, *_ODD_VALUES, *_ODD_OBJECTS))


def _object(known: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """An object in which any member may be missing or odd."""
    members = {name: value | _ODD for name, value in known.items()}
    return st.fixed_dictionaries({}, optional=members)


_CALL = _object(
    {
        "id": st.sampled_from(["c1", "c2"]),
        "index": st.sampled_from([0, 1]),
        "function": _object(
            {"name": st.just("f"), "arguments": st.sampled_from(["{}", '{"a": 1}', '{"a": ', "", "null"])}
        ),
        "extra_content": st.just({"google": 1}),
    }
)
_DETAILS = st.lists(_object({"type": st.just("x"), "text": st.just("t"), "index": st.just(0)}), max_size=3)
_MESSAGE = _object(
    {
        "role": st.just("assistant"),
        "content": st.sampled_from(["Hello", "", [{"type": "text", "text": "a"}, {"type": "image"}]]),
        "reasoning_content": st.just("why"),
        "refusal": st.just("no"),
        "tool_calls": st.lists(_CALL, max_size=3),
        "function_call": st.just({"name": "f", "arguments": "{}"}),
        "annotations": st.just([{"url": "https://a"}]),
        "error": st.just("null"),
        "usage": st.just({"prompt_tokens": 3}),
    }
)
_CHOICE_MEMBERS: dict[str, st.SearchStrategy[Any]] = {
    "index": st.just(0),
    "text": st.just("Hello"),
    "finish_reason": st.sampled_from(["stop", "length", "tool_calls"]),
    "logprobs": st.just({"content": [{"token": "a", "logprob": -0.1}]}),
    "error": st.just({"message": "gone"}),
}
_CHOICE = _object({**_CHOICE_MEMBERS, "message": _MESSAGE}) | _object({**_CHOICE_MEMBERS, "delta": _MESSAGE})
_BODY = _object(
    {
        "id": st.just("i"),
        "object": st.just("chat.completion"),
        "created": st.just(1),
        "model": st.just("m"),
        "choices": st.lists(_CHOICE, min_size=1, max_size=1),
        "usage": st.just({"prompt_tokens": 3, "completion_tokens": 2}),
        "error": st.just({"code": 0}),
        "x_groq": st.just({"usage": {"prompt_tokens": 3}}),
        "base_resp": st.just({"status_code": 0}),
        "message": st.just("ok"),
        "data": st.just({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}),
    }
)


def _told(reply: ChatReply) -> Any:
    choice = reply.choice
    calls = [(call.name, call.arguments, call.parse_arguments(), call.extras) for call in choice.tool_calls]
    said = (choice.text, choice.reasoning.text, choice.refusal, calls, choice.finish_reason)
    kept = (choice.reasoning.details, choice.logprobs, choice.extras, choice.metadata, reply.extras)
    return repr((said, kept, reply.usage, reply.model, reply.id, reply.created))


def _outcome(read: Callable[[], ChatReply]) -> Any:
    try:
        return _told(read())
    except (ErrorAnswer, MalformedAnswer) as error:
        return type(error)


def _answer(**choice: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "finish_reason": "stop", **choice}]}


@pytest.mark.parametrize(
    "body",
    [
        {"choices": {}},
        {"choices": [{"index": 0}]},
        _answer(text=5),
        _answer(text="a", message={"content": ""}),
        _answer(text="a", message={}),
        _answer(message={"content": "a\ud83d", "refusal": "\ud83d", "extra": "\ud83d"}),
        _answer(message={"reasoning_details": [{"type": "x", "text": "t"}, {"type": "x", "text": "u"}]}),
        _answer(message={"content": "a"}, delta={"content": "b"}),
        _answer(message={"tool_calls": [{"function": {"name": "f", "arguments": ""}}]}, finish_reason=None),
        _answer(message={"content": "a"}, finish_reason=False),
        _answer(message={"content": "a", "error": "null"}, error={"code": 0}),
    ],
)
def test_what_was_read_in_two_ways(body: dict[str, Any]) -> None:
    read = _outcome(lambda: read_whole(body))

    assert _outcome(lambda: read_stream(events(body))) == read
    assert _outcome(lambda: _document(body)) == read


def test_half_a_character_at_the_end_of_a_stream_is_a_replacement() -> None:
    body = delta_events({"content": "a\ud83d"}, {"reasoning_content": "b\ud83d"})

    choice = read_stream(body).choice

    assert (choice.text, choice.reasoning.text) == ("a\ufffd", "b\ufffd")


@examples
@given(body=_BODY)
def test_a_document_and_a_stream_of_one_chunk(body: dict[str, Any]) -> None:
    read = _outcome(lambda: read_whole(body))

    assert _outcome(lambda: read_stream(events(body))) == read
    assert _outcome(lambda: _document(body)) == read


def _document(body: dict[str, Any]) -> ChatReply:
    reader = StreamReader()
    for _ in (*reader.feed(json.dumps(body).encode()), *reader.finish()):
        pass
    return reader.state.reply(request_id=None, headers={})


@examples
@given(body=_BODY)
def test_both_frameworks_read_it_the_same_whole_and_streamed(line: Line, body: dict[str, Any]) -> None:
    line.send(json.dumps(body).encode())
    whole = _asked(lambda: line.chat_texapi.invoke("Hello"))
    streamed = _asked(lambda: _sum(line.chat_texapi.stream("Hello")))
    responses = [
        _asked(lambda: line.texapi.chat([ChatMessage("Hello")])),
        _asked(lambda: [*line.texapi.stream_chat([ChatMessage("Hello")])][-1]),
    ]
    line.send(events(body))
    responses.append(_asked(lambda: [*line.texapi.stream_chat([ChatMessage("Hello")])][-1]))
    chunks = _asked(lambda: _sum(line.chat_texapi.stream("Hello")))

    assert _of_langchain(whole) == _of_langchain(streamed) == _of_langchain(chunks)
    assert len({_of_llama_index(response) for response in responses}) == 1


def _asked(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except TexAPIError as error:
        # An error after a part of a stream is that the stream was interrupted, because of the error.
        begun = isinstance(error, TexAPIStreamInterruptedError) and isinstance(error.__cause__, TexAPIError)
        return type(error.__cause__ if begun else error).__name__


def _sum(chunks: Iterable[Any]) -> Any:
    first, *rest = chunks
    return sum(rest, first)


def _of_langchain(message: Any) -> Any:
    if isinstance(message, str):
        return message
    calls = [(call["name"], call["args"]) for call in message.tool_calls]
    broken = [call["name"] for call in message.invalid_tool_calls]
    kwargs = {name: value for name, value in message.additional_kwargs.items() if name != "tool_call_extras"}
    metadata = {**message.response_metadata}
    metadata["truncated_tool_calls"] = len(metadata.get("truncated_tool_calls", ()))  # ids may be generated
    return _sorted([message.content, calls, broken, message.usage_metadata, kwargs, metadata])


def _of_llama_index(response: Any) -> Any:
    if isinstance(response, str):
        return response
    blocks = [block.model_dump(exclude={"tool_call_id"}) for block in response.message.blocks]
    return _sorted([blocks, response.additional_kwargs])


def _sorted(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=repr)
