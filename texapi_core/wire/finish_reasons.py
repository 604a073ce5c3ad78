"""Finish reasons: the words of all providers, and what they mean."""

from __future__ import annotations

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


def was_cut(finish_reason: str | None) -> bool:
    """Whether something else than the model ended the answer: `length`, `content_filter`, nothing at all."""
    return NORMAL_REASONS[finish_reason] not in _COMPLETE


def later_reason(earlier: str | None, later: str | None) -> str | None:
    """The finish reason of a stream after another chunk: a cut answer stays cut."""
    is_final = earlier is not None and NORMAL_REASONS[earlier] in _FINAL
    return earlier if is_final else later or earlier
