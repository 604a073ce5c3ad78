"""Objects for a JSON schema, filled with values from a text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_MAX_DEPTH = 4
_QUOTED = re.compile(r"""(?<!\w)(["'])(.+?)\1(?!\w)""")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def fill(schema: dict[str, Any], text: str, plain: str) -> Any:
    """Return a value for a schema.

    Values given as ``field: value`` come first, then the text's numbers and names, each used once.
    Remaining strings are ``plain``; optional fields that the text does not mention are left out.
    """
    return _Filler(schema, text, plain).value(schema, "", 0)


def labelled(text: str, name: str) -> str | None:
    """Return the value that a text gives for a field as ``name: value``."""
    match = re.search(rf"\b{re.escape(name)}: *(\"[^\"]*\"|[^,;\n]+)", text, re.IGNORECASE)
    return match[1].split(". ")[0].strip(' ."') if match else None


class _Filler:
    def __init__(self, root: dict[str, Any], text: str, plain: str) -> None:
        self._root = root
        self._text = text
        self._plain = plain
        self._numbers = iter(_NUMBER.findall(text))
        self._names = iter([quoted for _, quoted in _QUOTED.findall(text)] or _names(text))

    def value(self, schema: dict[str, Any], name: str, depth: int) -> Any:
        said = labelled(self._text, name) if name else None
        if said is None and {"type": "null"} in schema.get("anyOf", ()):
            return None
        schema = self._resolved(schema)
        options = [schema["const"]] if "const" in schema else schema.get("enum")
        if options:
            return next((each for each in options if str(each) in self._text), options[0])
        kind = schema.get("type") or ("object" if "properties" in schema else _kind(said))
        kind = next(each for each in kind if each != "null") if isinstance(kind, list) else kind
        if kind in ("integer", "number"):
            return self._number(schema, said, whole=kind == "integer")
        if kind == "boolean":
            return said is None or said.lower() in ("true", "yes")
        if kind == "array":
            least = max(schema.get("minItems", 0), 1 if depth < _MAX_DEPTH else 0)
            return [self.value(schema.get("items", {}), name, depth + 1) for _ in range(least)]
        if kind == "object":
            return self._object(schema, depth + 1)
        return said or next(self._names, self._plain)

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        required = schema.get("required", [])
        return {
            name: self.value(field, name, depth)
            for name, field in schema.get("properties", {}).items()
            if name in required or labelled(self._text, name)
        }

    def _number(self, schema: dict[str, Any], said: str | None, *, whole: bool) -> float | int:
        match = _NUMBER.search(said or "")
        number = float(match[0] if match else next(self._numbers, 1))
        number = min(max(number, schema.get("minimum", number)), schema.get("maximum", number))
        return int(number) if whole or number.is_integer() else number

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the schema that a reference points to or the first of several that is not null."""
        while True:
            branches = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
            if "$ref" in schema:
                node: Any = self._root
                for step in filter(None, schema["$ref"].removeprefix("#").split("/")):
                    node = node[step]
                schema = node
            elif branches:
                schema = next((each for each in branches if each.get("type") != "null"), branches[0])
            else:
                return schema


def _kind(said: str | None) -> str:
    """Return the type of a value for which there is no schema."""
    return "number" if said and _NUMBER.fullmatch(said) else "string"


def _names(text: str) -> Iterator[str]:
    """Yield capitalized words that do not start a sentence, adjacent ones as one name."""
    for line in text.splitlines():
        name: list[str] = []
        previous = "."
        for word in [*re.findall(r"\w+|\S", line), "."]:
            if word[0].isupper() and (name or previous not in ".!?:>"):
                name.append(word)
            elif name:
                yield " ".join(name)
                name = []
            previous = word
