"""LlamaIndex tools and tool choice as chat completions take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatResponse, ToolCallBlock
from llama_index.core.bridge.pydantic import BaseModel
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.llms.utils import parse_partial_json
from llama_index.core.program.function_program import get_function_tool
from llama_index.core.tools import FunctionTool
from llama_index.core.tools.types import ToolMetadata

from llama_index_texapi._streaming import PARTIAL
from texapi_core.adapter_base.replies import cut_note
from texapi_core.adapter_base.schema_cache import SchemaCache, root_object
from texapi_core.request.tools import fields_of, legal_tools, named_choice
from texapi_core.wire.custom_tools import tool_kinds
from texapi_core.wire.values import UNKNOWN_TOOLS

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool

_OWN_SIGNATURE = "(*args: Any, **kwargs: Any) -> ~Model\nModel function."
"""What `get_function_tool` of llama-index-core 0.14 says about a class without a docstring."""

_definitions = SchemaCache()


def prepare_tools(
    tools: Sequence[BaseTool | Mapping[str, Any]],
    *,
    tool_choice: str | dict[str, Any] | None,
    tool_required: bool,
    allow_parallel_tool_calls: bool,
) -> dict[str, Any]:
    """The arguments of a chat call that give the model these tools; none when there are no tools.

    A tool may be a dict, of a function or of one of the provider's own tools.
    """
    if not tools:
        return {}
    specs = legal_tools([_spec(tool, position) for position, tool in enumerate(tools)])
    prepared: dict[str, Any] = {"tools": specs}
    choice = resolve_tool_choice(tool_choice, tool_required, specs)
    if choice is not None:
        prepared["tool_choice"] = choice
    if not allow_parallel_tool_calls:
        prepared["parallel_tool_calls"] = False
    return prepared


def _spec(tool: Any, position: int) -> Mapping[str, Any]:
    if isinstance(tool, Mapping):
        return tool
    if not isinstance(metadata := getattr(tool, "metadata", None), ToolMetadata):
        raise ValueError(
            f"`tools[{position}]` must be a tool or a dict, not {type(tool).__name__}. Nothing was sent."
        )
    return _tool_spec(metadata)


def _tool_spec(metadata: ToolMetadata) -> dict[str, Any]:
    """LlamaIndex's definition of a tool, cached by schema, name and description."""
    if type(metadata) is not ToolMetadata:
        return _with_own_name(metadata)
    return _definitions.get(
        metadata.fn_schema, (metadata.name, metadata.description), lambda: _make_definition(metadata)
    )


def _make_definition(metadata: ToolMetadata) -> dict[str, Any]:
    """LlamaIndex's definition, completed: it omits the fields of a class that refers to itself.

    It describes a class without a docstring by the signature of an internal function.
    """
    definition = _with_own_name(metadata)
    parameters = definition["function"]["parameters"]
    if metadata.description == f"{metadata.name}{_OWN_SIGNATURE}" and metadata.fn_schema is not None:
        described = fields_of(metadata.name or "", metadata.fn_schema.model_fields)
        definition["function"]["description"] = described
    if "properties" not in parameters and metadata.fn_schema is not None:
        root = root_object(metadata.fn_schema.model_json_schema())
        parameters |= {name: root[name] for name in ("type", "properties", "required") if name in root}
    return definition


def _with_own_name(metadata: ToolMetadata) -> dict[str, Any]:
    """LlamaIndex's definition without its `_` for each illegal character, which would make two names one."""
    definition = metadata.to_openai_tool(skip_length_check=True)
    if metadata.name:
        definition["function"]["name"] = metadata.name
    return definition


def program_output_class(tools: Sequence[BaseTool]) -> type[BaseModel] | None:
    """The class that LlamaIndex's `FunctionCallingProgram` requests by this tool; `None` for other tools."""
    return tools[0].metadata.fn_schema if is_program_tool(tools) else None


def is_program_tool(tools: Sequence[BaseTool | Mapping[str, Any]]) -> bool:
    """Whether this is the one tool by which LlamaIndex's `FunctionCallingProgram` requests an object."""
    if len(tools) != 1:
        return False
    (tool,) = tools
    return isinstance(tool, FunctionTool) and tool.real_fn.__module__ == get_function_tool.__module__


def resolve_tool_choice(
    tool_choice: str | dict[str, Any] | None, tool_required: bool, specs: Sequence[Any]
) -> str | dict[str, Any] | None:
    """`tool_choice` of the wire: the tool requested by name, else `required` with `tool_required`."""
    if tool_choice is None:
        return "required" if tool_required else None
    if isinstance(tool_choice, dict):
        return tool_choice
    if tool_choice == "any":
        return "required"
    if tool_choice in ("auto", "none", "required"):
        return tool_choice
    if tool_choice in (kinds := tool_kinds(specs)):
        return named_choice(tool_choice, kinds)
    raise ValueError(
        f"`tool_choice` names no tool: {tool_choice!r}. It may be 'auto', 'none', 'any', 'required' "
        f"or one of {list(kinds)}."
    )


def check_tool_calls(
    response: ChatResponse, tools: Sequence[BaseTool | Mapping[str, Any]], *, allow_parallel_tool_calls: bool
) -> ChatResponse:
    """The response with one call where only one is allowed.

    A program has one tool, which it forces: whatever name the model used, that tool was meant.
    """
    calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
    if not allow_parallel_tool_calls and len(calls) > 1:
        response, calls = _with_calls(response, calls[:1]), calls[:1]
    noted = response.additional_kwargs.get(UNKNOWN_TOOLS)
    if not noted:
        return response
    kwargs = {name: value for name, value in response.additional_kwargs.items() if name != UNKNOWN_TOOLS}
    if is_program_tool(tools):
        own_name = tools[0].metadata.name  # type: ignore[union-attr] # a program's tool is no dict
        response = _with_calls(response, [call.model_copy(update={"tool_name": own_name}) for call in calls])
    elif unknown := [call.tool_name for call in calls if call.tool_name in noted]:
        kwargs[UNKNOWN_TOOLS] = unknown
    return response.model_copy(update={"additional_kwargs": kwargs})


def _with_calls(response: ChatResponse, calls: Sequence[ToolCallBlock]) -> ChatResponse:
    """The response with its calls replaced."""
    message = response.message
    others = [block for block in message.blocks if not isinstance(block, ToolCallBlock)]
    kwargs = dict(message.additional_kwargs)
    if "tool_calls" in kwargs:
        kwargs["tool_calls"] = kwargs["tool_calls"][: len(calls)]
    message = message.model_copy(update={"blocks": [*others, *calls], "additional_kwargs": kwargs})
    return response.model_copy(update={"message": message})


def select_tools(response: ChatResponse, *, strict: bool, of_any_name: bool = False) -> list[ToolSelection]:
    """The tool calls of an answer, or of the part of it that has streamed.

    Raises:
        ValueError: with `strict`, when there is no call or one with arguments that cannot be parsed.
    """
    calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
    finish_reason = response.additional_kwargs.get("finish_reason")
    if not calls and strict:
        raise ValueError(f"Expected at least one tool call. {_describe(response, finish_reason)}")
    if strict and not of_any_name and (unknown := response.additional_kwargs.get(UNKNOWN_TOOLS)):
        raise ValueError(f"The model called {unknown}, which are none of the tools that it was given.")
    partial = bool(response.additional_kwargs.get(PARTIAL))
    return [_select_tool(call, partial=partial, finish_reason=finish_reason, strict=strict) for call in calls]


def _describe(response: ChatResponse, finish_reason: str | None) -> str:
    """What the model answered instead of a tool call."""
    if refusal := response.message.additional_kwargs.get("refusal"):
        return f"The model refused to answer: {refusal}"
    return f"The model answered: {response.message.content!r}.{cut_note(finish_reason)}"


def _select_tool(
    call: ToolCallBlock, *, partial: bool, finish_reason: str | None, strict: bool
) -> ToolSelection:
    arguments = call.tool_kwargs
    if isinstance(arguments, str):
        if partial:
            arguments = _parse_partial(arguments)
        elif strict:
            raise ValueError(
                f"The arguments of the call of {call.tool_name} are no JSON object: {arguments!r}."
                f"{cut_note(finish_reason)}"
            )
        else:
            arguments = refused_arguments(arguments)
    return ToolSelection(tool_id=call.tool_call_id or "", tool_name=call.tool_name, tool_kwargs=arguments)


def refused_arguments(arguments: str) -> dict[str, Any]:
    """Keyword arguments that no method takes, for a call whose arguments cannot be read.

    The framework calls `tool.acall(**arguments)`. A method has a `self` already, so that this is a
    `TypeError` whatever the function of the tool takes, `**kwargs` too; agents report it to the model.
    """
    return {
        "self": "The arguments are no JSON object: the tool was not run.",
        "invalid_arguments": arguments,
    }


def _parse_partial(arguments: str) -> dict[str, Any]:
    """The part of streamed arguments that can be parsed so far."""
    try:
        parsed: object = parse_partial_json(arguments)
    except (ValueError, IndexError):
        return {}
    return dict(parsed) if isinstance(parsed, Mapping) else {}
