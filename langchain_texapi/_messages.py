"""LangChain messages -> the messages of a payload, and `ChatReply` -> `AIMessage`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    InvalidToolCall,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import invalid_tool_call
from langchain_core.messages.tool import tool_call as parsed_tool_call
from langchain_core.outputs import ChatGeneration, ChatResult

from langchain_texapi._assistant import MODEL_PROVIDER, convert_ai_message
from langchain_texapi._content import blocks_of, result_content, to_parts
from langchain_texapi._templates import Template
from texapi_core.adapter_base.replies import cut_note, tool_call_extras
from texapi_core.request.foreign import read_result, typed, typed_result
from texapi_core.request.payload import (
    WIRE_ROLES,
    Part,
    ReplayReasoning,
    ToolMedia,
    WireMessage,
    at_message,
    place_media,
    tool_message,
)
from texapi_core.request.replay import with_generated
from texapi_core.wire.finish_reasons import CUT, NORMAL_REASONS
from texapi_core.wire.usage import TokenUsage
from texapi_core.wire.values import ChatChoice, ChatReply

_ANSWERS = Template(AIMessage(content=""))
_GENERATIONS = Template(ChatGeneration(message=AIMessage(content="")))


def convert_messages(
    messages: Sequence[BaseMessage],
    *,
    replay_reasoning: ReplayReasoning = "auto",
    tool_media: ToolMedia = "user_message",
) -> list[WireMessage]:
    """The messages of a payload.

    Raises:
        ValueError: a message or a content block that chat completions cannot carry, by its name and place.
    """
    answered = {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}
    answered |= _answered_in_blocks(messages)
    converted: list[WireMessage] = []
    for position, given in enumerate(messages):
        try:
            message = _of_own_class(given) if isinstance(given, ChatMessage) else given
            if isinstance(message, AIMessage):
                wire = convert_ai_message(message, replay_reasoning, answered)
                if message.additional_kwargs:
                    wire = with_generated(wire, message.additional_kwargs)
                converted.append(wire)
            elif isinstance(message, ToolMessage):
                content = _wire_content(message) or ""  # an empty list would be refused
                converted.append(tool_message(message.tool_call_id, content, name=message.name))
            elif isinstance(message, HumanMessage):
                converted += _convert_human_message(message)
            else:
                converted.append(_convert_message_to_dict(message))
        except ValueError as error:
            if type(error) is not ValueError:
                raise
            raise at_message(position, error) from error
    return place_media(converted, tool_media)


def _of_own_class(message: ChatMessage) -> BaseMessage:
    """The message of a role in text as the message of the class that LangChain has for it."""
    role, kwargs = WIRE_ROLES[message.role], message.additional_kwargs
    name = message.name or kwargs.get("name")
    about: dict[str, Any] = {
        "content": message.content,
        "additional_kwargs": kwargs,
        "response_metadata": message.response_metadata,
        "name": str(name) if name else None,
    }
    if role == "assistant":
        return AIMessage(**about)
    if role == "tool":
        return ToolMessage(**about, tool_call_id=str(kwargs.get("tool_call_id") or ""))
    if role == "function":
        return FunctionMessage(**{**about, "name": str(about["name"] or "")})
    if role == "user":
        is_known = message.role.lower() in ("user", "human")
        return HumanMessage(**{**about, "name": about["name"] or (None if is_known else message.role)})
    return SystemMessage(**{**about, "additional_kwargs": {**kwargs, "__openai_role__": role}})


def _convert_message_to_dict(message: BaseMessage) -> WireMessage:
    wire: WireMessage = {"role": _role_of(message), "content": _wire_content(message)}
    if message.name:
        wire["name"] = message.name
    return wire


def _wire_content(message: BaseMessage) -> str | list[Part]:
    if isinstance(message.content, str):
        return message.content
    read = typed_result if isinstance(message, (ToolMessage, FunctionMessage)) else typed
    return to_parts([read(block) for block in message.content], where=f"{type(message).__name__}.content")


def _role_of(message: BaseMessage) -> str:
    if isinstance(message, SystemMessage):
        role = message.additional_kwargs.get("__openai_role__")
        return "developer" if role == "developer" else "system"
    if isinstance(message, HumanMessage):
        return "user"
    if isinstance(message, FunctionMessage):
        return "function"
    raise ValueError(f"Unsupported message type: {type(message).__name__}.")


def _convert_human_message(message: HumanMessage) -> list[WireMessage]:
    """A user message; tool results in it become tool messages that precede it."""
    if isinstance(message.content, str):
        return [_convert_message_to_dict(message)]
    results = [(block, result) for block in blocks_of(message) if (result := read_result(block)) is not None]
    if not results:
        return [_convert_message_to_dict(message)]
    wire = [tool_message(result.id, result_content(result.content, block)) for block, result in results]
    rest = [block for block in message.content if all(block is not each for each, _ in results)]
    if rest:
        wire.append(_convert_message_to_dict(message.model_copy(update={"content": rest})))
    return wire


def _answered_in_blocks(messages: Sequence[BaseMessage]) -> set[str]:
    """The ids of calls, or names of tools, whose results are in the content of user messages."""
    found: set[str] = set()
    for message in messages:
        if message.type == "human" and message.content.__class__ is list:
            results = (read_result(block) for block in blocks_of(message))
            found |= {result.id for result in results if result is not None and result.id}
    return found


def create_chat_result(reply: ChatReply, requested_model: str, *, with_headers: bool = False) -> ChatResult:
    """All answers of a reply, with its usage on the first."""
    generations = []
    for choice in reply.choices:
        message = _create_ai_message(reply, choice, requested_model, with_headers=with_headers)
        info = {"finish_reason": choice.finish_reason} if choice.finish_reason else None
        generations.append(
            _GENERATIONS.make({"message": message, "text": choice.text, "generation_info": info})
        )
    return ChatResult(generations=generations, llm_output={"model_name": reply.model or requested_model})


def _create_ai_message(
    reply: ChatReply, choice: ChatChoice, requested_model: str, *, with_headers: bool
) -> AIMessage:
    tool_calls: list[ToolCall] = []
    invalid_tool_calls: list[InvalidToolCall] = []
    for call in choice.tool_calls:
        args = call.parse_arguments()
        if args is None:
            error = "The arguments are not a JSON object." + cut_note(choice.finish_reason)
            invalid_tool_calls.append(
                invalid_tool_call(name=call.name, args=call.arguments, id=call.id, error=error)
            )
        else:
            tool_calls.append(parsed_tool_call(name=call.name, args=args, id=call.id))
    # The key that LangChain itself reads reasoning from.
    reasoning = {"reasoning_content": choice.reasoning.text} if choice.reasoning.text else {}
    return _ANSWERS.make(
        {
            "content": choice.text,
            "additional_kwargs": {**reasoning, **message_kwargs(choice)},
            "response_metadata": response_metadata(reply, choice, requested_model, with_headers=with_headers),
            "tool_calls": tool_calls,
            "invalid_tool_calls": invalid_tool_calls,
            "usage_metadata": create_usage_metadata(reply.usage) if choice is reply.choices[0] else None,
        }
    )


def message_kwargs(choice: ChatChoice) -> dict[str, Any]:
    """What the message holds beyond text, reasoning text and tool calls."""
    kwargs = dict(choice.extras)
    if choice.refusal:
        kwargs["refusal"] = choice.refusal
    if choice.reasoning.details:
        name = choice.reasoning.details_field or "reasoning_details"
        kwargs[name] = [dict(detail) for detail in choice.reasoning.details]
    if choice.tool_calls:
        kwargs |= tool_call_extras(choice.tool_calls)
    return kwargs


def response_metadata(
    reply: ChatReply, choice: ChatChoice, requested_model: str, *, with_headers: bool
) -> dict[str, Any]:
    """Where an answer comes from and how it ended; the same streamed or not."""
    known: dict[str, Any] = {
        "model_provider": MODEL_PROVIDER,
        "model_name": reply.model or requested_model,
        "finish_reason": choice.finish_reason,
        "normalized_finish_reason": choice.normalized_finish_reason,
        "id": reply.id,
        "created": reply.created,
        "request_id": reply.request_id,
        "logprobs": choice.logprobs,
        "cost_details": (reply.raw.get("usage") or {}).get("cost_details"),
        **reply.cost_fields(),
        **reply.accounting,
    }
    metadata = {
        **reply.extras,
        **choice.metadata,
        **{name: value for name, value in known.items() if value is not None},
        "finish_reason": choice.finish_reason,
    }
    if choice.reasoning.field not in (None, "reasoning_content"):
        metadata["reasoning_field"] = choice.reasoning.field
    if NORMAL_REASONS[choice.finish_reason] == CUT:
        metadata |= reply.cut_fields()
        cut = [call.id for call in choice.tool_calls if call.parse_arguments() is None]
        if cut:
            metadata["truncated_tool_calls"] = cut
    if with_headers:
        metadata["headers"] = dict(reply.headers)
    return metadata


def create_usage_metadata(usage: TokenUsage | None) -> UsageMetadata | None:
    """Usage in the framework's form, where a count that the gateway did not report is 0."""
    if usage is None or (usage.input_tokens is None and usage.output_tokens is None):
        return None
    input_tokens, output_tokens = usage.input_tokens or 0, usage.output_tokens or 0
    metadata = UsageMetadata(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        total_tokens=usage.total_tokens or input_tokens + output_tokens,
    )
    input_details = InputTokenDetails()
    if usage.input_audio_tokens is not None:
        input_details["audio"] = usage.input_audio_tokens
    if usage.cached_tokens is not None:
        input_details["cache_read"] = usage.cached_tokens
    if usage.cache_creation_tokens is not None:
        input_details["cache_creation"] = usage.cache_creation_tokens
    output_details = OutputTokenDetails()
    if usage.output_audio_tokens is not None:
        output_details["audio"] = usage.output_audio_tokens
    if usage.reasoning_tokens is not None:
        output_details["reasoning"] = usage.reasoning_tokens
    if input_details:
        metadata["input_token_details"] = input_details
    if output_details:
        metadata["output_token_details"] = output_details
    return metadata
