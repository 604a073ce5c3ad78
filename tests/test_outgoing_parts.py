"""Parts of messages that no provider takes are left out, or named before anything is sent."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from llama_index.core.base.llms.types import ChatMessage, DocumentBlock, ImageBlock, TextBlock

from tests.asking import WAYS
from tests.conftest import Endpoint
from tests.gateway import Gateway
from tests.test_outgoing import Q, ask, langchain, llama_index
from tests.test_outgoing_content import PNG as DATA

PNG = base64.b64decode(DATA)
URL = f"data:image/png;base64,{DATA}"
IMAGE = {"type": "image_url", "image_url": {"url": URL}}
CALL = {"name": "f", "args": {}, "id": "c1", "type": "tool_call"}


def sent(gateway: Gateway) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = gateway.requests[-1].body["messages"]
    return messages


# Blank texts, which Claude refuses


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("caption", ["", " \n"])
async def test_an_image_with_an_empty_caption(
    gateway: Gateway, endpoint: Endpoint, way: str, caption: str
) -> None:
    await ask(way, langchain(endpoint), [HumanMessage([{"type": "text", "text": caption}, IMAGE])])
    assert sent(gateway) == [{"role": "user", "content": [IMAGE]}]

    blocks = [TextBlock(text=caption), ImageBlock(image=PNG)]
    await ask(way, llama_index(endpoint), [ChatMessage(role="user", blocks=blocks)])
    assert sent(gateway) == [{"role": "user", "content": [IMAGE]}]


def test_texts_that_are_all_blank_are_one_empty_text(gateway: Gateway, endpoint: Endpoint) -> None:
    blank = {"type": "text", "text": ""}

    langchain(endpoint).invoke([HumanMessage([blank, blank])])

    assert sent(gateway) == [{"role": "user", "content": ""}]


# Media that cannot be read


UNREADABLE: list[dict[str, Any]] = [
    {"type": "image", "base64": "@@@@", "mime_type": "image/png"},
    {"type": "image", "base64": " ", "mime_type": "image/png"},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "abcde"}},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=A"}},
    {"type": "audio", "base64": "\u00e9", "mime_type": "audio/wav"},
    {"type": "input_audio", "input_audio": {"data": "@@", "format": "wav"}},
    {"type": "input_audio", "input_audio": "x"},
    {"type": "video", "base64": "@@@@", "mime_type": "video/mp4"},
    {"type": "file", "base64": "@@@@", "mime_type": "application/pdf"},
    {"type": "file", "file": {"file_data": "docs/a.pdf"}},
    {"type": "file", "file": {"file_data": "data:application/pdf;base64,"}},
    {"type": "file", "file": {"file_data": "gs://a/b.pdf"}},
    {"type": "file", "file": {"file_id": None}},
    {"type": "file", "file": {}},
]


@pytest.mark.parametrize("block", UNREADABLE, ids=str)
def test_media_that_cannot_be_read(gateway: Gateway, endpoint: Endpoint, block: Any) -> None:
    """They are an error of users and tools, which names the message, and left out of earlier answers."""
    model = langchain(endpoint)
    result = ToolMessage([block], tool_call_id="c1")

    with pytest.raises(ValueError, match=r"`messages\[1\]`: Unsupported content block"):
        model.invoke([Q, HumanMessage([block])])
    with pytest.raises(ValueError, match=r"`messages\[2\]`: Unsupported content block"):
        model.invoke([Q, AIMessage("", tool_calls=[CALL]), result])
    assert gateway.requests == []

    model.invoke([Q, AIMessage([{"type": "text", "text": "a"}, block]), Q])
    assert sent(gateway)[1:2] == [{"role": "assistant", "content": "a"}]


def test_an_unreadable_image_of_an_answer_is_left_out(gateway: Gateway, endpoint: Endpoint) -> None:
    images = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,@@"}}]

    langchain(endpoint).invoke([Q, AIMessage("a", additional_kwargs={"images": images}), Q])

    assert sent(gateway)[1:] == [
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": Q.content},
    ]


def test_an_address_of_a_document_that_no_provider_can_read(endpoint: Endpoint) -> None:
    with pytest.raises(ValueError, match=r"`messages\[0\]`: .* the address 's3://a/b.pdf' of the file"):
        llama_index(endpoint).chat([ChatMessage(role="user", blocks=[DocumentBlock(url="s3://a/b.pdf")])])


def test_too_much_padding_is_mended(gateway: Gateway, endpoint: Endpoint) -> None:
    block = {"type": "image", "base64": f"{DATA}===", "mime_type": "image/png"}

    langchain(endpoint).invoke([HumanMessage([block])])

    assert sent(gateway)[0]["content"] == [IMAGE]


# Images that the models of other classes made


GENERATED: Any = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": DATA}


@pytest.mark.parametrize(
    "answer",
    [
        AIMessage([{"type": "text", "text": "a"}, GENERATED]),
        AIMessage("a", additional_kwargs={"tool_outputs": [{"type": "web_search_call"}, GENERATED]}),
        AIMessage([{"text": "a", "type": "text"}, {"inline_data": {"mime_type": "image/png", "data": DATA}}]),
        AIMessage([{"text": "a", "type": "text"}, {"image": {"format": "png", "source": {"bytes": PNG}}}]),
    ],
    ids=["responses", "responses before v1", "gemini", "bedrock"],
)
def test_an_image_that_another_class_received(gateway: Gateway, endpoint: Endpoint, answer: Any) -> None:
    langchain(endpoint).invoke([Q, answer, Q])

    note = {"type": "text", "text": "Attached to the assistant's message:"}
    assert sent(gateway)[1:3] == [
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": [note, IMAGE]},
    ]


def test_a_document_that_the_provider_holds(gateway: Gateway, endpoint: Endpoint) -> None:
    """In Anthropic's form."""
    block = {"type": "document", "source": {"type": "file", "file_id": "f1"}}

    langchain(endpoint).invoke([HumanMessage([block])])

    assert sent(gateway)[0]["content"] == [{"type": "file", "file": {"file_id": "f1"}}]
