"""Layering: which module may import which. All imports count, also those in functions and for types."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("texapi_core", "langchain_texapi", "llama_index_texapi")
CORE = (
    "_version _lazy _fork _files",
    "wire",
    "catalog",
    "errors",
    "accounting.record",
    "accounting.prices accounting.windows",
    "accounting.estimate accounting.accounts",
    "accounting.reservation_tables accounting.reservation_database",
    "accounting.redis_script",
    "accounting.reservation_transactions accounting.redis_accounts",
    "accounting.reservations",
    "accounting.reservation_stores",
    "accounting.ledger",
    "accounting.otel",
    "accounting.sinks",
    "accounting.budget",
    "accounting",
    "settings_checks",
    "limits.plan",
    "settings",
    "limits",
    "failures.secrets",
    "failures.traces",
    "call",
    "failures",
    "transport",
    "accounting.recorder",
    "request",
    "chat",
    "models",
    "bulk.work_loop",
    "bulk.calls",
    "bulk",
    "",
    "adapter_base",
    "cli",
)
"""The parts of texapi_core, lowest layer first; `""` is its `__init__`. Parts on one line share a layer."""
ADAPTERS = ("langchain_texapi", "llama_index_texapi")
MAX_IMPORTS_IN_FUNCTIONS = 15
IMPORT_BY_NAME = (
    "texapi_core._lazy",
    "texapi_core.limits",
    "texapi_core.transport.clients",
    "texapi_core.cli",
)
"""Lazy public names, where limits are kept, the HTTP library of the SDK that is installed, and the subcommand
that is run."""
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Import:
    """One name of one import statement."""

    def __init__(self, importer: str, node: ast.stmt, imported: str, *, in_function: bool) -> None:
        self.importer, self.imported, self.in_function = importer, imported, in_function
        self.place = f"{importer}:{node.lineno}"
        self._lines = slice(node.lineno - 2, node.end_lineno)

    @property
    def statement(self) -> str:
        """The source of the statement, with the line above it."""
        return "\n".join(FILES[self.importer].read_text("utf-8").splitlines()[self._lines])


def _files() -> dict[str, Path]:
    """Module -> file."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


FILES = _files()


@cache
def _nodes(module: str) -> list[ast.AST]:
    return list(ast.walk(ast.parse(FILES[module].read_text("utf-8"))))


def _imports() -> Iterator[Import]:
    for module in FILES:
        functions = [node for node in _nodes(module) if isinstance(node, _FUNCTIONS)]
        for node in _nodes(module):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{module}: a relative import"
                whole = [f"{node.module}.{alias.name}" for alias in node.names]
                names = [name if name in FILES else str(node.module) for name in whole]
            else:
                continue
            inner = any(one.lineno <= node.lineno <= (one.end_lineno or 0) for one in functions)
            for name in names:
                yield Import(module, node, name, in_function=inner)


@cache
def every() -> list[Import]:
    return list(_imports())


def ours() -> list[Import]:
    return [one for one in every() if one.imported in FILES and one.imported != one.importer]


def _layer(module: str) -> int:
    package, _, place = module.partition(".")
    if package in ADAPTERS:
        return len(CORE)
    layers = {part: layer for layer, line in enumerate(CORE) for part in line.split(" ")}
    matching = [part for part in layers if place == part or (part and place.startswith(f"{part}."))]
    assert matching, f"{module} has no layer: add it to CORE in {Path(__file__).name}"
    return layers[max(matching, key=len)]


def test_no_import_from_a_higher_layer() -> None:
    for one in ours():
        assert _layer(one.imported) <= _layer(one.importer), f"{one.place} imports {one.imported}"
        package = one.importer.partition(".")[0]
        assert one.imported.partition(".")[0] in ("texapi_core", package)


def test_every_module_has_a_layer() -> None:
    for module in FILES:
        _layer(module)


def test_imports_are_statements() -> None:
    """Others are not seen by these tests."""
    for module in FILES:
        called = [node.func for node in _nodes(module) if isinstance(node, ast.Call)]
        names = {node.id if isinstance(node, ast.Name) else getattr(node, "attr", "") for node in called}
        assert module in IMPORT_BY_NAME or not names & {"import_module", "__import__"}, module


def test_core_knows_no_framework_and_the_protocol_no_sdk() -> None:
    for one in every():
        foreign = one.imported.partition(".")[0]
        if one.importer.startswith("texapi_core"):
            assert foreign not in ("langchain_core", "llama_index", "tests"), one.place
        if one.importer.startswith("texapi_core.wire"):
            assert foreign not in ("openai", "httpx", "sqlalchemy"), one.place


def test_no_import_cycle() -> None:
    """Not within a layer either; a package may import its own submodules."""
    below: dict[str, set[str]] = {module: set() for module in FILES}
    for one in ours():
        if not one.imported.startswith(f"{one.importer}."):
            below[one.importer].add(one.imported)
    left = dict(below)
    while free := [module for module, needs in left.items() if not needs & left.keys()]:
        for module in free:
            del left[module]

    assert not left, f"These import each other: {sorted(left)}"


def test_imports_in_functions_are_few_and_have_a_reason() -> None:
    inner = {one.place: one.statement for one in every() if one.in_function}
    assert len(inner) <= MAX_IMPORTS_IN_FUNCTIONS, "\n".join(inner)
    for place, statement in inner.items():
        assert "#" in statement, f"{place}: add a comment with the reason"


def test_every_package_names_its_public_surface() -> None:
    """Names outside of `__all__` may change in any release."""
    for module, path in FILES.items():
        if path.name == "__init__.py":
            public = import_module(module)
            assert all(hasattr(public, name) for name in public.__all__)


def test_core_has_few_submodules() -> None:
    parts = [module for module in FILES if module.count(".") == 1 and module.startswith("texapi_core.")]
    public = [part for part in parts if not part.startswith("texapi_core._")]

    assert len(public) <= 16, public
