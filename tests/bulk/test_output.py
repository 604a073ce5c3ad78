"""The files of a batch, cut and damaged at any byte: nothing is taken for an answer that is none."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.properties.strategies import examples
from texapi_core.bulk.ids import ANSWERED, SEEN, STARTED, IdTable
from texapi_core.bulk.output import Output, OutputError, as_line

names = st.text(min_size=1, max_size=8)


def answer(custom_id: str) -> bytes:
    return as_line({"id": "batch_req_1", "custom_id": custom_id, "response": {"body": {}}, "cost_usd": 0.5})


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def opened(path: Path) -> Output:
    return Output(path / "out.jsonl", path / "errors.jsonl")


def answers_in(path: Path) -> set[str]:
    found = set()
    for line in (path / "out.jsonl").read_bytes().split(b"\n"):
        try:
            found.add(json.loads(line)["custom_id"])
        except ValueError:
            continue
    return found


@examples
@given(st.lists(names, unique=True, min_size=1, max_size=6), st.integers(0, 600), names)
@example(["a"], 0, "b")
def test_cut_anywhere_it_goes_on(custom_ids: list[str], kept: int, next_id: str) -> None:
    """What is whole is answered, what is not is asked again, and the next answer is a line of its own."""
    with folder() as path:
        with opened(path) as output:
            for custom_id in custom_ids:
                output.begin(custom_id)
                output.answer(custom_id, answer(custom_id))
        content = (path / "out.jsonl").read_bytes()
        (path / "out.jsonl").write_bytes(content[:kept])
        whole = answers_in(path)

        with opened(path) as output:
            known = {one for one in custom_ids if output.ids.flags(one) & ANSWERED}
            assert known == whole
            assert all(output.ids.flags(one) & STARTED for one in custom_ids)
            assert output.spent == len(whole) / 2
            output.answer(next_id, answer(next_id))

        assert answers_in(path) == {*whole, next_id}
        assert (path / "out.jsonl").read_bytes().endswith(b"}\n")


@examples
@given(
    st.lists(st.tuples(st.sampled_from("bfa"), st.sampled_from("xyz\n☃")), max_size=30), st.integers(0, 40)
)
def test_calls_in_doubt_are_those_begun_and_not_ended(steps: list[tuple[str, str]], cut: int) -> None:
    """`b` begins a call, `f` ends it as free, `a` with an answer. A torn last line is of a call not sent."""
    with folder() as path:
        begun: set[str] = set()
        answered: set[str] = set()
        with opened(path) as output:
            for step, custom_id in steps:
                if step == "b":
                    output.begin(custom_id)
                    begun.add(custom_id)
                elif step == "f" and custom_id in begun:
                    output.note_free(custom_id)
                    begun.discard(custom_id)
                elif step == "a" and custom_id in begun:
                    output.answer(custom_id, answer(custom_id))
                    answered.add(custom_id)
        with (path / "out.jsonl.started").open("ab") as file:
            file.write((b"+" + as_line("torn"))[: min(cut, 7)])

        with opened(path) as output:
            in_doubt = {one for one in "xyz\n☃" if output.ids.flags(one) == STARTED}
            assert in_doubt == begun - answered
            output.begin("later")
        with opened(path) as output:
            assert output.ids.flags("later") == STARTED


@examples
@given(st.binary(max_size=60))
def test_any_bytes_are_kept_or_refused(content: bytes) -> None:
    """A file of others is never changed."""
    with folder() as path:
        (path / "out.jsonl").write_bytes(content)
        try:
            opened(path).close()
        except OutputError:
            assert (path / "out.jsonl").read_bytes() == content
        else:
            assert not content or b'{"id": "batch_req_'.startswith(content[:18])


@examples
@given(st.lists(st.tuples(st.integers(0, 6_000), st.sampled_from([ANSWERED, STARTED, SEEN]), st.booleans())))
def test_a_table_of_ids_is_a_dict(steps: list[tuple[int, int, bool]]) -> None:
    table, known = IdTable(), dict[str, int]()
    for number in range(3_000):  # so that it grows
        table.add(str(number), SEEN)
        known[str(number)] = SEEN
    for number, flag, adds in steps:
        name = str(number)
        if adds:
            table.add(name, flag)
            known[name] = known.get(name, 0) | flag
        else:
            table.remove(name, flag)
            known[name] = known.get(name, 0) & ~flag
    assert all(table.flags(str(number)) == known.get(str(number), 0) for number in range(6_001))


@pytest.mark.parametrize("custom_id", ["\ud800", "\n", "\x00", "a" * 100_000])
def test_any_id_is_found_again(tmp_path: Path, custom_id: str) -> None:
    with opened(tmp_path) as output:
        output.begin(custom_id)
        output.answer(custom_id, answer(custom_id))
    with opened(tmp_path) as output:
        assert output.ids.flags(custom_id) == ANSWERED | STARTED


def test_two_outputs_never_share_a_file() -> None:
    """Here an errors file, which the second would empty; a link may lead to any of them."""
    with folder() as path, Output(path / "a.jsonl", path / "errors.jsonl") as first:
        first.fail(as_line({"id": "batch_req_1"}))
        with pytest.raises(OutputError, match=r"Another run writes to .*errors\.jsonl"):
            Output(path / "b.jsonl", path / "errors.jsonl")
        assert (path / "errors.jsonl").read_bytes()

    with folder() as path:
        (path / "link").hardlink_to(_made(path / "a.jsonl.started"))
        with pytest.raises(OutputError, match="Another run writes to"):
            Output(path / "a.jsonl", path / "link")


def _made(path: Path) -> Path:
    path.touch()
    return path
