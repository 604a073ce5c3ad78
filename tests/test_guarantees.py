"""Every promise of docs/guarantees.md names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROMISES = re.findall(r"^- (.+)$", (ROOT / "docs" / "guarantees.md").read_text(), re.MULTILINE)


def _functions(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise[:40])
def test_a_promise_names_tests_that_exist(promise: str) -> None:
    _, _, named = promise.partition(" Tests: ")
    places = re.findall(r"`([^`]+)`", named)

    assert places
    for place in places:
        file, _, function = place.partition("::")
        assert (ROOT / file).exists(), place
        assert not function or function in _functions(ROOT / file), place


def test_there_are_promises() -> None:
    assert len(PROMISES) > 20


def test_make_test_attacks_every_promise(request: pytest.FixtureRequest) -> None:
    """With one of the promise's tests at least; what is a combination does not count."""
    config = request.config
    if config.option.markexpr != "not combination" or config.args != config.getini("testpaths"):
        pytest.skip("only a run of all that `make test` runs shows it")
    run = {item.nodeid.partition("[")[0] for item in request.session.items}
    run |= {name.partition("::")[0] for name in run}

    assert [one[:60] for one in PROMISES if not run & set(re.findall(r"`(tests/[^`]+)`", one))] == []
