"""Content blocks, v0 and v1, and the events of v3: correct when reasoning, text and tool calls are mixed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.messages import content as content_types
from langchain_core.tools import tool
from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream

from langchain_texapi import ChatTexAPI
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from tests.langchain.test_chat import WAYS, Way, model

pytestmark = pytest.mark.filterwarnings("ignore:.*beta:langchain_core._api.LangChainBetaWarning")

HAS_REFUSALS = hasattr(content_types, "RefusalContentBlock")
"""langchain-core 1.7.5 and later."""


@tool
def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"It is sunny in {city}, 31 degrees."


def streamed(*deltas: dict[str, Any], finish_reason: str = "stop") -> Fault:
    """A stream of these deltas, with usage at its end."""
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
    ]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish_reason}]})
    chunks.append({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 7}})
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    events = [f"data: {json.dumps({**head, **chunk})}\n\n" for chunk in chunks]
    return Fault(raw="".join([*events, "data: [DONE]\n\n"]).encode(), content_type="text/event-stream")


def call(index: int, arguments: str, **head: Any) -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": head.pop("name")} if "name" in head else {})}
    return {"tool_calls": [{"index": index, "function": function, **head}]}


SIGNED = {"type": "reasoning.text", "text": "", "signature": "sig", "index": 0}
SIGNATURE = {"google": {"thought_signature": "g"}}
MIXED = streamed(
    {"role": "assistant", "content": ""},
    {"reasoning_content": "Two "},
    {"reasoning_content": "calls."},
    {"content": "I will "},
    call(0, "", id="a", type="function", name="get_weather", extra_content=SIGNATURE),
    call(0, '{"city":'),
    call(1, '{"a": 1', id="b", type="function", name="multiply"),
    call(0, ' "Hanoi"}'),
    {"content": "look.", **call(1, ', "b": 2}')},
    {"reasoning_details": [SIGNED]},
    finish_reason="tool_calls",
)
MIXED_BLOCKS: list[dict[str, Any]] = [
    {"type": "reasoning", "reasoning": "Two calls.", "extras": {"reasoning_details": [SIGNED]}},
    {"type": "text", "text": "I will look."},
    {"type": "tool_call", "name": "get_weather", "args": {"city": "Hanoi"}, "id": "a"},
    {"type": "tool_call", "name": "multiply", "args": {"a": 1, "b": 2}, "id": "b"},
]


def _plain(blocks: Any) -> list[dict[str, Any]]:
    """Blocks without LangChain's merge keys, and without Gemini's signature on a call."""
    dropped = {"index"}
    return [
        {
            name: value
            for name, value in block.items()
            if name not in dropped and not (name == "extras" and block["type"] == "tool_call")
        }
        for block in blocks
    ]


STREAMED = WAYS[2:]


@pytest.mark.parametrize("output_version", ["v0", "v1"])
@pytest.mark.parametrize("way", STREAMED)
def test_a_mixed_stream(gateway: Gateway, endpoint: Endpoint, way: Way, output_version: str) -> None:
    gateway.misbehave(MIXED)

    message = way(model(endpoint, output_version=output_version), "Hello")

    assert _plain(message.content_blocks) == MIXED_BLOCKS
    if output_version == "v1":
        assert _plain(message.content) == MIXED_BLOCKS
        assert message.response_metadata["output_version"] == "v1"
    else:
        assert message.content == "I will look."
    assert [(c["name"], c["args"], c["id"]) for c in message.tool_calls] == [
        ("get_weather", {"city": "Hanoi"}, "a"),
        ("multiply", {"a": 1, "b": 2}, "b"),
    ]
    assert message.text == "I will look."
    assert message.usage_metadata == {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}


@pytest.mark.parametrize("output_version", ["v0", "v1"])
def test_a_mixed_stream_inside_invoke(gateway: Gateway, endpoint: Endpoint, output_version: str) -> None:
    gateway.misbehave(MIXED)

    message = model(endpoint, output_version=output_version, streaming=True).invoke("Hello")

    assert _plain(message.content_blocks) == MIXED_BLOCKS


@pytest.mark.parametrize("asynchronous", [False, True])
def test_events_of_a_mixed_stream(gateway: Gateway, endpoint: Endpoint, asynchronous: bool) -> None:
    gateway.misbehave(MIXED)
    events, message = events_of(model(endpoint), asynchronous)

    assert_valid_event_stream(events)
    finished = [event["content"] for event in events if event["event"] == "content-block-finish"]
    assert _plain(finished) == _plain(message.content_blocks) == MIXED_BLOCKS
    started = [event["content"]["type"] for event in events if event["event"] == "content-block-start"]
    assert started == ["reasoning", "text", "tool_call_chunk", "tool_call_chunk"]
    assert events[-1]["usage"] == {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}
    assert message.tool_calls[1]["args"] == {"a": 1, "b": 2}


def events_of(chat: Any, asynchronous: bool, question: str = "Hello") -> tuple[list[Any], AIMessage]:
    if not asynchronous:
        stream = chat.stream_events(question, version="v3")
        return list(stream), stream.output

    async def collect() -> tuple[list[Any], AIMessage]:
        stream = await chat.astream_events(question, version="v3")
        return [event async for event in stream], await stream.output

    return asyncio.run(collect())


def test_projections_of_a_mixed_stream(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.misbehave(MIXED)
    stream = model(endpoint).stream_events("Hello", version="v3")

    assert list(stream.text) == ["I will ", "look."]
    assert list(stream.reasoning) == ["Two ", "calls."]
    assert [c["name"] for c in stream.tool_calls.get()] == ["get_weather", "multiply"]


def test_both_streaming_apis_give_the_same_message(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.misbehave(MIXED, times=2)
    chat = model(endpoint, output_version="v1")

    streamed_message = STREAMED[0](chat, "Hello")
    _, message = events_of(chat, asynchronous=False)

    assert message.content_blocks == streamed_message.content_blocks
    assert message.tool_calls == streamed_message.tool_calls
    assert message.additional_kwargs == streamed_message.additional_kwargs
    assert message.usage_metadata == streamed_message.usage_metadata
    ids = {"request_id"}
    assert {k: v for k, v in message.response_metadata.items() if k not in ids} == {
        k: v for k, v in streamed_message.response_metadata.items() if k not in ids
    }


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("output_version", ["v0", "v1"])
def test_a_v1_message_is_sent_back_unchanged(
    gateway: Gateway, endpoint: Endpoint, way: Way, output_version: str
) -> None:
    """Reasoning with its signature, text and calls, whole or streamed."""
    chat: Any = model(endpoint, reasoning_effort="low", output_version=output_version).bind_tools(
        [get_weather]
    )
    question = HumanMessage("What is the weather in Hanoi and Paris?")
    asked = way(chat, [question])
    results = [get_weather.invoke(c) for c in asked.tool_calls]

    assert "31" in way(chat, [question, asked, *results]).text

    sent = gateway.requests[-1].body["messages"][1]
    assert set(sent) == {"role", "content", "tool_calls", "reasoning_content", "reasoning_details"}
    assert sent["content"] is None
    assert sent["reasoning_content"] == asked.additional_kwargs["reasoning_content"]
    (detail,) = sent["reasoning_details"]
    assert detail["text"] == sent["reasoning_content"]
    assert detail["signature"].startswith("sig_")


def test_a_message_can_be_sent_back_from_its_blocks_alone(gateway: Gateway, endpoint: Endpoint) -> None:
    """For applications that store content blocks only."""
    gateway.misbehave(MIXED)
    came = model(endpoint).invoke("Hello")
    kept = AIMessage(content_blocks=came.content_blocks, response_metadata={"model_provider": "texapi"})
    results = [ToolMessage("r", tool_call_id=c["id"]) for c in came.tool_calls]

    sent = model(endpoint)._get_request_payload([HumanMessage("Hello"), kept, *results])["messages"][1]

    assert sent["content"] == "I will look."
    assert sent["reasoning_content"] == "Two calls."
    assert sent["reasoning_details"] == [SIGNED]
    first, second = sent["tool_calls"]
    assert first["extra_content"] == SIGNATURE
    assert second["function"] == {"name": "multiply", "arguments": '{"a": 1, "b": 2}'}


REASONING = [
    ({"reasoning_content": "Hm."}, "reasoning_content"),
    ({"reasoning": "Hm."}, "reasoning"),
    ({"thinking": "Hm."}, "thinking"),
    (
        {"reasoning_details": [{"type": "reasoning.text", "text": "Hm.", "signature": "s"}]},
        "reasoning_details",
    ),
    ({"thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": "s"}]}, "thinking_blocks"),
]


@pytest.mark.parametrize(("field", "name"), REASONING, ids=[name for _, name in REASONING])
@pytest.mark.parametrize("output_version", ["v0", "v1"])
@pytest.mark.parametrize("way", WAYS)
def test_reasoning_in_any_field(
    gateway: Gateway,
    endpoint: Endpoint,
    field: dict[str, Any],
    name: str,
    way: Way,
    output_version: str,
) -> None:
    whole = {
        "role": "assistant",
        "content": None,
        **call(0, "{}", id="a", type="function", name="f"),
        **field,
    }
    answer = Fault(body={"choices": [{"index": 0, "message": whole, "finish_reason": "tool_calls"}]})
    deltas = streamed(field, call(0, "{}", id="a", type="function", name="f"), finish_reason="tool_calls")
    gateway.misbehave(deltas if way in STREAMED else answer)

    message = way(model(endpoint, output_version=output_version), "Hello")

    assert message.additional_kwargs["reasoning_content"] == "Hm."
    block, called = _plain(message.content_blocks)
    assert (block["type"], block["reasoning"], called["type"]) == ("reasoning", "Hm.", "tool_call")
    if name in ("reasoning_details", "thinking_blocks"):
        assert block["extras"] == field
    history = [HumanMessage("Hello"), message, ToolMessage("r", tool_call_id="a")]
    sent = model(endpoint)._get_request_payload(history)["messages"][1]
    assert {key: sent[key] for key in sent if key not in ("role", "content", "tool_calls")} == field


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("output_version", ["v0", "v1"])
def test_a_refusal(gateway: Gateway, endpoint: Endpoint, way: Way, output_version: str) -> None:
    whole = {"role": "assistant", "content": None, "refusal": "I cannot help."}
    answer = Fault(body={"choices": [{"index": 0, "message": whole, "finish_reason": "stop"}]})
    deltas = streamed({"role": "assistant", "refusal": "I cannot "}, {"refusal": "help."})
    gateway.misbehave(deltas if way in STREAMED else answer)

    message = way(model(endpoint, output_version=output_version), "Hello")

    assert message.additional_kwargs["refusal"] == "I cannot help."
    assert message.text == ""
    blocks = [{"type": "refusal", "refusal": "I cannot help."}] if HAS_REFUSALS else []
    assert _plain(message.content_blocks) == blocks
    sent = model(endpoint)._get_request_payload([HumanMessage("Hello"), message])["messages"][1]
    assert sent == {"role": "assistant", "content": None, "refusal": "I cannot help."}


@pytest.mark.parametrize(
    ("reason", "delta", "normal"),
    [
        ("stop", {"content": "Hi."}, "stop"),
        ("end_turn", {"content": "Hi."}, "stop"),
        ("MAX_TOKENS", {"content": "Hi."}, "length"),
        ("length", call(0, "{}", id="a", type="function", name="f"), "length"),
        ("stop", call(0, "{}", id="a", type="function", name="f"), "tool_call"),
        ("tool_calls", call(0, "{}", id="a", type="function", name="f"), "tool_call"),
        ("SAFETY", {"content": ""}, "content_filter"),
        ("stop", {"refusal": "No."}, "refusal"),
        ("of tomorrow", {"content": "Hi."}, None),
    ],
)
@pytest.mark.parametrize("way", WAYS)
def test_a_finish_reason_has_one_word_for_each_meaning(
    gateway: Gateway, endpoint: Endpoint, way: Way, reason: str, delta: dict[str, Any], normal: str | None
) -> None:
    message = {"role": "assistant", "content": None, **delta}
    answer = Fault(body={"choices": [{"index": 0, "message": message, "finish_reason": reason}]})
    gateway.misbehave(streamed(delta, finish_reason=reason) if way in STREAMED else answer)

    metadata = way(model(endpoint), "Hello").response_metadata

    assert metadata["finish_reason"] == reason
    assert metadata.get("normalized_finish_reason") == normal


def test_events_of_a_refusal(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.misbehave(streamed({"role": "assistant", "refusal": "I cannot "}, {"refusal": "help."}))
    events, message = events_of(model(endpoint), asynchronous=False)

    assert_valid_event_stream(events)
    assert message.additional_kwargs["refusal"] == "I cannot help."


@pytest.mark.parametrize("output_version", ["v0", "v1"])
@pytest.mark.parametrize("way", WAYS)
def test_a_truncated_call_is_an_invalid_block(
    gateway: Gateway, endpoint: Endpoint, way: Way, output_version: str
) -> None:
    good = call(0, '{"city": "Hanoi"}', id="a", type="function", name="get_weather")
    bad = call(1, '{"city": "Pa', id="b", type="function", name="get_weather")
    whole = {"role": "assistant", "content": None, "tool_calls": good["tool_calls"] + bad["tool_calls"]}
    answer = Fault(body={"choices": [{"index": 0, "message": whole, "finish_reason": "length"}]})
    gateway.misbehave(streamed(good, bad, finish_reason="length") if way in STREAMED else answer)

    message = way(model(endpoint, output_version=output_version), "Hello")

    # LangChain leaves the pieces of an invalid call in v1 content that it merges from a stream.
    adds_up_v1 = way in STREAMED and output_version == "v1"
    invalid = "tool_call_chunk" if adds_up_v1 else "invalid_tool_call"
    assert [block["type"] for block in message.content_blocks] == ["tool_call", invalid]
    assert [c["id"] for c in message.tool_calls] == ["a"]
    assert [c["id"] for c in message.invalid_tool_calls] == ["b"]
    assert message.response_metadata["truncated_tool_calls"] == ["b"]


def test_events_of_a_truncated_call(gateway: Gateway, endpoint: Endpoint) -> None:
    bad = call(0, '{"city": "Pa', id="b", type="function", name="get_weather")
    gateway.misbehave(streamed(bad, finish_reason="length"))

    events, message = events_of(model(endpoint), asynchronous=False)

    assert_valid_event_stream(events)
    assert [event["content"]["type"] for event in events if event["event"] == "content-block-finish"] == [
        "invalid_tool_call"
    ]
    assert message.tool_calls == []


def test_reasoning_is_readable_without_this_package(
    endpoint: Endpoint,
) -> None:
    """LangChain's generic translation of an unknown provider's message finds reasoning under the same key."""
    message = ChatTexAPI(**endpoint.for_langchain(model="claude-sonnet-4-6", reasoning_effort="low")).invoke(
        "What is 12 * 7?"
    )
    stranger = message.model_copy(update={"response_metadata": {"model_provider": "unheard-of"}})

    assert [block["type"] for block in stranger.content_blocks] == ["reasoning", "text"]


PICTURE = "data:image/png;base64,iVBORw0KGgo="
GENERATED: dict[str, Any] = {
    "content": "Done.",
    "images": [{"type": "image_url", "image_url": {"url": PICTURE}}],
    "audio": {"id": "audio_1", "data": "UklGRiQAAABXQVZF", "transcript": "Done.", "expires_at": 2**40},
    "annotations": [
        {"type": "url_citation", "url_citation": {"url": "https://a.vn/", "title": "A", "end_index": 4}},
        {"type": "file_citation", "file_id": "f"},
    ],
}


def _blocks(message: Any) -> list[Any]:
    return [{k: v for k, v in block.items() if k not in ("id", "index")} for block in message.content_blocks]


@pytest.mark.parametrize("version", ["v0", "v1", "v3"])
@pytest.mark.parametrize("is_streamed", [False, True])
def test_citations_images_and_sound_are_standard_blocks(
    gateway: Gateway, endpoint: Endpoint, version: str, is_streamed: bool
) -> None:
    chat = model(endpoint, output_version=None if version == "v3" else version)
    if version == "v3" or is_streamed:
        deltas = [{name: value} for name, value in GENERATED.items()]
        gateway.misbehave(streamed(*deltas))
    else:
        message = {"role": "assistant", **GENERATED}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        gateway.misbehave(Fault(body={"choices": [choice]}))
    answer: Any
    if version == "v3":
        answer = chat.stream_events("Draw", version="v3").output
    else:
        answer = WAYS[2 if is_streamed else 0](chat, "Draw")

    text, image, sound = _blocks(answer)

    citation = {"type": "citation", "url": "https://a.vn/", "title": "A", "end_index": 4}
    other = {"type": "non_standard_annotation", "value": {"type": "file_citation", "file_id": "f"}}
    assert text == {"type": "text", "text": "Done.", "annotations": [citation, other]}
    assert image == {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}
    assert (sound["base64"], sound["mime_type"], sound["extras"]["id"]) == (
        "UklGRiQAAABXQVZF",
        "audio/wav",
        "audio_1",
    )


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_a_generated_image_and_sound_are_in_the_next_request_once(
    gateway: Gateway, endpoint: Endpoint, version: str
) -> None:
    message = {"role": "assistant", **GENERATED}
    gateway.misbehave(Fault(body={"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}))
    chat = model(endpoint, output_version=version)
    answer = chat.invoke("Draw")

    chat.invoke([HumanMessage("Draw"), answer, HumanMessage("Make it blue")])

    _, said, attached, _ = gateway.requests[1].body["messages"]
    assert said == {"role": "assistant", "content": "Done.", "audio": {"id": "audio_1"}}
    assert attached["content"][1:] == [{"type": "image_url", "image_url": {"url": PICTURE}}]
