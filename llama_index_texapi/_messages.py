"""LlamaIndex messages -> the messages of a payload, and `ChatReply` -> `ChatResponse`."""

from __future__ import annotations

import base64
import mimetypes
import re
from collections.abc import Mapping, Sequence
from functools import cache
from io import IOBase
from typing import Any

from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    ChatMessage,
    ChatResponse,
    CitableBlock,
    CitationBlock,
    CompletionResponse,
    DocumentBlock,
    ImageBlock,
    LogProb,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.bridge.pydantic import BaseModel

from texapi_core.adapter_base.templates import Template
from texapi_core.request.payload import (
    Part,
    ReplayReasoning,
    ToolMedia,
    WireMessage,
    assistant_media,
    assistant_message,
    place_messages,
    tool_call,
    tool_message,
)
from texapi_core.wire.reasoning import Reasoning
from texapi_core.wire.tool_calls import ToolCall
from texapi_core.wire.usage import TokenUsage
from texapi_core.wire.values import ChatReply

_ROLES = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "developer",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "function",
}
_TOOL_CALL_EXTRAS = "tool_call_extras"
"""Key of a message's `additional_kwargs` that keeps what a provider put on its tool calls, by id."""
_SAME_NAMES: Mapping[str, str] = {}
_ILLEGAL_IN_TOOL_NAMES = re.compile(r"[^a-zA-Z0-9_-]")

_TEXT_BLOCKS = Template(TextBlock(text=""))
_THINKING_BLOCKS = Template(ThinkingBlock(content=""))
_TOOL_CALL_BLOCKS = Template(ToolCallBlock(tool_name=""))
_ANSWERS = Template(ChatMessage(role=MessageRole.ASSISTANT, blocks=[], additional_kwargs={}))
_RESPONSES = Template(ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, blocks=[])))


def to_openai_message_dicts(
    messages: Sequence[ChatMessage],
    *,
    replay_reasoning: ReplayReasoning = "auto",
    tool_media: ToolMedia = "user_message",
    wire_names: Mapping[str, str] = _SAME_NAMES,
) -> list[WireMessage]:
    """The messages of a payload. `wire_names` are the names that go to the model for the tools' own.

    Raises:
        ValueError: a content block that chat completions cannot carry, by its name.
    """
    converted: list[tuple[WireMessage, list[Part]]] = []
    for message in messages:
        if not isinstance(message, ChatMessage):
            raise ValueError(f"`messages` must hold `ChatMessage`s, not {type(message).__name__}.")
        role = _ROLES[message.role]
        content = _wire_content(message)
        if role == "assistant":
            calls = _wire_tool_calls(message, wire_names)
            wire = _wire_assistant(message, content, calls, replay_reasoning)
            converted.append(assistant_media(wire, tool_media=tool_media))
        elif role == "tool":
            tool_call_id = message.additional_kwargs.get("tool_call_id")
            converted.append(tool_message(tool_call_id, content, tool_media=tool_media))
        else:
            wire = {"role": role, "content": content}
            if name := message.additional_kwargs.get("name"):
                wire["name"] = name
            converted.append((wire, []))
    return place_messages(converted)


def _wire_content(message: ChatMessage) -> str | list[Part]:
    """A string where there is only text: some routes take lists from users alone.

    A cache point marks the part before it, and the first part where none is before it.
    """
    if len(message.blocks) == 1 and isinstance(message.blocks[0], TextBlock):
        return message.blocks[0].text
    parts: list[Part] = []
    mark_of_the_first: dict[str, Any] | None = None
    for block in message.blocks:
        if isinstance(block, CachePoint):
            mark = block.cache_control.model_dump(exclude_none=True)
            if parts:
                parts[-1]["cache_control"] = mark
            else:
                mark_of_the_first = mark
        elif not isinstance(block, (ThinkingBlock, ToolCallBlock)):
            parts += _wire_parts(block)
    if mark_of_the_first is not None:
        if not parts:
            raise ValueError(
                f"A CachePoint stands in a message of the role '{message.role.value}' that has no text or "
                "media to mark. Put it into the message before. Nothing was sent."
            )
        parts[0].setdefault("cache_control", mark_of_the_first)
    if all(part.keys() == {"type", "text"} for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


_SOURCES: dict[Any, tuple[str, ...]] = {
    ImageBlock: ("image", "path", "url"),
    AudioBlock: ("audio", "path", "url"),
}


def _wire_parts(block: Any) -> list[Part]:
    sources = _SOURCES.get(type(block), ())
    if sources and not any(getattr(block, name) for name in sources):
        raise ValueError(
            f"Unsupported content block: {type(block).__name__} needs one of {', '.join(sources)}."
        )
    if isinstance(block, TextBlock):
        return [{"type": "text", "text": block.text}]
    if isinstance(block, ImageBlock):
        url = str(block.url) if block.url else ""
        if not url:
            url = _inline_image(block)
        detail = {"detail": block.detail} if block.detail else {}
        return [{"type": "image_url", "image_url": {"url": url, **detail}}]
    if isinstance(block, AudioBlock):
        audio = _base64_text(block.resolve_audio())
        return [{"type": "input_audio", "input_audio": {"data": audio, "format": block.format or "wav"}}]
    if isinstance(block, DocumentBlock):
        return [_wire_document(block)]
    if isinstance(block, CitableBlock):
        return [part for inner in block.content for part in _wire_parts(inner)]
    if isinstance(block, CitationBlock):
        return _wire_parts(block.cited_content)
    raise ValueError(
        f"Unsupported content block: {type(block).__name__}. Chat completions carry text, images, "
        "audio and documents."
    )


def _wire_document(block: DocumentBlock) -> Part:
    if block.url and not block.data and not block.path:
        return {"type": "file", "file": {"filename": block.title, "file_data": block.url}}
    content: bytes = block.resolve_document().read()
    is_pdf = content.startswith(b"%PDF")
    data = base64.b64encode(content).decode()
    guessed, _ = mimetypes.guess_type(str(block.path or block.title or ""))
    mimetype = block.document_mimetype or guessed or ("application/pdf" if is_pdf else "text/plain")
    file = {"filename": block.title, "file_data": f"data:{mimetype};base64,{data}"}
    return {"type": "file", "file": file}


def _inline_image(block: ImageBlock) -> str:
    content: bytes = block.resolve_image().read()
    guessed, _ = mimetypes.guess_type(str(block.path or ""))
    return (
        f"data:{block.image_mimetype or guessed or 'image/png'};base64,{base64.b64encode(content).decode()}"
    )


def _base64_text(stream: IOBase) -> str:
    content: bytes = stream.read()
    return base64.b64encode(content).decode()


def _wire_assistant(
    message: ChatMessage,
    content: str | list[Part],
    tool_calls: Sequence[Mapping[str, Any]],
    replay_reasoning: ReplayReasoning,
) -> WireMessage:
    refusal = message.additional_kwargs.get("refusal")
    return assistant_message(
        content,
        tool_calls=tool_calls,
        reasoning=_wire_reasoning(message),
        refusal=refusal if isinstance(refusal, str) else None,
        replay_reasoning=replay_reasoning,
    )


def _wire_tool_calls(message: ChatMessage, wire_names: Mapping[str, str]) -> list[dict[str, Any]]:
    extras = message.additional_kwargs.get(_TOOL_CALL_EXTRAS) or {}
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    if blocks:
        return [
            tool_call(
                block.tool_call_id,
                wire_names.get(block.tool_name) or _ILLEGAL_IN_TOOL_NAMES.sub("_", block.tool_name),
                block.tool_kwargs,
                extras.get(block.tool_call_id),
            )
            for block in blocks
        ]
    calls = message.additional_kwargs.get("tool_calls")
    if isinstance(calls, list) and calls:
        return [_wire_foreign_tool_call(call) for call in calls]
    legacy = message.additional_kwargs.get("function_call")
    return [_wire_foreign_tool_call({"function": legacy})] if legacy else []


def _wire_foreign_tool_call(call: Any) -> dict[str, Any]:
    """A call in the form that other LLM classes leave in `additional_kwargs`: a dict or SDK object."""
    if isinstance(call, BaseModel):
        call = call.model_dump(exclude_none=True)
    if not isinstance(call, Mapping):
        raise ValueError(f"Unsupported tool call in `additional_kwargs`: {type(call).__name__}.")
    if call.get("type") == "tool_use":  # Anthropic's form
        return tool_call(call.get("id"), call.get("name"), call.get("input") or {})
    function = call.get("function") or {}
    if isinstance(function, BaseModel):
        function = function.model_dump(exclude_none=True)
    extras = {k: v for k, v in call.items() if k not in ("id", "type", "function", "index")}
    return tool_call(call.get("id"), function.get("name"), function.get("arguments") or "", extras)


def _wire_reasoning(message: ChatMessage) -> dict[str, Any]:
    """The reasoning in the fields that it came in."""
    wire: dict[str, Any] = {}
    for block in message.blocks:
        if not isinstance(block, ThinkingBlock):
            continue
        origin = block.additional_information
        if details := origin.get("details"):
            name = origin.get("details_field") or "reasoning_details"
            wire[name] = [*wire.get(name, []), *details]
        field = origin.get("field") or "reasoning_content"
        if block.content and not isinstance(wire.get(field), list):
            wire[field] = wire.get(field, "") + block.content
    return wire


def from_openai_message(
    *,
    text: str,
    reasoning: Reasoning,
    reasoning_tokens: int | None,
    tool_calls: Sequence[ToolCall],
    tool_names: Mapping[str, str],
    refusal: str,
    extras: Mapping[str, Any],
) -> ChatMessage:
    """An answer, or as much of it as has come, as the framework's message.

    `tool_names` maps the names that went to the model back to the tools' own.
    """
    blocks: list[Any] = []
    if reasoning.text or reasoning.details:
        blocks.append(_thinking_block(reasoning, reasoning_tokens))
    if text or not tool_calls:
        blocks.append(_TEXT_BLOCKS.make({"text": text}))
    additional_kwargs: dict[str, Any] = {}
    if extras:  # LlamaIndex takes `images` there for documents of its own
        additional_kwargs = {"generated_images" if k == "images" else k: v for k, v in extras.items()}
    if refusal:
        additional_kwargs["refusal"] = refusal
    if tool_calls:
        blocks += [_tool_call_block(call, tool_names) for call in tool_calls]
        additional_kwargs["tool_calls"] = [_sdk_tool_call(call) for call in tool_calls]
        call_extras = {call.id: dict(call.extras) for call in tool_calls if call.extras}
        if call_extras:
            additional_kwargs[_TOOL_CALL_EXTRAS] = call_extras
    return _ANSWERS.make({"blocks": blocks, "additional_kwargs": additional_kwargs})


def _thinking_block(reasoning: Reasoning, reasoning_tokens: int | None) -> ThinkingBlock:
    origin: dict[str, Any] = {}
    if reasoning.field:
        origin["field"] = reasoning.field
    if reasoning.details:
        origin["details"] = [dict(detail) for detail in reasoning.details]
        origin["details_field"] = reasoning.details_field
    return _THINKING_BLOCKS.make(
        {"content": reasoning.text, "num_tokens": reasoning_tokens, "additional_information": origin}
    )


def _tool_call_block(call: ToolCall, tool_names: Mapping[str, str]) -> ToolCallBlock:
    arguments = call.parse_arguments()
    return _TOOL_CALL_BLOCKS.make(
        {
            "tool_call_id": call.id,
            "tool_name": tool_names.get(call.name, call.name),
            "tool_kwargs": call.arguments if arguments is None else arguments,
        }
    )


def _sdk_tool_call(call: ToolCall) -> Any:
    """The form of the openai SDK, which LlamaIndex's programs, counters and tracers look for."""
    functions, tool_calls = _sdk_templates()
    function = functions.make({"name": call.name, "arguments": call.arguments})
    made = tool_calls.make({"id": call.id, "function": function})
    return made.model_copy(update=dict(call.extras)) if call.extras else made


@cache
def _sdk_templates() -> tuple[Template[Any], Template[Any]]:
    from openai.types.chat import ChatCompletionMessageFunctionToolCall as SDKToolCall  # slow to import
    from openai.types.chat.chat_completion_message_function_tool_call import Function

    function = Function(name="", arguments="")
    return Template(function), Template(SDKToolCall(id="", type="function", function=function))


def create_chat_response(
    reply: ChatReply,
    *,
    requested_model: str,
    tool_names: Mapping[str, str],
    delta: str | None = None,
) -> ChatResponse:
    """A whole answer, streamed or not, as the framework's response."""
    choice = reply.choice
    message = from_openai_message(
        text=choice.text,
        reasoning=choice.reasoning,
        reasoning_tokens=reply.usage.reasoning_tokens if reply.usage else None,
        tool_calls=choice.tool_calls,
        tool_names=tool_names,
        refusal=choice.refusal,
        extras=choice.extras,
    )
    return create_response(
        message,
        raw=reply.raw,
        delta=delta,
        logprobs=create_logprobs(choice.logprobs),
        additional_kwargs=_response_kwargs(reply, requested_model),
    )


def create_response(
    message: ChatMessage,
    *,
    raw: Mapping[str, Any],
    delta: str | None,
    logprobs: list[list[LogProb]] | None,
    additional_kwargs: dict[str, Any],
) -> ChatResponse:
    """The framework's response around a message."""
    return _RESPONSES.make(
        {
            "message": message,
            "raw": raw,
            "delta": delta,
            "logprobs": logprobs,
            "additional_kwargs": additional_kwargs,
        }
    )


def create_completion_response(response: ChatResponse) -> CompletionResponse:
    """The response of a chat as that of a completion. LlamaIndex's own converter loses log probabilities."""
    return CompletionResponse(
        text=response.message.content or "",
        additional_kwargs={**response.message.additional_kwargs, **response.additional_kwargs},
        raw=response.raw,
        logprobs=response.logprobs,
        delta=response.delta,
    )


def _response_kwargs(reply: ChatReply, requested_model: str) -> dict[str, Any]:
    """Usage, origin and end of an answer, under names that LlamaIndex's handlers read."""
    usage = reply.usage or TokenUsage()
    kwargs: dict[str, Any] = {
        **reply.choice.metadata,
        **usage.as_wire(),
        "cached_tokens": usage.cached_tokens,
        "cache_creation_tokens": usage.cache_creation_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        **usage.cost_fields(),
        "finish_reason": reply.choice.finish_reason,
        "model": reply.model or requested_model,
        "id": reply.id,
        "request_id": reply.request_id,
        "system_fingerprint": reply.extras.get("system_fingerprint"),
        "service_tier": reply.extras.get("service_tier"),
    }
    return {name: value for name, value in kwargs.items() if value is not None}


def create_logprobs(logprobs: Mapping[str, Any] | None) -> list[list[LogProb]] | None:
    """For each token the likeliest ones, or itself alone."""
    tokens = (logprobs or {}).get("content")
    if not isinstance(tokens, list):
        return None
    return [[_create_logprob(likely) for likely in _likeliest(token)] for token in tokens]


def _likeliest(token: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    likeliest = token.get("top_logprobs")
    if not isinstance(likeliest, list):
        return [token]
    return [likely for likely in likeliest if isinstance(likely, dict)] or [token]


def _create_logprob(token: Mapping[str, Any]) -> LogProb:
    logprob, text_bytes = token.get("logprob"), token.get("bytes")
    return LogProb(
        token=str(token.get("token") or ""),
        logprob=logprob if isinstance(logprob, (int, float)) else 0.0,
        bytes=[byte for byte in text_bytes if isinstance(byte, int)] if isinstance(text_bytes, list) else [],
    )
