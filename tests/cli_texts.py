"""The texts of the command, as they stand in its code."""

from __future__ import annotations

import ast
from pathlib import Path

import texapi_core.cli
from texapi_core.cli.parser import COMMANDS

FOLDER = Path(texapi_core.cli.__file__).parent
_VARIABLES = {"text", "wrong", "failure", "_RESUME", "_NOT_TEXT", "_EXIT_CODES"}
"""Names of variables that hold texts."""


def texts() -> set[str]:
    """What is passed to `say`: literals, those in such variables, and those in tables."""
    found = {about for about, _, _ in COMMANDS.values()}
    for path in sorted(FOLDER.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            found.update(_texts_of(node))
    return found


def _texts_of(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
        if node.func.id == "say":
            return _strings(node.args[0])
        if node.func.id == "add" and len(node.args) > 1:  # of `_batch`
            return _strings(node.args[1])
    if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        name = target.id if isinstance(target, ast.Name) else ""
        if name in _VARIABLES:
            return _strings(node.value)
        if name.endswith("_COLUMNS") and isinstance(node.value, ast.Dict):
            return set().union(*map(_strings, node.value.values))
        if name == "_SYNTAX_ERRORS" and isinstance(node.value, ast.Tuple):
            return {
                text
                for pair in node.value.elts
                if isinstance(pair, ast.Tuple)
                for text in _strings(pair.elts[1])
            }
    return set()


def _strings(node: ast.AST) -> set[str]:
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return {node.value} if is_text else set()  # type: ignore[attr-defined] # a constant has a value
