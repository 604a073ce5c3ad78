"""`Worker`: batches in, answers and errors as columns out, for engines such as Ray, Dask and Spark."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Generic, NamedTuple, Self

import texapi_core.accounting
from texapi_core.bulk.calls import (
    DEFAULT_CONCURRENCY,
    STOP_ERRORS,
    Answer,
    AsyncCall,
    Input,
    run,
)

_LEDGER = "texapi_core.accounting.ledger"


class Columns(NamedTuple, Generic[Answer]):
    """The answers of a batch and its errors, each in the order of the inputs."""

    answers: list[Answer | None]
    """`None` where there is an error."""
    errors: list[str | None]
    """The error's class and message; `None` where there is an answer."""


class Worker(Generic[Input, Answer]):
    """Answers batches, one after another, over the same connections.

    All workers of a process share one event loop in a thread, so a worker may be made per batch, partition
    or actor. It holds no connection and can be pickled if its `call` can.

    Args:
        call: an async function of one input, see `run`.
        concurrency: calls at once.
    """

    def __init__(self, call: AsyncCall[Input, Answer], *, concurrency: int = DEFAULT_CONCURRENCY) -> None:
        self.call = call
        self.concurrency = concurrency

    def map(self, inputs: Iterable[Input]) -> Columns[Answer]:
        """The columns of one batch of `inputs`. An error is in its row, and costs no other row.

        After one of `STOP_ERRORS` the rest of the batch is not asked, and its rows say so. When it returns,
        the records of its calls are in the ledger: engines end their workers without notice.

        Raises:
            TexAPISettingsError: `call` or `concurrency` cannot be used.
        """
        values = list(inputs)
        columns: Columns[Answer] = Columns([None] * len(values), [_NOT_ASKED] * len(values))
        failure: Exception | None = None
        try:
            for result in run(self.call, values, concurrency=self.concurrency):
                columns.answers[result.index] = result.answer
                columns.errors[result.index] = None if result.error is None else _text(result.error)
        except STOP_ERRORS as error:
            failure = error
        finally:
            self.close()
        if failure is not None:
            reason = f"{_NOT_ASKED} after {_text(failure)}"
            columns.errors[:] = [reason if error is _NOT_ASKED else error for error in columns.errors]
        return columns

    def __getstate__(self) -> dict[str, Any]:
        """A method goes as its object and name: LlamaIndex's are wrapped and cannot be pickled."""
        owner, name = getattr(self.call, "__self__", None), getattr(self.call, "__name__", "")
        if owner is None or getattr(owner, name, None) != self.call:
            return self.__dict__
        return {**self.__dict__, "call": None, "method": (owner, name)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        owner, name = state.pop("method", (None, ""))
        self.__dict__.update(state)
        if owner is not None:
            self.call = getattr(owner, name)

    def close(self) -> None:
        """Write the records of ended calls into their ledger. The connections stay for other workers."""
        if _LEDGER in sys.modules:  # else there is none, and SQLAlchemy need not be installed
            texapi_core.accounting.flush_ledgers()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


_NOT_ASKED = "Not asked"


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
