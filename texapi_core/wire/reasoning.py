"""The reasoning of a model, under any of the names that providers use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from texapi_core.wire.generated import storable
from texapi_core.wire.pieces import join_texts

TEXT_FIELDS = ("reasoning_content", "reasoning", "thinking", "reasoning_text", "thought")
"""Fields that hold the text: DeepSeek, Qwen and most gateways; OpenRouter and vLLM; others."""
DETAIL_FIELDS = ("reasoning_details", "thinking_blocks")
"""Fields that hold structured fragments with signatures: OpenRouter; LiteLLM."""
REASONING_FIELDS = frozenset((*TEXT_FIELDS, *DETAIL_FIELDS))

_FRAGMENT_TEXT_FIELDS = ("text", "summary", "thinking", "data")
_REASONING_PART_TYPES = frozenset({"thinking", "reasoning", "reasoning.text", "reasoning.summary"})


@dataclass(frozen=True, slots=True)
class Reasoning:
    """The reasoning of an answer, or of one delta."""

    text: str = ""
    field: str | None = None
    """Field of the wire that held the text, so that it can be sent back in the same one."""
    details: tuple[Mapping[str, Any], ...] = ()
    """Structured fragments, `reasoning_details` on the wire, with their signatures."""
    details_field: str | None = None


NO_REASONING = Reasoning()
NO_CONTENT: tuple[str, str, tuple[Mapping[str, Any], ...]] = ("", "", ())
"""`split_content` of no content."""


def read_reasoning(message: Mapping[str, Any]) -> Reasoning:
    """The reasoning in a message or a delta, `NO_REASONING` when it holds none."""
    if REASONING_FIELDS.isdisjoint(message):
        return NO_REASONING
    text, field = "", None
    for name in TEXT_FIELDS:
        value = message.get(name)
        if value:
            text, field = _text_of(value), name
            if text:
                break
    details: tuple[Mapping[str, Any], ...] = ()
    details_field = None
    for name in DETAIL_FIELDS:
        value = message.get(name)
        if isinstance(value, list) and value:
            details, details_field = tuple(storable(item) for item in value if isinstance(item, dict)), name
            break
    if details and not text:
        text, field = "".join(map(_text_of, details)), details_field
    if not text and not details:
        return NO_REASONING
    return Reasoning(text, field, details, details_field)


def split_content(content: Any) -> tuple[str, str, tuple[Mapping[str, Any], ...]]:
    """Text, reasoning and other parts of `content`, which may be a string or a list of parts."""
    if isinstance(content, str):
        return content, "", ()
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        return NO_CONTENT if content is None else (str(content), "", ())
    texts, reasonings, others = [], [], []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            if part.get("type") in _REASONING_PART_TYPES:
                reasonings.append(_text_of(part.get("thinking") or part))
            elif isinstance(part.get("text"), str):
                texts.append(part["text"])
            else:
                others.append(part)
    return "".join(texts), "".join(reasonings), tuple(others)


def _text_of(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        for name in ("text", "summary", "thinking", "content", "reasoning"):
            if value.get(name):
                return _text_of(value[name])
        return ""
    if isinstance(value, list):
        return "".join(map(_text_of, value))
    return ""


def add_thought(reasoning: Reasoning, thought: str) -> Reasoning:
    """The reasoning with a text that was found in the content."""
    if not thought:
        return reasoning
    return Reasoning(reasoning.text + thought, reasoning.field, reasoning.details, reasoning.details_field)


def join_reasoning(parts: Sequence[Reasoning]) -> Reasoning:
    """The reasoning of a whole answer from that of its deltas."""
    if not parts:
        return NO_REASONING
    return Reasoning(
        "".join(part.text for part in parts),
        next((part.field for part in parts if part.text and part.field), None),
        _merge_details(part.details for part in parts),
        next((part.details_field for part in reversed(parts) if part.details), None),
    )


def _merge_details(chunks: Iterable[Sequence[Mapping[str, Any]]]) -> tuple[dict[str, Any], ...]:
    """Fragments of a stream merged by type and index: texts are joined, of other members the last one stays.

    Of fragments without an index, only the first of a chunk continues the last one of the chunk before.
    The provider refuses the next turn of the conversation unless a signature is the same to the byte.
    """
    merged: list[dict[str, Any]] = []
    texts: dict[tuple[int, str], list[str]] = {}
    by_index: dict[Any, int] = {}
    for fragment, is_first in ((fragment, not at) for chunk in chunks for at, fragment in enumerate(chunk)):
        place = _fragment_to_grow(merged, by_index, fragment)
        if not is_first and fragment.get("index") is None:
            place = None
        if place is None:
            place = len(merged)
            merged.append({})
            if (index := fragment.get("index")) is not None:
                by_index[repr(index), repr(fragment.get("type"))] = place
        target = merged[place]
        for name, value in fragment.items():
            if name in _FRAGMENT_TEXT_FIELDS and isinstance(value, str):
                if not isinstance(target.get(name), str):
                    texts[place, name] = []
                texts[place, name].append(value)
            if value is not None or name not in target:
                target[name] = value
    for (place, name), parts in texts.items():
        if isinstance(merged[place][name], str):
            merged[place][name] = join_texts(parts)
    return tuple(merged)


def _fragment_to_grow(
    merged: list[dict[str, Any]], by_index: Mapping[Any, int], fragment: Mapping[str, Any]
) -> int | None:
    """The position of the fragment that this one continues."""
    index, type_ = fragment.get("index"), fragment.get("type")
    if index is not None:
        return by_index.get((repr(index), repr(type_)))
    last: dict[str, Any] = merged[-1] if merged else {}
    if not last or last.get("type") != type_ or "index" in last:
        return None
    ids = {last.get("id"), fragment.get("id")} - {None}
    return None if last.get("signature") or len(ids) > 1 else len(merged) - 1
