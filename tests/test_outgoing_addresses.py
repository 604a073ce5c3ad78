"""Addresses of media, what is said beside documents, and calls in odd places, in both frameworks."""

from __future__ import annotations

import base64
import json
import socket
from collections import ChainMap
from types import MappingProxyType
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    CitableBlock,
    ImageBlock,
    TextBlock,
    ToolCallBlock,
    VideoBlock,
)

from tests.conftest import Endpoint
from tests.gateway import Gateway
from tests.test_outgoing import LI_Q, Q, langchain, li_result, llama_index

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(8)).decode()
NO_RESULT = "No result: the call was interrupted."
UNREADABLE = ["photos/x.png", "gs://bucket/x.png", "file://photos/x.png", "C:\\x.png", "x", "aGVsbG8="]
READABLE = {
    "HTTPS://images.example/A.png": "https://images.example/A.png",
    " https://images.example/a.png\n": "https://images.example/a.png",
    PNG: f"data:image/png;base64,{PNG}",
    f"DATA:image/png;base64,{PNG}": f"data:image/png;base64,{PNG}",
}


def forms(address: str) -> list[Any]:
    return [
        {"type": "image_url", "image_url": {"url": address}},
        {"type": "image_url", "image_url": address},
        {"type": "image", "url": address},
        {"type": "image", "source": {"type": "url", "url": address}},
    ]


def sent(gateway: Gateway) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = gateway.requests[-1].body["messages"]
    return found


@pytest.mark.parametrize("address", UNREADABLE)
def test_an_address_that_no_provider_reads_is_refused(
    gateway: Gateway, endpoint: Endpoint, address: str
) -> None:
    others: list[Any] = [
        {"type": "video", "url": address},
        {"type": "video_url", "video_url": {"url": address}},
        {"type": "file", "url": address},
    ]
    for block in [*forms(address), *others]:
        with pytest.raises(ValueError, match="is none that a provider can read"):
            langchain(endpoint).invoke([HumanMessage([block])])
    for of_llama_index in (ImageBlock, VideoBlock):
        given = of_llama_index.model_construct(url=address)
        with pytest.raises(ValueError, match="is none that a provider can read"):
            llama_index(endpoint).chat([ChatMessage(role="user", blocks=[given])])
    assert not gateway.requests


@pytest.mark.parametrize("address", READABLE)
def test_a_readable_address_is_sent_in_the_form_of_the_wire(
    gateway: Gateway, endpoint: Endpoint, address: str
) -> None:
    expected = [{"type": "image_url", "image_url": {"url": READABLE[address]}}]

    for block in forms(address):
        langchain(endpoint).invoke([HumanMessage([block])])
        assert sent(gateway)[0]["content"] == expected
    block = ImageBlock.model_construct(url=address, detail=None)
    llama_index(endpoint).chat([ChatMessage(role="user", blocks=[block])])
    assert sent(gateway)[0]["content"] == expected


def test_an_earlier_answer_with_an_unreadable_address_is_sent_without_it(
    gateway: Gateway, endpoint: Endpoint
) -> None:
    langchain(endpoint).invoke([Q, AIMessage([*forms("photos/x.png"), "So."]), Q])

    assert sent(gateway)[1] == {"role": "assistant", "content": "So."}


def test_sound_by_an_address_is_not_downloaded(gateway: Gateway, endpoint: Endpoint) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.wav"
        with pytest.raises(ValueError, match=r"AudioBlock with a `url`.*Give its bytes as `audio`"):
            llama_index(endpoint).chat([ChatMessage(role="user", blocks=[AudioBlock(url=address)])])
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    with pytest.raises(ValueError, match="'audio' without `base64` data"):
        langchain(endpoint).invoke([HumanMessage([{"type": "audio", "url": address}])])
    assert not gateway.requests


def test_sound_in_a_data_url_is_sent(gateway: Gateway, endpoint: Endpoint) -> None:
    sound = base64.b64encode(b"RIFF____WAVE").decode()
    block = AudioBlock(url=f"data:audio/wav;base64,{sound}")
    llama_index(endpoint).chat([ChatMessage(role="user", blocks=[block])])

    (part,) = sent(gateway)[0]["content"]
    assert part["input_audio"] == {"data": sound, "format": "wav"}


# Documents


def test_what_is_said_beside_a_document_is_sent(gateway: Gateway, endpoint: Endpoint) -> None:
    pdf = base64.b64encode(b"%PDF-1.7").decode()
    source = {"type": "base64", "media_type": "application/pdf", "data": pdf}
    of_text = {"type": "text", "media_type": "text/plain", "data": "Pho is a soup."}
    about = {"title": "Soups", "context": "A cookery book."}
    langchain(endpoint).invoke(
        [
            HumanMessage([{"type": "document", "source": of_text, **about}]),
            HumanMessage([{"type": "document", "source": source, **about}]),
        ]
    )
    first, second = (message["content"] for message in sent(gateway))
    assert first == "Soups\nA cookery book.\nPho is a soup."
    assert second[0] == {"type": "text", "text": "A cookery book."}
    assert second[1]["file"]["filename"] == "Soups.pdf"

    block = CitableBlock(title="Soups", source="https://a.vn", content=[TextBlock(text="Pho is a soup.")])
    llama_index(endpoint).chat([ChatMessage(role="user", blocks=[block])])
    assert sent(gateway)[0]["content"] == "Soups\nhttps://a.vn\nPho is a soup."


# Calls

RAW_CALLS: dict[str, Any] = {
    "Anthropic": {"type": "tool_use", "id": "t1", "name": "f", "input": {}},
    "Bedrock": {"toolUse": {"toolUseId": "t1", "name": "f", "input": {}}},
    "Gemini": {"functionCall": {"id": "t1", "name": "f", "args": {}}},
    "Gemini in Python": {"function_call": {"id": "t1", "name": "f", "args": {}}},
    "OpenAI Responses": {"type": "function_call", "call_id": "t1", "name": "f", "arguments": "{}"},
}


@pytest.mark.parametrize("provider", RAW_CALLS)
def test_a_raw_call_that_nobody_answered_has_no_result(
    gateway: Gateway, endpoint: Endpoint, provider: str
) -> None:
    history = [Q, AIMessage(["I look.", RAW_CALLS[provider]]), Q]

    langchain(endpoint).invoke(history)
    first = sent(gateway)
    langchain(endpoint).invoke([*history, AIMessage("So."), ToolMessage("late", tool_call_id="t1"), Q])

    function = {"name": "f", "arguments": "{}"}
    assert first[1:3] == [
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [{"id": "t1", "type": "function", "function": function}],
        },
        {"role": "tool", "content": NO_RESULT, "tool_call_id": "t1"},
    ]
    assert sent(gateway)[: len(first)] == first
    assert "late" in json.dumps(sent(gateway)[len(first) :])


def test_calls_of_blocks_and_of_additional_kwargs_are_sent_once_each(
    gateway: Gateway, endpoint: Endpoint
) -> None:
    said = ChatMessage(
        role="assistant",
        blocks=[ToolCallBlock(tool_call_id="a", tool_name="f", tool_kwargs={"x": 1})],
        additional_kwargs={
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
                {"name": "f", "args": {"x": 1}},
                {"id": "b", "name": "g", "parameters": {"y": 2}},
            ]
        },
    )
    llama_index(endpoint).chat([LI_Q, said, li_result("a"), li_result("b"), LI_Q])

    assert [(call["id"], call["function"]) for call in sent(gateway)[1]["tool_calls"]] == [
        ("a", {"name": "f", "arguments": '{"x": 1}'}),
        ("b", {"name": "g", "arguments": '{"y": 2}'}),
    ]


MAPPINGS: list[Any] = [MappingProxyType({"y": 1}), ChainMap({"y": 1}, {"y": 2})]


@pytest.mark.parametrize("mapping", MAPPINGS, ids=lambda mapping: type(mapping).__name__)
def test_any_mapping_in_arguments_is_an_object(gateway: Gateway, endpoint: Endpoint, mapping: Any) -> None:
    said = AIMessage("", tool_calls=[{"name": "f", "args": {"x": mapping}, "id": "a"}])
    langchain(endpoint).invoke([Q, said, ToolMessage("done", tool_call_id="a"), Q])
    of_langchain = sent(gateway)[1]
    for arguments in ({"x": mapping}, MappingProxyType({"x": mapping})):
        block = ToolCallBlock.model_construct(tool_call_id="a", tool_name="f", tool_kwargs=arguments)
        llama_index(endpoint).chat(
            [LI_Q, ChatMessage(role="assistant", blocks=[block]), li_result("a"), LI_Q]
        )
        assert sent(gateway)[1] == of_langchain

    assert json.loads(of_langchain["tool_calls"][0]["function"]["arguments"]) == {"x": {"y": 1}}
