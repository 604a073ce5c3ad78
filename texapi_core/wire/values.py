"""The typed values that the gateway's JSON is read into, and the exceptions for JSON that cannot be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from texapi_core.wire.finish_reasons import NORMAL_REASONS
from texapi_core.wire.reasoning import NO_REASONING, Reasoning
from texapi_core.wire.tool_calls import ToolCall, ToolCallDelta
from texapi_core.wire.usage import TokenUsage


@dataclass(frozen=True, slots=True)
class OwnNames:
    """The own names of what a request names otherwise, since a provider would refuse them."""

    tools: Mapping[str, str] = field(default_factory=dict)
    """Name that was sent -> the tool's own."""
    properties: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Name of the tool that was sent -> name of a property that was sent -> the property's own."""


SAME_NAMES = OwnNames()
"""No name had to change."""


class ErrorAnswer(ValueError):
    """The gateway sent an error object in place of an answer."""

    def __init__(self, error: Any) -> None:
        super().__init__("the gateway answered with an error object")
        self.error = error


class MalformedAnswer(ValueError):
    """The gateway sent something else than a chat completion: `text`."""

    def __init__(self, reason: str, text: bytes | str = "", usage: TokenUsage | None = None) -> None:
        super().__init__(reason)
        self.text = text
        self.usage = usage


class CutStream(MalformedAnswer):
    """The bytes of a stream ended before the answer did."""


UNKNOWN_TOOLS = "unknown_tools"
"""Member of a choice's metadata: names that the model called without having such a tool."""


@dataclass(frozen=True, slots=True)
class ChatChoice:
    """One answer of the model."""

    index: int = 0
    """Position among the answers, from 0."""
    text: str = ""
    """The text; `""` if there is none."""
    reasoning: Reasoning = NO_REASONING
    """What the model thought, in the forms that the provider gave."""
    refusal: str = ""
    """The provider's text of a refusal; `""` if there is none."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Calls of tools, in their order."""
    finish_reason: str | None = None
    """Why the answer ended, as the gateway says it, e.g. `stop`, `length`, `tool_calls`."""
    logprobs: Mapping[str, Any] | None = None
    """Log probabilities of the tokens, as the gateway sends them."""
    extras: Mapping[str, Any] = field(default_factory=dict)
    """Members of the message without a field above, e.g. `annotations`, `audio`, `images`."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Members of the choice without a field above, e.g. `native_finish_reason`, `matched_stop`."""

    @property
    def normalized_finish_reason(self) -> str | None:
        """`stop`, `length`, `tool_call`, `content_filter` or `refusal`, `None` for another reason.

        A refusal and tool calls count although the provider says `stop`.
        """
        reason = NORMAL_REASONS[self.finish_reason]
        if reason is not None and self.refusal:
            return "refusal"
        return "tool_call" if reason == "stop" and self.tool_calls else reason


@dataclass(frozen=True, slots=True)
class ChatReply:
    """A whole answer of the gateway, streamed or not."""

    choices: tuple[ChatChoice, ...]
    """At least one, in the order of their index."""
    usage: TokenUsage | None = None
    """Tokens of the call as the gateway counted them; `None` if it sent no count."""
    model: str | None = None
    """The model that served the call, which a route may choose."""
    id: str | None = None
    """The answer's id, which is not its `request_id`."""
    created: int | None = None
    """Seconds since 1970 on the gateway's clock."""
    request_id: str | None = None
    """The gateway's `x-request-id`, which its support asks for."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Response headers, names in lower case."""
    extras: Mapping[str, Any] = field(default_factory=dict)
    """Top-level members without a field above, e.g. `system_fingerprint`, `service_tier`."""
    raw: Mapping[str, Any] = field(default_factory=dict)
    """The JSON of the whole answer, or of the last chunk of a stream, with the final usage in it."""
    token_limit: int | None = None
    """The limit of the request, if it cut an answer."""
    accounting: Mapping[str, Any] = field(default_factory=dict)
    """What accounting adds to the metadata of the answer, e.g. `budget_left`."""

    @property
    def choice(self) -> ChatChoice:
        """The first answer, which is the only one unless `n` was asked for."""
        return self.choices[0]

    def cost_fields(self) -> dict[str, Any]:
        """The cost and its source, `gateway` or `prices`, for a framework's metadata; `{}` if unknown."""
        if self.usage is None or self.usage.cost is None:
            return {}
        return {
            "cost": self.usage.cost,
            "cost_source": "prices" if self.usage.cost_is_estimated else "gateway",
        }

    def cut_fields(self) -> dict[str, Any]:
        """That an answer was cut, and the limit of the request, for a framework's metadata."""
        limit = {} if self.token_limit is None else {"token_limit": self.token_limit}
        return {"truncated": True, **limit}


@dataclass(slots=True)  # not frozen: that takes three times as long to make, and each chunk makes one
class ChatDelta:
    """What one chunk of a stream adds to the answer."""

    text: str = ""
    """What the chunk adds to the text."""
    reasoning: Reasoning = NO_REASONING
    """What the chunk adds to the reasoning."""
    refusal: str = ""
    """What the chunk adds to the refusal."""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    """What the chunk adds to calls of tools."""
    logprobs: Mapping[str, Any] | None = None
    """Log probabilities of the chunk's tokens."""
    raw: Mapping[str, Any] = field(default_factory=dict)
    """The JSON of the chunk."""


def keep_first_call(reply: ChatReply) -> ChatReply:
    """The reply with one tool call per choice: some models make several although they may make one."""
    if all(len(choice.tool_calls) <= 1 for choice in reply.choices):
        return reply
    choices = [replace(choice, tool_calls=choice.tool_calls[:1]) for choice in reply.choices]
    return replace(reply, choices=tuple(choices))


def keep_deltas_of_first_call(deltas: Iterable[ChatDelta]) -> Iterator[ChatDelta]:
    """The deltas of a stream without those of a second or later tool call."""
    for delta in deltas:
        if any(call.index for call in delta.tool_calls):
            calls = tuple(call for call in delta.tool_calls if not call.index)
            delta = replace(delta, tool_calls=calls)
            if replace(delta, raw={}) == ChatDelta():
                continue
        yield delta
