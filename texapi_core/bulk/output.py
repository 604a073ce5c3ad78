"""The files of a batch: answers, errors, and the calls that were begun. A run resumes by them.

    OUT                 a line per answer, in OpenAI's form, appended as it comes
    OUT's errors file   a line per request without an answer, of the last run
    OUT.started         a line per call, written before it is sent, and another if it failed and cost nothing

A call that was begun and is in none of the others is in doubt: it may have been charged.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

from texapi_core.bulk.ids import ANSWERED, STARTED, IdTable

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_START = b'{"id": "batch_req_'
"""How each line of ours starts."""
_ROOM = 1 << 16
"""Bytes that the disk must have room for before anything is asked."""
_FAR = 2**62
"""Where Windows locks the file: no line is there."""


class OutputError(Exception):
    """The output cannot be used; the message says why. Nothing was asked."""


class _AppendFile:
    """A file of lines, each of which is there as a whole or not at all."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self.path = path
        _check_is_file(path)
        self._descriptor = os.open(path, flags, 0o666)
        self.size = os.fstat(self._descriptor).st_size

    def append(self, line: bytes) -> None:
        """Write a line. If that fails, e.g. as the disk is full, no part of it stays."""
        left = memoryview(line)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except BaseException:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self.size)
            raise
        self.size += len(line)

    def cut(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)
        self.size = size

    def lock(self) -> None:
        """Keep all others out, of this process too, until the file is closed, or the process ends."""
        try:
            if sys.platform == "win32":
                os.lseek(self._descriptor, _FAR, os.SEEK_SET)
                msvcrt.locking(self._descriptor, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise OutputError(f"Another run writes to {self.path}. Wait for its end.") from None

    def lines(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            yield from file

    def close(self) -> None:
        with suppress(OSError):
            os.fsync(self._descriptor)
        os.close(self._descriptor)


class Output:
    """The files of a batch, locked for this process. Use it as a context manager.

    Raises:
        OutputError: another run writes to it, it holds something else than answers, or it is no file.
        OSError: a file cannot be opened or written, here and in each method.
    """

    def __init__(self, path: Path, errors_path: Path) -> None:
        self.ids = IdTable()
        self.spent = Decimal(0)
        """USD of the answers that were there, as far as known."""
        self.torn = 0
        """Lines that cannot be read; their requests are asked again."""
        self.is_clear = True
        """Whether no call is in doubt after a run without a failure that may have been charged."""
        self._opened: list[_AppendFile] = []
        try:
            self._answers = self._open(path)
            self._read_answers()
            _check_errors(errors_path)
            self._started = self._open(started_path(path))
            self._read_started()
            self._errors = self._open(errors_path)
            self._errors.cut(0)
            self._errors.append(
                _START.ljust(_ROOM)
            )  # fails on a full disk, which would lose what is paid for
            self._errors.cut(0)
        except BaseException:
            self.close()
            raise

    def _open(self, path: Path) -> _AppendFile:
        file = _AppendFile(path)
        self._opened.append(file)
        file.lock()
        return file

    def begin(self, custom_id: str) -> None:
        """Note that a request is about to be sent."""
        self._started.append(b"+" + as_line(custom_id))
        self.ids.add(custom_id, STARTED)

    def note_free(self, custom_id: str) -> None:
        """Note that a call has failed and cost nothing."""
        self._started.append(b"-" + as_line(custom_id))
        self.ids.remove(custom_id, STARTED)

    def answer(self, custom_id: str, line: bytes) -> None:
        """Append an answer."""
        self._answers.append(line)
        self.ids.add(custom_id, ANSWERED)

    def fail(self, line: bytes) -> None:
        """Append an error."""
        self._errors.append(line)

    def finish(self) -> None:
        """After a whole run: remove the errors file if it is empty, and the calls if none is in doubt."""
        with suppress(OSError):
            if not self._errors.size:
                self._errors.path.unlink()
            if self.is_clear:
                self._started.path.unlink()

    def _read_answers(self) -> None:
        size = answers = 0
        line = b""
        for line in self._answers.lines():
            entry = _entry(line)
            if entry is not None and _is_answer(entry):
                answers += 1
                self.ids.add(entry["custom_id"], ANSWERED)
                with suppress(ArithmeticError, ValueError):
                    self.spent += Decimal(str(entry.get("cost_usd") or 0))
            elif entry is not None:
                raise OutputError(f"{self._answers.path} holds something else than answers: choose another.")
            elif line.endswith(b"\n"):
                self.torn += 1
            else:
                break
            size += len(line)
        if size and not line.endswith(b"\n") and _entry(line) is not None:
            self._answers.append(b"\n")  # the process ended between the two
        elif not line.endswith(b"\n") and line:
            if line[: len(_START)] != _START[: len(line)]:
                raise OutputError(f"{self._answers.path} holds something else than answers: choose another.")
            self.torn += 1
            self._answers.cut(size)
        if self.torn and not answers and size:
            raise OutputError(f"{self._answers.path} holds something else than answers: choose another.")

    def _read_started(self) -> None:
        line = b"\n"
        for line in self._started.lines():
            custom_id = _json(line[1:])
            if not isinstance(custom_id, str):
                continue  # torn: the call had not been sent
            if line[:1] == b"+":
                self.ids.add(custom_id, STARTED)
            else:
                self.ids.remove(custom_id, STARTED)
        if not line.endswith(b"\n"):
            self._started.append(b"\n")

    def close(self) -> None:
        """Close the files, written to the disk."""
        while self._opened:
            self._opened.pop().close()  # the answers last

    def __enter__(self) -> Output:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def started_path(path: Path) -> Path:
    """The file of the calls that were begun into an output."""
    return path.with_name(f"{path.name}.started")


def are_distinct(*paths: Path) -> bool:
    """Whether each path is another file, whatever links lead there."""
    return len({_identity(path) for path in paths}) == len(paths)


def _identity(path: Path) -> object:
    try:
        status = path.stat()
    except OSError:
        return os.path.normcase(os.path.realpath(path))
    return status.st_dev, status.st_ino


def as_line(value: Any) -> bytes:
    """A value as a line of JSON in UTF-8."""
    try:
        return json.dumps(value, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # half of a surrogate pair
        return json.dumps(value).encode() + b"\n"


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _entry(line: bytes) -> dict[str, Any] | None:
    """The JSON of a line; `None` if it is torn."""
    value = _json(line)
    return {"": value} if value is not None and not isinstance(value, dict) else value


def _is_answer(entry: dict[str, Any]) -> bool:
    return isinstance(entry.get("custom_id"), str) and isinstance(entry.get("response"), dict)


def _check_is_file(path: Path) -> None:
    """Refuse a device or a pipe: reading it may never end. Of a folder the system says what is wrong."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OutputError(f"{path} is a device or a pipe, which cannot be read again: choose a file.")


def _check_errors(path: Path) -> None:
    """Refuse another file as the errors file, which each run overwrites."""
    _check_is_file(path)
    if path.exists():
        with path.open("rb") as file:
            start = file.read(len(_START))
        if start != _START[: len(start)]:
            raise OutputError(f"{path} is no errors file of a batch: choose another by --errors.")
