"""Records the events and spans of LlamaIndex's dispatcher."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.span import BaseSpan
from llama_index.core.instrumentation.span_handlers import BaseSpanHandler
from pydantic import PrivateAttr


class Events(BaseEventHandler):
    """Every event, in order."""

    _seen: list[BaseEvent] = PrivateAttr(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        return "Events"

    @property
    def seen(self) -> list[BaseEvent]:
        return self._seen

    @property
    def names(self) -> list[str]:
        """The names of all events except progress events."""
        names = [type(event).__name__.removesuffix("Event") for event in self._seen]
        return [name for name in names if not name.endswith("InProgress")]

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        self._seen.append(event)


class Spans(BaseSpanHandler[BaseSpan]):
    """Every span by its id: `TexAPI.chat-<uuid>`."""

    _entered: list[str] = PrivateAttr(default_factory=list)
    _parents: dict[str, str | None] = PrivateAttr(default_factory=dict)
    _dropped: list[str] = PrivateAttr(default_factory=list)

    @property
    def entered(self) -> list[str]:
        return self._entered

    @property
    def parents(self) -> dict[str, str | None]:
        return self._parents

    @property
    def dropped(self) -> list[str]:
        return [_method(id_) for id_ in self._dropped]

    @property
    def methods(self) -> list[str]:
        return [_method(id_) for id_ in self._entered]

    def new_span(
        self,
        id_: str,
        bound_args: inspect.BoundArguments,
        instance: Any | None = None,
        parent_span_id: str | None = None,
        tags: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> BaseSpan:
        self._entered.append(id_)
        self._parents[id_] = parent_span_id
        return BaseSpan(id_=id_, parent_id=parent_span_id)

    def prepare_to_exit_span(self, id_: str, *args: Any, **kwargs: Any) -> BaseSpan:
        return self.open_spans[id_]

    def prepare_to_drop_span(self, id_: str, *args: Any, **kwargs: Any) -> BaseSpan:
        self._dropped.append(id_)
        return self.open_spans[id_]


def _method(id_: str) -> str:
    return id_.partition("-")[0]


@contextmanager
def watching() -> Iterator[tuple[Events, Spans]]:
    """The events and spans of the code in the block."""
    dispatcher, events, spans = get_dispatcher(), Events(), Spans()
    before = list(dispatcher.event_handlers), list(dispatcher.span_handlers)
    dispatcher.add_event_handler(events)
    dispatcher.add_span_handler(spans)
    try:
        yield events, spans
    finally:
        dispatcher.event_handlers, dispatcher.span_handlers = before
