"""Conversion of LangChain messages to the wire format; unsupported content raises and is named."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_texapi._messages import convert_messages

CALL = {"name": "f", "args": {"x": "Hà Nội"}, "id": "c1"}
WIRE_CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": "Hà Nội"}'}}
PNG = "data:image/png;base64,AAAA"


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (SystemMessage("s"), {"role": "system", "content": "s"}),
        (
            SystemMessage("s", additional_kwargs={"__openai_role__": "developer"}),
            {"role": "developer", "content": "s"},
        ),
        (HumanMessage("h"), {"role": "user", "content": "h"}),
        (HumanMessage("h", name="ann"), {"role": "user", "content": "h", "name": "ann"}),
        (AIMessage("a"), {"role": "assistant", "content": "a"}),
        (AIMessage(""), {"role": "assistant", "content": ""}),
        (AIMessage("", tool_calls=[CALL]), {"role": "assistant", "content": None, "tool_calls": [WIRE_CALL]}),
        (AIMessage("a", tool_calls=[CALL]), {"role": "assistant", "content": "a", "tool_calls": [WIRE_CALL]}),
        (
            AIMessage("", additional_kwargs={"refusal": "no"}),
            {"role": "assistant", "content": None, "refusal": "no"},
        ),
        (
            AIMessage(
                [
                    {"type": "thinking", "thinking": "t", "signature": "s"},
                    {"type": "text", "text": "a"},
                    {"type": "tool_use", "id": "c1", "name": "f", "input": {"x": "Hà Nội"}},
                ],
                tool_calls=[CALL],
            ),
            {
                "role": "assistant",
                "content": "a",
                "tool_calls": [WIRE_CALL],
                "thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": "s"}],
                "reasoning_content": "t",
            },
        ),
        (ToolMessage("t", tool_call_id="c1"), {"role": "tool", "content": "t", "tool_call_id": "c1"}),
        (
            ToolMessage("t", tool_call_id="c1", status="error", name="f"),
            {"role": "tool", "content": "t", "tool_call_id": "c1", "name": "f"},
        ),
        (FunctionMessage(content="t", name="f"), {"role": "function", "content": "t", "name": "f"}),
        (ChatMessage(content="x", role="critic"), {"role": "user", "name": "critic", "content": "x"}),
    ],
)
def test_a_message(message: BaseMessage, wire: dict[str, Any]) -> None:
    assert convert_messages([message]) == [wire]


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"type": "text", "text": "a"}, {"type": "text", "text": "a"}),
        (
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
        ),
        ({"type": "image_url", "image_url": PNG}, {"type": "image_url", "image_url": {"url": PNG}}),
        (
            {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
            {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
        ),
        (
            {"type": "image", "base64": "AAAA", "mime_type": "image/png"},
            {"type": "image_url", "image_url": {"url": PNG}},
        ),
        (
            {"type": "image", "source_type": "base64", "data": "AAAA", "mime_type": "image/png"},
            {"type": "image_url", "image_url": {"url": PNG}},
        ),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            {"type": "image_url", "image_url": {"url": PNG}},
        ),
        (
            {"type": "image", "url": "https://x.example/a.png"},
            {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
        ),
        (
            {"type": "audio", "base64": "AAAA", "mime_type": "audio/mpeg"},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        ),
        (
            {"type": "file", "base64": "AAAA", "mime_type": "application/pdf"},
            {
                "type": "file",
                "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,AAAA"},
            },
        ),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "AAAA"}},
            {
                "type": "file",
                "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"},
            },
        ),
        ({"type": "file", "file_id": "f1"}, {"type": "file", "file": {"file_id": "f1"}}),
        (
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a"}},
            {"type": "text", "text": "a"},
        ),
        ({"type": "text-plain", "text": "a"}, {"type": "text", "text": "a"}),
        (
            {"type": "video", "url": "https://x.example/a.mp4"},
            {"type": "video_url", "video_url": {"url": "https://x.example/a.mp4"}},
        ),
    ],
)
def test_a_block_of_a_user_s_message(block: dict[str, Any], part: dict[str, Any]) -> None:
    assert convert_messages([HumanMessage([block])]) == [{"role": "user", "content": [part]}]


@pytest.mark.parametrize(
    ("block", "named"),
    [
        ({"type": "hologram"}, "hologram"),
        ({"x": "no type"}, "None"),
        ({"type": "image"}, "image"),
        ({"type": "audio", "url": "https://x.example/a.mp3"}, "audio"),
        ({"type": "file"}, "file"),
    ],
)
def test_an_unsupported_block_is_named(block: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"Unsupported content block.*{named}"):
        convert_messages([HumanMessage([block])])


def test_an_unsupported_message_is_named() -> None:
    with pytest.raises(ValueError, match="RemoveMessage"):
        convert_messages([RemoveMessage(id="1")])


def test_anthropic_s_tool_results_become_tool_messages() -> None:
    result = {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "r"}]}

    assert convert_messages([HumanMessage([result, {"type": "text", "text": "q"}])]) == [
        {"role": "tool", "tool_call_id": "c1", "content": "r"},
        {"role": "user", "content": [{"type": "text", "text": "q"}]},
    ]


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
IMAGE_PART = {"type": "image_url", "image_url": {"url": PNG}}
CACHE = {"cache_control": {"type": "ephemeral"}}


def test_images_in_anthropic_s_tool_results_are_sent() -> None:
    text = {"type": "text", "text": "see"}
    result = {"type": "tool_result", "tool_use_id": "c1", "content": [text, IMAGE], **CACHE}
    messages = [HumanMessage([result, {"type": "text", "text": "q"}])]

    apart = convert_messages(messages)
    in_place = convert_messages(messages, tool_media="tool_message")

    assert [wire["role"] for wire in apart] == ["tool", "user", "user"]
    assert apart[0]["content"] == "see"
    assert apart[1]["content"][-1] == {**IMAGE_PART, **CACHE}
    assert in_place[0]["content"] == [text, {**IMAGE_PART, **CACHE}]
    assert "cache_control" not in IMAGE


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        ("r", [{"type": "text", "text": "r", **CACHE}]),
        ([{"type": "text", "text": "r"}], [{"type": "text", "text": "r", **CACHE}]),
        ([], ""),
        ("", ""),
        (None, ""),
    ],
)
def test_the_cache_mark_of_a_tool_result_is_kept(content: Any, wire: Any) -> None:
    result = {"type": "tool_result", "tool_use_id": "c1", "content": content, **CACHE}

    assert convert_messages([HumanMessage([result])]) == [
        {"role": "tool", "tool_call_id": "c1", "content": wire}
    ]


def test_an_unsupported_block_in_a_tool_result_is_named() -> None:
    result = {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "search_result"}]}

    with pytest.raises(ValueError, match="a tool_result: 'search_result'"):
        convert_messages([HumanMessage([result])])


def test_an_empty_list_as_tool_result_becomes_an_empty_text() -> None:
    assert convert_messages([ToolMessage([], tool_call_id="c1")])[0]["content"] == ""


@pytest.mark.parametrize("mime_type", [{"mime_type": "text/plain"}, {}])
def test_a_plain_text_block_is_not_a_pdf(mime_type: dict[str, str]) -> None:
    text: Any = {"type": "text-plain", "base64": "AAAA", **mime_type}

    assert convert_messages([HumanMessage([text])])[0]["content"] == [
        {"type": "file", "file": {"filename": "document.txt", "file_data": "data:text/plain;base64,AAAA"}}
    ]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "reasoning", "reasoning": "think"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "think"}]},
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "think"}]},
        {"type": "thinking", "thinking": "think", "signature": "s"},
        {"type": "reasoning_content", "reasoning_content": {"text": "think", "signature": "s"}},
    ],
)
def test_reasoning_of_other_providers_is_sent_back(block: dict[str, Any]) -> None:
    earlier = AIMessage([block, {"type": "text", "text": "a"}], tool_calls=[CALL])

    wire = convert_messages([earlier, ToolMessage("r", tool_call_id="c1")])[0]

    assert (wire["reasoning_content"], wire["content"]) == ("think", "a")
    assert "reasoning_content" not in convert_messages([earlier], replay_reasoning="never")[0]


SERVER_SIDE: list[list[dict[str, Any]]] = [
    [
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []},
    ],
    [{"type": "mcp_tool_use", "id": "m1"}, {"type": "mcp_tool_result", "tool_use_id": "m1"}],
    [{"type": "web_search_call", "id": "w1"}, {"type": "file_search_call", "id": "f1"}],
    [{"type": "code_interpreter_call", "id": "c1"}, {"type": "computer_call", "id": "c2"}],
    [{"type": "mcp_list_tools"}, {"type": "image_generation_call", "id": "i1", "status": "failed"}],
    [{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}],
    [{"type": "executable_code", "executable_code": "1"}, {"type": "code_execution_result"}],
    [{"type": "reasoning_content", "reasoning_content": {"text": "hm", "signature": "x"}}],
    [
        {"type": "server_tool_call", "id": "s1", "name": "web_search", "args": {}},
        {"type": "server_tool_result", "tool_call_id": "s1", "status": "success", "output": []},
        {"type": "non_standard", "value": {"type": "x"}},
    ],
]


@pytest.mark.parametrize("blocks", SERVER_SIDE, ids=lambda blocks: blocks[0]["type"])
def test_server_side_tool_blocks_of_other_providers_are_left_out(blocks: list[dict[str, Any]]) -> None:
    """As Anthropic, OpenAI Responses, Google, Bedrock and LangChain name it."""
    content: Any = [*blocks, {"type": "text", "text": "It is so.", "annotations": []}]

    assert convert_messages([AIMessage(content)]) == [{"role": "assistant", "content": "It is so."}]
    with pytest.raises(ValueError, match="Unsupported content block"):
        convert_messages([HumanMessage([{"type": "non_standard", "value": {}}])])


@pytest.mark.parametrize(("where", "apart"), [("user_message", True), ("tool_message", False)])
def test_an_image_from_the_model_is_sent_back_in_a_user_message(where: Any, apart: bool) -> None:
    image = {"type": "image", "base64": "AAAA", "mime_type": "image/png"}
    part = {"type": "image_url", "image_url": {"url": PNG}}
    text = {"type": "text", "text": "Here."}
    drawn: Any = AIMessage([text, image], tool_calls=[CALL])

    wire = convert_messages(
        [drawn, ToolMessage("t", tool_call_id="c1"), HumanMessage("Thanks")], tool_media=where
    )

    if apart:
        assert [message["role"] for message in wire] == ["assistant", "tool", "user", "user"]
        assert wire[0]["content"] == text["text"]
        assert wire[2]["content"][1] == part
    else:
        assert [message["role"] for message in wire] == ["assistant", "tool", "user"]
        assert wire[0]["content"] == [text, part]


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (AIMessage([{"type": "refusal", "refusal": "no"}]), {"content": None, "refusal": "no"}),
        (AIMessage("", additional_kwargs={"audio": {"id": "a1", "data": "AAAA"}}), {"audio": {"id": "a1"}}),
        (
            AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": "{}"}}),
            {"function_call": {"name": "f", "arguments": "{}"}},
        ),
        (AIMessage("a", name="ann"), {"content": "a", "name": "ann"}),
        (AIMessage("a", additional_kwargs={"lc_source": "x", "unknown": 1}), {"content": "a"}),
    ],
)
def test_other_fields_of_an_earlier_answer(message: AIMessage, wire: dict[str, Any]) -> None:
    assert convert_messages([message]) == [{"role": "assistant", "content": "", **wire}]


@pytest.mark.parametrize("name", ["cache_control", "prompt_cache_breakpoint"])
@pytest.mark.parametrize("in_extras", [False, True])
@pytest.mark.parametrize("message_class", [SystemMessage, HumanMessage, AIMessage, ToolMessage])
def test_marks_of_a_prompt_cache_stay_on_their_block(message_class: Any, name: str, in_extras: bool) -> None:
    mark = {name: {"type": "ephemeral"}}
    block = {"type": "text", "text": "a", "id": "lc_1", **({"extras": mark} if in_extras else mark)}
    kwargs = {"tool_call_id": "c1"} if message_class is ToolMessage else {}

    (wire,) = convert_messages([message_class([block], **kwargs)])

    assert wire["content"] == [{"type": "text", "text": "a", **mark}]


@pytest.mark.parametrize(
    ("policy", "with_calls", "without_calls"),
    [("auto", True, False), ("always", True, True), ("never", False, False)],
)
def test_reasoning_is_sent_back_according_to_the_policy(
    policy: Any, with_calls: bool, without_calls: bool
) -> None:
    reasoning = {"reasoning_content": "t"}
    called, plain = convert_messages(
        [
            AIMessage("a", additional_kwargs=reasoning, tool_calls=[CALL]),
            AIMessage("b", additional_kwargs=reasoning),
        ],
        replay_reasoning=policy,
    )

    assert ("reasoning_content" in called, "reasoning_content" in plain) == (with_calls, without_calls)


def test_reasoning_is_sent_back_in_its_original_field() -> None:
    details = [{"type": "reasoning.text", "text": "t", "signature": "s"}]
    message = AIMessage(
        "",
        tool_calls=[CALL],
        additional_kwargs={"reasoning_content": "t", "reasoning_details": details},
        response_metadata={"reasoning_field": "reasoning"},
    )

    (wire,) = convert_messages([message])

    assert (wire["reasoning"], wire["reasoning_details"]) == ("t", details)
    assert "reasoning_content" not in wire


def test_an_invalid_call_is_sent_back_only_if_it_was_answered() -> None:
    bad = {"name": "f", "args": "{broken", "id": "c1", "error": None, "type": "invalid_tool_call"}
    asked = AIMessage("", invalid_tool_calls=[bad])

    (alone,) = convert_messages([asked])
    answered, _ = convert_messages([asked, ToolMessage("no JSON", tool_call_id="c1")])

    assert "tool_calls" not in alone
    assert answered["tool_calls"][0]["function"]["arguments"] == '{"invalid_arguments": "{broken"}'


@pytest.mark.parametrize(
    ("where", "roles"),
    [("user_message", ["tool", "tool", "user", "user"]), ("tool_message", ["tool", "tool", "user"])],
)
def test_the_setting_decides_where_media_of_tool_results_go(where: Any, roles: list[str]) -> None:
    image = {"type": "image", "url": "https://x.example/a.png"}
    messages = [
        ToolMessage([image], tool_call_id="c1"),
        ToolMessage("t", tool_call_id="c2"),
        HumanMessage("next"),
    ]

    assert [wire["role"] for wire in convert_messages(messages, tool_media=where)] == roles


def test_the_caller_s_messages_are_not_changed() -> None:
    content = [{"type": "image_url", "image_url": {"url": PNG}}, {"type": "text", "text": "a"}]
    message = HumanMessage(content)  # type: ignore[arg-type] # a list of blocks
    before = message.model_copy(deep=True)

    wire = convert_messages([message])
    wire[0]["content"][0]["image_url"]["url"] = "changed"

    assert message == before
