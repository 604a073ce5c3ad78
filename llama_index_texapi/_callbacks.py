"""LlamaIndex's callbacks for methods that stream, at a cost per stream instead of per chunk.

`llm_chat_callback` and `llm_completion_callback` make an event for every response of a stream, and validate
all messages of the conversation for it: with 200 messages that takes longer than the chunk itself. Here the
same decorators still emit the events, but they iterate over the first and the last response of a stream
only, and over those that arrive while an event handler is registered.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

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

    def chat_callback() -> Callable[[_Method], _Method]:
        return partial(_decorated, llm_chat_callback())

    def completion_callback() -> Callable[[_Method], _Method]:
        return partial(_decorated, llm_completion_callback())


def _decorated(decorate: Callable[[_Method], _Method], method: _Method) -> _Method:
    """The decorated method with the signature that `help` and spans show; LlamaIndex's has `*args`.

    It is cached (PEP 362): computing it takes 15 us for each call.
    """
    # Text of annotations would be looked up in the wrapper's module.
    signature, types = inspect.signature(method), get_type_hints(method)
    wrapper: Any = decorate(method)  # it marks the method in a way that `inspect` cannot read
    wrapper.__signature__, wrapper.__annotations__ = signature, types
    decorated: _Method = wrapper
    return decorated


def streaming(
    callback: Callable[[], Callable[[_Method], _Method]],
) -> Callable[[_Decorated], _Decorated]:
    """`@streaming(chat_callback)` emits the same events as `@chat_callback()`, but fewer in mid-stream."""

    def decorate(method: _Decorated) -> _Decorated:
        def wrapped(_self: Any, *args: Any, **kwargs: Any) -> Any:
            stream = _Stream()

            def call(_self: Any, *args: Any, **kwargs: Any) -> Any:
                stream.source = method(_self, *args, **kwargs)
                return stream.notified()

            return stream.responses(callback()(call)(_self, *args, **kwargs))

        async def async_wrapped(_self: Any, *args: Any, **kwargs: Any) -> Any:
            stream = _AsyncStream()

            async def call(_self: Any, *args: Any, **kwargs: Any) -> Any:
                stream.source = await method(_self, *args, **kwargs)
                return stream.notified()

            return stream.responses(await callback()(call)(_self, *args, **kwargs))

        wrapper: Any = async_wrapped if inspect.iscoroutinefunction(method) else wrapped
        for name in ("__module__", "__name__", "__qualname__", "__doc__"):
            setattr(wrapper, name, getattr(method, name))
        return _decorated(lambda _: wrapper, method)  # type: ignore[return-value] # it has its signature

    return decorate


def _has_event_handler() -> bool:
    dispatcher = _dispatcher
    while True:
        for handler in dispatcher.event_handlers:
            if not isinstance(handler, NullEventHandler):
                return True
        if not dispatcher.propagate:
            return False
        dispatcher = dispatcher.parent


class _Stream:
    """A stream of responses: the user gets all of them, LlamaIndex's callback those that it notifies of."""

    def __init__(self) -> None:
        self.source: Generator[Any]
        self._to_notify: deque[Any] = deque()
        self._error: BaseException | None = None

    def notified(self) -> Generator[Any]:
        """What LlamaIndex's callback iterates over."""
        while self._to_notify:
            yield self._to_notify.popleft()
        if self._error is not None:
            raise self._error

    def responses(self, callback: Generator[Any]) -> Generator[Any]:
        """What the user iterates over; `callback` is LlamaIndex's generator around `notified`."""
        response, last_notified = None, None
        while True:
            try:
                response = next(self.source)
            except StopIteration:
                break
            except BaseException as error:
                self._error = error
                next(callback)  # emits the exception event and raises the error
                raise
            if last_notified is None or _has_event_handler():
                last_notified = response
                self._to_notify.append(response)
                next(callback)
            try:
                yield response
            except BaseException as error:
                try:
                    callback.throw(error)
                finally:
                    self.source.close()
                raise
        if response is not last_notified:
            self._to_notify.append(response)
        for _ in callback:
            pass


class _AsyncStream:
    """Async twin of `_Stream`."""

    def __init__(self) -> None:
        self.source: AsyncGenerator[Any]
        self._to_notify: deque[Any] = deque()
        self._error: BaseException | None = None

    async def notified(self) -> AsyncGenerator[Any]:
        while self._to_notify:
            yield self._to_notify.popleft()
        if self._error is not None:
            raise self._error

    async def responses(self, callback: AsyncGenerator[Any]) -> AsyncGenerator[Any]:
        response, last_notified = None, None
        while True:
            try:
                response = await anext(self.source)
            except StopAsyncIteration:
                break
            except BaseException as error:
                self._error = error
                await anext(callback)
                raise
            if last_notified is None or _has_event_handler():
                last_notified = response
                self._to_notify.append(response)
                await anext(callback)
            try:
                yield response
            except BaseException as error:
                try:
                    await callback.athrow(error)
                finally:
                    await self.source.aclose()
                raise
        if response is not last_notified:
            self._to_notify.append(response)
        async for _ in callback:
            pass
