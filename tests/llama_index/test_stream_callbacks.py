"""`@streaming(callback)` emits the same events as LlamaIndex's `@callback()`, in the same order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import Context
from itertools import product
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
from llama_index.core.callbacks import CallbackManager
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation import Dispatcher, get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.span import BaseSpan
from llama_index.core.instrumentation.span_handlers import BaseSpanHandler
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from pydantic import PrivateAttr, ValidationError

from llama_index_texapi._callbacks import streaming
from llama_index_texapi.usage import UsageCounter

Log = list[tuple[Any, ...]]
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Script(CustomLLM):
    """Streams of `length` responses and then, if `breaks`, an error."""

    length: int = 4
    breaks: bool = False
    refuses: bool = False

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="scripted")

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        raise NotImplementedError

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise NotImplementedError

    def play(self, response_of: Callable[[str], Any]) -> Generator[Any, None, None]:
        if self.refuses:
            raise ConnectionError("refused")
        return self._responses(response_of)

    async def aplay(self, response_of: Callable[[str], Any]) -> AsyncGenerator[Any, None]:
        responses = self.play(response_of)

        async def aresponses() -> AsyncGenerator[Any, None]:
            for response in responses:
                await asyncio.sleep(0)
                yield response

        return aresponses()

    def _responses(self, response_of: Callable[[str], Any]) -> Generator[Any, None, None]:
        for number in range(self.length):
            yield response_of(f"{number} ")
        if self.breaks:
            raise ConnectionError("the stream broke")


def chat_response(delta: str) -> ChatResponse:
    return ChatResponse(message=ChatMessage(delta), delta=delta)


def completion_response(delta: str) -> CompletionResponse:
    return CompletionResponse(text=delta, delta=delta)


def scripted_llm(chat: Decorator, completion: Decorator) -> type[Script]:
    """A class with the same methods, wrapped by these decorators."""

    class Scripted(Script):
        @chat
        def stream_chat(self, messages: Any, **kwargs: Any) -> Any:
            return self.play(chat_response)

        @completion
        def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
            return self.play(completion_response)

        @chat
        async def astream_chat(self, messages: Any, **kwargs: Any) -> Any:
            return await self.aplay(chat_response)

        @completion
        async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
            return await self.aplay(completion_response)

    return Scripted


OURS = scripted_llm(streaming(llm_chat_callback), streaming(llm_completion_callback))
THEIRS = scripted_llm(llm_chat_callback(), llm_completion_callback())


def comparable(value: Any) -> Any:
    """Make exceptions comparable: Python creates a new `GeneratorExit` for each closed generator."""
    return (type(value), str(value)) if isinstance(value, BaseException) else value


def shown(payload: dict[Any, Any] | None) -> dict[Any, Any]:
    return {name: comparable(value) for name, value in (payload or {}).items()}


class Events(BaseEventHandler):
    _log: Log = PrivateAttr()

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        content = event.model_dump(exclude={"id_", "timestamp", "span_id", "exception"})
        content["exception"] = comparable(getattr(event, "exception", None))
        self._log.append(("event", type(event).__name__, content, event.span_id is not None))


def _named(arguments: dict[str, Any]) -> dict[str, Any]:
    """LlamaIndex's `complete` hides the names of its arguments from spans."""
    named = {name: value for name, value in arguments.items() if name != "args"}
    return {**dict(zip(("prompt", "formatted"), arguments.get("args", ()), strict=False)), **named}


class Spans(BaseSpanHandler[BaseSpan]):
    _log: Log = PrivateAttr()

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def new_span(self, id_: str, bound_args: Any, *args: Any, **kwargs: Any) -> BaseSpan:
        self._log.append(("span", id_.partition("-")[0], _named(bound_args.arguments)))
        return BaseSpan(id_=id_)

    def prepare_to_exit_span(self, id_: str, *args: Any, result: Any = None, **kwargs: Any) -> BaseSpan:
        kinds = Generator, AsyncGenerator
        self._log.append(("exit", id_.partition("-")[0], [isinstance(result, kind) for kind in kinds]))
        return self.open_spans[id_]

    def prepare_to_drop_span(self, id_: str, *args: Any, err: Any = None, **kwargs: Any) -> BaseSpan:
        self._log.append(("drop", id_.partition("-")[0], comparable(err)))
        return self.open_spans[id_]


class Callbacks(BaseCallbackHandler):
    def __init__(self, log: Log) -> None:
        super().__init__([], [])
        self._log = log

    def start_trace(self, trace_id: str | None = None) -> None:
        self._log.append(("trace", trace_id))

    def end_trace(self, trace_id: str | None = None, trace_map: Any = None) -> None:
        self._log.append(("end of trace", trace_id))

    def on_event_start(self, event_type: Any, payload: Any = None, *args: Any, **kwargs: Any) -> str:
        self._log.append(("start", event_type, shown(payload)))
        return ""

    def on_event_end(self, event_type: Any, payload: Any = None, *args: Any, **kwargs: Any) -> None:
        self._log.append(("end", event_type, shown(payload)))


@contextmanager
def logged(llm: CustomLLM, listening: str) -> Iterator[tuple[Log, Callable[[], None]]]:
    """Yield the log of all handlers, and a function that adds or removes an event handler."""
    log: Log = []
    dispatcher, events = get_dispatcher(), Events(log)
    before = list(dispatcher.event_handlers), list(dispatcher.span_handlers)
    dispatcher.add_span_handler(Spans(log))
    llm.callback_manager = CallbackManager([Callbacks(log)])

    def turn() -> None:
        if listening == "joins":
            dispatcher.add_event_handler(events)
        elif listening == "leaves":
            dispatcher.event_handlers = before[0]

    if listening in ("throughout", "leaves"):
        dispatcher.add_event_handler(events)
    try:
        yield log, turn
    finally:
        dispatcher.event_handlers, dispatcher.span_handlers = before


METHODS = ["stream_chat", "stream_complete", "astream_chat", "astream_complete"]
ENDS = ["read", "closed", "thrown into", "never begun"]


def run(llm: CustomLLM, method: str, end: str, listening: str) -> Log:
    """The log of one stream: all events, and what its reader receives."""
    # A separate context: other tests may have abandoned a stream with an open trace.
    return Context().run(_run, llm, method, end, listening)


def _run(llm: CustomLLM, method: str, end: str, listening: str) -> Log:
    asked: Any = [ChatMessage("Hi")] if method.endswith("chat") else "Hi"
    with logged(llm, listening) as (log, turn):
        try:
            if method.startswith("a"):
                asyncio.run(_aread(llm, method, asked, end, log, turn))
            else:
                _read(llm, method, asked, end, log, turn)
        except (ConnectionError, ValidationError) as error:
            log.append(("raised", comparable(error)))
    return log


def _read(llm: CustomLLM, method: str, asked: Any, end: str, log: Log, turn: Callable[[], None]) -> None:
    responses = getattr(llm, method)(asked, temperature=0.5)
    if end == "never begun":
        responses.close()
        return
    for number, response in enumerate(responses):
        log.append(("read", response))
        if number == 1:
            turn()
        if number == 2 and end == "closed":
            responses.close()
        if number == 2 and end == "thrown into":
            responses.throw(ConnectionError("thrown into the stream"))


async def _aread(
    llm: CustomLLM, method: str, asked: Any, end: str, log: Log, turn: Callable[[], None]
) -> None:
    responses: Any = await getattr(llm, method)(asked, temperature=0.5)
    if end == "never begun":
        await responses.aclose()
        return
    number = 0
    reader: AsyncIterator[Any] = aiter(responses)
    async for response in reader:
        log.append(("read", response))
        if number == 1:
            turn()
        if number == 2 and end == "closed":
            await responses.aclose()
        if number == 2 and end == "thrown into":
            await responses.athrow(ConnectionError("thrown into the stream"))
        number += 1


SCRIPTS: list[dict[str, Any]] = [
    {},
    {"length": 1},
    {"length": 0},
    {"breaks": True},
    {"length": 0, "breaks": True},
    {"refuses": True},
]
LISTENING = ["throughout", "never", "joins", "leaves"]


def _combinations() -> list[Any]:
    """All of them; any two values come together in the third that `make test` runs."""
    combinations = []
    for places in product(range(len(SCRIPTS)), range(len(LISTENING)), range(len(ENDS)), range(len(METHODS))):
        script, listening, end, method = places
        values = SCRIPTS[script], LISTENING[listening], ENDS[end], METHODS[method]
        marks = pytest.mark.combination if sum(places) % 3 else ()
        combinations.append(pytest.param(*values, marks=marks, id="-".join(map(str, values))))
    return combinations


@pytest.mark.parametrize(("script", "listening", "end", "method"), _combinations())
def test_it_is_told_as_llama_index_tells_it(
    method: str, end: str, listening: str, script: dict[str, Any]
) -> None:
    expected = run(THEIRS(**script), method, end, listening)

    assert run(OURS(**script), method, end, listening) == expected
    assert [entry[0] for entry in expected][:2] == ["span", "trace"]


@pytest.mark.parametrize("method", METHODS)
def test_events_are_created_only_if_there_are_handlers(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[BaseEvent] = []
    dispatched = Dispatcher.event

    def noted(self: Dispatcher, event: BaseEvent, **kwargs: Any) -> None:
        made.append(event)
        dispatched(self, event, **kwargs)

    monkeypatch.setattr(Dispatcher, "event", noted)

    run(OURS(length=500), method, "read", "never")
    unheard = len(made)
    run(OURS(length=500), method, "read", "throughout")

    assert unheard == 4  # start, the first response, the last, end
    assert len(made) - unheard == 502


@pytest.mark.parametrize("method", METHODS)
def test_a_handler_of_the_callback_module_s_dispatcher_receives_events(method: str) -> None:
    log: Log = []
    dispatcher = get_dispatcher(llm_chat_callback.__module__)
    before = dispatcher.event_handlers
    dispatcher.event_handlers = [Events(log)]
    try:
        run(OURS(), method, "read", "never")
    finally:
        dispatcher.event_handlers = before

    assert len(log) == 6


def test_arguments_are_checked_as_before() -> None:
    with pytest.raises(TypeError):
        OURS().stream_chat([ChatMessage("Hi")], "too many")


def test_a_usage_counter_receives_events() -> None:
    with UsageCounter() as usage:
        run(OURS(), "stream_chat", "read", "never")

    assert usage.calls == 0  # not a gateway answer: `raw` has no choices
