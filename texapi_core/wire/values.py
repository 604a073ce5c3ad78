"""What a reading of the gateway's JSON gives: plain typed values, and what is raised where it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from texapi_core.wire.reasoning import NO_REASONING, Reasoning
from texapi_core.wire.tool_calls import ToolCall, ToolCallDelta
from texapi_core.wire.usage import TokenUsage


class ErrorAnswer(ValueError):
    """The gateway answered with an error object where an answer was due."""

    def __init__(self, error: Any) -> None:
        super().__init__("the gateway answered with an error object")
        self.error = error


class MalformedAnswer(ValueError):
    """What came is no chat completion; `text` is what came instead."""

    def __init__(self, reason: str, text: bytes | str = "", usage: TokenUsage | None = None) -> None:
        super().__init__(reason)
        self.text = text
        self.usage = usage


class CutStream(MalformedAnswer):
    """The bytes of a stream ended before the answer did."""


@dataclass(frozen=True, slots=True)
class ChatChoice:
    """One answer of the model."""

    index: int = 0
    text: str = ""
    reasoning: Reasoning = NO_REASONING
    refusal: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    logprobs: Mapping[str, Any] | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)
    """Members of the message that have no place above, e.g. `annotations`, `audio`, `images`."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Members of the choice that have no place above, e.g. `native_finish_reason`, `matched_stop`."""


@dataclass(frozen=True, slots=True)
class ChatReply:
    """A whole answer of the gateway, streamed or not."""

    choices: tuple[ChatChoice, ...]
    """At least one, in the order of their index."""
    usage: TokenUsage | None = None
    model: str | None = None
    """The model that served the call, which a route may choose."""
    id: str | None = None
    created: int | None = None
    """Seconds since 1970, by the gateway's clock."""
    request_id: str | None = None
    """The gateway's `x-request-id`: what its support asks for."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Response headers, names in lower case."""
    extras: Mapping[str, Any] = field(default_factory=dict)
    """Top-level members that have no place above, e.g. `system_fingerprint`, `service_tier`."""
    raw: Mapping[str, Any] = field(default_factory=dict)
    """The JSON itself, the whole answer or the last chunk of a stream, with the true usage put in."""

    @property
    def choice(self) -> ChatChoice:
        """The first answer, which is the only one unless `n` was asked for."""
        return self.choices[0]


@dataclass(slots=True)  # one that is frozen takes three times as long to make, and each chunk makes one
class ChatDelta:
    """What one chunk of a stream adds to the answer."""

    text: str = ""
    reasoning: Reasoning = NO_REASONING
    refusal: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    logprobs: Mapping[str, Any] | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)
