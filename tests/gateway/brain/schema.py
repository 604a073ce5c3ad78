"""A JSON schema as the brain reads it."""

from __future__ import annotations

import math
import re
from typing import Any

_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}
_DEEPEST = 12


class Schema:
    """One node of a JSON schema, with its references resolved."""

    def __init__(self, node: Any, root: dict[str, Any] | None = None, depth: int = 0) -> None:
        self._root = root if root is not None else node
        self._depth = depth
        self._node = self._resolve(node if isinstance(node, dict) else {})

    @property
    def branches(self) -> list[Schema]:
        """The kinds of value that are allowed, without nothing at all."""
        kinds = self._node.get("type")
        if isinstance(kinds, list):
            nodes = [{**self._node, "type": kind} for kind in kinds]
        else:
            shared = {k: v for k, v in self._node.items() if k not in ("anyOf", "oneOf")}
            variants = self._node.get("anyOf") or self._node.get("oneOf") or [{}]
            nodes = [{**shared, **self._resolve(variant)} for variant in variants]
        schemas = [Schema(node, self._root, self._depth + 1) for node in nodes]
        return [each for each in schemas if each.kind != "null"] or schemas

    @property
    def has_branches(self) -> bool:
        """Whether several kinds of value are allowed."""
        return any(key in self._node for key in ("anyOf", "oneOf"))

    @property
    def is_nullable(self) -> bool:
        """Whether nothing is allowed as a value."""
        kinds = self._node.get("type")
        variants = self._node.get("anyOf") or self._node.get("oneOf") or []
        named = kinds if isinstance(kinds, list) else [kinds]
        return "null" in named or any(each.get("type") == "null" for each in variants)

    @property
    def kind(self) -> str:
        """The type of the value."""
        named = self._node.get("type")
        if isinstance(named, str):
            return named
        if "properties" in self._node:
            return "object"
        return "array" if "items" in self._node else "string"

    @property
    def properties(self) -> dict[str, Schema]:
        """The fields of an object."""
        fields = self._node.get("properties") or {}
        if self.is_deep:
            fields = {name: fields[name] for name in self.required if name in fields}
        return {name: self._child(node) for name, node in fields.items()}

    @property
    def required(self) -> list[str]:
        """The names of the fields that an object must have."""
        return list(self._node.get("required") or [])

    @property
    def values(self) -> Schema | None:
        """The schema of fields with any name, if such are allowed."""
        node = self._node.get("additionalProperties")
        return self._child(node) if isinstance(node, dict) else None

    @property
    def items(self) -> Schema:
        """The schema of the items of a list."""
        node = self._node.get("items")
        prefixed = self._node.get("prefixItems")
        return self._child(node if isinstance(node, dict) else (prefixed or [{}])[0])

    @property
    def least(self) -> int:
        """The smallest number of items."""
        return int(self._node.get("minItems") or 0)

    @property
    def most(self) -> int:
        """The largest number of items."""
        return int(self._node.get("maxItems", 50))

    @property
    def options(self) -> list[Any]:
        """The values among which one must be chosen."""
        return [each for each in self._node.get("enum") or [] if each is not None]

    @property
    def constant(self) -> Any:
        """The only allowed value."""
        return self._node.get("const")

    @property
    def default(self) -> Any:
        """The value when nothing is said."""
        return self._node.get("default")

    @property
    def format(self) -> str:
        """The format of a string."""
        return str(self._node.get("format") or "")

    @property
    def description(self) -> str:
        """What the value means."""
        return str(self._node.get("description") or "")

    @property
    def is_explicit(self) -> bool:
        """Whether a text that holds a value for this schema surely means it."""
        branch = self.branches[0]
        return bool(branch.options or branch.format) or branch.kind == "boolean"

    @property
    def is_deep(self) -> bool:
        """Whether this node lies so deep that only what is required shall be filled."""
        return self._depth > _DEEPEST

    def allows(self, value: Any) -> bool:
        """Tell whether a value is valid."""
        if value is None:
            return self.is_nullable
        return any(branch.allows_here(value) for branch in self.branches)

    def allows_here(self, value: Any) -> bool:
        """Tell whether a value is valid for a schema without other branches."""
        if self.has_branches:
            return self.allows(value)
        if self.constant is not None:
            return bool(value == self.constant)
        if self.options and value not in self.options:
            return False
        if isinstance(value, bool) != (self.kind == "boolean"):
            return False
        if not isinstance(value, _KINDS.get(self.kind, (object,))):
            return False
        if isinstance(value, str):
            return self.fit_string(value) == value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return self.fit_number(value) == value
        if isinstance(value, list):
            fits = self.least <= len(value) <= self.most
            return fits and all(self.items.allows(each) for each in value)
        if isinstance(value, dict):
            fields = self.properties
            known = all(fields[name].allows(value[name]) for name in value if name in fields)
            return known and all(name in value for name in self.required)
        return True

    def as_allowed(self, value: Any) -> Any:
        """Return a known value as this schema writes it, or nothing when it does not fit."""
        if self.options:
            spelled = {str(option).casefold(): option for option in self.options}
            return spelled.get(str(value).casefold())
        if isinstance(value, bool) and self.kind != "boolean":
            return None
        if self.kind in ("object", "array") or not isinstance(value, _KINDS.get(self.kind, ())):
            return None
        return value

    def fit_number(self, value: float) -> float | int:
        """Return the allowed number that is next to a number."""
        step = self._node.get("multipleOf")
        smallest = 1 if self.kind == "integer" else 0.5
        low = self._node.get("minimum", -math.inf)
        high = self._node.get("maximum", math.inf)
        if isinstance(self._node.get("exclusiveMinimum"), (int, float)):
            low = max(low, self._node["exclusiveMinimum"] + smallest)
        if isinstance(self._node.get("exclusiveMaximum"), (int, float)):
            high = min(high, self._node["exclusiveMaximum"] - smallest)
        value = min(max(value, low), high)
        if step:
            value = math.ceil(value / step) * step
        return int(value) if self.kind == "integer" else value

    def fit_string(self, value: str) -> str | None:
        """Return a string cut or lengthened to what is allowed, or nothing when it cannot be."""
        value = value[: self._node.get("maxLength", len(value))]
        value = value.ljust(self._node.get("minLength") or 0, ".")
        if self.constant is not None:
            return str(self.constant)
        pattern = self._node.get("pattern")
        if pattern and not re.search(pattern, value):
            return _matching(pattern)
        return value

    def _child(self, node: Any) -> Schema:
        return Schema(node, self._root, self._depth + 1)

    def _resolve(self, node: dict[str, Any]) -> dict[str, Any]:
        """Return a node with its references and its merged parts put in."""
        for _ in range(_DEEPEST):
            if "$ref" in node:
                rest = {key: value for key, value in node.items() if key != "$ref"}
                node = {**self._target(node["$ref"]), **rest}
            elif "allOf" in node:
                rest = {key: value for key, value in node.items() if key != "allOf"}
                for part in node["allOf"]:
                    rest = {**self._resolve(part), **rest}
                node = rest
        return node

    def _target(self, reference: str) -> dict[str, Any]:
        """Return the node that a reference points to."""
        node: Any = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            node = node.get(step, {}) if step and isinstance(node, dict) else node
        return node if isinstance(node, dict) else {}


def _matching(pattern: str) -> str | None:
    """Return a string for the simple patterns of classes, digits and plain signs."""
    text = ""
    atoms = re.findall(r"(\\[dwD]|\[[^\]]+\]|\\?.)(?:\{(\d+)(?:,\d*)?\}|([+*?]))?", pattern.strip("^$"))
    for atom, count, mark in atoms:
        sign = "1" if atom == r"\d" else "a" if atom == r"\w" else atom.removeprefix("\\")
        if atom.startswith("["):
            sign = atom[1] if atom[1] != "\\" else "1"
        text += sign * (int(count) if count else 0 if mark in ("*", "?") and mark else 1)
    return text if re.search(pattern, text) else None
