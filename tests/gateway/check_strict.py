"""The check of JSON schemas with `strict`, in OpenAI's words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_NOT_PERMITTED = (
    *("default", "oneOf", "allOf", "not", "if", "then", "else", "contains", "propertyNames", "prefixItems"),
    *("patternProperties", "dependentSchemas", "dependentRequired", "uniqueItems", "discriminator"),
    *("unevaluatedProperties", "unevaluatedItems"),
)
_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")


def problems_of_strict(schema: dict[str, Any], context: tuple[str, ...]) -> Iterator[str]:
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
    if schema.get("format", "date") not in _FORMATS:
        yield f"{where}'{schema['format']}' is not a valid format."
    types = schema.get("type")
    if types == "object" or (isinstance(types, list) and "object" in types):
        yield from _problems_of_object(schema, where)
    for place, inner in _inner(schema):
        yield from problems_of_strict(inner, (*context, *place))


def _problems_of_object(schema: dict[str, Any], where: str) -> Iterator[str]:
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


def _inner(schema: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name in ("properties", "$defs", "definitions"):
        for key, each in schema.get(name, {}).items():
            yield (name, key), each
    for at, each in enumerate(schema.get("anyOf", ())):
        yield ("anyOf", str(at)), each
    if "items" in schema:
        yield ("items",), schema["items"]
