"""Recordings: none orphaned, none with a key, all readable."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import cassette_serializer
from tests.conftest import CASSETTES

FILES = sorted(CASSETTES.rglob("*.yaml"))
NOTEBOOKS = CASSETTES / "notebooks"
"""Checked by tests/test_notebooks.py."""
_KEY = re.compile(r"sk-(?!tex-REDACTED\b)[A-Za-z0-9-]{6,}")


def test_there_are_recordings() -> None:
    assert len(FILES) > 20


def test_every_recording_belongs_to_a_test(request: pytest.FixtureRequest) -> None:
    collected = {Path(item.path) for item in request.session.items}
    owners = {
        CASSETTES
        / Path(item.path).relative_to(Path(__file__).parent).with_suffix("")
        / f"{cassette_serializer.file_name(_name(item))}.yaml"
        for item in request.session.items
        if "recorded" in getattr(item, "fixturenames", ())
    }
    here = Path(__file__).parent
    of_tests = [file for file in FILES if not file.is_relative_to(NOTEBOOKS)]
    asked = {
        file
        for file in of_tests
        if (here / file.relative_to(CASSETTES).parent).with_suffix(".py") in collected
    }
    modules = {(here / file.relative_to(CASSETTES).parent).with_suffix(".py") for file in of_tests}

    assert not [module for module in modules if not module.exists()]
    assert asked <= owners


def _name(item: pytest.Item) -> str:
    cls = getattr(item, "cls", None)
    return f"{cls.__name__}.{item.name}" if cls else item.name


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(CASSETTES)))
def test_a_recording_is_clean_and_readable(file: Path) -> None:
    text = file.read_text("utf-8")
    cassette = cassette_serializer.read(text)

    assert not _KEY.search(text)
    assert "127.0.0.1" not in text
    for interaction in cassette["interactions"]:
        request, response = interaction["request"], interaction["response"]
        assert request["uri"].startswith("https://api.texapi.dev/v1/")
        assert request["headers"]["authorization"] == ["Bearer sk-tex-REDACTED"]
        assert "body" not in request
        assert {"json", "events", "text"} & response.keys()


def test_a_written_recording_can_be_read_back() -> None:
    text = FILES[0].read_text("utf-8")

    assert cassette_serializer.serialize({"version": 1, **_as_recorded(text)}) == text


def _as_recorded(text: str) -> dict[str, list[object]]:
    return {"interactions": cassette_serializer.deserialize(text)["interactions"]}
