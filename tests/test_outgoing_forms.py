"""Roles, media, calls and results in every form that messages have, in both frameworks."""

from __future__ import annotations

import base64
import json
from collections import namedtuple
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from llama_index.core.base.llms.types import ChatMessage as LlamaMessage
from llama_index.core.base.llms.types import (
    ImageBlock,
    MessageRole,
    TextBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.llms.llm import ToolSelection

from tests.conftest import Endpoint
from tests.gateway import Gateway
from tests.test_outgoing import LI_Q, Q, called, langchain, li_called, li_result, llama_index

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(8)).decode()
IMAGE: dict[str, Any] = {"type": "image", "base64": PNG, "mime_type": "image/png"}
WIRE_IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
LOOK: Any = [{"type": "text", "text": "Look."}, IMAGE]


def sent(gateway: Gateway) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = gateway.requests[-1].body["messages"]
    return found


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


# Roles

ROLES = {
    "user": ("user", None),
    "Human": ("user", None),
    "assistant": ("assistant", None),
    "ai": ("assistant", None),
    "model": ("assistant", None),
    "chatbot": ("assistant", None),
    "system": ("system", None),
    "developer": ("developer", None),
    "critic": ("user", "critic"),
    "Trợ lý": ("user", "Tro_ly"),
}


@pytest.mark.parametrize("given", ROLES)
def test_any_role_of_a_chat_message_is_one_of_the_wire(
    gateway: Gateway, endpoint: Endpoint, given: str
) -> None:
    role, name = ROLES[given]

    langchain(endpoint).invoke([ChatMessage(content="Hi", role=given), Q])

    assert sent(gateway)[0] == {"role": role, "content": "Hi", **({"name": name} if name else {})}


def test_chat_messages_hold_calls_and_results(gateway: Gateway, endpoint: Endpoint) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    said = ChatMessage(content="", role="assistant", additional_kwargs={"tool_calls": [call]})
    result = ChatMessage(content="done", role="tool", additional_kwargs={"tool_call_id": "a"})

    langchain(endpoint).invoke([Q, said, result, Q])

    assert sent(gateway)[1:3] == [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "done", "tool_call_id": "a"},
    ]


@pytest.mark.parametrize("role", list(MessageRole))
def test_every_role_of_llama_index_is_sent(gateway: Gateway, endpoint: Endpoint, role: MessageRole) -> None:
    said = LlamaMessage(role=role, blocks=[TextBlock(text="Look."), ImageBlock(image=base64.b64decode(PNG))])

    llama_index(endpoint).chat([LI_Q, said, LI_Q])

    body = json.dumps(sent(gateway))
    assert body.count("Look.") == body.count(PNG) == 1


# Media where only users may have them

PLACES: dict[str, tuple[Any, list[dict[str, Any]]]] = {
    "system": (
        SystemMessage(LOOK),
        [
            {"role": "system", "content": "Look."},
            {"role": "user", "content": [text("Attached to the system message:"), WIRE_IMAGE]},
        ],
    ),
    "system, an image alone": (
        SystemMessage([IMAGE]),
        [
            {"role": "system", "content": "The instruction is in the next message."},
            {"role": "user", "content": [text("Attached to the system message:"), WIRE_IMAGE]},
        ],
    ),
    "an assistant's role in text": (
        ChatMessage(content=LOOK, role="assistant"),
        [
            {"role": "assistant", "content": "Look."},
            {"role": "user", "content": [text("Attached to the assistant's message:"), WIRE_IMAGE]},
        ],
    ),
    "a user's role in text": (
        ChatMessage(content=LOOK, role="human"),
        [{"role": "user", "content": [text("Look."), WIRE_IMAGE]}],
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_media_follow_in_a_message_of_the_user(gateway: Gateway, endpoint: Endpoint, place: str) -> None:
    given, wire = PLACES[place]

    langchain(endpoint).invoke([given, Q])

    assert sent(gateway)[:-1] == wire


def test_media_of_a_function_follow_its_result(gateway: Gateway, endpoint: Endpoint) -> None:
    said = AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": "{}"}})

    langchain(endpoint).invoke([Q, said, FunctionMessage(content=LOOK, name="f"), Q])

    _, answer, result, media, _ = sent(gateway)
    assert result == {"role": "tool", "content": "Look.", "tool_call_id": answer["tool_calls"][0]["id"]}
    assert media == {"role": "user", "content": [text("Attached to the result of a tool call:"), WIRE_IMAGE]}


def test_a_video_of_a_user_is_sent_by_both_frameworks(gateway: Gateway, endpoint: Endpoint) -> None:
    mp4 = b"\0\0\0\x18ftypisom"
    langchain(endpoint).invoke(
        [
            HumanMessage(
                [{"type": "video", "base64": base64.b64encode(mp4).decode(), "mime_type": "video/mp4"}]
            )
        ]
    )
    llama_index(endpoint).chat([LlamaMessage(role="user", blocks=[VideoBlock(video=mp4)])])

    by_langchain, by_llama_index = (request.body["messages"] for request in gateway.requests)
    assert by_langchain == by_llama_index
    assert by_langchain[0]["content"][0]["video_url"]["url"].startswith("data:video/mp4;base64,")


# Calls

ARGUMENTS: dict[str, tuple[Any, Any]] = {
    "no JSON": ('{"x"', {"invalid_arguments": '{"x"'}),
    "a list": ("[1]", {"invalid_arguments": "[1]"}),
    "a dict": ({"x": 1}, {"x": 1}),
    "nothing": (None, {}),
    "blank": (" ", {}),
}


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_the_legacy_function_call_has_legal_arguments(
    gateway: Gateway, endpoint: Endpoint, arguments: str
) -> None:
    given, wire = ARGUMENTS[arguments]
    legacy = {"name": "f", "arguments": given}

    langchain(endpoint).invoke([Q, AIMessage("", additional_kwargs={"function_call": legacy}), Q])
    llama_index(endpoint).chat(
        [LI_Q, LlamaMessage("", role="assistant", additional_kwargs={"function_call": legacy}), LI_Q]
    )

    by_langchain, by_llama_index = (request.body["messages"] for request in gateway.requests)
    assert by_langchain == by_llama_index
    assert json.loads(by_langchain[1]["tool_calls"][0]["function"]["arguments"]) == wire


def test_a_legacy_function_call_without_members_is_a_call_of_nothing(
    gateway: Gateway, endpoint: Endpoint
) -> None:
    langchain(endpoint).invoke([Q, AIMessage("", additional_kwargs={"function_call": {"x": 1}}), Q])

    assert sent(gateway)[1]["tool_calls"][0]["function"] == {"x": 1, "name": "unnamed", "arguments": "{}"}


Row = namedtuple("Row", "id name args")
CALLS: dict[str, Any] = {
    "OpenAI": {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
    "OpenAI, objects": SimpleNamespace(id="a", function=SimpleNamespace(name="f", arguments='{"x": 1}')),
    "Responses": {"type": "function_call", "call_id": "a", "name": "f", "arguments": '{"x": 1}'},
    "Anthropic": {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
    "Bedrock": {"toolUseId": "a", "name": "f", "input": {"x": 1}},
    "Bedrock, nested": {"toolUse": {"toolUseId": "a", "name": "f", "input": {"x": 1}}},
    "Gemini": {"functionCall": {"id": "a", "name": "f", "args": {"x": 1}}},
    "LangChain": {"id": "a", "name": "f", "args": {"x": 1}, "type": "tool_call"},
    "LlamaIndex, selected": ToolSelection(tool_id="a", tool_name="f", tool_kwargs={"x": 1}),
    "LlamaIndex, block": ToolCallBlock(tool_call_id="a", tool_name="f", tool_kwargs={"x": 1}),
    "tuple": Row("a", "f", {"x": 1}),
}


@pytest.mark.parametrize("form", CALLS)
def test_a_call_of_any_form_keeps_name_id_and_arguments(
    gateway: Gateway, endpoint: Endpoint, form: str
) -> None:
    said = LlamaMessage("", role="assistant", additional_kwargs={"tool_calls": [CALLS[form]]})
    result = LlamaMessage("done", role="tool", additional_kwargs={"tool_call_id": "a"})

    llama_index(endpoint).chat([LI_Q, said, result])

    wire = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    assert sent(gateway)[1]["tool_calls"] == [wire]


@pytest.mark.parametrize(
    ("arguments", "wire"),
    [
        ({"y": {(1, 2): "x"}}, {"y": {"(1, 2)": "x"}}),
        ({"x": float("nan")}, {"x": "nan"}),
        ({"x": {"y": [SimpleNamespace(a=1)]}}, {"x": {"y": ["namespace(a=1)"]}}),
    ],
)
def test_arguments_that_json_does_not_hold_are_text(
    gateway: Gateway, endpoint: Endpoint, arguments: Any, wire: Any
) -> None:
    said = AIMessage("", tool_calls=[{"id": "a", "name": "f", "args": arguments}])

    langchain(endpoint).invoke([Q, said, ToolMessage("done", tool_call_id="a")])

    assert json.loads(sent(gateway)[1]["tool_calls"][0]["function"]["arguments"]) == wire


def test_arguments_that_hold_themselves_are_refused(gateway: Gateway, endpoint: Endpoint) -> None:
    circle: dict[str, Any] = {}
    circle["x"] = circle
    said = AIMessage("", tool_calls=[{"id": "a", "name": "f", "args": circle}])

    with pytest.raises(ValueError, match=r"arguments of a call of 'f' .* holds itself. Nothing was sent"):
        langchain(endpoint).invoke([Q, said])


# Results

RESULTS: dict[str, tuple[Any, str]] = {
    "json": ([{"type": "json", "json": {"a": [1]}}], '{"a": [1]}'),
    "custom": ([{"type": "custom_tool_call_output", "output": "done"}], "done"),
    "rows": (
        [{"id": 1, "name": "Ann"}, {"id": 2, "name": "Bob"}],
        '{"id": 1, "name": "Ann"}\n{"id": 2, "name": "Bob"}',
    ),
    "search": (
        [
            {
                "type": "search_result",
                "title": "Hà Nội",
                "source": "https://x.example",
                "content": [text("Capital.")],
            }
        ],
        "Hà Nội\nhttps://x.example\nCapital.",
    ),
}


@pytest.mark.parametrize("form", RESULTS)
def test_a_result_in_blocks_of_a_provider_is_text(gateway: Gateway, endpoint: Endpoint, form: str) -> None:
    content, wire = RESULTS[form]

    langchain(endpoint).invoke([Q, called("a"), ToolMessage(content, tool_call_id="a")])

    assert sent(gateway)[2]["content"] == wire


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        ({"rows": [1, 2]}, '{"rows": [1, 2]}'),
        ({"type": "text", "text": "done"}, "done"),
        (5, "5"),
        ([{"rows": 1}], '{"rows": 1}'),
    ],
)
def test_a_tool_result_of_a_dict_is_its_json(
    gateway: Gateway, endpoint: Endpoint, content: Any, wire: str
) -> None:
    result = {"type": "tool_result", "tool_use_id": "a", "content": content}

    langchain(endpoint).invoke([Q, called("a"), HumanMessage([result])])

    assert sent(gateway)[2] == {"role": "tool", "content": wire, "tool_call_id": "a"}


@pytest.mark.parametrize("role", ["user", "system", "assistant", "tool"])
def test_texts_of_llama_index_have_the_border_that_content_shows(
    gateway: Gateway, endpoint: Endpoint, role: str
) -> None:
    said = LlamaMessage(role=role, blocks=[TextBlock(text="12"), TextBlock(text="34")])

    llama_index(endpoint).chat([LI_Q, said, LI_Q])

    assert said.content == "12\n34"
    assert sent(gateway)[1]["content"].endswith("12\n34")


# Media of another kind than they are called

KINDS = {
    "a video called an image": ("image", b"\0\0\0\x18ftypisom", "video_url"),
    "a sound called an image": ("image", b"ID3\x03\0", "input_audio"),
    "a PDF called an image": ("image", b"%PDF-1.7", "file"),
    "a PDF called a video": ("video", b"%PDF-1.7", "file"),
    "an image called a video": ("video", b"\x89PNG\r\n\x1a\n", "image_url"),
    "an image called a sound": ("audio", b"\x89PNG\r\n\x1a\n", "image_url"),
    "a table called an image": ("image", b"a,b\n", "file"),
}


@pytest.mark.parametrize("case", KINDS)
def test_media_are_sent_as_the_kind_that_they_are(gateway: Gateway, endpoint: Endpoint, case: str) -> None:
    called_kind, content, part_type = KINDS[case]
    label = "text/csv" if content == b"a,b\n" else f"{called_kind}/png"
    block = {"type": called_kind, "base64": base64.b64encode(content).decode(), "mime_type": label}

    langchain(endpoint).invoke(
        [HumanMessage([{**block, "extras": {"cache_control": {"type": "ephemeral"}}}])]
    )

    (part,) = sent(gateway)[0]["content"]
    assert part["type"] == part_type
    assert part["cache_control"] == {"type": "ephemeral"}
    assert base64.b64encode(content).decode() in json.dumps(part[part_type])


# Ids and names of results


@pytest.mark.parametrize("id_", ["functions.f:0", "call_a|fc_b", " ", "lần_1", "x" * 41])
def test_an_illegal_id_of_a_call_is_sent_as_a_legal_one(
    gateway: Gateway, endpoint: Endpoint, id_: str
) -> None:
    langchain(endpoint).invoke([Q, called(id_), ToolMessage("done", tool_call_id=id_), Q])
    of_langchain = sent(gateway)
    llama_index(endpoint).chat([LI_Q, li_called(id_), li_result(id_), LI_Q])

    assert sent(gateway) == of_langchain
    assert of_langchain[2] == {
        "role": "tool",
        "content": "done",
        "tool_call_id": of_langchain[1]["tool_calls"][0]["id"],
    }


@pytest.mark.parametrize("id_", ["", "x"])
def test_a_result_goes_to_the_call_of_its_name(gateway: Gateway, endpoint: Endpoint, id_: str) -> None:
    f, g = (called(id_, name=name).tool_calls for name in "fg")
    results = [ToolMessage(f"of {name}", tool_call_id=id_, name=name) for name in "gf"]
    langchain(endpoint).invoke([Q, AIMessage("", tool_calls=[*f, *g]), *results, Q])
    of_langchain = sent(gateway)
    blocks = [ToolCallBlock(tool_call_id=id_, tool_name=name, tool_kwargs={}) for name in "fg"]
    named = [
        LlamaMessage(f"of {name}", role="tool", additional_kwargs={"tool_call_id": id_, "name": name})
        for name in "gf"
    ]
    llama_index(endpoint).chat([LI_Q, LlamaMessage(role="assistant", blocks=blocks), *named, LI_Q])

    assert sent(gateway) == of_langchain
    assert [message["content"] for message in of_langchain[2:4]] == ["of f", "of g"]
    assert "name" not in of_langchain[2]
