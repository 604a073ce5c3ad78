"""An earlier answer in LangChain's form -> the assistant message of a payload."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from langchain_core.messages import AIMessage

from langchain_texapi._content import blocks_of, carried_by_assistant, is_plain_text, text_of, to_parts
from texapi_core.adapter_base.replies import kept_extras
from texapi_core.request.calls import join_calls, read_call, signed_call, tool_call
from texapi_core.request.payload import Part, ReplayReasoning, WireMessage, assistant_message
from texapi_core.wire.reasoning import DETAIL_FIELDS
from texapi_core.wire.signatures import SIGNATURES, is_thought, signed_members, thought_text

MODEL_PROVIDER = "texapi"
_SIGNATURES_OF_GOOGLE = "__gemini_function_call_thought_signatures__"
"""Key of `additional_kwargs`: where langchain-google-genai has the signatures of calls, by their ids."""


def convert_ai_message(
    message: AIMessage, replay_reasoning: ReplayReasoning, answered: set[str]
) -> WireMessage:
    may_say_more = bool(message.additional_kwargs) or not isinstance(message.content, str)
    wire = assistant_message(
        _assistant_content(message.content),
        tool_calls=_wire_tool_calls(message, answered),
        reasoning=_wire_reasoning(message) if may_say_more else None,
        refusal=_wire_refusal(message) if may_say_more else None,
        replay_reasoning=replay_reasoning,
    )
    if message.name:
        wire["name"] = message.name
    if not may_say_more:
        return wire
    function_call = message.additional_kwargs.get("function_call")
    if isinstance(function_call, Mapping) and not wire.get("tool_calls"):
        wire["function_call"] = function_call  # what a FunctionMessage answers
    return wire


def _wire_refusal(message: AIMessage) -> str | None:
    refusal = message.additional_kwargs.get("refusal")
    if isinstance(refusal, str):
        return refusal
    texts = [block.get("refusal") for block in blocks_of(message) if block.get("type") == "refusal"]
    return "".join(text for text in texts if isinstance(text, str)) or None


def _assistant_content(content: str | list[Any]) -> str | list[Part]:
    if isinstance(content, str):
        return content
    kept = carried_by_assistant(content)
    if all(isinstance(block, str) or is_plain_text(block) for block in kept):
        return text_of(kept)
    return to_parts(kept, where="AIMessage.content")


def _wire_tool_calls(message: AIMessage, answered: set[str]) -> list[dict[str, Any]]:
    if not (message.tool_calls or message.invalid_tool_calls):
        return [] if isinstance(message.content, str) else _calls_in_blocks(message, answered)
    extras = _tool_call_extras(message)
    calls = [
        tool_call(call["id"], call["name"], call["args"], extras.get(call["id"] or ""))
        for call in message.tool_calls
    ]
    # A call whose arguments are not JSON has a result only if a message answers it.
    calls += [
        tool_call(bad["id"], bad["name"], bad["args"] or "", extras.get(bad["id"] or ""))
        for bad in message.invalid_tool_calls
        if bad["id"] in answered
    ]
    further = message.additional_kwargs.get("tool_calls")  # what the constructor of the message read
    return join_calls(calls, further, only_known=True) if further else calls


def _calls_in_blocks(message: AIMessage, answered: set[str]) -> list[dict[str, Any]]:
    """The calls that another provider's history has in its content alone.

    Those that were taken out of a model's answer, as LangGraph's supervisors do, stay out.
    """
    calls = [call for block in blocks_of(message) if (call := read_call(block)) is not None]
    was_answered = any(call.id in answered or (not call.id and call.name in answered) for call in calls)
    if message.response_metadata and not was_answered:
        return []
    return [tool_call(call.id, call.name, call.arguments, call.extras) for call in calls]


def _tool_call_extras(message: AIMessage) -> Mapping[Any, Mapping[str, Any]]:
    """What a provider put on its tool calls, by their ids."""
    if kept := kept_extras(message.additional_kwargs):
        return kept
    found: dict[Any, Mapping[str, Any]] = {}
    signatures = message.additional_kwargs.get(_SIGNATURES_OF_GOOGLE)
    if isinstance(signatures, Mapping):
        found = {id_: signed_call(each) for id_, each in signatures.items()}
    is_own = message.response_metadata.get("model_provider") == MODEL_PROVIDER
    for block in blocks_of(message):
        if not is_own and (call := read_call(block)) is not None and call.id and call.extras:
            found[call.id] = call.extras
        elif is_own and block.get("type") == "tool_call" and isinstance(block.get("extras"), dict):
            found[block.get("id")] = block["extras"]
    return found


def _wire_reasoning(message: AIMessage) -> dict[str, Any]:
    """The reasoning, in the fields that it arrived in; what another class's is signed with."""
    kwargs, blocks = message.additional_kwargs, blocks_of(message)
    provider = message.response_metadata.get("model_provider")
    thoughts = [thought_text(block) for block in blocks if is_thought(block)]
    text = kwargs.get("reasoning_content") or "".join(thoughts)
    field = message.response_metadata.get("reasoning_field", "reasoning_content")
    wire: dict[str, Any] = {}
    if provider == MODEL_PROVIDER:
        in_blocks = _reasoning_extras(blocks)
    else:
        in_blocks = signed_members(blocks, of_google=str(provider).startswith("google"))
        if SIGNATURES in in_blocks:
            wire[SIGNATURES] = in_blocks[SIGNATURES]
    for name in DETAIL_FIELDS:
        if details := kwargs.get(name) or in_blocks.get(name):
            wire[name] = details
    if text and field not in wire:
        wire[field] = text
    return wire


def _reasoning_extras(blocks: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The signed reasoning that a reasoning block of this package carries."""
    found = [block.get("extras") for block in blocks if block.get("type") == "reasoning"]
    return next((extras for extras in found if isinstance(extras, dict)), {})
