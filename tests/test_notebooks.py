"""Replayed notebooks produce exactly their saved outputs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("nbclient", reason="the dependency group `notebooks` is not installed")
pytest.importorskip("matplotlib", reason="the dependency group `notebooks` is not installed")

import nbformat
from nbclient.exceptions import CellExecutionError

from notebooks import FOLDER
from notebooks.execution import NOTEBOOKS, UNRECORDED, execute, shown
from notebooks.twins import TWINS, original_of, said_in_vietnamese
from tests.conftest import CASSETTES, REPLAY_KEY

_MACHINE = re.compile(r"/(?:home|root|tmp|usr|var|opt|Users|private)/|site-packages|127\.0\.0\.1|[A-Z]:\\\\")
_KEY = re.compile(r"sk-[A-Za-z0-9-]{6,}")
_RECORDED_LIVE = "the answers come live from TexAPI"

_ANYWHERE = re.compile(r"sys\.path|getcwd|chdir|(?<![\w.])(?:Path|open)\(f?[\"'](?![/{])")
_VIETNAMESE_ONLY = re.compile(r"[ăâđêôơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ]")

by_name = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=pytest.mark.combination, id=path.stem) for path in NOTEBOOKS],
)
def test_a_notebook_produces_its_saved_outputs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = read(path)
    if _RECORDED_LIVE in path.read_text("utf-8"):
        monkeypatch.setenv("TEXAPI_API_KEY", REPLAY_KEY)

    replayed = execute(path, record=False)

    for before, after in zip(kept.cells, replayed.cells, strict=True):
        assert shown(after) == shown(before), before.source


def write(path: Path, *sources: str) -> Path:
    nbformat.write(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources]), path
    )
    return path


@pytest.mark.combination
def test_what_was_not_recorded_is_an_error(tmp_path: Path) -> None:
    source = """
from urllib.request import Request, urlopen
urlopen(Request("https://api.texapi.dev/v1/chat/completions", data=b"{}"))
"""
    changed = write(tmp_path / NOTEBOOKS[0].name, source)

    with pytest.raises(CellExecutionError, match="CannotOverwriteExistingCassetteException"):
        execute(changed, record=False)


@pytest.mark.combination
def test_what_was_recorded_and_not_asked_is_an_error(tmp_path: Path) -> None:
    shorter = write(tmp_path / NOTEBOOKS[0].name, "print('nothing')")

    with pytest.raises(CellExecutionError, match=r"0 of \d+ recorded exchanges were played"):
        execute(shorter, record=False)


@by_name
def test_saved_outputs_have_no_errors_or_local_paths(path: Path) -> None:
    for cell in read(path).cells:
        for kind, text in shown(cell):
            assert kind not in ("error", "stderr"), text
            assert not _MACHINE.search(str(text)), text
        assert not _KEY.search(str(cell)), cell.source


@by_name
def test_a_notebook_has_an_introduction_and_next_steps(path: Path) -> None:
    first, *_, last = read(path).cells

    assert first.source.startswith("# ")
    assert "**What it shows:**" in first.source
    assert "**What it needs:**" in first.source
    assert last.source.startswith("## Where to go next")
    for link in re.findall(r"\]\(([^)#:]+)\)", last.source):
        assert (path.parent / link).exists(), link


def test_every_recording_belongs_to_a_notebook() -> None:
    recordings = {file.stem for file in (CASSETTES / "notebooks").glob("*.yaml")}

    assert recordings == {path.stem for path in NOTEBOOKS} - UNRECORDED


@by_name
def test_a_notebook_can_be_opened_in_any_folder(path: Path) -> None:
    for cell in read(path).cells:
        assert cell.cell_type != "code" or not _ANYWHERE.search(cell.source), cell.source


@by_name
def test_every_notebook_is_on_the_page_of_the_notebooks(path: Path) -> None:
    assert f"]({path.name})" in (FOLDER / "README.md").read_text("utf-8")


@pytest.mark.parametrize("twin", TWINS, ids=lambda path: path.stem)
def test_a_vietnamese_twin_has_the_code_and_outputs_of_its_original(twin: Path) -> None:
    own, original = read(twin), read(original_of(twin))

    assert own == said_in_vietnamese(twin), "python -m notebooks writes it anew"
    for said, other in zip(own.cells, original.cells, strict=True):
        if said.cell_type == "markdown":
            assert _VIETNAMESE_ONLY.search(said.source), said.source
            for count in (r"^#+ ", r"^- ", r"^```"):
                counts = [len(re.findall(count, text, re.MULTILINE)) for text in (said.source, other.source)]
                assert counts[0] == counts[1], said.source
            for link in re.findall(r"\]\(([^)#:]+)\)", said.source):
                assert (twin.parent / link).exists(), link


def test_any_pip_can_install_what_the_notebooks_need() -> None:
    groups = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    known = {each for name in ("test", "notebooks") for each in groups[name] if isinstance(each, str)}
    lines = (FOLDER / "requirements.txt").read_text("utf-8").splitlines()
    needed = {line for line in lines if line and not line.startswith("#")}

    assert {each for each in needed if not each.startswith("jupyterlab")} - known == {"-e .[all]"}
