"""Conversion of LlamaIndex messages to the wire format; unsupported content raises and is named."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from openai.types.chat import ChatCompletionMessageFunctionToolCall
from openai.types.chat.chat_completion_message_function_tool_call import Function

from llama_index_texapi._messages import to_openai_message_dicts

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 16
PDF = b"%PDF-1.4 tiny"
CALL = ToolCallBlock(tool_call_id="c1", tool_name="f", tool_kwargs={"x": "Hà Nội"})
WIRE_CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": "Hà Nội"}'}}
SDK_CALL = ChatCompletionMessageFunctionToolCall(
    id="c1", type="function", function=Function(name="f", arguments='{"x": "Hà Nội"}')
)


def message(role: str, *blocks: Any, **additional_kwargs: Any) -> ChatMessage:
    return ChatMessage(role=MessageRole(role), blocks=list(blocks), additional_kwargs=additional_kwargs)


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.mark.parametrize(
    ("given", "wire"),
    [
        (ChatMessage("u"), {"role": "user", "content": "u"}),
        (ChatMessage("s", role="system"), {"role": "system", "content": "s"}),
        (ChatMessage("d", role="developer"), {"role": "developer", "content": "d"}),
        (ChatMessage("a", role="chatbot"), {"role": "assistant", "content": "a"}),
        (ChatMessage("a", role="model"), {"role": "assistant", "content": "a"}),
        (message("user"), {"role": "user", "content": ""}),
        (message("user", TextBlock(text="a"), TextBlock(text="b")), {"role": "user", "content": "a\nb"}),
        (message("user", TextBlock(text="a"), name="ann"), {"role": "user", "content": "a", "name": "ann"}),
        (
            message("tool", TextBlock(text="t"), tool_call_id="c1"),
            {"role": "tool", "content": "t", "tool_call_id": "c1"},
        ),
        (message("assistant", CALL), {"role": "assistant", "content": None, "tool_calls": [WIRE_CALL]}),
        (
            message("assistant", TextBlock(text="a"), CALL),
            {"role": "assistant", "content": "a", "tool_calls": [WIRE_CALL]},
        ),
        (
            message("assistant", tool_calls=[WIRE_CALL]),
            {"role": "assistant", "content": None, "tool_calls": [WIRE_CALL]},
        ),
        (
            message("assistant", tool_calls=[SDK_CALL]),
            {"role": "assistant", "content": None, "tool_calls": [WIRE_CALL]},
        ),
        (
            message("assistant", TextBlock(text="direct"), tool_call_id="c1"),
            {"role": "assistant", "content": "direct"},
        ),
        (
            message("assistant", TextBlock(text=""), refusal="no"),
            {"role": "assistant", "content": None, "refusal": "no"},
        ),
    ],
)
def test_a_message(given: ChatMessage, wire: dict[str, Any]) -> None:
    before = given.model_copy(deep=True)

    assert to_openai_message_dicts([given]) == [wire]
    assert given == before


@pytest.mark.parametrize(
    ("block", "part"),
    [
        (
            ImageBlock(url="https://x.example/a.png"),
            {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
        ),
        (
            ImageBlock(image=PNG, detail="low"),
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{b64(PNG)}", "detail": "low"}},
        ),
        (
            AudioBlock(audio=b"RIFF\0\0\0\0WAVE", format="wav"),
            {"type": "input_audio", "input_audio": {"data": b64(b"RIFF\0\0\0\0WAVE"), "format": "wav"}},
        ),
        (
            DocumentBlock(data=PDF, title="a.pdf", document_mimetype="application/pdf"),
            {
                "type": "file",
                "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{b64(PDF)}"},
            },
        ),
        (
            DocumentBlock(url="https://x.example/a.pdf", title="a.pdf", document_mimetype="application/pdf"),
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "https://x.example/a.pdf"}},
        ),
    ],
)
def test_a_block_that_is_not_text(block: Any, part: dict[str, Any]) -> None:
    (wire,) = to_openai_message_dicts([message("user", TextBlock(text="look"), block)])

    assert wire["content"] == [{"type": "text", "text": "look"}, part]


def test_a_document_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a.pdf"
    file.write_bytes(PDF)
    block = DocumentBlock(path=file, title="a.pdf", document_mimetype="application/pdf")

    (wire,) = to_openai_message_dicts([message("user", block)])

    assert wire["content"][0]["file"]["file_data"] == f"data:application/pdf;base64,{b64(PDF)}"


@pytest.mark.parametrize(
    ("title", "content", "mimetype"),
    [("notes.csv", b"a,b", "text/csv"), ("notes", b"a,b!", "text/plain"), ("notes", PDF, "application/pdf")],
)
def test_the_type_of_a_document_is_detected_by_name_or_content(
    title: str, content: bytes, mimetype: str
) -> None:
    (wire,) = to_openai_message_dicts([message("user", DocumentBlock(data=content, title=title))])

    assert wire["content"][0]["file"]["file_data"].startswith(f"data:{mimetype};base64,")


def test_an_image_from_memory() -> None:
    (wire,) = to_openai_message_dicts([message("user", ImageBlock(image=BytesIO(PNG)))])

    assert wire["content"][0]["image_url"]["url"] == f"data:image/png;base64,{b64(PNG)}"


def test_anthropic_s_tool_calls_in_a_history() -> None:
    given = message(
        "assistant", tool_calls=[{"type": "tool_use", "id": "c1", "name": "f", "input": {"x": 1}}]
    )

    (wire,) = to_openai_message_dicts([given])

    assert wire["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"x": 1}'}


def test_citable_and_cited_blocks_become_text() -> None:
    citable = CitableBlock(title="t", source="s", content=[TextBlock(text="a")])
    citation = CitationBlock(
        cited_content=TextBlock(text="b"), source="s", title="t", additional_location_info={}
    )

    (wire,) = to_openai_message_dicts([message("user", citable, citation)])

    assert wire["content"] == "t\ns\na\nb"


def test_a_cache_point_marks_the_preceding_part() -> None:
    point = CachePoint(cache_control=CacheControl(type="ephemeral"))

    (wire,) = to_openai_message_dicts([message("system", TextBlock(text="long"), point, TextBlock(text="x"))])

    assert wire["content"] == [
        {"type": "text", "text": "long", "cache_control": {"type": "ephemeral", "ttl": "5m"}},
        {"type": "text", "text": "x"},
    ]


POINT = CachePoint(cache_control=CacheControl(type="ephemeral"))


@pytest.mark.parametrize(
    ("role", "blocks", "marked"),
    [
        ("user", [POINT, TextBlock(text="a"), TextBlock(text="b")], "a"),
        ("tool", [POINT, TextBlock(text="a")], "a"),
        ("assistant", [TextBlock(text="a"), CALL, POINT], "a"),
        ("assistant", [ThinkingBlock(content="t"), POINT, TextBlock(text="a"), CALL], "a"),
        ("user", [POINT, TextBlock(text="a"), POINT, TextBlock(text="b"), POINT], "ab"),
    ],
)
def test_a_cache_point_marks_the_nearest_part(role: str, blocks: list[Any], marked: str) -> None:
    own_message = message(role, *blocks, **({"tool_call_id": "call_1"} if role == "tool" else {}))
    history = [message("assistant", CALL)] if role == "tool" else []

    wire = to_openai_message_dicts([*history, own_message])[-1]

    assert "".join(part["text"] for part in wire["content"] if "cache_control" in part) == marked
    assert wire["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "5m"}


def test_a_cache_point_without_a_part_to_mark_is_an_error() -> None:
    with pytest.raises(ValueError, match="CachePoint stands in a message of the role 'assistant'"):
        to_openai_message_dicts([message("assistant", CALL, POINT)])


def test_an_unsupported_block_is_named() -> None:
    with pytest.raises(ValueError, match="Unsupported content block: VideoBlock needs one of video"):
        to_openai_message_dicts([message("user", VideoBlock())])


@pytest.mark.parametrize(
    ("policy", "with_calls", "without_calls"),
    [("auto", True, False), ("always", True, True), ("never", False, False)],
)
def test_reasoning_is_sent_back_according_to_the_policy(
    policy: Any, with_calls: bool, without_calls: bool
) -> None:
    thinking = ThinkingBlock(content="t")
    called, plain = to_openai_message_dicts(
        [message("assistant", thinking, CALL), message("assistant", thinking, TextBlock(text="a"))],
        replay_reasoning=policy,
    )

    assert ("reasoning_content" in called, "reasoning_content" in plain) == (with_calls, without_calls)


def test_reasoning_is_sent_back_in_its_original_field() -> None:
    details = [{"type": "reasoning.text", "text": "t", "signature": "s"}]
    origin = {"field": "reasoning", "details": details, "details_field": "reasoning_details"}
    thinking = ThinkingBlock(content="t", additional_information=origin)

    (wire,) = to_openai_message_dicts([message("assistant", thinking, CALL)])

    assert (wire["reasoning"], wire["reasoning_details"]) == ("t", details)
    assert "reasoning_content" not in wire


@pytest.mark.parametrize(
    ("kwargs", "arguments"),
    [('{"x": 1}', '{"x": 1}'), ({}, "{}"), ("", "{}"), ("{broken", '{"invalid_arguments": "{broken"}')],
)
def test_arguments_are_sent_back_as_json(kwargs: Any, arguments: str) -> None:
    block = ToolCallBlock(tool_call_id="c1", tool_name="f", tool_kwargs=kwargs)

    (wire,) = to_openai_message_dicts([message("assistant", block)])

    assert wire["tool_calls"][0]["function"]["arguments"] == arguments


@pytest.mark.parametrize(
    ("where", "roles"),
    [("user_message", ["tool", "tool", "user", "user"]), ("tool_message", ["tool", "tool", "user"])],
)
def test_the_setting_decides_where_media_of_tool_results_go(where: Any, roles: list[str]) -> None:
    messages = [
        message("tool", ImageBlock(url="https://x.example/a.png"), tool_call_id="c1"),
        message("tool", TextBlock(text="t"), tool_call_id="c2"),
        ChatMessage("next"),
    ]

    assert [wire["role"] for wire in to_openai_message_dicts(messages, tool_media=where)] == roles


def test_an_answer_restored_from_json_is_sent_back_unchanged() -> None:
    given = message("assistant", ThinkingBlock(content="t"), TextBlock(text="a"), CALL, tool_calls=[SDK_CALL])

    loaded = ChatMessage.model_validate_json(given.model_dump_json())

    assert to_openai_message_dicts([loaded]) == to_openai_message_dicts([given])


def test_an_image_in_an_answer_is_sent_back_in_a_user_message() -> None:
    image = ImageBlock(url="https://example.com/a.png")
    answer = ChatMessage(role="assistant", blocks=[TextBlock(text="Here."), image])

    assistant, user = to_openai_message_dicts([answer])

    assert assistant == {"role": "assistant", "content": "Here."}
    assert [part["type"] for part in user["content"]] == ["text", "image_url"]
