"""What a user says about a file or an image, in its block, reaches the model."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from llama_index.core.base.llms.types import ChatMessage, DocumentBlock

from tests.asking import WAYS
from tests.conftest import Endpoint
from tests.gateway import Gateway
from tests.test_outgoing import Q, ask, called, langchain, llama_index

PDF = base64.b64encode(b"%PDF-1.4\n").decode()
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(8)).decode()
IMAGE: dict[str, Any] = {"type": "image", "base64": PNG, "mime_type": "image/png"}
FILE: dict[str, Any] = {"type": "file", "base64": PDF, "mime_type": "application/pdf"}
ANTHROPICS = {"type": "base64", "media_type": "application/pdf", "data": PDF}

BLOCKS: dict[str, tuple[dict[str, Any], str | None, str | None]] = {
    "nothing said": (IMAGE, None, None),
    "the name of an image": ({**IMAGE, "filename": "nhà.png"}, None, "nhà.png"),
    "an image": ({**IMAGE, "title": "Nhà", "context": "Ảnh 1"}, None, "Nhà\nẢnh 1"),
    "the name of a file": ({**FILE, "filename": "a.pdf"}, "a.pdf", None),
    "a title for a name": ({**FILE, "title": "Hợp đồng"}, "Hợp đồng.pdf", None),
    "a title beside a name": ({**FILE, "filename": "a.pdf", "title": "Hợp đồng"}, "a.pdf", "Hợp đồng"),
    "a name among others": ({**FILE, "extras": {"x": 1}, "metadata": {"filename": "a.pdf"}}, "a.pdf", None),
    "Anthropic": ({"type": "document", "source": ANTHROPICS, "title": "T", "context": "C"}, "T.pdf", "C"),
    "a text": ({"type": "text-plain", "text": "t", "title": "T", "context": "C"}, None, "T\nC\nt"),
}


@pytest.mark.parametrize("case", BLOCKS)
@pytest.mark.parametrize("how", WAYS)
async def test_it_is_the_name_of_the_file_or_a_text_before_it(
    gateway: Gateway, endpoint: Endpoint, how: str, case: str
) -> None:
    block, name, text = BLOCKS[case]

    await ask(how, langchain(endpoint), [HumanMessage([block, {"type": "text", "text": "Who?"}])])

    parts = gateway.requests[0].body["messages"][0]["content"]
    assert [part["text"] for part in parts if part["type"] == "text"] == [*([text] if text else []), "Who?"]
    assert [part["file"]["filename"] for part in parts if part["type"] == "file"] == ([name] if name else [])
    assert len(parts) == 2 + (text is not None) - (block["type"] == "text-plain")


def test_it_stays_with_the_result_of_a_tool(gateway: Gateway, endpoint: Endpoint) -> None:
    result = ToolMessage([{**IMAGE, "title": "Nhà"}], tool_call_id="a")

    langchain(endpoint).invoke([Q, called("a"), result])

    _, _, said, attached = gateway.requests[0].body["messages"]
    assert said["content"] == "Nhà"
    assert attached["content"][1]["type"] == "image_url"


@pytest.mark.parametrize("how", WAYS)
async def test_the_title_of_a_document_in_llama_index(gateway: Gateway, endpoint: Endpoint, how: str) -> None:
    document = DocumentBlock(data=PDF.encode(), document_mimetype="application/pdf", title="Hợp đồng")

    await ask(how, llama_index(endpoint), [ChatMessage(role="user", blocks=[document])])

    (part,) = gateway.requests[0].body["messages"][0]["content"]
    assert part["file"]["filename"] == "Hợp đồng.pdf"
