"""The strict check of the tools in a chat request."""

from __future__ import annotations

from typing import Any

from tests.gateway.check_names import check_name
from tests.gateway.models import signs_tool_calls
from tests.gateway.refusal import invalid

_PROVIDER_TYPES = ("web_search", "web_search_20250305")


def check_tools(body: dict[str, Any]) -> list[str]:
    """Check the declared tools and return their names."""
    if "tools" not in body:
        return []
    tools = body["tools"]
    if not isinstance(tools, list) or not tools:
        raise invalid("tools", "'tools' must be a list with at least one tool.")
    names: list[str] = []
    for index, tool in enumerate(tools):
        name = _check_tool(tool, f"tools[{index}]")
        if name is None:
            continue
        if name in names:
            raise invalid(f"tools[{index}].function.name", f"There are two tools named '{name}'.")
        names.append(name)
    return names


def check_tool_choice(body: dict[str, Any], names: list[str]) -> None:
    """Check that the choice of tools fits the declared ones."""
    if "tool_choice" not in body:
        return
    choice = body["tool_choice"]
    if not names:
        raise invalid("tool_choice", "'tool_choice' is only allowed next to 'tools'.")
    if choice in ("none", "auto", "required"):
        return
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind in ("function", "custom"):
        chosen = [choice.get(kind)]
    elif kind == "allowed_tools":
        chosen = _allowed_functions(choice)
    else:
        raise invalid("tool_choice", "'tool_choice' has an unknown value.")
    for function in chosen:
        name = function.get("name") if isinstance(function, dict) else None
        if name not in names:
            raise invalid("tool_choice", f"'tool_choice' names an unknown tool '{name}'.")


def check_signatures(body: dict[str, Any], signed: list[str]) -> None:
    """Check that signed tool calls come back with their thought signature."""
    if not signs_tool_calls(body["model"]):
        return
    for index, message in enumerate(body["messages"]):
        for at, call in enumerate(message.get("tool_calls") or []):
            extra = call.get("extra_content")
            google = extra.get("google") if isinstance(extra, dict) else None
            is_signed = isinstance(google, dict) and google.get("thought_signature")
            if call["id"] in signed and not is_signed:
                raise invalid(
                    f"messages[{index}].tool_calls[{at}].extra_content",
                    f"The tool call '{call['id']}' is missing its thought_signature.",
                )


def _check_tool(tool: Any, path: str) -> str | None:
    """Check one tool and return its name; one that a provider runs itself has none."""
    tool = tool if isinstance(tool, dict) else {}
    kind = str(tool.get("type", ""))
    if kind in _PROVIDER_TYPES or kind.startswith("openrouter:") or tool.keys() == {"google_search"}:
        return None
    if kind not in ("function", "custom"):
        raise invalid(f"{path}.type", "The type of a tool must be 'function'.")
    declared = tool[kind] if isinstance(tool.get(kind), dict) else {}
    if kind == "custom":
        if declared.get("name") is None:
            raise invalid(f"{path}.custom", f"Missing required parameter: '{path}.custom'.")
        return check_name(declared["name"], f"{path}.custom.name")
    name = check_name(declared.get("name"), f"{path}.function.name")
    if not isinstance(declared.get("description", ""), str):
        message = f"Invalid type for '{path}.function.description': expected a string, but got null instead."
        raise invalid(f"{path}.function.description", message)
    parameters = declared.get("parameters", {})
    if not isinstance(parameters, dict) or parameters.get("type", "object") != "object":
        raise invalid(f"{path}.function.parameters", "'parameters' must be a schema of an object.")
    return name


def _allowed_functions(choice: dict[str, Any]) -> list[Any]:
    allowed = choice.get("allowed_tools", choice)
    tools = allowed.get("tools") if isinstance(allowed, dict) else None
    if not isinstance(tools, list) or not tools:
        raise invalid("tool_choice", "'allowed_tools' needs a list of tools.")
    return [tool.get(tool.get("type"), tool) if isinstance(tool, dict) else None for tool in tools]


def check_kinds(body: dict[str, Any]) -> None:
    """Check that tools are called and chosen as what they are declared: functions or custom tools."""
    kinds = {tool[tool["type"]]["name"]: tool["type"] for tool in body.get("tools") or () if _is_named(tool)}
    choice = body.get("tool_choice")
    places = [("tool_choice", choice)] if isinstance(choice, dict) and _is_named(choice) else []
    for index, message in enumerate(body["messages"]):
        for at, call in enumerate(message.get("tool_calls") or ()):
            places.append((f"messages[{index}].tool_calls[{at}]", call))
    for path, call in places:
        kind = call["type"]
        if kinds.get(call[kind]["name"], "function") != kind:
            raise invalid(f"{path}.type", f"'{call[kind]['name']}' is no tool of the type '{kind}'.")


def _is_named(tool: dict[str, Any]) -> bool:
    return tool.get("type") in ("function", "custom") and tool["type"] in tool
