"""A stream adds up to the same reply as the whole answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from texapi_core.wire.reader import StreamReader
from texapi_core.wire.reply import parse_reply
from texapi_core.wire.stream import StreamState
from texapi_core.wire.usage import TokenUsage
from texapi_core.wire.values import ChatDelta, ChatReply, CutStream, ErrorAnswer, MalformedAnswer


def chunk(delta: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    choice = {
        "index": 0,
        "delta": delta,
        "finish_reason": members.pop("finish_reason", None),
        "native_finish_reason": members.pop("native_finish_reason", None),
    }
    return {"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **members}


STOP = chunk({}, finish_reason="stop")


def read(*chunks: dict[str, Any]) -> ChatReply:
    state = StreamState()
    for one in chunks:
        state.feed(one)
    state.finish()
    return state.reply(request_id=None, headers={})


def sse(*chunks: dict[str, Any], done: bool = True) -> bytes:
    text = "".join(f"data: {json.dumps(one)}\n\n" for one in chunks)
    return (text + ("data: [DONE]\n\n" if done else "")).encode()


def read_bytes(*packets: bytes) -> tuple[list[ChatDelta], ChatReply]:
    reader = StreamReader()
    deltas = [delta for packet in packets for delta in reader.feed(packet)]
    deltas += reader.finish()
    return deltas, reader.state.reply(request_id=None, headers={})


def test_text() -> None:
    reply = read(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Hà "}),
        chunk({"content": "Nội"}),
        STOP,
    )

    assert (reply.choice.text, reply.choice.finish_reason, reply.model, reply.id) == (
        "Hà Nội",
        "stop",
        "m",
        "c1",
    )


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking", "reasoning_text", "thought"])
def test_reasoning_in_any_field(field: str) -> None:
    reply = read(chunk({field: "first "}), chunk({field: "this"}), chunk({"content": "ok"}), STOP)

    assert reply.choice.reasoning.text == "first this"
    assert reply.choice.reasoning.field == field


def test_reasoning_details_keep_their_signature() -> None:
    def detail(**members: Any) -> dict[str, Any]:
        return chunk({"reasoning_details": [{"type": "reasoning.text", "index": 0, **members}]})

    reply = read(
        detail(text="Let ", format="anthropic-claude-v1"),
        detail(text="me", format="anthropic-claude-v1"),
        detail(text="", signature="sig"),
        STOP,
    )

    assert reply.choice.reasoning.text == "Let me"
    assert reply.choice.reasoning.details == (
        {
            "type": "reasoning.text",
            "index": 0,
            "text": "Let me",
            "format": "anthropic-claude-v1",
            "signature": "sig",
        },
    )


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(
            [STOP, {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}], id="own chunk"
        ),
        pytest.param([{**STOP, "usage": {"prompt_tokens": 1, "completion_tokens": 2}}], id="finish chunk"),
        pytest.param(
            [STOP, {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}, {"choices": []}],
            id="then one more",
        ),
        pytest.param(
            [
                chunk({"content": ""}, usage={"prompt_tokens": 1, "completion_tokens": 1}),
                {**STOP, "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
            ],
            id="cumulative",
        ),
        pytest.param(
            [STOP, {"choices": None, "x_groq": {"usage": {"prompt_tokens": 1, "completion_tokens": 2}}}],
            id="groq",
        ),
        pytest.param(
            [{"choices": [{**STOP["choices"][0], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}]}],
            id="in the choice",
        ),
    ],
)
def test_usage_in_any_chunk(chunks: list[dict[str, Any]]) -> None:
    reply = read(chunk({"content": "ok"}), *chunks)

    assert reply.usage == TokenUsage(1, 2, 3)
    usage = reply.raw["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (1, 2)


@pytest.mark.parametrize(
    "noise",
    [
        chunk(None),
        chunk({}),
        {"choices": []},
        {"choices": None},
        {},
        {"choices": [None]},
        chunk({"content": None}),
        chunk({"content": []}),
        chunk({"role": "assistant"}),
        chunk({"content": "", "tool_calls": None, "function_call": None}),
        {"choices": [{"index": 1, "delta": {"content": "other"}}]},
    ],
)
def test_irrelevant_chunks_add_nothing(noise: dict[str, Any]) -> None:
    reply = read(noise, chunk({"content": "a"}), noise, chunk({"content": "b"}), STOP, noise)

    assert reply.choice.text == "ab"
    assert reply.choice.finish_reason == "stop"


@pytest.mark.parametrize(("content", "text"), [(0, "102"), (0.5, "10.52"), (False, "1False2")])
def test_content_that_is_not_text_is_read_as_in_a_whole_answer(content: Any, text: str) -> None:
    streamed = read(chunk({"content": "1"}), chunk({"content": content}), chunk({"content": "2"}), STOP)
    whole = parse_reply(
        {"choices": [{"index": 0, "message": {"content": content}}]}, request_id=None, headers={}
    )

    assert streamed.choice.text == text == f"1{whole.choice.text}2"


def test_content_as_a_list_of_parts() -> None:
    reply = read(
        chunk({"content": [{"type": "text", "text": "a"}, {"type": "thinking", "thinking": "t"}]}), STOP
    )

    assert (reply.choice.text, reply.choice.reasoning.text) == ("a", "t")


def test_streamed_and_whole_give_the_same_reply() -> None:
    message = {
        "role": "assistant",
        "content": "Hà Nội",
        "reasoning_content": "think",
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}],
    }
    usage = {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11}
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": "tool_calls",
        "native_finish_reason": "tool_use",
    }
    body = {
        "id": "c1",
        "created": 7,
        "model": "m",
        "system_fingerprint": "fp",
        "choices": [choice],
        "usage": usage,
    }
    whole = parse_reply(body, request_id=None, headers={})
    streamed = read(
        chunk({"role": "assistant", "reasoning_content": "thi"}, created=7, system_fingerprint="fp"),
        chunk({"reasoning_content": "nk"}),
        chunk({"content": "Hà "}),
        chunk({"content": "Nội"}),
        chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"x": 1}'}}]}),
        chunk({}, finish_reason="tool_calls", native_finish_reason="tool_use"),
        {"choices": [], "usage": usage},
    )

    assert streamed.choices == whole.choices
    assert whole.choice.metadata == {"native_finish_reason": "tool_use"}
    assert (streamed.usage, streamed.model, streamed.id, streamed.created, streamed.extras) == (
        whole.usage,
        whole.model,
        whole.id,
        whole.created,
        whole.extras,
    )


@pytest.mark.parametrize("packet_size", [1, 5, 64, 10_000])
def test_packets_may_be_cut_anywhere(packet_size: int) -> None:
    stream = sse(chunk({"content": "Đà "}), chunk({"content": "Nẵng 🏖"}), STOP)
    packets = [stream[at : at + packet_size] for at in range(0, len(stream), packet_size)]

    deltas, reply = read_bytes(*packets)

    assert "".join(delta.text for delta in deltas) == reply.choice.text == "Đà Nẵng 🏖"


def test_a_finish_reason_ends_a_stream_without_done() -> None:
    _, reply = read_bytes(sse(chunk({"content": "ok"}), STOP, done=False))

    assert reply.choice.text == "ok"


def test_done_ends_a_stream_without_finish_reason() -> None:
    _, reply = read_bytes(sse(chunk({"content": "ok"})))

    assert (reply.choice.text, reply.choice.finish_reason) == ("ok", None)


def test_a_stream_cut_before_either_is_an_error() -> None:
    with pytest.raises(CutStream):
        read_bytes(sse(chunk({"content": "half"}), done=False))


def test_json_instead_of_a_stream_is_an_answer_of_one_chunk() -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}

    deltas, reply = read_bytes(b" ", json.dumps({"id": "c1", "choices": [choice]}).encode())

    assert ([delta.text for delta in deltas], reply.choice.text) == (["ok"], "ok")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b"upstream error", "text that is no JSON"),
        (b"", "an empty body"),
        (b"data: [DONE]\n\n", "a stream without an answer"),
        (b"data: {broken\n\n", "broken JSON"),
        (b"data: 5\n\n", "JSON that is no object"),
        (b": keep-alive\n\n", "a stream without an answer"),
    ],
)
def test_a_response_that_is_not_a_stream_is_described_in_the_error(body: bytes, reason: str) -> None:
    with pytest.raises(MalformedAnswer, match=reason):
        read_bytes(body)


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"error": {"message": "no", "type": "rate_limited"}}\n\n',
        b'event: error\ndata: {"message": "no"}\n\n',
        b'data: {"type": "error", "message": "no"}\n\n',
        b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]}\n\n',
        b'data: {"choices": [{"index": 0, "delta": {}, "error": {"message": "no"}}]}\n\n',
    ],
)
def test_an_error_in_the_stream_is_raised_after_earlier_deltas(event: bytes) -> None:
    reader = StreamReader()
    deltas = reader.feed(sse(chunk({"content": "half"}), done=False) + event)

    assert [delta.text for delta in deltas] == ["half"]
    assert reader.done
    with pytest.raises(ErrorAnswer):
        list(reader.finish())


@pytest.mark.parametrize("parts_before", [False, True])
@pytest.mark.parametrize("usage_in", ["message", "choice", "chunk"])
def test_a_whole_message_at_the_end_adds_its_parts_and_its_usage(parts_before: bool, usage_in: str) -> None:
    """MiniMax ends a stream with the whole answer; what came before it is not taken twice."""
    pictures = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,QUJ{n}"}} for n in "DE"]
    message = {"content": [{"type": "text", "text": "hello"}, *pictures], "annotations": [{"url": "u"}]}
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "message": message}
    last: dict[str, Any] = {"choices": [choice]}
    {"message": message, "choice": choice, "chunk": last}[usage_in]["usage"] = {
        "prompt_tokens": 3,
        "completion_tokens": 2,
    }
    pieces: list[dict[str, Any]] = [{"content": "hel"}, {"content": "lo"}]
    if parts_before:
        pieces.append({"content": pictures[:1]})

    streamed = read(*map(chunk, pieces), last)

    whole = parse_reply(last, request_id=None, headers={})
    assert (streamed.choice.text, streamed.choice.extras) == ("hello", whole.choice.extras)
    assert streamed.usage == whole.usage
    assert streamed.usage is not None
