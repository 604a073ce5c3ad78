"""Reasoning in the parts of a content, and the members of a message that carry its signatures.

Claude's signed thinking is in `thinking_blocks`, as LiteLLM has it; OpenAI's encrypted reasoning in
`reasoning_details`, as OpenRouter has it; Gemini's thought signatures in `extra_content`, as Google has them.
A provider refuses the next turn, or forgets its reasoning, unless a signature is the same to the byte.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

THINKING_BLOCKS = "thinking_blocks"
REASONING_DETAILS = "reasoning_details"
SIGNATURES = "extra_content"
"""Member of a message and of a tool call with Gemini's thought signatures; goes back unchanged.

https://ai.google.dev/gemini-api/docs/openai#thinking
"""

_THOUGHT_TYPES = frozenset(
    {"thinking", "redacted_thinking", "reasoning", "reasoning_content", "reasoning.text", "reasoning.summary"}
)
_BEDROCKS = ("reasoningContent", "reasoning_content")
_GOOGLES = ("thoughtSignature", "thought_signature")
_MEMBERS = (THINKING_BLOCKS, REASONING_DETAILS)


def is_thought(part: Mapping[str, Any]) -> bool:
    """Whether a part of a content is reasoning, in the form of any provider or framework."""
    part_type = part.get("type")
    if part_type is None:
        return part.get("thought") is True or isinstance(part.get("reasoningContent"), Mapping)
    return isinstance(part_type, str) and part_type in _THOUGHT_TYPES


def thought_text(part: Mapping[str, Any]) -> str:
    """The text of a part that is reasoning."""
    inner = _inner_of(part)
    for name in ("thinking", "reasoning", "text", "summary", "content"):
        if text := text_in(inner.get(name), "\n\n" if name in ("summary", "content") else ""):
            return text
    return ""


def text_in(value: Any, between: str = "") -> str:
    """The text in a value: a string, an object with one, or a list of these."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        names = ("text", "summary", "thinking", "content", "reasoning")
        return next((text for name in names if (text := text_in(value.get(name), between))), "")
    return between.join(text_in(each, between) for each in value) if isinstance(value, list) else ""


def signed_members(parts: Iterable[Any], *, of_google: bool = False) -> dict[str, Any]:
    """The members of a message that carry the signatures of its content. `of_google` says who signed."""
    members: dict[str, Any] = {}
    for part in parts:
        if isinstance(part, Mapping) and (found := _signed_member(part, of_google=of_google)) is not None:
            name, value = found
            members[name] = [*members.get(name, ()), value] if name in _MEMBERS else value
    return members


def thought_fragment(part: Mapping[str, Any]) -> dict[str, Any]:
    """A part of reasoning, or a piece of one, as its signed member has it; not every piece is signed."""
    found = _signed_member(part)
    fragment: dict[str, Any]
    if found is not None and found[0] in _MEMBERS:
        fragment = found[1]
    else:
        fragment = {"type": "thinking", "thinking": thought_text(part)}
    return fragment if part.get("index") is None else {**fragment, "index": part["index"]}


def signed_fragments(fragments: Sequence[Mapping[str, Any]]) -> tuple[str | None, list[dict[str, Any]]]:
    """The member of a message for what is signed among whole fragments, and its entries."""
    signed = [
        {name: value for name, value in each.items() if name != "index"}
        for each in fragments
        if each.get("signature") or each.get("data")
    ]
    for name in _MEMBERS:
        is_field = name == REASONING_DETAILS
        if found := [each for each in signed if str(each["type"]).startswith("reasoning.") == is_field]:
            return name, found
    return None, []


def google_signature(part: Mapping[str, Any], *names: str) -> dict[str, Any] | None:
    """The thought signature in a part, as `extra_content` has it; `names` are further members with it."""
    extras = part.get("extras")
    holders = (part, extras) if isinstance(extras, Mapping) else (part,)
    found = next(
        (text for each in holders for name in (*_GOOGLES, *names) if (text := _text(each.get(name)))), None
    )
    return None if found is None else {"google": {"thought_signature": found}}


def is_signed(value: Any) -> bool:
    """Whether an object holds a signature."""
    if isinstance(value, Mapping):
        return any(
            bool(each) and (str(name).lower().endswith(("signature", "signatures")) or is_signed(each))
            for name, each in value.items()
        )
    return isinstance(value, list) and any(map(is_signed, value))


def _signed_member(part: Mapping[str, Any], *, of_google: bool = False) -> tuple[str, Any] | None:
    """The member of a message that carries what is signed in a part, and its value or one entry of it."""
    if part.get("type") == "non_standard" and isinstance(part.get("value"), Mapping):
        part = part["value"]
    if (found := google_signature(part, *(("signature",) if of_google else ()))) is not None:
        return SIGNATURES, found
    if not is_thought(part):
        return None
    inner, extras = _inner_of(part), part.get("extras")
    holders = (inner, extras) if isinstance(extras, Mapping) else (inner,)
    if signature := next((text for each in holders if (text := _text(each.get("signature")))), None):
        return THINKING_BLOCKS, {"type": "thinking", "thinking": thought_text(part), "signature": signature}
    redacted = inner.get("data") if part.get("type") == "redacted_thinking" else inner.get("redactedContent")
    if data := _text(redacted):
        return THINKING_BLOCKS, {"type": "redacted_thinking", "data": data}
    if data := next((text for each in holders if (text := _text(each.get("encrypted_content")))), None):
        named = {"id": part["id"]} if isinstance(part.get("id"), str) else {}
        encrypted = {"type": "reasoning.encrypted", "data": data, **named, "format": "openai-responses-v1"}
        return REASONING_DETAILS, encrypted
    return None


def _inner_of(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where a part has text and signature: Bedrock's are one or two levels down."""
    for name in _BEDROCKS:
        if isinstance(inner := part.get(name), Mapping):
            text = inner.get("reasoningText")
            return text if isinstance(text, Mapping) else inner
        if isinstance(inner, str):
            return {**part, "text": inner}
    return part


def _text(value: Any) -> str | None:
    """A signature: text, or bytes as base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value if isinstance(value, str) and value else None
