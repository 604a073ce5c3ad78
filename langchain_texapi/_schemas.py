"""JSON schemas where LangChain's conversion is incomplete: recursion."""

from __future__ import annotations

from typing import Any

from langchain_core.tools import BaseTool

from texapi_core.adapter_base.schema_cache import root_object

_REFERENCE = "#/$defs/"


def with_recursion(definition: dict[str, Any], source: Any) -> dict[str, Any]:
    """A tool's definition, with references to a recursive class.

    LangChain inlines every class where it is used, and puts `{}` where a class occurs in itself.
    """
    function = definition.get("function")  # a custom tool has none
    if function is None or not _has_gap(function.get("parameters")):
        return definition
    source = source.tool_call_schema if isinstance(source, BaseTool) else source
    if not isinstance(source, type) or not hasattr(source, "model_json_schema"):
        return definition
    schema: dict[str, Any] = source.model_json_schema()
    if not any(_reaches(name, name, schema["$defs"]) for name in schema.get("$defs", {})):
        return definition
    schema = root_object(schema)
    for name in ("title", "description"):
        schema.pop(name, None)
    return {**definition, "function": {**function, "parameters": schema}}


def _has_gap(schema: Any) -> bool:
    """Whether a schema has a `{}`, which may stand for a class that occurs in itself."""
    if isinstance(schema, dict):
        return not schema or any(_has_gap(each) for each in schema.values())
    return isinstance(schema, list) and any(_has_gap(each) for each in schema)


def _reaches(name: str, goal: str, definitions: dict[str, Any]) -> bool:
    """Whether a definition refers to another, directly or through others."""
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
