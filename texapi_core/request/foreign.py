"""Tool calls and results as other providers hold them in the content of a message."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Block = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ForeignCall:
    """A tool call."""

    id: str | None
    name: str | None
    arguments: Any
    """An object, or its JSON."""


@dataclass(frozen=True, slots=True)
class ForeignResult:
    """The result of a tool call."""

    id: str | None
    """The id of the call; the name of the tool where there are no ids, as in Gemini's histories."""
    content: Any
    """A text, or a list of blocks."""


def read_call(block: Block) -> ForeignCall | None:
    """The call in a block of Anthropic, Bedrock, Gemini, OpenAI Responses or LangChain."""
    inner = _inner(block, "function_call", "functionCall", "toolUse") or block
    if inner is block and block.get("type") not in ("tool_use", "tool_call", "function_call"):
        return None
    if not isinstance(name := inner.get("name"), str):
        return None
    return ForeignCall(_first(inner, "call_id", "toolUseId", "id"), name, _arguments(inner))


def read_result(block: Block) -> ForeignResult | None:
    """The result in a block of Anthropic, Bedrock, Gemini or OpenAI Responses."""
    block_type = block.get("type")
    if block_type == "tool_result":
        return ForeignResult(block.get("tool_use_id"), block.get("content") or "")
    if block_type == "function_call_output":
        return ForeignResult(block.get("call_id"), _content(block.get("output")))
    if inner := _inner(block, "toolResult"):
        parts = inner.get("content") or []
        return ForeignResult(inner.get("toolUseId"), list(map(typed, parts)))
    if inner := _inner(block, "function_response", "functionResponse"):
        return ForeignResult(_first(inner, "id", "name"), _content(inner.get("response")))
    return None


def _inner(block: Block, *names: str) -> Block | None:
    return next((block[name] for name in names if isinstance(block.get(name), Mapping)), None)


def _first(block: Block, *names: str) -> str | None:
    found = (block[name] for name in names if isinstance(block.get(name), str) and block[name])
    return next(found, None)


def _arguments(call: Block) -> Any:
    return next((call[name] for name in ("input", "args", "arguments") if call.get(name) is not None), {})


def _content(output: Any) -> Any:
    if output is None or isinstance(output, (str, list)):
        return output or ""
    return json.dumps(output, ensure_ascii=False, default=str)


def typed(part: Any) -> Any:
    """A part of Gemini or Bedrock, which has no type, as a block with one; any other part unchanged."""
    if not isinstance(part, Mapping) or "type" in part:
        return part
    if isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if "json" in part:
        return {"type": "text", "text": _content(part["json"])}
    if inline := _inner(part, "inline_data", "inlineData"):
        mime_type = str(inline.get("mime_type") or inline.get("mimeType") or "")
        return _media(mime_type.partition("/")[0].lower(), inline.get("data"), mime_type)
    for kind in ("image", "document", "video"):
        held = _inner(part, kind)
        if held is not None and isinstance(source := held.get("source"), Mapping) and "bytes" in source:
            return _media(
                kind, source["bytes"], f"{_MIME_TYPES[kind]}/{held.get('format')}", held.get("name")
            )
    return part


_MIME_TYPES = {"image": "image", "document": "application", "video": "video"}


def _media(kind: str, data: Any, mime_type: str, name: Any = None) -> Block:
    block_type = kind if kind in ("image", "audio", "video") else "file"
    block = {"type": block_type, "base64": data, "mime_type": mime_type}
    return {**block, "filename": name} if name else block
