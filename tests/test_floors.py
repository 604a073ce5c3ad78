"""The floors of the house: who may import whom. Every import counts, those in functions and for types too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("texapi_core", "langchain_texapi", "llama_index_texapi")
CORE = (
    "_version _lazy",
    "wire",
    "catalog",
    "errors",
    "accounting.record",
    "accounting.prices",
    "accounting.ledger",
    "accounting.otel",
    "accounting.sinks",
    "accounting.budget",
    "accounting",
    "settings_checks",
    "settings",
    "failures.secrets",
    "call",
    "failures",
    "transport",
    "accounting.recorder",
    "request",
    "chat",
    "models",
    "",
    "adapter_base",
    "cli",
)
"""The rooms of texapi_core from the lowest floor up; `""` is the facade. Rooms of one line share a floor."""
ADAPTERS = ("langchain_texapi", "llama_index_texapi")
MAX_IMPORTS_IN_FUNCTIONS = 15
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Import:
    """One name of one import statement."""

    def __init__(self, importer: str, node: ast.stmt, imported: str, *, in_function: bool) -> None:
        self.importer, self.imported, self.in_function = importer, imported, in_function
        self.place = f"{importer}:{node.lineno}"
        lines = FILES[importer].read_text("utf-8").splitlines()
        self.statement = "\n".join(lines[node.lineno - 2 : node.end_lineno])
        """With the line above it."""


def _files() -> dict[str, Path]:
    """Module -> file."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


FILES = _files()


def _imports() -> Iterator[Import]:
    for module, path in FILES.items():
        tree = ast.parse(path.read_text("utf-8"))
        functions = [
            node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        inner = {node for function in functions for node in ast.walk(function)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{module}: a relative import"
                whole = [f"{node.module}.{alias.name}" for alias in node.names]
                names = [name if name in FILES else str(node.module) for name in whole]
            else:
                continue
            for name in names:
                yield Import(module, node, name, in_function=node in inner)


EVERY = list(_imports())
OURS = [one for one in EVERY if one.imported in FILES and one.imported != one.importer]


def _floor(module: str) -> int:
    package, _, place = module.partition(".")
    if package in ADAPTERS:
        return len(CORE)
    rooms = {room: floor for floor, line in enumerate(CORE) for room in line.split(" ")}
    fitting = [room for room in rooms if place == room or (room and place.startswith(f"{room}."))]
    assert fitting, f"{module} stands on no floor: give it one in {Path(__file__).name}"
    return rooms[max(fitting, key=len)]


def test_no_import_points_up() -> None:
    for one in OURS:
        assert _floor(one.imported) <= _floor(one.importer), f"{one.place} imports {one.imported}"
        package = one.importer.partition(".")[0]
        assert one.imported.partition(".")[0] in ("texapi_core", package)


def test_no_circle() -> None:
    """Not within a floor either, and not through a facade: a package and its own parts aside."""
    below: dict[str, set[str]] = {module: set() for module in FILES}
    for one in OURS:
        if not one.imported.startswith(f"{one.importer}."):
            below[one.importer].add(one.imported)
    left = dict(below)
    while free := [module for module, needs in left.items() if not needs & left.keys()]:
        for module in free:
            del left[module]

    assert not left, f"These import each other: {sorted(left)}"


def test_imports_in_functions_are_few_and_say_why() -> None:
    inner = {one.place: one.statement for one in EVERY if one.in_function}
    assert len(inner) <= MAX_IMPORTS_IN_FUNCTIONS, "\n".join(inner)
    for place, statement in inner.items():
        assert "#" in statement, f"{place}: say why, in a comment"


def test_every_package_names_its_public_surface() -> None:
    """What is not in an `__all__` may change with any release."""
    for module, path in FILES.items():
        if path.name == "__init__.py":
            public = import_module(module)
            assert all(hasattr(public, name) for name in public.__all__)


def test_core_has_few_rooms() -> None:
    rooms = [module for module in FILES if module.count(".") == 1 and module.startswith("texapi_core.")]
    open_to_readers = [room for room in rooms if not room.startswith("texapi_core._")]

    assert len(open_to_readers) <= 14, open_to_readers
