"""`ChatDelta` -> `ChatGenerationChunk`, and content blocks for what is streamed together.

LangChain adds numbers and joins strings when it merges chunks, so every such value is on one chunk only:
the last, which is made of the whole reply.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages import content as types
from langchain_core.messages.block_translators import register_translator
from langchain_core.messages.tool import invalid_tool_call, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.utils.json import parse_partial_json

from langchain_texapi._assistant import MODEL_PROVIDER
from langchain_texapi._messages import (
    create_usage_metadata,
    message_kwargs,
    response_metadata,
)
from langchain_texapi._templates import Template
from texapi_core.request.replay import TOOL_CALL_EXTRAS
from texapi_core.wire.generated import (
    CONTENT_PARTS,
    read_annotations,
    read_audio,
    read_citation,
    read_images,
    split_data_url,
)
from texapi_core.wire.reasoning import DETAIL_FIELDS
from texapi_core.wire.tool_calls import ToolCall, ToolCallDelta
from texapi_core.wire.values import ChatDelta, ChatReply

_INVALIDATING_SUFFIXES = ("", "]", '"]', "}]", '"}]')
_WHOLE_BLOCKS = frozenset({"image", "audio"})
_BLOCK_INDEXES = {"reasoning": "lc_rs_0", "text": "lc_txt_0", "refusal": "lc_rf_0"}

_GENERATED = frozenset({"images", "audio", CONTENT_PARTS})

_MESSAGES = Template(AIMessageChunk(content=""))
_GENERATIONS = Template(ChatGenerationChunk(message=AIMessageChunk(content="")))


def create_chunk(
    item: ChatDelta | ChatReply, requested_model: str, *, with_headers: bool
) -> ChatGenerationChunk:
    """The chunk for one delta, or for the reply: usage, origin and extras, which deltas do not carry."""
    if isinstance(item, ChatDelta):
        return _convert_delta_to_generation_chunk(item)
    choice = item.choice
    fixes = [
        tool_call_chunk(name=None, args=fix, id=call.id if call.extras else None, index=index)
        for index, call in enumerate(choice.tool_calls)
        if (fix := _closing_fix(call)) or call.extras
    ]
    metadata = response_metadata(item, choice, requested_model, with_headers=with_headers)
    metadata.pop("logprobs", None)
    message = AIMessageChunk(
        content="",
        additional_kwargs=message_kwargs(choice),
        response_metadata=metadata,
        tool_call_chunks=fixes,
        usage_metadata=create_usage_metadata(item.usage),
    )
    return ChatGenerationChunk(message=message)


def _convert_delta_to_generation_chunk(delta: ChatDelta) -> ChatGenerationChunk:
    additional_kwargs: dict[str, Any] = {}
    if delta.reasoning.text:
        additional_kwargs["reasoning_content"] = delta.reasoning.text
    metadata: dict[str, Any] = {"model_provider": MODEL_PROVIDER}
    if delta.logprobs:
        metadata["logprobs"] = delta.logprobs
    fields: dict[str, Any] = {
        "content": delta.text,
        "additional_kwargs": additional_kwargs,
        "response_metadata": metadata,
        "tool_calls": [],
        "invalid_tool_calls": [],
        "tool_call_chunks": [],
    }
    if delta.tool_calls:
        fields |= _fragments(delta.tool_calls)
    # LangChain's validators would take most of the time of a chunk.
    return _GENERATIONS.make({"message": _MESSAGES.make(fields), "text": delta.text})


def _fragments(calls: Sequence[ToolCallDelta]) -> dict[str, list[Any]]:
    """Pieces of tool calls as the validators of a chunk would have made them.

    The validators try to parse the arguments of every piece as partial JSON. Only a piece that opens an
    object can be parsed, and is left to them; any other is an invalid call.
    """
    fragments = [
        tool_call_chunk(name=call.name, args=call.arguments, id=call.id, index=call.index) for call in calls
    ]
    for call in calls:
        if not call.arguments or call.arguments.lstrip().startswith("{"):
            validated = AIMessageChunk(content="", tool_call_chunks=fragments)
            return {
                "tool_calls": validated.tool_calls,
                "invalid_tool_calls": validated.invalid_tool_calls,
                "tool_call_chunks": validated.tool_call_chunks,
            }
    invalid = [
        invalid_tool_call(name=call.name, args=call.arguments, id=call.id, error=None) for call in calls
    ]
    return {"invalid_tool_calls": invalid, "tool_call_chunks": fragments}


def _closing_fix(call: ToolCall) -> str:
    """What to append to the arguments of a call so that LangChain parses them as this package does."""
    if call.parse_arguments() is None:
        # LangChain parses empty text as `{}`.
        return _invalidating_suffix(call.arguments) if call.arguments else _INVALIDATING_SUFFIXES[1]
    return "{}" if call.arguments.isspace() else ""


def _invalidating_suffix(arguments: str) -> str:
    """What to append to a cut JSON object so that LangChain does not parse it as a whole one.

    When LangChain merges the chunks of a stream it closes open strings and brackets: `{"path": "/ho`
    would become a valid call, and an agent would run it. A whole answer gives an invalid tool call here,
    and a stream must give the same.
    """
    return next(
        (suffix for suffix in _INVALIDATING_SUFFIXES if partial_object(arguments + suffix) is None), ""
    )


def partial_object(text: str) -> dict[str, Any] | None:
    """The object that LangChain reads in a text whose end may be missing; `None` if it reads none."""
    with suppress(ValueError, RecursionError):
        read = parse_partial_json(text)
        return read if isinstance(read, dict) else None
    return None


def _translate_content(message: AIMessage) -> list[types.ContentBlock]:
    """Standard content blocks of a whole message: reasoning, text, refusal, tool calls."""
    blocks: list[Any] = _content_of(message)
    extras = message.additional_kwargs.get(TOOL_CALL_EXTRAS) or {}
    for call in message.tool_calls:
        block: dict[str, Any] = {**call, "type": "tool_call"}
        if extras.get(call["id"]):
            block["extras"] = extras[call["id"]]
        blocks.append(block)
    blocks += [{**call, "type": "invalid_tool_call"} for call in message.invalid_tool_calls]
    return blocks


def _translate_content_chunk(message: AIMessageChunk) -> list[types.ContentBlock]:
    """Standard content blocks of a chunk.

    LangChain joins blocks of equal index, so text, reasoning and each tool call get different indexes;
    with plain numbers, text and the first tool call would become one block.
    """
    if message.chunk_position == "last":
        blocks: list[Any] = _translate_content(message)
    else:
        blocks = _content_of(message)
        extras = message.additional_kwargs.get(TOOL_CALL_EXTRAS) or {}
        for call in message.tool_call_chunks:
            beside = {"extras": extras[call["id"]]} if call["id"] in extras else {}
            blocks.append({**call, **beside, "type": "tool_call_chunk"})
    index_of_call = {call["id"]: call["index"] for call in message.tool_call_chunks if call["id"]}
    for number, block in enumerate(blocks):
        block_type = block["type"]
        if block_type in _BLOCK_INDEXES:
            block["index"] = _BLOCK_INDEXES[block_type]
        elif block_type in _WHOLE_BLOCKS:
            block["index"] = f"lc_{block_type}_{number}"
        elif block_type == "tool_call_chunk":
            block["index"] = f"lc_tc_{block.get('index') or 0}"
        elif block_type in ("tool_call", "invalid_tool_call"):
            block["index"] = f"lc_tc_{index_of_call.get(block.get('id'), 0)}"
    return blocks


def _content_of(message: AIMessage) -> list[Any]:
    blocks: list[Any] = []
    kwargs = message.additional_kwargs
    reasoning = kwargs.get("reasoning_content")
    details = {name: kwargs[name] for name in DETAIL_FIELDS if kwargs.get(name)}
    if reasoning or details:
        block: dict[str, Any] = {"type": "reasoning", "reasoning": reasoning or ""}
        if details:
            block["extras"] = details
        blocks.append(block)
    annotations = [_annotation(annotation) for annotation in read_annotations(kwargs)]
    if isinstance(message.content, str):
        if message.content or annotations:
            blocks.append({"type": "text", "text": message.content})
            if annotations:
                blocks[-1]["annotations"] = annotations
    else:
        blocks += [
            {"type": "text", "text": block} if isinstance(block, str) else dict(block)
            for block in message.content
            if isinstance(block, str) or block.get("type") in ("text", "non_standard")
        ]
    if (refusal := kwargs.get("refusal")) and hasattr(types, "RefusalContentBlock"):
        blocks.append({"type": "refusal", "refusal": refusal})
    return blocks if _GENERATED.isdisjoint(kwargs) else [*blocks, *_generated(kwargs)]


def _generated(kwargs: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The images and the sound of an answer."""
    for url in read_images(kwargs):
        mime_type, data = split_data_url(url) or (None, None)
        source = {"url": url} if data is None else {"base64": data, "mime_type": mime_type}
        yield {"type": "image", **source}
    audio = read_audio(kwargs)
    if audio is not None and audio.data:
        about = {name: value for name, value in kwargs["audio"].items() if name != "data"}
        mime_type = f"audio/{audio.format or 'pcm'}"
        yield {"type": "audio", "base64": audio.data, "mime_type": mime_type, "extras": about}


def _annotation(annotation: Mapping[str, Any]) -> dict[str, Any]:
    cited = read_citation(annotation)
    if cited is None:
        return {"type": "non_standard_annotation", "value": dict(annotation)}
    members = {
        "url": cited.url,
        "title": cited.title,
        "start_index": cited.start,
        "end_index": cited.end,
        "cited_text": cited.text,
    }
    return {"type": "citation", **{name: value for name, value in members.items() if value is not None}}


register_translator(MODEL_PROVIDER, _translate_content, _translate_content_chunk)
