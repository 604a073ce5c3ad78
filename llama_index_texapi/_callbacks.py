"""LlamaIndex's callbacks for methods that stream, at a price per stream instead of per chunk.

`llm_chat_callback` and `llm_completion_callback` make an event for each response of a stream, and validate
all messages of the conversation for it: with 200 messages that takes longer than the chunk itself. Here
they do all their telling still, but of a stream's responses they see the first, the last, and those that
come while an event handler listens.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator
from typing import TYPE_CHECKING, Any, TypeVar

from llama_index.core.instrumentation import NullEventHandler, get_dispatcher
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback

_Method = Callable[..., Any]
_Decorated = TypeVar("_Decorated", bound=_Method)
_dispatcher = get_dispatcher(llm_chat_callback.__module__)


if TYPE_CHECKING:

    def chat_callback() -> Callable[[_Decorated], _Decorated]:
        """`llm_chat_callback`, which leaves a method's types as they are; LlamaIndex declares it as `Any`."""

    def completion_callback() -> Callable[[_Decorated], _Decorated]:
        """`llm_completion_callback`, with types as above."""

else:
    chat_callback, completion_callback = llm_chat_callback, llm_completion_callback


def streaming(
    callback: Callable[[], Callable[[_Method], _Method]],
) -> Callable[[_Decorated], _Decorated]:
    """`@streaming(chat_callback)` tells the same as `@chat_callback()`."""

    def decorate(method: _Decorated) -> _Decorated:
        def told(_self: Any, *args: Any, **kwargs: Any) -> Any:
            stream = _Stream()

            def call(_self: Any, *args: Any, **kwargs: Any) -> Any:
                return stream.worth_telling(method(_self, *args, **kwargs))

            return stream.responses(callback()(call)(_self, *args, **kwargs))

        async def atold(_self: Any, *args: Any, **kwargs: Any) -> Any:
            stream = _AsyncStream()

            async def call(_self: Any, *args: Any, **kwargs: Any) -> Any:
                return stream.worth_telling(await method(_self, *args, **kwargs))

            return stream.responses(await callback()(call)(_self, *args, **kwargs))

        wrapper: Any = atold if inspect.iscoroutinefunction(method) else told
        for name in ("__module__", "__name__", "__qualname__", "__doc__", "__annotations__"):
            setattr(wrapper, name, getattr(method, name))
        # Spans show arguments by it.
        setattr(wrapper, "__signature__", inspect.signature(callback()(method)))  # noqa: B010 # mypy
        return wrapper  # type: ignore[no-any-return] # it has the method's signature

    return decorate


def _somebody_listens() -> bool:
    dispatcher = _dispatcher
    while True:
        for handler in dispatcher.event_handlers:
            if not isinstance(handler, NullEventHandler):
                return True
        if not dispatcher.propagate:
            return False
        dispatcher = dispatcher.parent


class _Stream:
    """A stream of which LlamaIndex's wrapper sees only what it has to tell of."""

    def __init__(self) -> None:
        self._responses: Generator[Any, None, None]
        self._to_tell: deque[Any] = deque()
        self._error: BaseException | None = None

    def worth_telling(self, responses: Generator[Any, None, None]) -> Generator[Any, None, None]:
        """What LlamaIndex's wrapper iterates over."""
        self._responses = responses
        return self._worth_telling()

    def _worth_telling(self) -> Generator[Any, None, None]:
        while self._to_tell:
            yield self._to_tell.popleft()
        if self._error is not None:
            raise self._error

    def responses(self, telling: Generator[Any, None, None]) -> Generator[Any, None, None]:
        """What the user iterates over; `telling` is LlamaIndex's wrapper."""
        response, told = None, None
        while True:
            try:
                response = next(self._responses)
            except StopIteration:
                break
            except BaseException as error:
                self._error = error
                next(telling)  # tells of it, and raises it
                raise
            if told is None or _somebody_listens():
                told = response
                self._to_tell.append(response)
                next(telling)
            try:
                yield response
            except BaseException as error:
                try:
                    telling.throw(error)
                finally:
                    self._responses.close()
                raise
        if response is not told:
            self._to_tell.append(response)
        for _ in telling:
            pass


class _AsyncStream:
    """Async twin of `_Stream`."""

    def __init__(self) -> None:
        self._responses: AsyncGenerator[Any, None]
        self._to_tell: deque[Any] = deque()
        self._error: BaseException | None = None

    def worth_telling(self, responses: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        self._responses = responses
        return self._worth_telling()

    async def _worth_telling(self) -> AsyncGenerator[Any, None]:
        while self._to_tell:
            yield self._to_tell.popleft()
        if self._error is not None:
            raise self._error

    async def responses(self, telling: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        response, told = None, None
        while True:
            try:
                response = await anext(self._responses)
            except StopAsyncIteration:
                break
            except BaseException as error:
                self._error = error
                await anext(telling)
                raise
            if told is None or _somebody_listens():
                told = response
                self._to_tell.append(response)
                await anext(telling)
            try:
                yield response
            except BaseException as error:
                try:
                    await telling.athrow(error)
                finally:
                    await self._responses.aclose()
                raise
        if response is not told:
            self._to_tell.append(response)
        async for _ in telling:
            pass
