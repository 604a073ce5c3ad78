"""An answer that is sent in one piece."""

from __future__ import annotations

from typing import Any

from tests.gateway.completion import Choice, Completion, ToolCall
from tests.gateway.logprobs import logprobs
from tests.gateway.models import CREATED

REASONING_FORMAT = "anthropic-claude-v1"


def whole_answer(completion: Completion) -> dict[str, Any]:
    """Return the JSON of a whole answer."""
    return {
        "id": completion.id,
        "object": "chat.completion",
        "created": CREATED,
        "model": completion.model,
        "choices": [_choice(choice, completion) for choice in completion.choices],
        "usage": completion.usage,
        "system_fingerprint": "fp_standin",
        "service_tier": "default",
    }


def call_head(call: ToolCall, arguments: str) -> dict[str, Any]:
    kind = "custom" if call.is_custom else "function"
    data: dict[str, Any] = {
        "id": call.id,
        "type": kind,
        kind: {"name": call.name, **call_arguments(call, arguments)},
    }
    if call.signature is not None:
        data["extra_content"] = {"google": {"thought_signature": call.signature}}
    return data


def call_arguments(call: ToolCall, arguments: str) -> dict[str, str]:
    """Return the member of a tool call that holds its arguments."""
    return {"input" if call.is_custom else "arguments": arguments}


def reasoning_detail(text: str, signature: str | None) -> dict[str, Any]:
    detail: dict[str, Any] = {"type": "reasoning.text", "text": text}
    if signature is not None:
        detail["signature"] = signature
    return {**detail, "format": REASONING_FORMAT, "index": 0}


def signature_of(reasoning: str) -> str:
    """Return the signature of a reasoning text, which depends only on the text."""
    return f"sig_{sum(map(ord, reasoning)):06d}{len(reasoning):06d}"


def _choice(choice: Choice, completion: Completion) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None}
    if choice.reasoning is not None:
        message["reasoning_content"] = choice.reasoning
        if completion.has_details:
            signature = signature_of(choice.reasoning)
            message["reasoning_details"] = [reasoning_detail(choice.reasoning, signature)]
    if choice.tool_calls:
        message["tool_calls"] = [call_head(call, call.arguments) for call in choice.tool_calls]
    return {
        "index": choice.index,
        "message": message,
        "finish_reason": choice.finish_reason,
        "logprobs": logprobs(choice.text, completion.top_logprobs),
    }
