"""Tools as chat completions take them, from dicts of any known form; a provider's own tools stay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from texapi_core.request.schemas import legal_schema, too_deep
from texapi_core.request.strict_schemas import strict_schema
from texapi_core.wire.custom_tools import described, tool_kinds

TOOL_EXTRAS = ("cache_control", "defer_loading", "async")
"""Members that stand beside a tool's function on the wire."""
_SCHEMAS = ("parameters", "input_schema", "inputSchema")
"""Where OpenAI, Anthropic and MCP have the schema of a tool."""
_SCHEMAS_OF_WIRE = ("parameters", "schema")
_TYPES_OF_FUNCTIONS = (None, "function", "custom")


def read_function(tool: Mapping[str, Any]) -> dict[str, Any] | None:
    """The function that a dict describes as OpenAI, Anthropic, Bedrock, MCP or a JSON schema do.

    `None` for any other dict: it is in the form of the wire, or one of the provider's own tools, such as
    `{"type": "web_search"}`, `{"type": "custom", ...}` without a schema, or `{"google_search": {}}`.
    """
    if "function" in tool:
        return None
    if isinstance(spec := tool.get("toolSpec"), Mapping):
        schema = spec.get("inputSchema") or {}
        return _function(spec, schema.get("json") if isinstance(schema, Mapping) else None)
    tool_type = tool.get("type")
    if "name" in tool and tool_type in _TYPES_OF_FUNCTIONS:
        found = [name for name in _SCHEMAS if name in tool]
        if found:
            return _function(tool, tool[found[0]])
        is_function = tool_type == "function" or (tool_type is None and "description" in tool)
        return _function(tool) if is_function or tool.keys() == {"name"} else None
    if "title" in tool and (tool_type in (None, "object") or "properties" in tool):
        schema = {name: value for name, value in tool.items() if name not in ("title", "description")}
        return _function({**tool, "name": tool["title"]}, schema)
    return None


_ABSENT: Any = object()


def _function(described: Mapping[str, Any], schema: Any = _ABSENT) -> dict[str, Any]:
    function = {name: described[name] for name in ("name", "description") if name in described}
    if schema is not _ABSENT:
        function["parameters"] = schema
    return {**function, "strict": described["strict"]} if "strict" in described else function


def legal_tools(tools: Sequence[Any]) -> list[Any]:
    """The tools with schemas that every provider takes. Nothing is changed in place.

    Raises:
        ValueError: a tool is no dict or has no name, or its parameters are no object.
    """
    return [_legal_tool(tool, position) for position, tool in enumerate(tools)]


def fields_of(name: str, fields: Iterable[str]) -> str:
    """The description of a class without a docstring: its name and fields."""
    joined = ", ".join(fields)
    return f"{name}: {joined}" if joined else name


def distinct_tools(tools: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Legal tools, each once.

    Raises:
        ValueError: two of them have one name.
    """
    distinct: list[Mapping[str, Any]] = []
    by_name: dict[str | None, Any] = {}
    for position, tool in enumerate(tools):
        found = described(tool)
        name = found[1].get("name") if found else None
        if name is None or name not in by_name:
            by_name[name] = tool
            distinct.append(tool)
        elif by_name[name] != tool:
            raise ValueError(f"`tools[{position}]` has the name of another: {name!r}. Nothing was sent.")
    return distinct


def _legal_tool(given: Any, position: int) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise ValueError(f"`tools[{position}]` must be a dict, not {type(given).__name__}. Nothing was sent.")
    tool: Mapping[str, Any] = given
    function = tool.get("function")
    if function is None and (function := read_function(tool)) is not None:
        extras = {name: tool[name] for name in TOOL_EXTRAS if name in tool}
        tool = {"type": "function", "function": function, **extras}
    if not isinstance(function, Mapping):
        if function is not None or tool.get("type") == "function":
            raise ValueError(f"`function` of `tools[{position}]` must be a dict. Nothing was sent.")
        if not tool or not isinstance(tool.get("type", ""), str):
            raise ValueError(f"`tools[{position}]` needs a `type` or a `name`. Nothing was sent.")
        return _custom(tool, position) if tool.get("type") == "custom" else tool
    if not isinstance(name := function.get("name"), str) or not name.strip():
        raise ValueError(f"`tools[{position}]` needs a name, not {name!r}. Nothing was sent.")
    if (said := _without_nulls(function)) is not function:
        function, tool = said, {**tool, "function": said}
    if "parameters" not in function:
        return tool
    legal = _legal(function, "parameters", f"`parameters` of the tool {function.get('name')!r}")
    return tool if legal is function else {**tool, "function": legal}


def _custom(tool: Mapping[str, Any], position: int) -> Mapping[str, Any]:
    """A tool whose input is a text, in the form of chat completions; that of OpenAI Responses is flat."""
    if "custom" in tool:
        custom: Any = tool["custom"]
    else:
        custom = {name: tool[name] for name in ("name", "description", "format") if name in tool}
    if isinstance(custom, Mapping):
        custom = _without_nulls(custom)
    described = custom.get("format") if isinstance(custom, Mapping) else None
    if isinstance(described, Mapping) and described.get("type") == "grammar" and "grammar" not in described:
        grammar = {name: described[name] for name in ("syntax", "definition") if name in described}
        custom = {**custom, "format": {"type": "grammar", "grammar": grammar}}
    if not isinstance(custom, Mapping) or not custom.get("name"):
        raise ValueError(f"`tools[{position}]`, a custom tool, needs a name. Nothing was sent.")
    rest = {name: value for name, value in tool.items() if name not in ("name", "description", "format")}
    return {**rest, "custom": custom}


def with_legal_choice(payload: dict[str, Any]) -> dict[str, Any]:
    """The payload with its chosen tools in the form of chat completions, as functions or custom tools."""
    choice = payload.get("tool_choice")
    if not isinstance(choice, Mapping):
        return payload
    kinds = tool_kinds(payload["tools"])
    allowed = choice.get("allowed_tools")
    if isinstance(allowed, Mapping) and isinstance(allowed.get("tools"), list):
        tools = [_legal_choice(tool, kinds) for tool in allowed["tools"]]
        legal: Any = {**choice, "allowed_tools": {**allowed, "tools": tools}}
    else:
        legal = _legal_choice(choice, kinds)
    return payload if legal == choice else {**payload, "tool_choice": legal}


def _legal_choice(choice: Any, kinds: Mapping[Any, str]) -> Any:
    if not isinstance(choice, Mapping) or choice.get("type") not in ("function", "custom"):
        return choice
    found = described(choice)
    name = (found[1] if found else choice).get("name")
    return named_choice(name, kinds) if isinstance(name, str) and name in kinds else choice


def named_choice(name: str, kinds: Mapping[str, str]) -> dict[str, Any]:
    """The choice of the tool of a name."""
    kind = kinds[name]
    return {"type": kind, kind: {"name": name}}


def with_legal_response_schema(payload: dict[str, Any]) -> dict[str, Any]:
    """The payload with a schema of the answer that every provider takes.

    Raises:
        ValueError: it is not the schema of an object.
    """
    response_format = payload["response_format"]
    named = response_format.get("json_schema") if isinstance(response_format, Mapping) else None
    if not isinstance(named, Mapping) or "schema" not in named:
        return payload
    legal = _legal(_without_nulls(named), "schema", f"`response_format`: the schema of {named.get('name')!r}")
    if legal is named:
        return payload
    return {**payload, "response_format": {**response_format, "json_schema": legal}}


def _without_nulls(described: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same without members that are `None`, but for a schema: that is the schema of an empty object."""
    if None not in described.values():
        return described
    return {k: v for k, v in described.items() if v is not None or k in _SCHEMAS_OF_WIRE}


def _legal(described: Mapping[str, Any], member: str, place: str) -> Mapping[str, Any]:
    given = described[member]
    legal = legal_schema(given, place)
    if described.get("strict") is True:
        try:
            legal = strict_schema(legal, place)
        except RecursionError:
            raise too_deep(place) from None
    return described if legal is given or legal == given else {**described, member: legal}
