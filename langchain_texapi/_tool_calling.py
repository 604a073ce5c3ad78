"""`bind_tools` and `with_structured_output` of `ChatTexAPI`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable
from pydantic import ConfigDict

from langchain_texapi import _deferred
from langchain_texapi._arguments import RawAndParsed, StructuredMethod

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

_Answer = TypeVar("_Answer")


class ToolCallingChatModel(BaseChatModel):
    """A chat model that can be given tools, and a schema for its answers."""

    model_config = ConfigDict(defer_build=True)

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: dict[str, Any] | str | bool | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        response_format: Any = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The model with tools that it may call.

        Args:
            tools: functions, Pydantic classes, TypedDicts, `BaseTool`s, or dicts in OpenAI's or
                Anthropic's form.
            tool_choice: `"auto"`, `"none"`, `"any"` or `"required"` or `True`, a tool's name, or a dict.
            strict: whether the provider must hold the arguments to the schema.
            parallel_tool_calls: `False` for one call at a time.
            response_format: a schema for the answer when no tool is called.
            kwargs: bound to every call.

        Raises:
            ValueError: `tool_choice` names no tool.
        """
        formatted = _deferred.format_tools(tools, strict=strict)
        if formatted:
            kwargs["tools"] = formatted
            kwargs |= _deferred.format_choice(tool_choice, formatted)
            if parallel_tool_calls is not None:
                kwargs["parallel_tool_calls"] = parallel_tool_calls
        if response_format is not None:
            kwargs["response_format"] = _deferred.format_response_format(response_format, strict=strict)
        return self.bind(**kwargs)

    @overload
    def with_structured_output(
        self,
        schema: type[_Answer],
        *,
        method: StructuredMethod = ...,
        include_raw: Literal[False] = ...,
        strict: bool | None = ...,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, _Answer]: ...
    @overload
    def with_structured_output(
        self,
        schema: type[_Answer],
        *,
        method: StructuredMethod = ...,
        include_raw: Literal[True],
        strict: bool | None = ...,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, RawAndParsed[_Answer]]: ...
    @overload
    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = ...,
        *,
        method: StructuredMethod = ...,
        include_raw: bool = ...,
        strict: bool | None = ...,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]: ...
    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: StructuredMethod = "function_calling",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """The model with answers in the form of `schema`.

        Args:
            schema: a Pydantic class, a TypedDict, a JSON schema or a tool in OpenAI's form.
            method: `function_calling` forces a tool call, which every route supports; `json_schema` uses
                the provider's schema mode; `json_mode` requests JSON and leaves the schema to the prompt.
            include_raw: return a `RawAndParsed` dict instead of the parsed answer.
            strict: whether the provider must hold the answer to the schema.
            kwargs: bound to every call.

        Raises:
            OutputParserException: when run, if the answer does not fit `schema`. The answer is never `None`.
        """
        return _deferred.structured_output(
            self, schema, method=method, include_raw=include_raw, strict=strict, **kwargs
        )
