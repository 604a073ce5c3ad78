"""JSON schemas that meet `strict`, by which providers hold a model to a schema.

OpenAI's rules, which the others took over: objects name all their members, require each and allow no other;
every value has a type; keywords beyond its list refuse the whole request.
https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Schema = dict[str, Any]

_LEFT_OUT = frozenset({"default", "discriminator", "prefixItems", "uniqueItems", "examples"})
"""Keywords that are refused, and without which each answer of the schema is one of the given schema, or close
to it: the class of an answer checks what they say."""
_REFUSED = (
    *("not", "if", "then", "else", "contains", "propertyNames", "patternProperties", "dependentSchemas"),
    *("dependentRequired", "unevaluatedProperties", "unevaluatedItems", "additionalItems"),
)
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
_MAPS = ("properties", "$defs", "definitions")
_TYPED = frozenset({"type", "$ref", "anyOf"})


def strict_schema(schema: Mapping[str, Any], place: str) -> Schema:
    """A copy of the legal schema of an object that meets `strict`. `place` names it in errors.

    Raises:
        ValueError: `strict` cannot hold, e.g. for an object with members of any name.
    """
    return _strict(schema, place, ())


def _strict(schema: Mapping[str, Any], place: str, path: Sequence[str]) -> Schema:
    strict: Schema = {}
    for name, value in schema.items():
        if name in _REFUSED:
            raise _error(place, path, f"it has {name!r}")
        if name in _LEFT_OUT or (name == "format" and value not in _FORMATS):
            continue
        if name in _MAPS:
            strict[name] = {key: _strict(each, place, (*path, name, key)) for key, each in value.items()}
        elif name in ("anyOf", "oneOf"):
            found = [_strict(each, place, (*path, name, str(at))) for at, each in enumerate(value)]
            strict["anyOf"] = [*strict.get("anyOf", ()), *found]
        elif name == "allOf":
            strict = {**_only_one(value, place, path), **strict}
        elif name == "items":
            strict[name] = _strict(value, place, (*path, name))
        else:
            strict[name] = value
    if _TYPED.isdisjoint(strict):
        strict = {"type": _type_of_values(strict, place, path), **strict}
    types = strict.get("type")
    if types == "object" or "properties" in strict or (isinstance(types, list) and "object" in types):
        strict = _closed(strict, place, path)
    if "$ref" in strict and len(strict) > 1:
        reference = strict.pop("$ref")
        return {**strict, "anyOf": [{"$ref": reference}]}
    return strict


def _closed(strict: Schema, place: str, path: Sequence[str]) -> Schema:
    """An object that requires all its properties and allows no others."""
    if "properties" not in strict:
        raise _error(place, path, "it may have members of any name")
    return {**strict, "required": list(strict["properties"]), "additionalProperties": False}


def _only_one(schemas: Sequence[Any], place: str, path: Sequence[str]) -> Schema:
    if len(schemas) > 1:
        raise _error(place, path, "it has 'allOf' of several schemas")
    return _strict(schemas[0], place, (*path, "allOf", "0"))


def _type_of_values(strict: Schema, place: str, path: Sequence[str]) -> Any:
    """The types of an enumeration without one."""
    values = strict.get("enum", [strict["const"]] if "const" in strict else [])
    found = list(dict.fromkeys(_TYPES[type(value)] for value in values if type(value) in _TYPES))
    if not found:
        raise _error(place, path, "it has no type")
    return found[0] if len(found) == 1 else found


_TYPES: Mapping[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}


def _error(place: str, path: Sequence[str], why: str) -> ValueError:
    at = f" at `{'.'.join(path)}`" if path else ""
    return ValueError(
        f"{place}: `strict` cannot hold{at}, since {why}. Name the members and their types, or leave "
        "`strict` out. Nothing was sent."
    )
