"""The reasoning of a model, under any of the names that providers use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from texapi_core.wire.generated import storable
from texapi_core.wire.pieces import join_texts
from texapi_core.wire.signatures import (
    REASONING_DETAILS,
    THINKING_BLOCKS,
    is_thought,
    signed_fragments,
    text_in,
    thought_fragment,
    thought_text,
)

TEXT_FIELDS = ("reasoning_content", "reasoning", "thinking", "reasoning_text", "thought")
"""Fields that hold the text: DeepSeek, Qwen and most gateways; OpenRouter and vLLM; others."""
DETAIL_FIELDS = (REASONING_DETAILS, THINKING_BLOCKS)
"""Fields that hold structured fragments with signatures: OpenRouter; LiteLLM."""
REASONING_FIELDS = frozenset((*TEXT_FIELDS, *DETAIL_FIELDS))

_FRAGMENT_TEXT_FIELDS = ("text", "summary", "thinking", "data")
_CONTENT = "content"
"""`details_field` of the reasoning in a content: of its fragments, the signed ones are details."""


@dataclass(frozen=True, slots=True)
class Reasoning:
    """The reasoning of an answer, or of one delta."""

    text: str = ""
    field: str | None = None
    """Field of the wire that held the text, so that it can be sent back in the same one."""
    details: tuple[Mapping[str, Any], ...] = ()
    """Structured fragments, `reasoning_details` on the wire, with their signatures."""
    details_field: str | None = None

    @property
    def is_of_content(self) -> bool:
        """Whether it stood in the content of a message, whose own members say more."""
        return self.details_field == _CONTENT


NO_REASONING = Reasoning()


def read_reasoning(message: Mapping[str, Any]) -> Reasoning:
    """The reasoning in a message or a delta, `NO_REASONING` when it holds none."""
    text, field = "", None
    for name in TEXT_FIELDS:
        value = message.get(name)
        if value:
            text, field = text_in(value), name
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
        text, field = "".join(map(text_in, details)), details_field
    if not text and not details:
        return NO_REASONING
    return Reasoning(text, field, details, details_field)


def split_content(content: Any) -> tuple[str, Reasoning, list[Mapping[str, Any]]]:
    """Text, reasoning and other parts of `content`, which may be a string or a list of parts."""
    if isinstance(content, str):
        return content, NO_REASONING, []
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        return "" if content is None else str(content), NO_REASONING, []
    texts: list[str] = []
    thoughts: list[dict[str, Any]] = []
    others: list[Mapping[str, Any]] = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            if is_thought(part):
                thoughts.append(part)
            elif isinstance(part.get("text"), str):
                texts.append(part["text"])
            else:
                others.append(part)
    if not thoughts:
        return "".join(texts), NO_REASONING, others
    fragments = tuple(storable(thought_fragment(part)) for part in thoughts)
    reasoning = Reasoning("".join(map(thought_text, thoughts)), None, fragments, _CONTENT)
    return "".join(texts), reasoning, others


def whole(reasoning: Reasoning) -> Reasoning:
    """Reasoning that is complete: of what stood in a content, only signed fragments are details."""
    if not reasoning.is_of_content:
        return reasoning
    field, details = signed_fragments(reasoning.details)
    return Reasoning(reasoning.text, reasoning.field, tuple(details), field)


def add_thought(reasoning: Reasoning, thought: str) -> Reasoning:
    """The reasoning with a text that was found in the content."""
    if not thought:
        return reasoning
    return Reasoning(reasoning.text + thought, reasoning.field, reasoning.details, reasoning.details_field)


def join_reasoning(parts: Sequence[Reasoning]) -> Reasoning:
    """The reasoning of a whole answer from that of its deltas."""
    if not parts:
        return NO_REASONING
    detailed = [part for part in parts if part.details]
    detailed = [part for part in detailed if not part.is_of_content] or detailed
    joined = Reasoning(
        "".join(part.text for part in parts),
        next((part.field for part in parts if part.text and part.field), None),
        _merge_details(part.details for part in detailed),
        detailed[-1].details_field if detailed else None,
    )
    return whole(joined)


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
    is_whole = last.get("signature") or type_ == "redacted_thinking"
    return None if is_whole or len(ids) > 1 else len(merged) - 1
