"""`with_structured_output`: the answer in the form of a schema, or an exception that says what came."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, BaseMessageChunk
from langchain_core.output_parsers import BaseTransformOutputParser
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    Generation,
    GenerationChunk,
)
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.json import parse_partial_json
from langchain_core.utils.pydantic import is_basemodel_subclass

from langchain_texapi._tools import format_response_format
from texapi_core.wire import excerpt

if TYPE_CHECKING:
    from langchain_texapi.chat_models import ChatTexAPI

StructuredMethod = Literal["function_calling", "json_schema", "json_mode"]

_FENCED = re.compile(r"```(?:json|JSON)?\s*\n?(.*?)(?:```|\Z)", re.DOTALL)


def structured_output(
    model: ChatTexAPI,
    schema: dict[str, Any] | type | None,
    *,
    method: StructuredMethod,
    include_raw: bool,
    strict: bool | None,
    **kwargs: Any,
) -> Runnable[LanguageModelInput, Any]:
    """See `ChatTexAPI.with_structured_output`."""
    if schema is None and method != "json_mode":
        raise ValueError(f"`schema` is needed with method={method!r}.")
    if isinstance(schema, dict) and "properties" in schema and "title" not in schema:
        schema = {"title": "answer", **schema}
    traced = {
        "kwargs": {"method": method, "strict": strict},
        "schema": None if schema is None else convert_to_openai_tool(schema),
    }
    tool_name = None
    bound: Runnable[LanguageModelInput, AIMessage]
    if method == "function_calling":
        tool_name = convert_to_openai_tool(schema)["function"]["name"]  # type: ignore[arg-type] # not None here
        bound = _bind_forced_tool(model, schema, tool_name, strict, traced, kwargs)
    elif method == "json_schema":
        response_format = format_response_format(schema, strict=strict)
        bound = model.bind(response_format=response_format, ls_structured_output_format=traced, **kwargs)
    elif method == "json_mode":
        bound = model.bind(
            response_format={"type": "json_object"}, ls_structured_output_format=traced, **kwargs
        )
    else:
        raise ValueError(
            f"`method` must be 'function_calling', 'json_schema' or 'json_mode', not {method!r}."
        )
    parser = StructuredOutputParser(
        answer_class=schema if _is_pydantic_class(schema) else None, tool_name=tool_name
    )
    if not include_raw:
        return bound | parser
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    unparsed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=bound) | parsed.with_fallbacks([unparsed], exception_key="parsing_error")


def _bind_forced_tool(
    model: ChatTexAPI,
    schema: Any,
    tool_name: str,
    strict: bool | None,
    traced: dict[str, Any],
    kwargs: dict[str, Any],
) -> Runnable[LanguageModelInput, AIMessage]:
    """The model made to call the tool; if it refuses to be made to, the model free to call it.

    Claude refuses while it thinks. A refused request costs nothing.
    """
    from texapi_core.errors import TexAPIToolChoiceError  # imports the SDK, put off until it is needed

    def bind(tool_choice: Any) -> Runnable[LanguageModelInput, AIMessage]:
        return model.bind_tools(
            [schema], tool_choice=tool_choice, strict=strict, ls_structured_output_format=traced, **kwargs
        )

    if "tool_choice" in kwargs:
        return bind(kwargs.pop("tool_choice"))
    return bind(tool_name).with_fallbacks([bind("auto")], exceptions_to_handle=(TexAPIToolChoiceError,))


def _is_pydantic_class(schema: Any) -> bool:
    """Of version 2 or 1."""
    return isinstance(schema, type) and is_basemodel_subclass(schema)


class StructuredOutputParser(BaseTransformOutputParser[Any]):
    """The arguments of the tool call, or else the JSON in the text, as an object of the schema."""

    answer_class: Any = None
    """A Pydantic class to make of the answer; `None` for a dict."""
    tool_name: str | None = None
    """The tool whose arguments are the answer; `None` when the text is."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        generation = result[0]
        message = generation.message if isinstance(generation, ChatGeneration) else None
        if not isinstance(message, AIMessage):
            message = AIMessage(content=generation.text)
        try:
            return self._to_answer(self._find_answer(message, partial))
        except OutputParserException:
            if partial:
                return None
            raise
        except ValueError as error:  # pydantic's ValidationError, of version 2 and 1
            if partial:
                return None
            raise OutputParserException(
                f"The answer is not of the form of {self._schema_name()}: {error}",
                llm_output=message.text,
            ) from error

    def parse(self, text: str) -> Any:
        return self.parse_result([Generation(text=text)])

    def _transform(self, input: Iterator[str | BaseMessage]) -> Iterator[Any]:
        growing = _GrowingAnswer(self)
        for chunk in input:
            yield from growing.feed(chunk)
        yield from growing.finish()

    async def _atransform(self, input: AsyncIterator[str | BaseMessage]) -> AsyncIterator[Any]:
        growing = _GrowingAnswer(self)
        async for chunk in input:
            for answer in growing.feed(chunk):
                yield answer
        for answer in growing.finish():
            yield answer

    def _find_answer(self, message: AIMessage, partial: bool) -> dict[str, Any]:
        """The answer as a dict, wherever the model put it."""
        for call in message.tool_calls:
            if self.tool_name in (None, call["name"]):
                return call["args"]
        text = message.text.strip()
        fenced = _FENCED.search(text)
        candidate = fenced.group(1).strip() if fenced else text[max(text.find("{"), 0) :]
        try:
            answer = parse_partial_json(candidate) if partial else json.JSONDecoder().raw_decode(candidate)[0]
        except ValueError:
            answer = None
        if isinstance(answer, dict):
            return answer
        raise OutputParserException(self._what_came(message), llm_output=text)

    def _what_came(self, message: AIMessage) -> str:
        cut = message.response_metadata.get("finish_reason") == "length"
        note = " It was cut at its token limit: raise `max_tokens`." if cut else ""
        if refusal := message.additional_kwargs.get("refusal"):
            return f"The model refused to answer: {refusal}"
        if message.invalid_tool_calls:
            arguments = excerpt(message.invalid_tool_calls[0]["args"] or "")
            return f"The arguments for {self._schema_name()} are no JSON object: {arguments}.{note}"
        called = f" without calling {self.tool_name}" if self.tool_name else ""
        return f"The model answered{called} and not with JSON: {excerpt(message.text)!r}.{note}"

    def _to_answer(self, answer: dict[str, Any]) -> Any:
        if self.answer_class is None:
            return answer
        if hasattr(self.answer_class, "model_validate"):
            return self.answer_class.model_validate(answer)
        return self.answer_class.parse_obj(answer)  # a class of pydantic.v1

    def _schema_name(self) -> str:
        return self.answer_class.__name__ if self.answer_class else self.tool_name or "the schema"


class _GrowingAnswer:
    """An answer while its chunks arrive: every form of it that fits the schema, then the whole."""

    def __init__(self, parser: StructuredOutputParser) -> None:
        self._parser = parser
        self._whole: GenerationChunk | ChatGenerationChunk | None = None
        self._last: Any = None

    def feed(self, chunk: str | BaseMessage) -> Iterator[Any]:
        generation: Any
        if isinstance(chunk, str):
            generation = GenerationChunk(text=chunk)
        else:
            generation = ChatGenerationChunk(message=_as_chunk(chunk))
        self._whole = generation if self._whole is None else self._whole + generation
        yield from self._if_new(self._parser.parse_result([self._whole], partial=True))

    def finish(self) -> Iterator[Any]:
        """Raises `OutputParserException` when the whole answer does not fit the schema."""
        if self._whole is not None:
            yield from self._if_new(self._parser.parse_result([self._whole]))

    def _if_new(self, answer: Any) -> Iterator[Any]:
        if answer is not None and answer != self._last:
            self._last = answer
            yield answer


def _as_chunk(message: BaseMessage) -> BaseMessageChunk:
    if isinstance(message, BaseMessageChunk):
        return message
    return AIMessageChunk(**message.model_dump(exclude={"type"}))
