"""`run` and `arun`: inputs in, results out as they come, with a bounded number of calls at once."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from contextlib import aclosing
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from texapi_core.bulk.work_loop import work_loop
from texapi_core.errors import (
    TexAPIAuthenticationError,
    TexAPIBudgetExceededError,
    TexAPIInsufficientCreditsError,
    TexAPISpendingLimitError,
)
from texapi_core.settings_checks import settings_error

Input = TypeVar("Input")
Answer = TypeVar("Answer")
AsyncCall = Callable[[Input], Awaitable[Answer]]

STOP_ERRORS: tuple[type[Exception], ...] = (
    TexAPIAuthenticationError,
    TexAPIInsufficientCreditsError,
    TexAPISpendingLimitError,
    TexAPIBudgetExceededError,
)
"""Errors of the key, the balance and the budget: any further call would fail with them."""
DEFAULT_CONCURRENCY = 32


_EXITS = (KeyboardInterrupt, SystemExit)
"""What ends the program: no task may raise them, which would end its event loop."""


class CallEndedError(RuntimeError):
    """The call raised what is no `Exception`, e.g. a `CancelledError` of its own: see `__cause__`."""


class _NotAsync(TypeError):
    """`call` is no async function: no input can be answered."""


@dataclass(frozen=True, slots=True)
class Result(Generic[Input, Answer]):
    """One input with its answer or its error."""

    index: int
    """The position of the input, from 0."""
    input: Input
    answer: Answer | None = None
    error: Exception | None = None
    """Why there is no answer; `None` if there is one."""


def run(
    call: AsyncCall[Input, Answer],
    inputs: Iterable[Input],
    *,
    concurrency: int = DEFAULT_CONCURRENCY,
    stop_on: tuple[type[Exception], ...] = STOP_ERRORS,
) -> Generator[Result[Input, Answer]]:
    """The results of a call for each input, as they come.

    At most `concurrency` inputs are read and not yet yielded as results, so memory does not grow with the
    input. Calls run in one event loop per process, also while the caller does other work, and connections
    are kept from one `run` to the next. Ctrl-C ends the calls under way; what has come is yielded, then
    `KeyboardInterrupt` raised; likewise if a call raises it or `SystemExit`. Closing the generator ends the
    calls under way too.

    Args:
        call: an async function of one input, e.g. `model.ainvoke` of LangChain, `llm.acomplete` of
            LlamaIndex. What it raises is in `Result.error`; what is no `Exception`, such as a
            `CancelledError` of its own, is the `__cause__` of a `RuntimeError` there.
        inputs: read in the caller's thread, one at a time.
        concurrency: calls at once.
        stop_on: errors after which no further call is made. The calls under way end and are yielded, with
            the one that failed; then it is raised.

    Raises:
        TexAPISettingsError: `call` or `concurrency` cannot be used.
    """
    _check(call, concurrency)
    return _Run(call, iter(inputs), concurrency, (*stop_on, _NotAsync)).results()


async def arun(
    call: AsyncCall[Input, Answer],
    inputs: Iterable[Input] | AsyncIterable[Input],
    *,
    concurrency: int = DEFAULT_CONCURRENCY,
    stop_on: tuple[type[Exception], ...] = STOP_ERRORS,
) -> AsyncGenerator[Result[Input, Answer]]:
    """Async twin of `run`, in the running event loop. Cancelling it ends the calls under way."""
    _check(call, concurrency)
    stop_on = (*stop_on, _NotAsync)
    came: asyncio.Queue[Result[Input, Answer] | None] = asyncio.Queue()
    calls = _Calls(call, came.put_nowait)
    slots = asyncio.Semaphore(concurrency)
    failure: BaseException | None = None

    async def read() -> None:
        async with aclosing(_asynchronous(inputs)) as source:
            index = 0
            while True:
                await slots.acquire()
                try:
                    value = await anext(source)
                except StopAsyncIteration:
                    return
                calls.start(index, value)
                index += 1

    def check_end(_: object) -> None:
        if reader.done() and not calls.tasks:
            came.put_nowait(None)

    reader = asyncio.create_task(read())
    reader.add_done_callback(check_end)
    calls.on_end = check_end
    try:
        while not isinstance(failure, _EXITS) and (result := await came.get()) is not None:
            failure = _failure_after(failure, result, stop_on)
            if failure is not None:
                reader.cancel()
            yield result
            slots.release()
    finally:
        if not reader.done():
            reader.cancel()
        await asyncio.wait([reader])
        await calls.end()
    came.put_nowait(None)
    while (result := came.get_nowait()) is not None:  # what came before an exit
        yield result
    if failure is not None:
        raise failure
    await reader  # raises what reading the inputs raised


def _failure_after(
    failure: BaseException | None, result: Result[Any, Any], stop_on: tuple[type[Exception], ...]
) -> BaseException | None:
    """What ends the work: one of `_EXITS`, or else the first of `stop_on`; `None` if it goes on."""
    cause = result.error.__cause__ if isinstance(result.error, CallEndedError) else None
    if isinstance(cause, _EXITS):
        return cause
    return result.error if failure is None and isinstance(result.error, stop_on) else failure


def _check(call: object, concurrency: Any) -> None:
    if not callable(call):
        raise settings_error(
            f"`call` must be an async function of one input, not a {type(call).__name__}: pass "
            "`model.ainvoke` of LangChain, or `llm.acomplete` or `llm.achat` of LlamaIndex."
        )
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
        raise settings_error(f"`concurrency` must be a whole number from 1, not {concurrency!r}.")


class _Calls(Generic[Input, Answer]):
    """The calls under way in an event loop."""

    def __init__(
        self, call: AsyncCall[Input, Answer], deliver: Callable[[Result[Input, Answer]], object]
    ) -> None:
        self._call = call
        self._deliver = deliver
        self.tasks: set[asyncio.Task[None]] = set()
        self.on_end: Callable[[object], object] = bool
        self._are_ended = False

    def start(self, index: int, value: Input) -> None:
        """Begin the call for an input, in the context of the caller."""
        task = asyncio.get_running_loop().create_task(self._answer(index, value))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        task.add_done_callback(self.on_end)

    async def _answer(self, index: int, value: Input) -> None:
        result: Result[Input, Answer]
        try:
            awaitable = self._call(value)
            if not inspect.isawaitable(awaitable):
                raise _NotAsync(
                    "`call` must be async: `model.ainvoke` of LangChain, `llm.acomplete` of LlamaIndex."
                )
            result = Result(index, value, await awaitable)
        except Exception as error:
            result = Result(index, value, error=error)
        except BaseException as cause:
            if self._are_ended and isinstance(cause, asyncio.CancelledError):
                raise
            ended = CallEndedError(f"The call raised {type(cause).__name__}, and has no answer.")
            ended.__cause__ = cause
            result = Result(index, value, error=ended)
        self._deliver(result)

    async def end(self) -> None:
        """Cancel the calls under way and wait until they have ended."""
        self._are_ended = True
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)


class _Run(Generic[Input, Answer]):
    """`run`, in the caller's thread: it reads the inputs and waits for the results."""

    def __init__(
        self,
        call: AsyncCall[Input, Answer],
        source: Iterator[Input],
        concurrency: int,
        stop_on: tuple[type[Exception], ...],
    ) -> None:
        self._loop = work_loop()
        self._came: SimpleQueue[Result[Input, Answer]] = SimpleQueue()
        self._calls = _Calls(call, self._came.put)
        self._source = source
        self._concurrency = concurrency
        self._stop_on = stop_on
        self._started = self._taken = 0
        self._reads = True
        self._failure: BaseException | None = None

    def results(self) -> Generator[Result[Input, Answer]]:
        try:
            while self._start():
                yield self._take()
        except _EXITS:
            self._end()
            while not self._came.empty():
                yield self._take()
            raise
        finally:
            if self._started != self._taken:
                self._end()
        if self._failure is not None:
            raise self._failure

    def _start(self) -> bool:
        """Begin as many calls as there is room for; `False` if none is under way. Raises `_EXITS`."""
        if isinstance(self._failure, _EXITS):
            raise self._failure
        while self._reads and self._started - self._taken < self._concurrency:
            try:
                value = next(self._source)
            except StopIteration:
                self._reads = False
            except Exception as error:  # raised once the calls under way have ended
                self._reads = False
                self._failure = self._failure or error
            else:
                self._loop.call_soon_threadsafe(self._calls.start, self._started, value)
                self._started += 1
        return self._started != self._taken

    def _take(self) -> Result[Input, Answer]:
        result = self._came.get()
        self._taken += 1
        self._failure = _failure_after(self._failure, result, self._stop_on)
        self._reads = self._reads and self._failure is None
        return result

    def _end(self) -> None:
        asyncio.run_coroutine_threadsafe(self._calls.end(), self._loop).result()


async def _asynchronous(inputs: Iterable[Input] | AsyncIterable[Input]) -> AsyncGenerator[Input]:
    if isinstance(inputs, AsyncIterable):
        async for value in inputs:
            yield value
    else:
        for value in inputs:
            yield value
