"""Parts of a reply that both adapters keep in a message, and the note that they add to errors about one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from texapi_core.request.replay import TOOL_CALL_EXTRAS
from texapi_core.wire.finish_reasons import CUT, NORMAL_REASONS
from texapi_core.wire.tool_calls import ToolCall


def tool_call_extras(calls: Iterable[ToolCall]) -> dict[str, Any]:
    """The members of `additional_kwargs` that keep what a provider put on tool calls."""
    extras = {call.id: dict(call.extras) for call in calls if call.extras}
    return {TOOL_CALL_EXTRAS: extras} if extras else {}


def kept_extras(kwargs: Mapping[str, Any]) -> Mapping[Any, Any]:
    """What `tool_call_extras` kept, by tool call id."""
    kept = kwargs.get(TOOL_CALL_EXTRAS)
    return kept if isinstance(kept, Mapping) else {}


def cut_note(finish_reason: str | None) -> str:
    """What to add to an error about an answer, when the token limit cut it."""
    cut = NORMAL_REASONS[finish_reason] == CUT
    return " The answer was cut at its token limit: raise `max_tokens`." if cut else ""
