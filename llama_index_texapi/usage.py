"""`UsageCounter`: the tokens that an agent, a query engine or a workflow used, per model."""

from __future__ import annotations

from contextvars import ContextVar, Token
from functools import reduce
from types import TracebackType
from typing import Any

from llama_index.core.bridge.pydantic import BaseModel, PrivateAttr
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMCompletionEndEvent

from texapi_core.wire.usage import TokenUsage, add_usage, parse_usage

_active: ContextVar[tuple[UsageCounter, ...]] = ContextVar("texapi_usage_counters", default=())


class UsageCounter(BaseEventHandler):
    """Adds up the usage of every LLM call made inside a `with` block, including cached and reasoning tokens.

    Examples:
        ```python
        from llama_index_texapi import TexAPI, UsageCounter

        with UsageCounter() as usage:
            TexAPI(model="claude-sonnet-4-6").complete("Xin chào!")
        print(usage.calls, usage.total.total_tokens, usage.by_model)
        ```

    Calls in tasks and in LlamaIndex's threads that start inside the block count; calls that other code
    makes at the same time do not. Any LLM class that reports usage is counted.
    """

    _by_model: dict[str, TokenUsage] = PrivateAttr(default_factory=dict)
    _calls: int = PrivateAttr(default=0)
    _tokens: list[Token[tuple[UsageCounter, ...]]] = PrivateAttr(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        """The name in LlamaIndex's instrumentation."""
        return "TexAPIUsageCounter"

    @property
    def calls(self) -> int:
        """LLM calls that have ended."""
        return self._calls

    @property
    def by_model(self) -> dict[str, TokenUsage]:
        """Usage by the model that served the call."""
        return dict(self._by_model)

    @property
    def total(self) -> TokenUsage:
        """Usage of all models together."""
        return reduce(add_usage, self._by_model.values(), TokenUsage())

    def __enter__(self) -> UsageCounter:
        if not self._tokens:
            get_dispatcher().add_event_handler(self)
        self._tokens.append(_active.set((*_active.get(), self)))
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _active.reset(self._tokens.pop())
        if not self._tokens:
            dispatcher = get_dispatcher()
            dispatcher.event_handlers = [one for one in dispatcher.event_handlers if one is not self]

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        """Count an `event` that ends a call. LlamaIndex calls it; it passes no `kwargs`."""
        if not isinstance(event, (LLMChatEndEvent, LLMCompletionEndEvent)) or event.response is None:
            return
        if not any(counter is self for counter in _active.get()):
            return
        raw = event.response.raw
        if _member(raw, "choices") is None:
            return  # a structured LLM fires separate events, with the object as the raw answer
        self._calls += 1
        usage = parse_usage(_member(raw, "usage"))
        if usage is None:
            return
        model = str(event.response.additional_kwargs.get("model") or _member(raw, "model") or "unknown")
        self._by_model[model] = add_usage(self._by_model.get(model, TokenUsage()), usage)


def _member(raw: Any, name: str) -> Any:
    """A member of the raw response: a dict here, an object of the openai SDK with other LLM classes."""
    member = raw.get(name) if isinstance(raw, dict) else getattr(raw, name, None)
    return member.model_dump() if isinstance(member, BaseModel) else member
