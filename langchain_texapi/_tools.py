"""Tools, tool choice and response formats as chat completions take them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from langchain_texapi._schemas import with_recursion
from texapi_core.adapter_base.schema_cache import SchemaCache
from texapi_core.request.schemas import too_deep
from texapi_core.request.tools import TOOL_EXTRAS, fields_of, legal_tools, named_choice, read_function
from texapi_core.wire.custom_tools import tool_kinds

ToolLike = Mapping[str, Any] | type | Callable[..., Any] | BaseTool

_definitions = SchemaCache()
"""Definitions of classes and functions. LangChain itself keeps those of its `BaseTool`s."""
_response_schemas = SchemaCache()
"""JSON schemas of classes, for `response_format`."""


def format_tools(tools: Sequence[ToolLike], *, strict: bool | None = None) -> list[dict[str, Any]]:
    """Tool definitions of the wire for functions, classes, tools and dicts of any known form."""
    return legal_tools([_format_tool(tool, strict) for tool in tools])


def _format_tool(tool: ToolLike, strict: bool | None) -> dict[str, Any]:
    if isinstance(tool, Mapping) and _is_providers_own(tool):
        return dict(tool)
    formatted = define_tool(tool, strict=strict)
    extras = tool.extras if isinstance(tool, BaseTool) else tool if isinstance(tool, Mapping) else None
    found = {name: extras[name] for name in TOOL_EXTRAS if name in extras} if extras else {}
    return {**formatted, **found}


def _is_providers_own(tool: Mapping[str, Any]) -> bool:
    """Whether this is one of the provider's tools, e.g. `{"type": "web_search"}`."""
    is_function = isinstance(tool.get("function"), Mapping) or read_function(tool) is not None
    return not is_function and not is_schema(tool)


def is_schema(tool: Mapping[str, Any]) -> bool:
    """Whether this is a JSON schema without a title, which LangChain refuses by name."""
    return "properties" in tool or tool.get("type") == "object"


def define_tool(tool: ToolLike, *, strict: bool | None = None) -> dict[str, Any]:
    """LangChain's definition of a tool in OpenAI's form, cached by class or function."""
    return _definitions.get(tool, strict, lambda: _make_definition(tool, strict))


def _make_definition(tool: ToolLike, strict: bool | None) -> dict[str, Any]:
    if isinstance(tool, Mapping):
        tool = read_function(tool) or tool
    try:
        return _described(with_recursion(convert_to_openai_tool(tool, strict=strict), tool), tool)
    except RecursionError:
        function = tool.get("function", tool) if isinstance(tool, Mapping) else tool
        name = function.get("name") or function.get("title") if isinstance(function, Mapping) else function
        raise too_deep(f"The schema of {name!r}") from None


def _described(definition: dict[str, Any], tool: ToolLike) -> dict[str, Any]:
    """The definition of a class without a docstring, described by its name and fields."""
    function = definition.get("function", {})
    if not isinstance(tool, type) or function.get("description"):
        return definition
    described = fields_of(function["name"], function.get("parameters", {}).get("properties", ()))
    return {**definition, "function": {**function, "description": described}}


def format_bound_tools(tools: Sequence[ToolLike]) -> list[Any]:
    """Tools passed to a call: dicts unchanged, functions and classes formatted."""
    return [tool if isinstance(tool, Mapping) else _format_tool(tool, None) for tool in tools]


def format_tool_choice(tool_choice: Any, tools: Sequence[Mapping[str, Any]]) -> Any:
    """`tool_choice` of the wire: `"any"` and `True` mean `"required"`, a tool's name means that tool.

    Raises:
        ValueError: a name that no tool has, or a value of another type.
    """
    if tool_choice is None or tool_choice is False:
        return None
    kinds = tool_kinds(tools)
    names = list(kinds)
    if tool_choice is True or tool_choice == "any":
        return "required"
    if isinstance(tool_choice, str):
        if tool_choice in names:
            return named_choice(tool_choice, kinds)
        if tool_choice in ("auto", "none", "required"):
            return tool_choice
        raise ValueError(
            f"`tool_choice` names no bound tool: {tool_choice!r}. It may be 'auto', 'none', 'any', "
            f"'required' or one of {names}."
        )
    if isinstance(tool_choice, dict):
        if tool_choice.get("type") in ("any", "auto", "none"):
            return {"any": "required"}.get(tool_choice["type"], tool_choice["type"])
        if tool_choice.get("type") not in ("tool", "function", "custom"):
            return tool_choice
        name = (tool_choice.get("function") or tool_choice.get("custom") or tool_choice).get("name")
        if not isinstance(name, str) or name not in names:
            raise ValueError(f"`tool_choice` names no bound tool: {tool_choice!r}. There are {names}.")
        return named_choice(name, kinds)
    raise ValueError(f"`tool_choice` must be a string, a bool or a dict, not {tool_choice!r}.")


def format_choice(tool_choice: Any, tools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The members of a payload for a `tool_choice`; Anthropic's may also limit the model to one call."""
    choice = format_tool_choice(tool_choice, tools)
    members = {} if choice is None else {"tool_choice": choice}
    if isinstance(tool_choice, dict) and isinstance(
        one_at_a_time := tool_choice.get("disable_parallel_tool_use"), bool
    ):
        members["parallel_tool_calls"] = not one_at_a_time
    return members


def format_call(arguments: Mapping[str, Any], known_tools: Sequence[ToolLike]) -> dict[str, Any]:
    """The parameters of one call with tools, their choice and the response format as the wire takes them.

    `known_tools` are the constructor's, used when the call has none.
    """
    formatted = dict(arguments)
    if tools := arguments.get("tools"):
        formatted["tools"] = format_bound_tools(tools)
    if "tool_choice" in formatted and (tools := formatted.get("tools") or format_bound_tools(known_tools)):
        choice = format_choice(formatted.pop("tool_choice"), legal_tools(tools))
        formatted = {**choice, **formatted}
    if not isinstance(arguments.get("response_format", {}), dict):
        formatted["response_format"] = format_response_format(arguments["response_format"])
    return formatted


def format_response_format(schema: Any, *, strict: bool | None = None) -> dict[str, Any]:
    """`response_format` of the wire for a schema in any of LangChain's forms."""
    if isinstance(schema, dict):
        if schema.get("type") in ("json_object", "text"):
            return schema
        if schema.get("type") == "json_schema":
            inner = schema["json_schema"]
            if "name" in inner:
                return schema
            strict = inner.get("strict") if strict is None else strict
            schema = inner["schema"]
        elif "schema" in schema and "name" in schema:
            return {"type": "json_schema", "json_schema": schema}
    if strict is None and isinstance(schema, dict) and isinstance(schema.get("strict"), bool):
        strict = schema["strict"]
    json_schema = _response_schemas.get(schema, strict, lambda: _make_response_schema(schema, strict))
    json_schema.pop("$schema", None)
    name = str(json_schema.pop("title", None) or "response_format")
    formatted: dict[str, Any] = {"name": name, "schema": json_schema}
    if description := json_schema.pop("description", None):
        formatted["description"] = description
    if strict is not None:
        formatted["strict"] = strict
    return {"type": "json_schema", "json_schema": formatted}


def _make_response_schema(schema: Any, strict: bool | None) -> dict[str, Any]:
    function = _make_definition(schema, strict)["function"]
    described = {"description": function["description"]} if "description" in function else {}
    return {"title": function["name"], **described, **function.get("parameters", {})}
