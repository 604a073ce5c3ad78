"""The types of content blocks that LangChain's packages name in their source.

`python -m tests.langchain.block_types` reads them from the packages that are installed, and records them in
`block_types.json` with their versions: the test environment has langchain-core alone.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

PACKAGES = {
    "langchain-core": "langchain_core.messages",
    "langchain-openai": "langchain_openai",
    "langchain-anthropic": "langchain_anthropic",
    "langchain-google-genai": "langchain_google_genai",
}
RECORDED = Path(__file__).with_suffix(".json")


def installed() -> dict[str, list[str]]:
    """Package with its version -> types, for the packages that are installed."""
    found = {}
    for package, module in PACKAGES.items():
        if find_spec(module.partition(".")[0]) is None:
            continue
        spec = find_spec(module)
        assert spec is not None
        assert spec.origin is not None
        types = {
            name
            for path in Path(spec.origin).parent.rglob("*.py")
            for name in _types_in(path.read_text("utf-8"))
        }
        found[f"{package} {version(package)}"] = sorted(types)
    return found


def recorded() -> set[str]:
    """The types of all packages, as they were recorded."""
    return {name for types in json.loads(RECORDED.read_text("utf-8")).values() for name in types}


def _types_in(source: str) -> Iterator[str]:
    """Values of `type` in dicts and in comparisons, and those of fields `type: Literal[...]`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "type":
                    yield from _texts(value)
        elif isinstance(node, ast.Compare) and _reads_type(node.left):
            for comparator in node.comparators:
                yield from _texts(comparator)
        elif (
            isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "type"
        ):
            yield from _texts(node.annotation)


def _reads_type(node: ast.AST) -> bool:
    if isinstance(node, ast.Name):
        return node.id in ("block_type", "type_", "btype")
    constants = [each.value for each in ast.walk(node) if isinstance(each, ast.Constant)]
    return constants == ["type"] and isinstance(node, (ast.Call, ast.Subscript))


def _texts(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str) and each.value.isidentifier():
            yield each.value


if __name__ == "__main__":
    RECORDED.write_text(json.dumps(installed(), indent=1) + "\n", "utf-8")
