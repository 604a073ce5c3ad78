"""However an answer is split into deltas, chunks and packets, it equals the whole answer."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.properties.line import Line
from tests.properties.strategies import Answer, answers, cut, examples, streams


@st.composite
def _sent(draw: st.DrawFn) -> tuple[Answer, list[bytes]]:
    answer = draw(answers())
    return answer, draw(cut(draw(streams(answer))))


@examples
@given(sent=_sent())
def test_core(line: Line, sent: tuple[Answer, list[bytes]]) -> None:
    answer, packets = sent
    line.send(answer.document())
    expected = line.complete()
    line.send(*packets)

    for reply in (line.stream(), line.complete(), line.astream()):
        assert reply.choices == expected.choices
        assert (reply.usage, reply.model, reply.id) == (expected.usage, expected.model, expected.id)


@examples
@given(sent=_sent())
def test_langchain(line: Line, sent: tuple[Answer, list[bytes]]) -> None:
    answer, packets = sent
    line.send(answer.document())
    expected = line.chat_texapi.invoke("Hello")
    line.send(*packets)
    first, *rest = line.chat_texapi.stream("Hello")

    message: Any = sum(rest, first)

    assert message.text == expected.text
    assert message.tool_calls == expected.tool_calls
    assert [(c["name"], c["id"]) for c in message.invalid_tool_calls] == [
        (c["name"], c["id"]) for c in expected.invalid_tool_calls
    ]
    assert message.usage_metadata == expected.usage_metadata
    assert message.additional_kwargs == expected.additional_kwargs
    assert message.response_metadata == expected.response_metadata


@examples
@given(sent=_sent())
def test_llama_index(line: Line, sent: tuple[Answer, list[bytes]]) -> None:
    from llama_index.core.base.llms.types import ChatMessage

    answer, packets = sent
    line.send(answer.document())
    expected = line.texapi.chat([ChatMessage("Hello")])
    line.send(*packets)
    responses = list(line.texapi.stream_chat([ChatMessage("Hello")]))

    assert responses[-1].message == expected.message
    assert responses[-1].additional_kwargs == expected.additional_kwargs
    assert expected.raw is not None
    assert responses[-1].raw is not None
    assert responses[-1].raw.get("usage") == expected.raw.get("usage")
    assert "".join(response.delta or "" for response in responses) == answer.message["content"]
