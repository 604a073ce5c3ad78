"""The strict check of JSON schemas: what OpenAI, Claude or Gemini refuse by public reports."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tests.gateway.refusal import invalid

_TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")
_REFUSED_AT_ROOT = ("oneOf", "anyOf", "allOf", "enum", "not")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_MAPS = ("properties", "$defs", "definitions", "patternProperties")
_PROPERTY = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
"""Claude's rule for the properties of a tool."""
_SCHEMAS = ("items", "not", "contains", "if", "then", "else")
_NOT_PERMITTED = (
    *("default", "oneOf", "allOf", "not", "if", "then", "else", "contains", "propertyNames", "prefixItems"),
    *("patternProperties", "dependentSchemas", "dependentRequired", "uniqueItems", "discriminator"),
    *("unevaluatedProperties", "unevaluatedItems"),
)
_STRICT_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")

_NUMBER = int | float
_KINDS: dict[str, Any] = {
    **dict.fromkeys(("title", "description", "format", "pattern", "contentEncoding", "$anchor"), str),
    **dict.fromkeys(("uniqueItems", "deprecated", "readOnly", "writeOnly"), bool),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), _NUMBER),
    **dict.fromkeys(
        ("minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains"), _NUMBER
    ),
    **dict.fromkeys(("minProperties", "maxProperties"), _NUMBER),
    "dependentRequired": dict,
    "examples": list,
}
"""What Claude takes as the value of a keyword: what JSON Schema 2020-12 allows."""


def check_schemas(body: dict[str, Any]) -> None:
    """Check the parameters of tools and the schema of the answer."""
    for index, tool in enumerate(body.get("tools") or ()):
        function = tool.get("function", {})
        if "parameters" in function:
            named = f"function '{function['name']}'"
            path = f"tools[{index}].function.parameters"
            check_schema(function["parameters"], named, path, strict=function.get("strict") is True)
            if not all(map(_PROPERTY.fullmatch, function["parameters"]["properties"])):
                wrong = "Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'"
                raise invalid(path, f"tools.{index}.custom.input_schema.properties: {wrong}")
    declared = (body.get("response_format") or {}).get("json_schema") or {}
    if "schema" in declared:
        named = f"response_format '{declared['name']}'"
        check_schema(declared["schema"], named, "response_format", strict=declared.get("strict") is True)


def check_schema(schema: Any, named: str, path: str = "parameters", *, strict: bool = False) -> None:
    """Check a schema at the root of a tool or an answer."""
    problem = next(_problems_of_root(schema), None)
    if strict and not problem:
        problem = next(_problems_of_strict(schema, ()), None)
    if problem:
        raise invalid(path, f"Invalid schema for {named}: {problem}")


def _problems_of_root(schema: Any) -> Iterator[str]:
    if not isinstance(schema, dict):
        yield f"{schema!r} is not of type 'object'."
        return
    if schema.get("type") != "object":
        yield f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{schema.get('type')}\"'."
    if any(name in schema for name in _REFUSED_AT_ROOT):
        refused = "/".join(f"'{name}'" for name in _REFUSED_AT_ROOT)
        yield f"schema must have type 'object' and not have {refused} at the top level."
    if not isinstance(schema.get("properties"), dict):
        yield "In context=(), object schema missing properties."
    yield from _problems(schema, (), schema)


def _problems(schema: Any, context: tuple[str, ...], root: dict[str, Any]) -> Iterator[str]:
    where = f"In context={context}, "
    if not isinstance(schema, dict):
        yield f"{where}{schema!r} is not of type 'object'."
        return
    for name in ("$schema", "$id"):
        if name in schema:
            yield f'{where}Unknown name "{name}": Cannot find field.'
    yield from _problems_of_types(schema, where)
    if "required" in schema:
        yield from _problems_of_required(schema, where)
    if "$ref" in schema and not _leads_somewhere(schema["$ref"], root):
        yield f"{where}reference to component '{schema['$ref']}' which was not found in the schema."
    yield from _problems_of_values(schema, where)
    for name in ("enum", *_LISTS):
        if name in schema and not schema[name]:
            yield f"{where}[] should be non-empty."
    for place, inner in _inner(schema):
        yield from _problems(inner, (*context, *place), root)


def _problems_of_values(schema: dict[str, Any], where: str) -> Iterator[str]:
    for name, value in schema.items():
        kind = _KINDS.get(name)
        is_boolean = isinstance(value, bool)
        if kind and (not isinstance(value, kind) or (is_boolean and kind is not bool)):
            yield f"{where}JSON schema is invalid. It must match JSON Schema draft 2020-12: '{name}'."
        elif (
            name in ("type", "required") and isinstance(value, list) and len({*map(str, value)}) < len(value)
        ):
            yield f"{where}{value!r} has non-unique elements."
        elif value is None and name not in ("default", "const", "examples"):
            yield f"{where}None is not valid for '{name}'."


def _problems_of_types(schema: dict[str, Any], where: str) -> Iterator[str]:
    types = schema["type"] if isinstance(schema.get("type"), list) else [schema.get("type", "object")]
    if not types or any(each not in _TYPES for each in types):
        yield f"{where}{schema['type']!r} is not valid under any of the given schemas."
    if ("array" in types or "prefixItems" in schema) and not isinstance(schema.get("items"), dict):
        yield f"{where}array schema missing items."
    if not isinstance(schema.get("additionalProperties", True), dict | bool):
        yield f"{where}{schema['additionalProperties']!r} is not of type 'object', 'boolean'."


def _inner(schema: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name in _MAPS:
        if not isinstance(schema.get(name, {}), dict):
            yield (name,), schema[name]
            continue
        for key, each in schema.get(name, {}).items():
            yield (name, key), each
    for name in _LISTS:
        for at, each in enumerate(schema.get(name) or ()):
            yield (name, str(at)), each
    for name in _SCHEMAS:
        if name in schema:
            yield (name,), schema[name]
    if isinstance(schema.get("additionalProperties"), dict):
        yield ("additionalProperties",), schema["additionalProperties"]


def _problems_of_required(schema: dict[str, Any], where: str) -> Iterator[str]:
    required = schema["required"]
    if not isinstance(required, list):
        yield f"{where}{required!r} is not of type 'array'."
        return
    for at, name in enumerate(required):
        if "properties" in schema and name not in schema["properties"]:
            yield f"{where}required[{at}]: property is not defined."


def _leads_somewhere(reference: Any, root: Any) -> bool:
    if not isinstance(reference, str) or not reference.startswith("#"):
        return False
    for part in reference[1:].split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(root, list):
            root = dict(enumerate(root)).get(int(key)) if key.isdecimal() else None
        else:
            root = root.get(key) if isinstance(root, dict) else None
    return root is not None


def _problems_of_strict(schema: dict[str, Any], context: tuple[str, ...]) -> Iterator[str]:
    """What OpenAI refuses in a schema because of `strict`, the schema being legal without it."""
    where = f"In context={context}, "
    for name in _NOT_PERMITTED:
        if name in schema:
            yield f"{where}'{name}' is not permitted."
    if "$ref" in schema and len(schema) > 1:
        siblings = {name for name in schema if name != "$ref"}
        yield f"{where}$ref cannot have keywords {siblings}."
    if "$ref" not in schema and "type" not in schema and "anyOf" not in schema:
        yield f"{where}schema must have a 'type' key."
    if schema.get("format", "date") not in _STRICT_FORMATS:
        yield f"{where}'{schema['format']}' is not a valid format."
    types = schema.get("type")
    if types == "object" or (isinstance(types, list) and "object" in types):
        yield from _problems_of_strict_object(schema, where)
    for place, inner in _inner(schema):
        yield from _problems_of_strict(inner, (*context, *place))


def _problems_of_strict_object(schema: dict[str, Any], where: str) -> Iterator[str]:
    if schema.get("additionalProperties") is not False:
        yield f"{where}'additionalProperties' is required to be supplied and to be false."
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        yield f"{where}object schema missing properties."
        return
    for name in properties:
        if name not in schema.get("required", ()):
            yield (
                f"{where}'required' is required to be supplied and to be an array including every key in "
                f"properties. Missing '{name}'."
            )
