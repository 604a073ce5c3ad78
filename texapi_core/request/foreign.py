"""Results of tools, and parts of content, as other providers hold them in a message."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

Block = Mapping[str, Any]

_MAX_DEPTH = 200
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
"""Where an object is in memory, in its text."""
_TEXTS = {"json": "json", "custom_tool_call_output": "output"}
"""Type of a block of a result -> the member with a text, or with what is to be one."""
_PARTS_OF_RESPONSES: Mapping[str, tuple[str, ...]] = {
    "output_text": ("annotations", "logprobs"),
    "input_image": ("image_url", "detail", "file_id"),
    "input_file": ("file_data", "file_url"),
}
"""Type of a part of OpenAI Responses -> members that chat completions have in another place, or not."""
_OUTPUTS = ("function_call_output", "custom_tool_call_output")


@dataclass(frozen=True, slots=True)
class ForeignResult:
    """The result of a tool call."""

    id: str | None
    """The id of the call; the name of the tool where there are no ids, as in Gemini's histories."""
    content: Any
    """A text, or a list of blocks."""


def members_of(value: Any) -> Mapping[str, Any] | None:
    """The members of a dict, or of an object of an SDK or a framework; `None` for other values."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, type):
        return None
    if callable(dump := getattr(value, "model_dump", None)):
        return dict(dump(exclude_none=True, warnings=False))
    if callable(dump := getattr(value, "_asdict", None)):
        return dict(dump())
    return vars(value) if hasattr(value, "__dict__") else None


def read_result(block: Block) -> ForeignResult | None:
    """The result in a block of Anthropic, Bedrock, Gemini or OpenAI Responses."""
    block = _unwrapped(block)
    block_type = block.get("type")
    if block_type == "tool_result":
        content = block.get("content")
        is_block = isinstance(content, Mapping) and isinstance(content.get("type"), str)
        return ForeignResult(block.get("tool_use_id"), [content] if is_block else _content(content))
    if block_type in _OUTPUTS:
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


def _content(output: Any) -> Any:
    """The content of a result: a text, or a list of blocks; of any other value the JSON."""
    if output is None or isinstance(output, (str, list)):
        return output or ""
    return _json(output)


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json_text(value, "The result of a tool")


def typed_result(part: Any) -> Any:
    """A part of a result; a dict without a type is what the tool returned, e.g. a row, and becomes JSON."""
    found = typed(part)
    if isinstance(found, Mapping) and "type" not in found:
        return {"type": "text", "text": _json(found)}
    return found


def typed(part: Any) -> Any:
    """A part of Gemini or Bedrock, which has no type, as a block with one; one of OpenAI Responses, a text.

    Any other part is returned unchanged.
    """
    if not isinstance(part, Mapping):
        return part
    part = _unwrapped(part)
    if (block_type := part.get("type")) == "search_result":
        marks = {name: value for name, value in part.items() if name == "cache_control"}
        text = _search_result_text(part)
        return {"type": "text", "text": text, **marks} if text else part
    if isinstance(block_type, str) and _TEXTS.get(block_type) in part:
        return {"type": "text", "text": _text_of_output(part[_TEXTS[block_type]])}
    if "type" in part:
        return _of_responses(part)
    if isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if "json" in part:
        return {"type": "text", "text": _json(part["json"])}
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


def _unwrapped(block: Block) -> Block:
    """What a `non_standard` block of LangChain holds, else the block."""
    value = block.get("value") if block.get("type") == "non_standard" else None
    return value if isinstance(value, Mapping) else block


def _text_of_output(output: Any) -> str:
    """The texts of an output of texts, a line for each, else its JSON."""
    parts = list(map(typed, output)) if isinstance(output, list) else []
    if parts and all(isinstance(part, Mapping) and part.get("type") == "text" for part in parts):
        return "\n".join(str(part.get("text")) for part in parts)
    return _json(output)


def _of_responses(part: Block) -> Block:
    """A part of an input of OpenAI Responses as one of chat completions; any other part unchanged."""
    part_type = part["type"]
    if not isinstance(part_type, str):
        return part
    rest = {name: value for name, value in part.items() if name not in _PARTS_OF_RESPONSES.get(part_type, ())}
    if part_type in ("input_text", "output_text") and isinstance(part.get("text"), str):
        return {**rest, "type": "text"}
    if part_type == "input_image" and isinstance(part.get("image_url"), str):
        detail = {"detail": part["detail"]} if part.get("detail") else {}
        return {**rest, "type": "image_url", "image_url": {"url": part["image_url"], **detail}}
    if part_type == "image_generation_call" and isinstance(part.get("result"), str):
        return _media("image", part["result"], f"image/{part.get('output_format') or 'png'}")
    if part_type == "input_file":
        address = {"url": part["file_url"]} if part.get("file_url") else {}
        data = {"base64": part["file_data"]} if part.get("file_data") else {}
        return {**rest, "type": "file", **(data or address)}
    return part


def _search_result_text(block: Block) -> str:
    """What a search result of Anthropic says: title, source, and the text of the page."""
    content = block.get("content")
    parts = content if isinstance(content, list) else [content]
    texts = [part.get("text") if isinstance(part, Mapping) else part for part in parts]
    lines = [block.get("title"), block.get("source"), *texts]
    return "\n".join(line for line in lines if isinstance(line, str) and line)


_MIME_TYPES = {"image": "image", "document": "application", "video": "video"}


def _media(kind: str, data: Any, mime_type: str, name: Any = None) -> Block:
    block_type = kind if kind in ("image", "audio", "video") else "file"
    block = {"type": block_type, "base64": data, "mime_type": mime_type}
    return {**block, "filename": name} if name else block


def json_text(value: Any, place: str) -> str:
    """JSON that every parser reads: other keys than texts, and numbers that are not finite, become text.

    It is the same in every process: sets are sorted, pydantic models and dataclasses are objects, and no
    other object has its address in it.

    Raises:
        ValueError: a value that holds itself, or is nested too deeply.
    """
    try:
        return json.dumps(value, ensure_ascii=False, default=_stable, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return json.dumps(_plain(value, place, 0), ensure_ascii=False, default=_stable, allow_nan=False)


def _stable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=lambda each: json.dumps(each, default=_stable))
    if isinstance(value, BaseModel):
        return value.model_dump(warnings=False)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return _ADDRESS.sub("", str(value))


def _plain(value: Any, place: str, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise ValueError(f"{place} cannot be sent as JSON: it holds itself. Nothing was sent.")
    if isinstance(value, Mapping):
        return {
            key if isinstance(key, str) else str(key): _plain(each, place, depth + 1)
            for key, each in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_plain(each, place, depth + 1) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
