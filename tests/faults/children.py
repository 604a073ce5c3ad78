"""Rows judged in child processes, several at once: nothing else ends a thread that waits for a socket."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from typing import Any

Judge = Callable[[Any], str]
Judging = Callable[[], contextlib.AbstractContextManager[Judge]]
"""Gives what judges one row. It is entered once in each child."""

_READY = "ready"
_MAX_STARTS = 3
"""How many children in a row may fail to start before the rows that are left count as failed."""
_context = multiprocessing.get_context("forkserver")


class NotStartedError(Exception):
    """No child starts; the message is the reason."""


@dataclass
class _Child:
    process: ForkServerProcess
    pipe: Connection
    seconds: float
    """How long it may take to start, or for the row that it judges."""
    row: Any = None
    """The row that it judges; `None` while it starts."""

    def __post_init__(self) -> None:
        self.deadline = time.monotonic() + self.seconds

    def give(self, row: Any, seconds: float) -> None:
        self.pipe.send(row)
        self.row, self.seconds, self.deadline = row, seconds, time.monotonic() + seconds

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def preload(modules: Iterable[str]) -> None:
    """Import these modules once, before the children are forked, instead of in each of them."""
    _context.set_forkserver_preload(list(modules))


def outcomes(
    rows: Sequence[Any], judging: Judging, *, at_once: int, max_seconds: float, max_start: float = 300.0
) -> Iterator[tuple[Any, str]]:
    """Each row with what is wrong with it, as they end.

    A row that takes more than `max_seconds`, or ends its process, is wrong, and another child goes on with
    the next one. Raise `NotStartedError` if no child starts, after all that was under way.
    """
    left = deque(rows)
    children: list[_Child] = []
    not_started: list[str] = []
    try:
        while left or any(child.row is not None for child in children):
            wanted = min(at_once, len(left) + sum(child.row is not None for child in children))
            if len(not_started) >= _MAX_STARTS:
                wanted = 0
            children += [_start(judging, max_start) for _ in range(wanted - len(children))]
            if not children:
                raise NotStartedError(not_started[-1])
            until = min(child.deadline for child in children)
            ready = wait([child.pipe for child in children], max(until - time.monotonic(), 0))
            for child in [*children]:
                said, ended = _received_from(child, child.pipe in ready)
                if said is None and not ended:
                    continue
                row = child.row
                if ended:
                    children.remove(child)
                    child.end()
                    if row is None:
                        not_started.append(ended)
                elif left:
                    child.give(left.popleft(), max_seconds)
                else:
                    children.remove(child)
                    child.end()
                if not ended:
                    not_started.clear()
                if row is not None:
                    yield row, ended or said or ""
    finally:
        for child in children:
            child.end()


def _received_from(child: _Child, has_sent: bool) -> tuple[str | None, str]:
    """What a child has said, if anything, and why it has to be ended, if so."""
    if has_sent:
        with contextlib.suppress(EOFError, ConnectionError):
            return child.pipe.recv(), ""
        child.process.join()
        return None, f"ended its process with code {child.process.exitcode}"
    if time.monotonic() < child.deadline:
        return None, ""
    return None, f"did not {'start' if child.row is None else 'end'} within {child.seconds:.0f} s"


def _start(judging: Judging, max_start: float) -> _Child:
    pipe, theirs = _context.Pipe()
    process = _context.Process(target=_judge_all, args=(judging, theirs), daemon=True)
    process.start()
    theirs.close()
    return _Child(process, pipe, max_start)


def _judge_all(judging: Judging, pipe: Connection) -> None:
    """Answer each row with what is wrong with it, until no more comes."""
    with judging() as judge:
        pipe.send(_READY)
        with contextlib.suppress(EOFError):
            while True:
                pipe.send(judge(pipe.recv()))
