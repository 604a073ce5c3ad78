"""`ChatDelta`s -> the `ChatResponse`s of a stream, each with the answer as far as it has arrived."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatResponse

from llama_index_texapi._responses import (
    MadeToolCalls,
    create_chat_response,
    create_logprobs,
    from_openai_message,
    make_tool_calls,
    sdk_tool_call,
    tool_call_block,
)
from texapi_core.adapter_base.replies import kept_extras
from texapi_core.request.replay import TOOL_CALL_EXTRAS
from texapi_core.wire.pieces import Nesting
from texapi_core.wire.reasoning import NO_REASONING, Reasoning
from texapi_core.wire.tool_calls import ToolCall, ToolCallDelta
from texapi_core.wire.values import ChatDelta, ChatReply

PARTIAL = "partial"
"""Key of `additional_kwargs` that marks a response of a stream as not yet the whole answer."""


class ResponseStream:
    """A streamed answer as it accumulates, without I/O.

    LlamaIndex reads usage and the final answer from the last response of a stream, so the reply always
    makes one more response, with an empty delta. Log probabilities are given once, with their delta.

    A tool call is made again only when it has grown: the responses share the blocks of the others.
    """

    def __init__(self, *, requested_model: str) -> None:
        self._requested_model = requested_model
        self._text = ""
        self._reasoning_text = ""
        self._refusal = ""
        self._tool_calls: list[_PartialToolCall] = []
        self._last_calls: list[ToolCall] = []
        """What `_made_calls` are made of."""
        self._made_calls: MadeToolCalls | None = None
        self._logprobs_given = 0

    def feed(self, item: ChatDelta | ChatReply) -> ChatResponse:
        """The response for one delta, or for the reply at the end."""
        if isinstance(item, ChatReply):
            response = create_chat_response(
                item,
                requested_model=self._requested_model,
                delta="",
                tool_calls=self._whole_calls(item.choice.tool_calls),
            )
            response.logprobs = (response.logprobs or [])[self._logprobs_given :] or None
            return response
        self._text += item.text
        self._reasoning_text += item.reasoning.text
        self._refusal += item.refusal
        for call_delta in item.tool_calls:
            self._add_tool_call(call_delta)
        logprobs = create_logprobs(item.logprobs)
        self._logprobs_given += len(logprobs or ())
        message = from_openai_message(
            text=self._text,
            reasoning=Reasoning(self._reasoning_text) if self._reasoning_text else NO_REASONING,
            reasoning_tokens=None,
            tool_calls=self._made_calls,
            refusal=self._refusal,
            extras={},
        )
        kwargs: dict[str, Any] = {PARTIAL: True}
        if item.reasoning.text:
            kwargs["thinking_delta"] = item.reasoning.text
        return ChatResponse(
            message=message, raw=item.raw, delta=item.text, logprobs=logprobs, additional_kwargs=kwargs
        )

    def _add_tool_call(self, delta: ToolCallDelta) -> None:
        index, made = delta.index, self._made_calls
        if made is None:
            made = self._made_calls = MadeToolCalls()
        if index == len(self._tool_calls):
            self._tool_calls.append(_PartialToolCall())
        partial = self._tool_calls[index]
        partial.add(delta)
        call = partial.as_tool_call()
        self._last_calls[index : index + 1] = (call,)
        made.blocks[index : index + 1] = (tool_call_block(call),)
        made.of_sdk[index : index + 1] = (sdk_tool_call(call),)
        if delta.extras:
            made.extras[TOOL_CALL_EXTRAS] = {**kept_extras(made.extras), call.id: call.extras}

    def _whole_calls(self, calls: Sequence[ToolCall]) -> MadeToolCalls | None:
        """The calls of the reply. Those that have come like this are not parsed again."""
        if self._made_calls is not None and self._last_calls == [*calls]:
            return self._made_calls
        return make_tool_calls(calls)


class _PartialToolCall:
    def __init__(self) -> None:
        self._id = ""
        self._name = ""
        self._arguments = ""
        self._nesting = Nesting()
        self._extras: dict[str, Any] = {}

    def add(self, delta: ToolCallDelta) -> None:
        self._id = self._id or delta.id or ""
        self._name += delta.name or ""
        self._arguments += delta.arguments
        self._nesting.add(delta.arguments)
        self._extras.update(delta.extras)

    def as_tool_call(self) -> ToolCall:
        return ToolCall(
            self._id, self._name, self._arguments, dict(self._extras), is_open=self._nesting.is_open
        )
