"""What providers stream otherwise than the protocol says, with the public report; the same answers whole."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.llms.types import ChatMessage

from tests.properties.line import Line
from tests.properties.reading import COMPLETION, STOP, delta_events, events, read_stream, read_whole
from tests.properties.strategies import examples
from texapi_core import TexAPIError, TexAPIResponseError
from texapi_core.wire.pieces import ThinkTags

_CITATION = {"type": "url_citation", "url_citation": {"url": "https://a", "title": "A"}}
_OTHER = {"type": "url_citation", "url_citation": {"url": "https://b", "title": "B"}}


@pytest.mark.parametrize(
    ("lists", "kept"),
    [
        pytest.param([[_CITATION]] * 3, [_CITATION], id="repeated: laravel/ai#1012"),
        pytest.param([[_CITATION], [_CITATION, _OTHER]], [_CITATION, _OTHER], id="cumulative"),
        pytest.param([[_CITATION], [_OTHER]], [_CITATION, _OTHER], id="one by one"),
        pytest.param([[_CITATION, _CITATION]], [_CITATION, _CITATION], id="twice in one chunk"),
    ],
)
def test_annotations(lists: list[list[Any]], kept: list[Any]) -> None:
    reply = read_stream(delta_events(*({"content": "x", "annotations": each} for each in lists)))

    assert reply.choice.extras == {"annotations": kept}


def test_annotations_beside_the_delta_of_a_chunk_that_is_not_the_last() -> None:
    """BerriAI/litellm#23662"""
    choice = {"index": 0, "delta": {"content": "x"}, "annotations": [_CITATION]}

    reply = read_stream(events({"choices": [choice]}, STOP))

    assert reply.choice.metadata == {"annotations": [_CITATION]}


def _argument_deltas(*pieces: str, **members: Any) -> list[dict[str, Any]]:
    first = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": pieces[0]}}
    rest = ({"index": 0, **members, "function": {"arguments": piece}} for piece in pieces[1:])
    return [{"tool_calls": [entry]} for entry in (first, *rest)]


@pytest.mark.parametrize(
    ("pieces", "arguments"),
    [
        pytest.param(
            ['{"city', '{"city": "Hue', '{"city": "Hue"}'], '{"city": "Hue"}', id="hermes-agent#35718"
        ),
        pytest.param(['{"a"', '{"a": 1}'], '{"a": 1}', id="in two"),
        pytest.param(['{"a": 1}', '{"a": 1}', '{"a": 1}'], '{"a": 1}', id="repeated"),
        pytest.param(
            [text := '{"path": "/home/user", "text": "abcdef', text + "gh", text + 'ghi"', text + 'ghi"}'],
            text + 'ghi"}',
            id="long",
        ),
        pytest.param(['{"a": ', '{"a": 1}}'], '{"a": {"a": 1}}', id="no repetition, but the same"),
        pytest.param(["{", '"a": {', '"a": 1', "}}"], '{"a": {"a": 1}}', id="increments"),
    ],
)
def test_arguments(pieces: list[str], arguments: str) -> None:
    (call,) = read_stream(delta_events(*_argument_deltas(*pieces), end="tool_calls")).choice.tool_calls

    assert call.arguments == arguments


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        pytest.param(
            ["Hello", "Hello there, how", "Hello there, how are", "Hello there, how are you?"],
            "Hello there, how are you?",
            id="QwenLM/qwen-code#3896",
        ),
        pytest.param(
            [
                "The answer",
                "The answer is",
                "The answer is forty",
                "The answer is forty",
                "The answer is forty-two",
            ],
            "The answer is forty-two",
            id="with one repeated",
        ),
        pytest.param(["ha", "haha", "hahaha"], "hahahahahaha", id="too short to be no chance"),
        pytest.param(["-" * n for n in (20, 40, 80)], "-" * 140, id="a line of dashes"),
        pytest.param(["no", "no, no", "more"], "nono, nomore", id="once, and then not"),
        pytest.param(["a", "ab"], "aab", id="once, at the end"),
        pytest.param(["Xin ", "chào"], "Xin chào", id="increments"),
    ],
)
@pytest.mark.parametrize("field", ["content", "reasoning_content"])
def test_texts_that_may_be_cumulative(field: str, pieces: list[str], text: str) -> None:
    choice = read_stream(delta_events(*({field: piece} for piece in pieces))).choice

    assert (choice.text or choice.reasoning.text) == text


def test_an_id_that_is_null_as_text_starts_no_call() -> None:
    """zed-industries/zed#54058"""
    pieces = _argument_deltas('{"a"', ": 1}", "", id="null")

    (call,) = read_stream(delta_events(*pieces, end="tool_calls")).choice.tool_calls

    assert (call.id, call.arguments) == ("c1", '{"a": 1}')


def test_a_name_that_is_null_as_text_starts_no_call() -> None:
    pieces = _argument_deltas('{"a"', ": 1}", "")
    for piece in pieces[1:]:
        piece["tool_calls"][0]["function"]["name"] = "null"

    (call,) = read_stream(delta_events(*pieces, end="tool_calls")).choice.tool_calls

    assert (call.name, call.arguments) == ("f", '{"a": 1}')


@pytest.mark.parametrize(
    "entry", [{}, {"index": 0}, {"index": 1}, {"index": 0, "id": "c2", "function": {"arguments": ""}}]
)
def test_an_empty_piece_after_whole_arguments_is_no_call(entry: dict[str, Any]) -> None:
    pieces = [*_argument_deltas('{"a": 1}'), {"tool_calls": [entry]}]

    assert len(read_stream(delta_events(*pieces, end="tool_calls")).choice.tool_calls) == 1


@pytest.mark.parametrize("calls", [{}, [{}], [], None, [{"index": 0}]])
@pytest.mark.parametrize("name", ["tool_calls", "function_call"])
def test_an_empty_call_is_none_whole_and_streamed(name: str, calls: Any) -> None:
    message = {"content": "x", name: calls}
    whole = read_whole({"choices": [{"message": message, "finish_reason": "stop"}]})

    assert whole.choice.tool_calls == read_stream(delta_events(message)).choice.tool_calls == ()


@pytest.mark.parametrize(
    "choice", [{"finish_reason": "stop", "index": 0}, {"finish_reason": "stop", "message": None}]
)
def test_a_finish_reason_alone_is_an_empty_answer(choice: dict[str, Any]) -> None:
    """pydantic/pydantic-ai#3300"""
    for reply in (read_whole({"choices": [choice]}), read_stream(events({"choices": [choice]}))):
        assert (reply.choice.text, reply.choice.finish_reason) == ("", "stop")


def test_a_stream_without_a_finish_reason_says_so(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    """QuantumNous/new-api#7066"""
    line.send(delta_events({"content": "Hello"}, end=None))
    with caplog.at_level(logging.WARNING, "texapi"):
        first, *rest = line.chat_texapi.stream("Hello")
        responses = list(line.texapi.stream_complete("Hello"))
    message: Any = sum(rest, first)

    assert message.response_metadata["finish_reason"] is None
    assert responses[-1].additional_kwargs["finish_reason"] is None
    assert [record.getMessage() for record in caplog.records] == [
        "A stream ended without a finish reason, so the answer may be cut. Request id: r1."
    ] * 2


@pytest.mark.parametrize("arguments", [(), ("",), ('{"path": "/ho',), ('{"a": 1',)])
def test_cut_arguments_are_never_a_call(line: Line, arguments: Sequence[str]) -> None:
    line.send(delta_events(*_argument_deltas("", *arguments), end=None))
    first, *rest = line.chat_texapi.stream("Hello")
    message: Any = sum(rest, first)

    assert message.tool_calls == []
    assert [call["id"] for call in message.invalid_tool_calls] == ["c1"]
    assert line.stream().choice.tool_calls[0].parse_arguments() is None


@pytest.mark.parametrize("arguments", [(), ("",), (" ",), ("null",)])
@pytest.mark.parametrize("end", ["length", "content_filter", "SAFETY", None])
def test_a_call_cut_before_its_arguments_is_none(line: Line, arguments: Sequence[str], end: str) -> None:
    line.send(delta_events(*_argument_deltas("", *arguments), end=end))
    first, *rest = line.chat_texapi.stream("Hello")
    message: Any = sum(rest, first)
    *_, response = line.texapi.stream_chat([ChatMessage("Hello")])

    assert message.tool_calls == []
    with pytest.raises(ValueError, match="no JSON object"):
        line.texapi.get_tool_calls_from_response(response)


@pytest.mark.parametrize("end", ["stop", "tool_calls", "STOP", "end_turn"])
def test_a_call_without_arguments_is_one_where_the_model_ended(line: Line, end: str) -> None:
    line.send(delta_events(*_argument_deltas(""), end=end))
    first, *rest = line.chat_texapi.stream("Hello")
    message: Any = sum(rest, first)
    *_, response = line.texapi.stream_chat([ChatMessage("Hello")])

    assert [call["args"] for call in message.tool_calls] == [{}]
    assert [call.tool_kwargs for call in line.texapi.get_tool_calls_from_response(response)] == [{}]


@pytest.mark.parametrize(
    "body",
    [
        {"code": 200, "msg": "success", "data": COMPLETION},
        {"ok": True, "completion_v3": COMPLETION},
        {"result": COMPLETION, "success": True, "errors": [], "messages": []},
        {"output": {"choices": COMPLETION["choices"]}, "usage": COMPLETION["usage"], "request_id": "r"},
        {"result": {"response": "Hi", "usage": COMPLETION["usage"]}, "success": True, "errors": []},
    ],
    ids=["a relay's", "a name not seen before", "Workers AI", "DashScope's own", "Workers AI, text alone"],
)
def test_an_envelope_is_unwrapped(body: dict[str, Any]) -> None:
    for reply in (read_whole(body), read_stream(events(body))):
        assert reply.choice.text == "Hi"
        assert reply.usage is not None
        assert reply.usage.total_tokens == 3


def test_texts_of_workers_ai_are_a_stream() -> None:
    assert (
        read_stream(events({"response": "Hel"}, {"response": "lo"}, {"response": ""})).choice.text == "Hello"
    )


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (
            b'event: message_start\ndata: {"type":"message_start","message":{}}\n\n',
            "Anthropic's Messages API",
        ),
        (b'data: {"type":"response.created"}\n\ndata: [DONE]\n\n', "OpenAI's Responses API"),
        (b'{"type":"message","role":"assistant","content":[{"type":"text","text":"x"}]}', "Anthropic's"),
        (b'{"object":"response","output":[]}', "OpenAI's Responses API"),
    ],
)
def test_another_protocol_is_named(line: Line, body: bytes, named: str) -> None:
    line.send(body)

    for ask in (line.complete, line.stream, line.acomplete, line.astream):
        with pytest.raises(TexAPIResponseError, match=named):
            ask()


@pytest.mark.parametrize(
    "body",
    [
        b'event:error\ndata:{"code":"InvalidParameter","message":"bad","request_id":"r"}\n\n',
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"bad"}}\n\n',
        b'data: {"code":500,"msg":"bad","data":null}\n\n',
    ],
    ids=["DashScope", "Anthropic", "a relay's envelope"],
)
def test_an_error_event_is_the_error(line: Line, body: bytes) -> None:
    line.send(body)

    for ask in (line.stream, line.astream):
        with pytest.raises(TexAPIError, match="bad"):
            ask()


@pytest.mark.parametrize(
    ("content", "reasoning", "text"),
    [
        ("<think>\nSo.\n</think>\n\nHello", "\nSo.\n", "Hello"),
        (" \n<think>a</think>b", "a", "b"),
        ("<think>cut", "cut", ""),
        ("<think></think>b", "", "b"),
        ("Hello <think>a</think>", "", "Hello <think>a</think>"),
        ("<thinking>a", "", "<thinking>a"),
        ("<thin", "", "<thin"),
        ("  ", "", "  "),
        ("<think>a</thi", "a</thi", ""),
        ("<think>a</think>b</think>c", "a", "b</think>c"),
    ],
)
def test_think_tags(content: str, reasoning: str, text: str) -> None:
    """lmstudio-ai/lmstudio-bug-tracker#649: whole, and streamed by the character."""
    whole = read_whole(
        {"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}, think_tags=True
    )
    streamed = read_stream(delta_events(*({"content": character} for character in content)), think_tags=True)

    for choice in (whole.choice, streamed.choice):
        assert (choice.reasoning.text, choice.text) == (reasoning, text)


@examples
@given(
    parts=st.lists(
        st.sampled_from(["<think>", "</think>", "<", "/think>", " ", "\n", "so", "<thi"]), max_size=8
    ),
    cuts=st.lists(st.integers(0, 40), max_size=6),
)
def test_think_tags_are_read_the_same_however_the_text_is_cut(parts: list[str], cuts: list[int]) -> None:
    text = "".join(parts)
    places = [0, *sorted(cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(places)]
    by_piece, at_once = ThinkTags(), ThinkTags()

    read = [*map(by_piece.add, pieces), by_piece.finish()]

    assert ["".join(each) for each in zip(*read, strict=True)] == [
        "".join(each) for each in zip(at_once.add(text), at_once.finish(), strict=True)
    ]


@pytest.mark.parametrize("per_call", [True, False])
def test_think_tags_are_an_option_of_the_model_and_of_a_call(line: Line, per_call: bool) -> None:
    content = "<think>So.</think>Hello"
    default = {"think_tags": not per_call}
    chat_texapi = line.chat_texapi.model_copy(update=default)
    texapi = line.texapi.model_copy(update=default)
    option: dict[str, Any] = {"think_tags": True} if per_call else {}
    whole = json.dumps({"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}).encode()
    for body in (whole, delta_events({"content": content[:3]}, {"content": content[3:]})):
        line.send(body)
        first, *rest = chat_texapi.stream("Hello", **option)
        *_, last = texapi.stream_complete("Hello", **option)
        streamed: Any = sum(rest, first)
        for message in (chat_texapi.invoke("Hello", **option), streamed):
            assert (message.text, message.additional_kwargs["reasoning_content"]) == ("Hello", "So.")
        for response in (texapi.complete("Hello", **option), last):
            assert response.text == "Hello"
        assert line.chat_texapi.invoke("Hello").text == content


@pytest.mark.parametrize("name", ["reasoning_details", "thinking_blocks"])
def test_details_that_repeat_the_reasoning_are_kept_and_its_text_is_not_doubled(name: str) -> None:
    details = [{"type": "thinking", "thinking": "First, then.", "signature": "s"}]
    chunks: list[dict[str, Any]] = [
        {"reasoning": "First, "},
        {"reasoning": "then."},
        {name: details},
        {"content": "Hi"},
    ]

    reasoning = read_stream(delta_events(*chunks)).choice.reasoning

    assert reasoning.text == "First, then."
    assert reasoning.details == tuple(details)
    assert (reasoning.field, reasoning.details_field) == ("reasoning", name)
