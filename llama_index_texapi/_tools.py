"""LlamaIndex tools and tool choice as chat completions take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool


def prepare_tools(
    tools: Sequence[BaseTool],
    *,
    tool_choice: str | dict[str, Any] | None,
    tool_required: bool,
    allow_parallel_tool_calls: bool,
) -> dict[str, Any]:
    """The arguments of a chat call that give the model these tools; none when there are no tools.

    Raises:
        ValueError: `tool_choice` names no tool.
    """
    if not tools:
        return {}
    specs = [tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools]
    prepared: dict[str, Any] = {"tools": specs}
    names = [spec["function"]["name"] for spec in specs]
    wire_names = dict(zip((tool.metadata.name for tool in tools), names, strict=True))
    if isinstance(tool_choice, str):
        tool_choice = wire_names.get(tool_choice, tool_choice)
    choice = resolve_tool_choice(tool_choice, tool_required, names)
    if choice is not None:
        prepared["tool_choice"] = choice
    if not allow_parallel_tool_calls:
        prepared["parallel_tool_calls"] = False
    own_names = {
        spec["function"]["name"]: tool.metadata.name
        for spec, tool in zip(specs, tools, strict=True)
        if tool.metadata.name and tool.metadata.name != spec["function"]["name"]
    }
    if own_names:
        prepared["tool_names"] = own_names
    return prepared


def resolve_tool_choice(
    tool_choice: str | dict[str, Any] | None, tool_required: bool, names: Sequence[str]
) -> str | dict[str, Any] | None:
    """`tool_choice` of the wire: what was asked for by name, else `required` when a tool is."""
    if tool_choice is None:
        return "required" if tool_required else None
    if isinstance(tool_choice, dict):
        return tool_choice
    if tool_choice == "any":
        return "required"
    if tool_choice in ("auto", "none", "required"):
        return tool_choice
    if tool_choice in names:
        return {"type": "function", "function": {"name": tool_choice}}
    raise ValueError(
        f"`tool_choice` names no tool: {tool_choice!r}. It may be 'auto', 'none', 'any', 'required' "
        f"or one of {list(names)}."
    )
