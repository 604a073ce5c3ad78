"""What providers sign comes back to them, whichever class made the history: reasoning, calls and texts."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock, ThinkingBlock, ToolCallBlock
from openai.types.chat import ChatCompletionMessageFunctionToolCall

from langchain_texapi._messages import convert_messages
from llama_index_texapi._messages import to_openai_message_dicts
from tests.asking import WAYS
from tests.conftest import Endpoint
from tests.gateway import Gateway
from tests.test_outgoing import LI_Q, Q, ask, langchain, llama_index

CLAUDES = {"type": "thinking", "thinking": "t", "signature": "s"}
REDACTED = {"type": "redacted_thinking", "data": "d"}
ENCRYPTED = {"type": "reasoning.encrypted", "data": "e", "id": "rs_1", "format": "openai-responses-v1"}
GOOGLES = {"google": {"thought_signature": "g"}}
CALL = {"name": "f", "args": {}, "id": "c1", "type": "tool_call"}
GOOGLE = {"model_provider": "google_genai"}


def _wire(message: BaseMessage) -> dict[str, Any]:
    wire, *_ = convert_messages([message, ToolMessage("r", tool_call_id="c1")])
    return wire


@pytest.mark.parametrize(
    ("block", "member", "value"),
    [
        pytest.param(CLAUDES, "thinking_blocks", [CLAUDES], id="Anthropic"),
        pytest.param(REDACTED, "thinking_blocks", [REDACTED], id="Anthropic, redacted"),
        pytest.param(
            {"type": "non_standard", "value": REDACTED}, "thinking_blocks", [REDACTED], id="v1, redacted"
        ),
        pytest.param(
            {"type": "reasoning", "reasoning": "t", "extras": {"signature": "s"}},
            "thinking_blocks",
            [CLAUDES],
            id="v1",
        ),
        pytest.param(
            {"type": "reasoning_content", "reasoning_content": {"text": "t", "signature": "s"}},
            "thinking_blocks",
            [CLAUDES],
            id="ChatBedrockConverse",
        ),
        pytest.param(
            {"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}},
            "thinking_blocks",
            [CLAUDES],
            id="Bedrock",
        ),
        pytest.param(
            {"reasoningContent": {"redactedContent": b"\xff"}},
            "thinking_blocks",
            [{**REDACTED, "data": "/w=="}],
            id="Bedrock, redacted",
        ),
        pytest.param(
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "t"}],
                "encrypted_content": "e",
            },
            "reasoning_details",
            [ENCRYPTED],
            id="OpenAI Responses",
        ),
        pytest.param(
            {"text": "t", "thought": True, "thoughtSignature": "g"}, "extra_content", GOOGLES, id="Gemini"
        ),
        pytest.param(
            {"type": "text", "text": "t", "thought_signature": "g"},
            "extra_content",
            GOOGLES,
            id="Gemini, text",
        ),
    ],
)
def test_reasoning_in_a_content_of_langchain(block: dict[str, Any], member: str, value: Any) -> None:
    wire = _wire(AIMessage([block], tool_calls=[CALL]))

    assert wire[member] == value
    texts = [wire.get("reasoning_content"), wire["content"]]
    assert texts.count("t") == ("edacted" not in str(block))


@pytest.mark.parametrize("block_type", ["thinking", "reasoning"])
def test_google_s_signature_of_reasoning_is_not_claude_s(block_type: str) -> None:
    block = {"type": block_type, block_type: "t", "signature": "g"}

    wire = _wire(AIMessage([block], tool_calls=[CALL], response_metadata=GOOGLE))

    assert (wire["extra_content"], "thinking_blocks" in wire) == (GOOGLES, False)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(
            AIMessage([{"functionCall": {"name": "f", "args": {}, "id": "c1"}, "thoughtSignature": "g"}]),
            id="raw",
        ),
        pytest.param(
            AIMessage(
                "",
                tool_calls=[CALL],
                additional_kwargs={"__gemini_function_call_thought_signatures__": {"c1": "g"}},
            ),
            id="ChatGoogleGenerativeAI",
        ),
        pytest.param(AIMessage([{**CALL, "extras": {"signature": "g"}}], tool_calls=[CALL]), id="v1"),
        pytest.param(
            AIMessage(
                "",
                additional_kwargs={
                    "tool_calls": [
                        {
                            "id": "c1",
                            "type": "function",
                            "function": {"name": "f", "arguments": "{}"},
                            "extra_content": GOOGLES,
                        }
                    ]
                },
            ),
            id="dict of the wire",
        ),
    ],
)
def test_a_signature_of_a_call_in_langchain(message: BaseMessage) -> None:
    (call,) = _wire(message)["tool_calls"]

    assert call == {
        "id": "c1",
        "type": "function",
        "function": {"name": "f", "arguments": "{}"},
        "extra_content": GOOGLES,
    }


@pytest.mark.parametrize(
    ("about", "member", "value"),
    [
        ({"signature": "s"}, "thinking_blocks", [CLAUDES]),
        (REDACTED, "thinking_blocks", [REDACTED]),
        ({"type": "reasoning", "id": "rs_1", "encrypted_content": "e"}, "reasoning_details", [ENCRYPTED]),
        (
            {"thought": True, "thought_signature": b"\x82"},
            "extra_content",
            {"google": {"thought_signature": "gg=="}},
        ),
    ],
    ids=["Anthropic", "Anthropic, redacted", "OpenAIResponses", "GoogleGenAI"],
)
def test_reasoning_in_a_block_of_llama_index(about: dict[str, Any], member: str, value: Any) -> None:
    call = ToolCallBlock(tool_call_id="c1", tool_name="f", tool_kwargs={})
    message = ChatMessage(
        role=MessageRole.ASSISTANT, blocks=[ThinkingBlock(content="t", additional_information=about), call]
    )

    (wire,) = to_openai_message_dicts([message])

    assert (wire[member], wire["reasoning_content"]) == (value, "t")


def _block() -> ToolCallBlock:
    return ToolCallBlock(tool_call_id="c1", tool_name="f", tool_kwargs={})


_WIRE = {
    "id": "c1",
    "type": "function",
    "function": {"name": "f", "arguments": "{}"},
    "extra_content": GOOGLES,
}


@pytest.mark.parametrize(
    ("blocks", "kwargs"),
    [
        ([TextBlock(text="a"), _block()], {"thought_signatures": [None, "g"]}),
        ([], {"tool_calls": [{"name": "f", "args": {}, "id": "c1", "thought_signature": "g"}]}),
        ([_block()], {"tool_calls": [_WIRE]}),
        ([_block()], {"tool_calls": [ChatCompletionMessageFunctionToolCall.model_validate(_WIRE)]}),
        ([ToolCallBlock(tool_name="f", tool_kwargs={})], {"tool_calls": [_WIRE]}),
    ],
    ids=["GoogleGenAI", "dict of Gemini", "dict of the wire", "of the openai SDK", "block without an id"],
)
def test_a_signature_of_a_call_in_llama_index(blocks: list[Any], kwargs: dict[str, Any]) -> None:
    message = ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs=kwargs)

    (wire,) = to_openai_message_dicts([message])

    assert wire["tool_calls"] == [_WIRE]


def test_members_of_both_forms_of_a_call_are_kept() -> None:
    inside = {"name": "f", "arguments": "{}", "provider_specific_fields": {"x": 1}}
    kwargs = {
        "tool_call_extras": {"c1": {"extra_content": GOOGLES}},
        "tool_calls": [{**_WIRE, "function": inside}],
    }
    message = ChatMessage(role=MessageRole.ASSISTANT, blocks=[_block()], additional_kwargs=kwargs)

    (wire,) = to_openai_message_dicts([message])

    assert wire["tool_calls"] == [{**_WIRE, "function": inside}]


@pytest.mark.parametrize("how", WAYS)
async def test_signed_reasoning_is_sent_in_every_way(gateway: Gateway, endpoint: Endpoint, how: str) -> None:
    history = [
        Q,
        AIMessage([CLAUDES, {"type": "text", "text": "a"}], tool_calls=[CALL]),
        ToolMessage("r", tool_call_id="c1"),
    ]
    block = ThinkingBlock(content="t", additional_information={"signature": "s"})
    li_history = [
        LI_Q,
        ChatMessage(role=MessageRole.ASSISTANT, blocks=[block, TextBlock(text="a"), _block()]),
        ChatMessage("r", role=MessageRole.TOOL, additional_kwargs={"tool_call_id": "c1"}),
    ]

    await ask(how, langchain(endpoint), history)
    await ask(how, llama_index(endpoint), li_history)

    first, second = (request.body["messages"] for request in gateway.requests)
    assert first == second
    assert first[1]["thinking_blocks"] == [CLAUDES]


def test_an_unknown_member_goes_back_only_if_it_is_signed() -> None:
    kwargs = {"provider_specific_fields": {"thought_signatures": ["g"]}, "annotations": [], "novel": {"x": 1}}

    (wire,) = convert_messages([AIMessage("a", additional_kwargs=kwargs)])
    (same,) = to_openai_message_dicts(
        [ChatMessage("a", role=MessageRole.ASSISTANT, additional_kwargs=kwargs)]
    )

    signed = {"provider_specific_fields": {"thought_signatures": ["g"]}}
    assert wire == same == {"role": "assistant", "content": "a", **signed}


def test_reasoning_is_never_sent_where_it_is_switched_off() -> None:
    message = AIMessage([CLAUDES, {"type": "text", "text": "a"}], tool_calls=[CALL])

    (_, wire, _) = convert_messages(
        [HumanMessage("q"), message, ToolMessage("r", tool_call_id="c1")], replay_reasoning="never"
    )

    assert wire.keys() == {"role", "content", "tool_calls"}
