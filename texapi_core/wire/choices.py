"""The choices of an answer or a chunk: index, message and finish reason, in any form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NULLS = ("null", "None")
"""What some relays send for a null (zed-industries/zed#54058)."""
CUT = "length"
"""The normal finish reason of an answer that ended at a token limit."""


class _FinishReasons(dict[str | None, str | None]):
    """Finish reason -> its meaning, in any case and with Google's prefix; `None` for an unknown one."""

    def __missing__(self, reason: str | None) -> str | None:
        return self.get(str(reason).lower().replace("-", "_").removeprefix("finish_reason_"))


_MEANINGS: dict[str | None, str | None] = {
    None: None,
    **dict.fromkeys(("stop", "end_turn", "stop_sequence", "eos", "eos_token"), "stop"),
    **dict.fromkeys(("complete", "completed", "done", "finished"), "stop"),
    **dict.fromkeys(("tool_calls", "tool_call", "tool_use", "function_call"), "tool_call"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "max_completion_tokens"), CUT),
    **dict.fromkeys(("max_new_tokens", "max_length", "token_limit", "model_length"), CUT),
    **dict.fromkeys(("model_context_window_exceeded", "context_window_exceeded"), CUT),
    **dict.fromkeys(("content_filter", "content_filtered", "safety", "recitation"), "content_filter"),
    **dict.fromkeys(("blocklist", "prohibited_content", "spii", "sensitive"), "content_filter"),
    "refusal": "refusal",
}
NORMAL_REASONS = _FinishReasons(_MEANINGS)
"""Finish reasons of OpenAI, Anthropic, Mistral, Together, Cohere, Gemini, Bedrock and Z.ai -> one word for
each meaning: `stop`, `tool_call`, `length`, `content_filter`, `refusal`."""
_COMPLETE = ("stop", "tool_call")
"""The meanings of an answer that the model ended itself."""
_FINAL = (CUT, "content_filter")
"""The meanings that a later finish reason does not take back: some relays end each stream with `stop`."""


def read_choices(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The choices of an answer or a chunk, `[]` when there are none."""
    choices = body.get("choices")
    if isinstance(choices, dict):
        return [choices]
    if not isinstance(choices, list):
        return []
    return [choice for choice in choices if isinstance(choice, dict)]


def message_of(choice: Mapping[str, Any]) -> dict[str, Any] | None:
    """The message of a choice; some servers send a delta, or only the text, in place of a message."""
    for name in ("message", "delta"):
        message = choice.get(name)
        if message and isinstance(message, dict):
            return message
    if isinstance(choice.get("text"), str):
        return {"content": choice["text"]}
    said_nothing = isinstance(choice.get("message", choice.get("delta")), dict) or read_finish_reason(choice)
    return {"content": None} if said_nothing else None


def choice_index(choice: Mapping[str, Any]) -> int:
    """The index of a choice, 0 by default."""
    index = choice.get("index")
    return index if isinstance(index, int) else read_index(index) or 0


def read_index(index: Any) -> int | None:
    """The index of a choice or a tool call; some servers send a float or text."""
    if type(index) is int:
        return index
    if isinstance(index, str) and index.isdecimal():
        return int(index[:9])
    if isinstance(index, float) and index.is_integer():
        return int(index)
    return None


def read_finish_reason(choice: Mapping[str, Any]) -> str | None:
    """Why the model stopped, `None` while it has not; some servers send null as text, `false` or 0."""
    reason = text_or_none(choice.get("finish_reason") or None)
    return None if reason in NULLS else reason


def was_cut(finish_reason: str | None) -> bool:
    """Whether something else than the model ended the answer: `length`, `content_filter`, nothing at all."""
    return NORMAL_REASONS[finish_reason] not in _COMPLETE


def later_reason(finish_reason: str | None, choice: Mapping[str, Any]) -> str | None:
    """The finish reason of a stream after another chunk: a cut answer stays cut."""
    is_final = finish_reason is not None and NORMAL_REASONS[finish_reason] in _FINAL
    return finish_reason if is_final else read_finish_reason(choice) or finish_reason


def text_or_none(value: Any) -> str | None:
    """An id or a name as text; a few servers send numbers."""
    if value is None or value == "" or isinstance(value, (bool, dict, list)):
        return None
    return str(value)
