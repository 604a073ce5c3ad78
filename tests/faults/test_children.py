"""The comparison's child processes and kept verdicts: nothing that a class does loses a verdict."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.children import Judge, NotStartedError, outcomes
from tests.faults.peers import Row
from tests.faults.verdicts import Verdicts


@contextlib.contextmanager
def _judging() -> Iterator[Judge]:
    yield _judge


def _judge(row: str) -> str:
    if row == "hangs":
        time.sleep(600)
    if row == "dies":
        os._exit(3)
    return "" if row.startswith("right") else "wrong"


@contextlib.contextmanager
def _not_starting() -> Iterator[Judge]:
    os._exit(4)
    yield _judge


def _hanging() -> contextlib.AbstractContextManager[Judge]:
    time.sleep(600)
    return _judging()


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_row_that_hangs_or_dies_costs_no_other(at_once: int) -> None:
    rows = ["right 1", "hangs", "right 2", "dies", "else", "right 3"]

    found = dict(outcomes(rows, _judging, at_once=at_once, max_seconds=2.0))

    assert found == {
        "right 1": "",
        "hangs": "did not end within 2 s",
        "right 2": "",
        "dies": "ended its process with code 3",
        "else": "wrong",
        "right 3": "",
    }


def test_children_that_do_not_start_are_an_error_with_the_reason() -> None:
    with pytest.raises(NotStartedError, match="ended its process with code 4"):
        list(outcomes(["right"], _not_starting, at_once=2, max_seconds=60.0))
    with pytest.raises(NotStartedError, match="did not start within 1 s"):
        list(outcomes(["right"], _hanging, at_once=1, max_seconds=60.0, max_start=1.0))


def test_verdicts_are_kept_after_a_kill_until_code_or_versions_change(tmp_path: Path) -> None:
    rows = [Row("OpenAILike", "faults", "failures", name, "chat") for name in ("one", "two", "three")]
    verdicts = Verdicts("OpenAILike", ["openai 2.0"], ours=False, kept_in=tmp_path)
    verdicts.add(rows[0], "")
    verdicts.add(rows[1], "another text")
    content = verdicts.path.read_bytes()
    verdicts.path.write_bytes(content[:-5])

    again = Verdicts("OpenAILike", ["openai 2.0"], ours=False, kept_in=tmp_path)

    assert again.missing(rows) == rows[1:]
    again.add(rows[1], "another text")
    last = Verdicts("OpenAILike", ["openai 2.0"], ours=False, kept_in=tmp_path)
    assert last.of(rows, missing="not judged") == {
        rows[0]: "",
        rows[1]: "another text",
        rows[2]: "not judged",
    }
    assert Verdicts("OpenAILike", ["openai 3.0"], ours=False, kept_in=tmp_path).missing(rows) == rows
    assert Verdicts("OpenAILike", ["openai 2.0"], ours=True, kept_in=tmp_path).missing(rows) == rows
