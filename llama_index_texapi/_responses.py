"""`ChatReply` -> `ChatResponse` and `CompletionResponse`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    ChatResponse,
    CitationBlock,
    CompletionResponse,
    ImageBlock,
    LogProb,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from llama_index_texapi._messages import GENERATED_IMAGES
from texapi_core.adapter_base.replies import tool_call_extras
from texapi_core.wire.finish_reasons import CUT, NORMAL_REASONS
from texapi_core.wire.generated import (
    read_annotations,
    read_audio,
    read_citation,
    read_images,
    split_data_url,
)
from texapi_core.wire.reasoning import Reasoning
from texapi_core.wire.tool_calls import ToolCall
from texapi_core.wire.usage import TokenUsage
from texapi_core.wire.values import ChatChoice, ChatReply


@dataclass(frozen=True, slots=True)
class MadeToolCalls:
    """Tool calls in the forms that a message keeps them in."""

    blocks: list[ToolCallBlock] = field(default_factory=list)
    of_sdk: list[Any] = field(default_factory=list)
    """Each in the form of the openai SDK, which LlamaIndex's programs, counters and tracers look for."""
    extras: dict[str, Any] = field(default_factory=dict)
    """Members of `additional_kwargs`."""


def make_tool_calls(calls: Sequence[ToolCall]) -> MadeToolCalls:
    """Tool calls of a whole answer."""
    return MadeToolCalls(
        [tool_call_block(call) for call in calls],
        [sdk_tool_call(call) for call in calls],
        tool_call_extras(calls),
    )


def from_openai_message(
    *,
    text: str,
    reasoning: Reasoning,
    reasoning_tokens: int | None,
    tool_calls: MadeToolCalls | None,
    refusal: str,
    extras: Mapping[str, Any],
) -> ChatMessage:
    """An answer, or the part of it that has arrived, as the framework's message."""
    blocks: list[Any] = []
    if reasoning.text or reasoning.details:
        blocks.append(_thinking_block(reasoning, reasoning_tokens))
    if text or tool_calls is None:
        blocks.append(TextBlock(text=text))
    additional_kwargs: dict[str, Any] = {}
    if extras:
        blocks += _generated_blocks(extras, text)
        additional_kwargs = {GENERATED_IMAGES if k == "images" else k: v for k, v in extras.items()}
    if refusal:
        additional_kwargs["refusal"] = refusal
    if tool_calls is not None:
        blocks += tool_calls.blocks
        additional_kwargs["tool_calls"] = [*tool_calls.of_sdk]
        additional_kwargs |= tool_calls.extras
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs=additional_kwargs)


def _generated_blocks(extras: Mapping[str, Any], text: str) -> Iterator[Any]:
    """Images, sound and cited pages of an answer, where LlamaIndex has a block that takes them."""
    for url in read_images(extras):
        mime_type, data = split_data_url(url) or (None, None)
        with suppress(ValueError):  # an address that LlamaIndex does not take
            yield ImageBlock(image=data.encode(), image_mimetype=mime_type) if data else ImageBlock(url=url)
    audio = read_audio(extras)
    if audio is not None and audio.data:
        with suppress(ValueError):
            yield AudioBlock(audio=audio.data.encode(), format=audio.format or "pcm16")
    for cited in filter(None, map(read_citation, read_annotations(extras))):
        location = {"start_index": cited.start, "end_index": cited.end}
        yield CitationBlock(
            cited_content=TextBlock(text=cited.text or text[cited.start : cited.end]),
            source=cited.url,
            title=cited.title or cited.url,
            additional_location_info={name: at for name, at in location.items() if at is not None},
        )


def _thinking_block(reasoning: Reasoning, reasoning_tokens: int | None) -> ThinkingBlock:
    origin: dict[str, Any] = {}
    if reasoning.field:
        origin["field"] = reasoning.field
    if reasoning.details:
        origin["details"] = [dict(detail) for detail in reasoning.details]
        origin["details_field"] = reasoning.details_field
    return ThinkingBlock(content=reasoning.text, num_tokens=reasoning_tokens, additional_information=origin)


def tool_call_block(call: ToolCall) -> ToolCallBlock:
    """A call as a block; arguments that are no JSON object stay text."""
    arguments = call.parse_arguments()
    return ToolCallBlock(
        tool_call_id=call.id,
        tool_name=call.name,
        tool_kwargs=call.arguments if arguments is None else arguments,
    )


def sdk_tool_call(call: ToolCall) -> Any:
    """A call in the form of the openai SDK."""
    sdk = _sdk_types()
    beside = dict(call.extras)
    function = sdk.Function(name=call.name, arguments=call.arguments, **beside.pop("function", {}))
    made = sdk.ChatCompletionMessageFunctionToolCall(id=call.id, type="function", function=function)
    return made.model_copy(update=beside) if beside else made


@cache
def _sdk_types() -> Any:
    from openai.types.chat import chat_completion_message_function_tool_call  # the SDK is slow to import

    return chat_completion_message_function_tool_call


def create_chat_response(
    reply: ChatReply,
    *,
    requested_model: str,
    delta: str | None = None,
    tool_calls: MadeToolCalls | None = None,
) -> ChatResponse:
    """A whole answer, streamed or not, as the framework's response; `tool_calls` if they are made already."""
    choice = reply.choices[0]
    message = from_openai_message(
        text=choice.text,
        reasoning=choice.reasoning,
        reasoning_tokens=reply.usage.reasoning_tokens if reply.usage else None,
        tool_calls=(tool_calls or make_tool_calls(choice.tool_calls)) if choice.tool_calls else None,
        refusal=choice.refusal,
        extras=choice.extras,
    )
    return ChatResponse(
        message=message,
        raw=reply.raw,
        delta=delta,
        logprobs=create_logprobs(choice.logprobs),
        additional_kwargs=_response_kwargs(reply, choice, requested_model),
    )


def create_completion_response(response: ChatResponse) -> CompletionResponse:
    """A chat's response as a completion's. LlamaIndex's own converter drops log probabilities."""
    return CompletionResponse(
        text=response.message.content or "",
        additional_kwargs={**response.message.additional_kwargs, **response.additional_kwargs},
        raw=response.raw,
        logprobs=response.logprobs,
        delta=response.delta,
    )


def _response_kwargs(reply: ChatReply, choice: ChatChoice, requested_model: str) -> dict[str, Any]:
    """Usage, origin and finish reason of an answer, under names that LlamaIndex's handlers read."""
    usage = reply.usage or TokenUsage()
    kwargs: dict[str, Any] = {
        **reply.extras,
        **choice.metadata,
        **usage.as_wire(),
        "cached_tokens": usage.cached_tokens,
        "cache_creation_tokens": usage.cache_creation_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        **(reply.cut_fields() if NORMAL_REASONS[choice.finish_reason] == CUT else {}),
        **reply.cost_fields(),
        **reply.accounting,
        "finish_reason": choice.finish_reason,
        "model": reply.model or requested_model,
        "id": reply.id,
        "request_id": reply.request_id,
        "cost_details": (reply.raw.get("usage") or {}).get("cost_details"),
    }
    given = {name: value for name, value in kwargs.items() if value is not None}
    return {**given, "finish_reason": choice.finish_reason}


def create_logprobs(logprobs: Mapping[str, Any] | None) -> list[list[LogProb]] | None:
    """For each token its most likely alternatives, or the token alone."""
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
