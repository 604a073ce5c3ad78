"""Blocks, tools, schemas and media that applications hold reach the model, in both frameworks."""

from __future__ import annotations

import base64
import copy
import io
import json
import logging
import zipfile
from pathlib import Path
from typing import Any, get_args

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.content import KNOWN_BLOCK_TYPES
from langchain_core.tools import StructuredTool
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.extractors import DocumentContextExtractor
from llama_index.core.schema import Document, TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, create_model

from tests.asking import WAYS
from tests.conftest import Endpoint
from tests.gateway import Gateway
from tests.gateway.check_messages import check_messages
from tests.langchain.block_types import installed, recorded
from tests.test_outgoing import ASKED, LI_Q, Q, ask, langchain, llama_index


def sent(gateway: Gateway) -> dict[str, Any]:
    body: dict[str, Any] = gateway.requests[-1].body
    return body


# Blocks

BLOCK_TYPES = sorted(
    recorded() | {name for types in installed().values() for name in types} | KNOWN_BLOCK_TYPES
)
NOT_CONTENT = {
    "thinking",
    "redacted_thinking",
    "reasoning",
    "reasoning_content",
    "refusal",
    "tool_use",
    "tool_call",
    "tool_call_chunk",
    "invalid_tool_call",
    "function_call",
    "custom_tool_call",
}


@pytest.mark.parametrize("block_type", BLOCK_TYPES)
def test_any_block_of_an_earlier_answer_is_sent_or_left_out(endpoint: Endpoint, block_type: str) -> None:
    said = AIMessage([{"type": block_type, "text": "first", "x": 1}, {"type": "text", "text": "second"}])

    payload = langchain(endpoint)._get_request_payload([Q, said, AIMessage([{"type": block_type}]), Q])

    check_messages(payload["messages"])
    content = json.dumps(payload["messages"])
    assert "second" in content
    assert ("first" in content) == (block_type not in NOT_CONTENT)


@pytest.mark.parametrize("block_type", BLOCK_TYPES)
def test_any_block_of_a_user_is_sent_or_named(gateway: Gateway, endpoint: Endpoint, block_type: str) -> None:
    said = HumanMessage([{"type": block_type, "text": "first", "content": "first", "output": "first"}])

    try:
        langchain(endpoint).invoke([said, Q])
    except ValueError as error:
        refusal = str(error)
    else:
        assert "first" in json.dumps(sent(gateway)["messages"])
        return
    places = ("`messages[0]`: Unsupported content block", "Unsupported source type")  # LangChain's own
    assert refusal.startswith(places)
    assert gateway.requests == []


TEXT = TextBlock(text="first")
LI_BLOCKS: dict[type, Any] = {
    TextBlock: TEXT,
    ImageBlock: ImageBlock(url="https://images.example/a.png"),
    AudioBlock: AudioBlock(audio=b"RIFF____WAVE", format="wav"),
    VideoBlock: VideoBlock(url="https://images.example/a.mp4"),
    DocumentBlock: DocumentBlock(data=b"%PDF-1.7"),
    CachePoint: CachePoint(cache_control=CacheControl(type="ephemeral")),
    CitableBlock: CitableBlock(title="t", source="s", content=[TEXT]),
    CitationBlock: CitationBlock(cited_content=TEXT, source="s", title="t", additional_location_info={}),
    ThinkingBlock: ThinkingBlock(content="Hm."),
    ToolCallBlock: ToolCallBlock(tool_call_id="a", tool_name="f", tool_kwargs={}),
}


def llama_index_blocks() -> list[type]:
    return [found for found in get_args(get_args(ContentBlock)[0]) if isinstance(found, type)]


@pytest.mark.parametrize("block_class", llama_index_blocks())
def test_any_block_of_llama_index_is_sent_left_out_or_named(
    gateway: Gateway, endpoint: Endpoint, block_class: type
) -> None:
    block, llm = LI_BLOCKS[block_class], llama_index(endpoint)

    llm.chat([LI_Q, ChatMessage(role="assistant", blocks=[TextBlock(text="second"), block]), LI_Q])

    assert "second" in json.dumps(sent(gateway)["messages"])
    if block_class not in (ThinkingBlock, ToolCallBlock):
        llm.chat([ChatMessage(role="user", blocks=[TEXT, block])])


@pytest.mark.parametrize("role", ["user", "system", "tool"])
@pytest.mark.parametrize("block_class", [ThinkingBlock, ToolCallBlock])
def test_a_call_or_thinking_that_is_not_the_model_s_is_named(
    gateway: Gateway, endpoint: Endpoint, role: str, block_class: type
) -> None:
    name = block_class.__name__
    with pytest.raises(ValueError, match=f"Unsupported content block: {name}"):
        llama_index(endpoint).chat([ChatMessage(role=role, blocks=[TEXT, LI_BLOCKS[block_class]]), LI_Q])
    assert not gateway.requests


def test_a_block_that_is_left_out_is_a_debug_line(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "texapi")

    langchain(endpoint).invoke([Q, AIMessage([{"type": "compaction", "secret": "S"}, "Hi"]), Q])

    assert "'compaction'" in caplog.text
    assert "secret" not in caplog.text


PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(8)).decode()
RAW: dict[str, tuple[list[Any], str]] = {
    "Anthropic": (
        [
            Q,
            AIMessage(
                [
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "t1", "name": "f", "input": {"x": 1}},
                    {"type": "tool_use", "id": "t2", "name": "g", "input": {}},
                ]
            ),
            HumanMessage(
                [
                    {"type": "tool_result", "tool_use_id": "t2", "content": "two"},
                    {
                        "type": "tool_result",
                        "tool_use_id": "t1",
                        "content": [
                            {"type": "text", "text": "one"},
                            {
                                "type": "image",
                                "source": {"type": "base64", "media_type": "image/jpeg", "data": PNG},
                            },
                        ],
                    },
                    {"type": "text", "text": "And now?"},
                ]
            ),
        ],
        "one",
    ),
    "Gemini": (
        [
            Q,
            AIMessage(
                [
                    {"text": "I look."},
                    {"function_call": {"name": "f", "args": {"x": 1}}},
                    {"functionCall": {"name": "g", "args": {}}},
                ]
            ),
            HumanMessage(
                [
                    {"function_response": {"name": "f", "response": {"result": "one"}}},
                    {"functionResponse": {"name": "g", "response": {"result": "two"}}},
                    {"inline_data": {"mime_type": "image/jpeg", "data": PNG}},
                    {"text": "And now?"},
                ]
            ),
        ],
        '{"result": "one"}',
    ),
    "Bedrock": (
        [
            Q,
            AIMessage(
                [
                    {"text": "I look."},
                    {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"x": 1}}},
                    {"toolUse": {"toolUseId": "t2", "name": "g", "input": {}}},
                ]
            ),
            HumanMessage(
                [
                    {
                        "toolResult": {
                            "toolUseId": "t1",
                            "content": [
                                {"text": "one"},
                                {"image": {"format": "jpeg", "source": {"bytes": base64.b64decode(PNG)}}},
                            ],
                        }
                    },
                    {"toolResult": {"toolUseId": "t2", "content": [{"json": {"two": 2}}]}},
                    {"text": "And now?"},
                ]
            ),
        ],
        "one",
    ),
    "OpenAI Responses": (
        [
            Q,
            AIMessage(
                [
                    {"type": "output_text", "text": "I look."},
                    {"type": "function_call", "call_id": "t1", "name": "f", "arguments": '{"x": 1}'},
                    {"type": "function_call", "call_id": "t2", "name": "g", "arguments": "{}"},
                ]
            ),
            HumanMessage(
                [
                    {"type": "function_call_output", "call_id": "t1", "output": "one"},
                    {"type": "function_call_output", "call_id": "t2", "output": "two"},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/jpeg", "data": PNG},
                    },
                    {"type": "text", "text": "And now?"},
                ]
            ),
        ],
        "one",
    ),
}


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("provider", RAW)
async def test_a_raw_history_keeps_calls_and_results_together(
    gateway: Gateway, endpoint: Endpoint, provider: str, how: str
) -> None:
    history, first_result = RAW[provider]
    given = copy.deepcopy(history)

    await ask(how, langchain(endpoint), history)

    user, answer, first, second, *rest = sent(gateway)["messages"]
    assert history == given
    assert answer["content"] == "I look."
    assert [call["function"]["name"] for call in answer["tool_calls"]] == ["f", "g"]
    assert json.loads(answer["tool_calls"][0]["function"]["arguments"]) == {"x": 1}
    assert [first["role"], second["role"]] == ["tool", "tool"]
    assert [call["id"] for call in answer["tool_calls"]] == [first["tool_call_id"], second["tool_call_id"]]
    assert first["content"] == first_result
    assert "And now?" in json.dumps(rest)
    assert f"data:image/png;base64,{PNG}" in json.dumps(rest)
    assert user["content"] == ASKED


def test_a_call_that_was_taken_out_of_an_answer_stays_out(gateway: Gateway, endpoint: Endpoint) -> None:
    """LangGraph's supervisors remove calls, and some leave the block in the content."""
    said = AIMessage(
        ["Hi", {"type": "tool_use", "id": "t1", "name": "f", "input": {}}],
        response_metadata={"model_provider": "anthropic"},
    )

    langchain(endpoint).invoke([Q, said, Q])

    assert sent(gateway)["messages"][1] == {"role": "assistant", "content": "Hi"}


@pytest.mark.parametrize(
    ("call", "name", "arguments"),
    [
        ({"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}, "f", {"x": 1}),
        ({"function_call": {"name": "f", "args": {"x": 1}}}, "f", {"x": 1}),
    ],
)
def test_calls_of_other_providers_in_llama_index(
    gateway: Gateway, endpoint: Endpoint, call: dict[str, Any], name: str, arguments: Any
) -> None:
    said = ChatMessage(role="assistant", additional_kwargs={"tool_calls": [call]})
    result = ChatMessage("done", role="tool", additional_kwargs={"tool_call_id": "a"})

    llama_index(endpoint).chat([LI_Q, said, result, LI_Q])

    (wire,) = sent(gateway)["messages"][1]["tool_calls"]
    assert wire["function"]["name"] == name
    assert json.loads(wire["function"]["arguments"]) == arguments


# Keys of LlamaIndex's messages


async def test_the_document_of_a_context_extractor_is_cached(gateway: Gateway, endpoint: Endpoint) -> None:
    store = SimpleDocumentStore()
    await store.async_add_documents([Document(text="A long document.", id_="d")])
    node = TextNode(text="A chunk.")
    node.relationships = {"1": Document(text="", id_="d").as_related_node_info()}  # type: ignore[dict-item]
    extractor = DocumentContextExtractor(docstore=store, llm=llama_index(endpoint), max_output_tokens=50)

    (metadata,) = await extractor.aextract([node])

    assert metadata["context"]
    document, chunk = sent(gateway)["messages"]
    marked = {"type": "text", "text": "<document>A long document.</document>"}
    assert document["content"] == [{**marked, "cache_control": {"type": "ephemeral"}}]
    assert "cache_control" not in json.dumps(chunk)


def test_a_key_that_is_not_sent_is_logged_once(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    message = ChatMessage("Hi", additional_kwargs={"priority": "S3CRET", "session_id": "1", "name": "an"})

    for _ in range(2):
        llama_index(endpoint).chat([message])

    lines = [record.getMessage() for record in caplog.records if "additional_kwargs" in record.getMessage()]
    assert lines == ["`additional_kwargs` of a message has keys that are not sent: priority."]


# Tools

OWN_TOOLS: list[dict[str, Any]] = [
    {"type": "custom", "custom": {"name": "sql", "format": {"type": "text"}}},
    {"google_search": {}},
    {"type": "openrouter:web_search", "parameters": {"max_results": 3}},
    {"type": "web_search_20250305", "name": "web_search", "max_uses": 5},
    {"type": "web_search"},
]


@pytest.mark.parametrize("tool", OWN_TOOLS)
async def test_a_provider_s_own_tool_is_sent_unchanged(
    gateway: Gateway, endpoint: Endpoint, tool: dict[str, Any]
) -> None:
    chat, llm = langchain(endpoint), llama_index(endpoint)

    chat.bind_tools([tool]).invoke([Q])
    chat.bind_tools([tool, StructuredTool.from_function(ping)]).invoke([Q])
    chat.invoke([Q], tools=[tool])
    llm.chat([LI_Q], tools=[tool])
    await llm.achat_with_tools([tool, FunctionTool.from_defaults(ping)], "Hi")  # type: ignore[list-item]

    assert [request.body["tools"][0] for request in gateway.requests] == [tool] * 5


def ping(host: str = "") -> str:
    """Ping a host."""
    return f"{host} is up"


SCHEMA = {"type": "object", "properties": {"host": {"type": "string"}}, "required": ["host"]}
PING = {"name": "ping", "description": "Ping.", "parameters": SCHEMA}
FORMS: dict[str, dict[str, Any]] = {
    "OpenAI": {"type": "function", "function": PING},
    "OpenAI Responses": {"type": "function", **PING},
    "function": PING,
    "Anthropic": {"name": "ping", "description": "Ping.", "input_schema": SCHEMA},
    "Anthropic, typed": {"type": "custom", "name": "ping", "description": "Ping.", "input_schema": SCHEMA},
    "MCP": {"name": "ping", "description": "Ping.", "inputSchema": SCHEMA, "annotations": {}},
    "Bedrock": {"toolSpec": {"name": "ping", "description": "Ping.", "inputSchema": {"json": SCHEMA}}},
    "JSON schema": {"title": "ping", "description": "Ping.", **SCHEMA},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_function_of_any_form_is_read(gateway: Gateway, endpoint: Endpoint, form: str) -> None:
    tool = FORMS[form]
    given = copy.deepcopy(tool)

    langchain(endpoint).bind_tools([tool], tool_choice="ping").invoke([Q])
    langchain(endpoint).invoke([Q], tools=[tool], tool_choice="ping")
    llama_index(endpoint).chat([LI_Q], tools=[tool])
    llama_index(endpoint).chat_with_tools([tool], "Hi", tool_choice="ping")  # type: ignore[list-item]

    assert [request.body["tools"] for request in gateway.requests] == [[FORMS["OpenAI"]]] * 4
    assert tool == given


EMPTY: dict[str, Any] = {"type": "object", "properties": {}}
SCHEMAS: dict[str, tuple[Any, dict[str, Any]]] = {
    "nothing": (None, EMPTY),
    "empty": ({}, EMPTY),
    "bare object": ({"type": "object"}, EMPTY),
    "dialect": ({**EMPTY, "$schema": "http://json-schema.org/draft-07/schema#"}, EMPTY),
    "null lists": ({"type": "object", "properties": None, "required": None}, EMPTY),
    "array without items": (
        {"type": "object", "properties": {"a": {"type": "array"}}},
        {"type": "object", "properties": {"a": {"type": "array", "items": {}}}},
    ),
    "nested array without items": (
        {"type": "object", "properties": {"a": {"anyOf": [{"type": "array"}, {"type": "null"}]}}},
        {
            "type": "object",
            "properties": {"a": {"anyOf": [{"type": "array", "items": {}}, {"type": "null"}]}},
        },
    ),
    "alternatives": (
        {"type": "object", "anyOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]},
        {
            "type": "object",
            "properties": {"a": {}, "b": {}},
            "description": "Give the properties of one of these: a (optional); or b (optional).",
        },
    ),
    "alternatives that are told apart": (
        {
            "description": "An animal.",
            "oneOf": [
                {"properties": {"kind": {"const": "cat"}, "lives": {}}, "required": ["kind", "lives"]},
                {"properties": {"kind": {"const": "dog"}, "name": {}}, "required": ["kind"]},
            ],
        },
        {
            "type": "object",
            "properties": {"kind": {"anyOf": [{"const": "cat"}, {"const": "dog"}]}, "lives": {}, "name": {}},
            "required": ["kind"],
            "description": "An animal.\nGive the properties of one of these: "
            'kind = "cat", lives; or kind = "dog", name (optional).',
        },
    ),
    "alternatives of what is required": (
        {
            "type": "object",
            "properties": {"a": {}, "b": {}},
            "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
        },
        {
            "type": "object",
            "properties": {"a": {}, "b": {}},
            "description": "Give the properties of one of these: a; or b.",
        },
    ),
    "bare object inside": (
        {"type": "object", "properties": {"a": {"type": "object"}}},
        {"type": "object", "properties": {"a": {"type": "object"}}},
    ),
}


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("case", SCHEMAS)
async def test_a_schema_is_sent_as_a_legal_one(
    gateway: Gateway, endpoint: Endpoint, case: str, how: str
) -> None:
    schema, legal = SCHEMAS[case]
    given = copy.deepcopy(schema)
    tool = {"name": "f", "description": "F.", "inputSchema": schema}

    await ask(how, langchain(endpoint).bind_tools([tool]), [Q])
    await ask(how, langchain(endpoint), [Q], tools=[tool])
    await ask(how, llama_index(endpoint), [LI_Q], tools=[tool])
    answer = {"type": "json_schema", "json_schema": {"name": "f", "schema": schema}}
    await ask(how, langchain(endpoint), [Q], response_format=answer)
    await ask(how, llama_index(endpoint), [LI_Q], response_format=answer)

    bodies = [request.body for request in gateway.requests]
    assert [body["tools"][0]["function"]["parameters"] for body in bodies[:3]] == [legal] * 3
    assert [body["response_format"]["json_schema"]["schema"] for body in bodies[3:]] == [legal] * 2
    assert schema == given


def test_a_schema_of_no_object_is_refused_by_the_name_of_the_tool(
    gateway: Gateway, endpoint: Endpoint
) -> None:
    tool = {"name": "f", "inputSchema": {"type": "string"}}

    for call in (
        lambda: langchain(endpoint).bind_tools([tool]),
        lambda: llama_index(endpoint).chat([LI_Q], tools=[tool]),
    ):
        with pytest.raises(ValueError, match="`parameters` of the tool 'f' must be the schema of an object"):
            call()
    assert gateway.requests == []


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
@pytest.mark.parametrize("schema", [{"type": "object"}, {"title": "Answer", "anyOf": [SCHEMA, EMPTY]}])
def test_a_schema_for_an_answer_is_legal(endpoint: Endpoint, method: Any, schema: dict[str, Any]) -> None:
    answer = langchain(endpoint).with_structured_output(schema, method=method).invoke([Q])

    assert isinstance(answer, dict)


Person = create_model("Person", name=str, age=(int, 1))


class Described(BaseModel):
    """A person."""

    name: str


def test_a_class_without_a_docstring_is_described_by_its_fields(gateway: Gateway, endpoint: Endpoint) -> None:
    llm = llama_index(endpoint)

    for answer_class in (Person, Described):
        llm.as_structured_llm(answer_class).complete("Someone")
    llm.chat_with_tools([FunctionTool.from_defaults(anything)], "Hi")

    described = [request.body["tools"][0]["function"]["description"] for request in gateway.requests]
    assert described[:2] == ["Person: name, age", "A person."]
    assert "Does anything." in described[2]


def anything(*args: Any, **kwargs: Any) -> str:
    """Does anything."""
    return ""


# Media


def office(folder: str) -> bytes:
    """The smallest office document."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("[Content_Types].xml", "<Types/>")
        file.writestr(f"{folder}/document.xml", "<document/>")
    return buffer.getvalue()


WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
TABLE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
IMAGES: dict[str, bytes] = {
    "image/png": b"\x89PNG\r\n\x1a\n" + bytes(30),
    "image/jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(30),
    "image/gif": b"GIF89a" + bytes(30),
    "image/webp": b"RIFF\x10\0\0\0WEBPVP8 " + bytes(30),
    "image/bmp": b"BM\x46\0\0\0\0\0\0\0" + bytes(30),
    "image/tiff": b"II*\0" + bytes(30),
    "image/avif": b"\0\0\0\x1cftypavif\0\0\0\0" + bytes(30),
    "image/heic": b"\0\0\0\x18ftypheic\0\0\0\0" + bytes(30),
    "image/svg+xml": b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg"/>',
}
SOUNDS: dict[str, bytes] = {
    "wav": b"RIFF\x24\0\0\0WAVEfmt " + bytes(30),
    "mp3": b"ID3\x03\0" + bytes(30),
    "flac": b"fLaC\0\0\0\x22" + bytes(30),
    "ogg": b"OggS\0\2" + bytes(30),
    "m4a": b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(30),
    "webm": b"\x1aE\xdf\xa3" + bytes(30),
    "aac": b"\xff\xf1\x50\x80" + bytes(30),
}
FILES: dict[str, tuple[bytes, str | None, str, str]] = {
    "a PDF": (b"%PDF-1.7 ...", None, "application/pdf", ".pdf"),
    "a PDF called text": (b"%PDF-1.7 ...", "text/plain", "application/pdf", ".pdf"),
    "a CSV": (b"a,b\n1,2\n", "text/csv", "text/csv", ".csv"),
    "a text": ("Trợ lý".encode(), None, "text/plain", ".txt"),
    "a Word document": (office("word"), None, WORD, ".docx"),
    "a Word document of no type": (office("word"), "application/octet-stream", WORD, ".docx"),
    "a table": (
        office("xl"),
        None,
        WORD.replace("wordprocessingml.document", "spreadsheetml.sheet"),
        ".xlsx",
    ),
}
WRONG = ["image/png", "image/jpeg", "IMAGE/GIF", None]


def encodings(content: bytes) -> list[str]:
    """Base64 as files, mails and addresses have it."""
    return [
        base64.b64encode(content).decode(),
        base64.encodebytes(content * 2).decode()
        if b"\0" * 20 in content
        else base64.encodebytes(content).decode(),
        base64.urlsafe_b64encode(content).decode().rstrip("="),
    ]


def parts_of(body: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    lists = [message["content"] for message in body["messages"] if isinstance(message["content"], list)]
    return [part[kind] for parts in lists for part in parts if part["type"] == kind]


@pytest.mark.parametrize("declared", WRONG)
@pytest.mark.parametrize("mime_type", IMAGES)
def test_an_image_has_the_type_of_its_bytes(
    gateway: Gateway, endpoint: Endpoint, mime_type: str, declared: str | None, tmp_path: Path
) -> None:
    content = IMAGES[mime_type]
    named = {"mime_type": declared or "application/octet-stream"}  # LangChain refuses a block without one
    blocks: list[dict[str, Any]] = [{"type": "image", "base64": content, **named}]
    for text in encodings(content):
        blocks += [
            {"type": "image", "base64": text, **named},
            {"type": "image", "source": {"type": "base64", "data": text, "media_type": declared}},
            {"type": "image_url", "image_url": {"url": f"data:{declared or ''};name=a;base64,{text}"}},
            {"type": "image", "base64": f"DATA:{declared or ''};base64,{text}", **named},
        ]
    path = tmp_path / "wrong.png"
    path.write_bytes(content)
    li_blocks = [
        ImageBlock(image=content, image_mimetype=declared),
        ImageBlock(path=path, image_mimetype=declared),
        ImageBlock(image=io.BytesIO(content), image_mimetype=declared),
    ]
    called = AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "a"}])
    li_called = ChatMessage(
        role="assistant", blocks=[ToolCallBlock(tool_call_id="a", tool_name="f", tool_kwargs={})]
    )
    li_result = ChatMessage(role="tool", blocks=li_blocks, additional_kwargs={"tool_call_id": "a"})

    langchain(endpoint).invoke([HumanMessage(blocks)])  # type: ignore[arg-type]
    langchain(endpoint).invoke([Q, called, ToolMessage(blocks, tool_call_id="a")])  # type: ignore[arg-type]
    llama_index(endpoint).chat([ChatMessage(role="user", blocks=li_blocks)])
    llama_index(endpoint).chat([LI_Q, li_called, li_result])

    found = [parts_of(request.body, "image_url") for request in gateway.requests]
    assert list(map(len, found)) == [13, 13, 3, 3]
    for image in [each for images in found for each in images]:
        assert image["url"].startswith(f"data:{mime_type};base64,")
        assert base64.b64decode(image["url"].partition(",")[2]).startswith(content)


@pytest.mark.parametrize("declared", ["audio/wav", "audio/mpeg", None])
@pytest.mark.parametrize("audio_format", SOUNDS)
def test_sound_has_the_format_of_its_bytes(
    gateway: Gateway, endpoint: Endpoint, audio_format: str, declared: str | None
) -> None:
    content = SOUNDS[audio_format]
    blocks: list[Any] = [{"type": "audio", "base64": content, "mime_type": declared}]
    for text in encodings(content):
        blocks += [
            {"type": "audio", "base64": text, "mime_type": declared},
            {"type": "audio", "url": f"data:{declared or ''};base64,{text}"},
            {"type": "input_audio", "input_audio": {"data": text, "format": "wav"}},
            {
                "type": "input_audio",
                "input_audio": {"data": f"data:audio/wav;base64,{text}", "format": "wav"},
            },
        ]
    said = AudioBlock(audio=content, format=declared and declared.partition("/")[2])

    langchain(endpoint).invoke([HumanMessage(blocks)])
    llama_index(endpoint).chat([ChatMessage(role="user", blocks=[said])])

    found = [parts_of(request.body, "input_audio") for request in gateway.requests]
    assert list(map(len, found)) == [13, 1]
    for sound in [each for sounds in found for each in sounds]:
        assert sound["format"] == audio_format
        assert base64.b64decode(sound["data"]).startswith(content)


@pytest.mark.parametrize("case", FILES)
def test_a_file_has_a_type_and_a_name_that_ends_so(gateway: Gateway, endpoint: Endpoint, case: str) -> None:
    content, declared, mime_type, ending = FILES[case]
    text = base64.b64encode(content).decode()
    blocks: list[Any] = [
        {"type": "file", "base64": text, "mime_type": declared},
        {"type": "file", "base64": content, "mime_type": declared},
        {"type": "file", "base64": text, "mime_type": declared, "filename": "Báo cáo"},
    ]
    document = DocumentBlock(data=content, document_mimetype=declared)

    langchain(endpoint).invoke([HumanMessage(blocks)])
    llama_index(endpoint).chat([ChatMessage(role="user", blocks=[document])])

    files = [file for request in gateway.requests for file in parts_of(request.body, "file")]
    assert [file["filename"] for file in files] == [
        *(f"document{ending}", f"document{ending}", f"Báo cáo{ending}", f"input_document{ending}"),
    ]
    assert [file["file_data"] for file in files] == [f"data:{mime_type};base64,{text}"] * 4


def test_a_file_in_openai_s_form_has_the_type_of_its_bytes(gateway: Gateway, endpoint: Endpoint) -> None:
    """LangChain gives the type of a PDF to each."""
    contents = [b"%PDF-1.7", office("ppt"), b"a,b\n1,2\n", b"junk\n%PDF-1.4"]
    urls = [f"data:text/csv;base64,{base64.b64encode(content).decode()}" for content in contents]
    blocks: list[Any] = [{"type": "file", "file": {"file_data": url}} for url in urls]

    langchain(endpoint).invoke([HumanMessage(blocks)])

    names = [file["filename"] for file in parts_of(sent(gateway), "file")]
    assert names == ["document.pdf", "document.pptx", "document.txt", "document.pdf"]


def test_a_pdf_in_the_place_of_an_image_is_sent_as_a_file(gateway: Gateway, endpoint: Endpoint) -> None:
    url = f"data:image/png;base64,{base64.b64encode(b'%PDF-1.7').decode()}"

    langchain(endpoint).invoke([HumanMessage([{"type": "image_url", "image_url": {"url": url}}])])

    (file,) = parts_of(sent(gateway), "file")
    assert file == {"filename": "document.pdf", "file_data": url.replace("image/png", "application/pdf")}


def test_what_is_labelled_right_is_sent_as_it_is(gateway: Gateway, endpoint: Endpoint) -> None:
    parts = [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://images.example/a.jpg"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
        {"type": "file", "file": {"file_data": "https://files.example/a.pdf"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "input_audio", "input_audio": {"data": "UklGRiQAAABXQVZF", "format": "wav"}},
    ]

    langchain(endpoint).invoke([SystemMessage("Be brief."), HumanMessage(copy.deepcopy(parts))])  # type: ignore[arg-type]

    assert json.dumps(sent(gateway)["messages"][1]["content"]) == json.dumps(parts)
