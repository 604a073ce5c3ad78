"""JSON schemas where LangChain's own conversion leaves something out: recursion, and strictness."""

from __future__ import annotations

from typing import Any

from langchain_core.tools import BaseTool

_LISTS = ("anyOf", "allOf", "oneOf", "prefixItems")
_MAPS = ("properties", "$defs", "definitions")
_REFERENCE = "#/$defs/"


def with_recursion(definition: dict[str, Any], source: Any) -> dict[str, Any]:
    """A tool's definition with the schema of a recursive class by reference.

    LangChain writes every class out where it is used, and has `{}` where a class occurs in itself.
    """
    function = definition["function"]
    if not _has_gap(function.get("parameters")):
        return definition
    source = source.tool_call_schema if isinstance(source, BaseTool) else source
    if not isinstance(source, type) or not hasattr(source, "model_json_schema"):
        return definition
    schema: dict[str, Any] = source.model_json_schema()
    if not any(_reaches(name, name, schema["$defs"]) for name in schema.get("$defs", {})):
        return definition
    if "$ref" in schema:
        schema = {**schema["$defs"][schema.pop("$ref").removeprefix(_REFERENCE)], **schema}
    for name in ("title", "description"):
        schema.pop(name, None)
    if function.get("strict"):
        schema = strict_schema(schema)
    return {**definition, "function": {**function, "parameters": schema}}


def strict_schema(schema: Any) -> Any:
    """A copy in which every object has just its properties and needs all of them, as `strict` wants it."""
    if not isinstance(schema, dict):
        return schema
    strict = dict(schema)
    for name in _MAPS:
        if isinstance(inner := schema.get(name), dict):
            strict[name] = {key: strict_schema(each) for key, each in inner.items()}
    for name in _LISTS:
        if isinstance(inner := schema.get(name), list):
            strict[name] = [strict_schema(each) for each in inner]
    if "items" in schema:
        strict["items"] = strict_schema(schema["items"])
    if isinstance(properties := schema.get("properties"), dict):
        strict["required"] = list(properties)
    if schema.get("type") == "object" or "properties" in schema:
        strict["additionalProperties"] = False
    return strict


def _has_gap(schema: Any) -> bool:
    """Whether there is a `{}` in a schema, which may be where a class occurred in itself."""
    if isinstance(schema, dict):
        return not schema or any(_has_gap(each) for each in schema.values())
    return isinstance(schema, list) and any(_has_gap(each) for each in schema)


def _reaches(name: str, goal: str, definitions: dict[str, Any]) -> bool:
    """Whether a definition refers to another, itself or by those that it refers to."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        for found in _references(definitions.get(waiting.pop())):
            if found == goal:
                return True
            if found not in seen:
                seen.add(found)
                waiting.append(found)
    return False


def _references(schema: Any) -> list[str]:
    if isinstance(schema, dict):
        reference = schema.get("$ref")
        own = [reference.removeprefix(_REFERENCE)] if isinstance(reference, str) else []
        return own + [found for each in schema.values() for found in _references(each)]
    return [found for each in schema for found in _references(each)] if isinstance(schema, list) else []
