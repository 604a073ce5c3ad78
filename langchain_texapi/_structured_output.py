"""`with_structured_output`: the answer in the form of a schema, or an exception that quotes the answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from operator import itemgetter
from typing import Any

from langchain_core import exceptions
from langchain_core.exceptions import LangChainException, OutputParserException
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, BaseMessageChunk
from langchain_core.output_parsers import BaseTransformOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, GenerationChunk
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.pydantic import is_basemodel_subclass

from langchain_texapi._arguments import StructuredMethod
from langchain_texapi._streaming import partial_object
from langchain_texapi._tools import define_tool, is_schema
from texapi_core.adapter_base.replies import cut_note
from texapi_core.adapter_base.roots import ANSWER, wrapped_class, wrapped_schema, wrapped_values
from texapi_core.wire.finish_reasons import NORMAL_REASONS
from texapi_core.wire.text import DECODER, excerpt, json_objects, json_of

_REFUSAL_BASE: Any = getattr(exceptions, "ModelRefusalError", LangChainException)


def structured_output(
    model: BaseChatModel,
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
    if isinstance(schema, dict) and "title" not in schema and is_schema(schema):
        schema = {"title": "answer", **schema}
    asked = wrapped_class(schema)
    is_pydantic_class = isinstance(asked, type) and is_basemodel_subclass(asked)  # of version 2 or 1
    if isinstance(schema, dict) and (around := wrapped_schema(schema)) is not None:
        asked = around
    is_wrapped = asked is not schema
    schema = asked
    traced: dict[str, Any] = {
        "kwargs": {"method": method, "strict": strict},
        "schema": None if schema is None else define_tool(schema),
    }
    if strict is not None and method == "json_mode":
        raise ValueError("`strict` has no meaning with method='json_mode', which sends no schema.")
    if kwargs.get("tools") and method == "function_calling":
        raise ValueError(
            "`tools` beside a schema need method='json_schema' or 'json_mode': 'function_calling' forces the "
            "tool that stands for the schema."
        )
    parser = StructuredOutputParser(answer_class=schema if is_pydantic_class else None, is_wrapped=is_wrapped)
    if traced["schema"]:
        parser.required = frozenset(traced["schema"]["function"].get("parameters", {}).get("required", ()))
    kwargs["ls_structured_output_format"] = traced
    if method == "function_calling":
        parser.tool_name = traced["schema"]["function"]["name"]
        bound = model.bind_tools([schema], strict=strict, **{"tool_choice": parser.tool_name, **kwargs})
    elif method in ("json_schema", "json_mode"):
        parser.other_tools = bool(kwargs.get("tools"))
        wanted = {"type": "json_object"} if method == "json_mode" else schema
        bound = model.bind_tools(kwargs.pop("tools", ()), strict=strict, response_format=wanted, **kwargs)
    else:
        raise ValueError(
            f"`method` must be 'function_calling', 'json_schema' or 'json_mode', not {method!r}."
        )
    if not include_raw:
        return bound | parser
    parser.raw_is_included = True
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    unparsed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=bound) | parsed.with_fallbacks([unparsed], exception_key="parsing_error")


class _RefusalError(OutputParserException, _REFUSAL_BASE):  # type: ignore[misc] # known at run time
    """The model, or a content filter, declined to answer in the form of the schema.

    It is LangChain's `ModelRefusalError` too where langchain-core has that (1.7.5 and later).
    """

    def __init__(self, error: str, message: AIMessage | None = None) -> None:
        OutputParserException.__init__(self, error, llm_output=message.text if message else None)
        self.raw_message = message


class StructuredOutputParser(BaseTransformOutputParser[Any]):
    """The arguments of the tool call, or else the JSON in the text, as an object of the schema."""

    answer_class: Any = None
    """The Pydantic class of the answer; `None` for a dict."""
    required: frozenset[str] = frozenset()
    """The members that the schema requires of an answer, to distinguish it from other JSON in the text."""
    tool_name: str | None = None
    """The tool whose arguments are the answer; `None` when the text is."""
    other_tools: bool = False
    """Whether the model may call one of the user's tools instead of answering."""
    is_wrapped: bool = False
    """Whether the answer is a member of the object that the model was asked for."""
    raw_is_included: bool = False
    """Whether the raw message is returned too: then the answer is `None` when the model calls such a tool."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        generation = result[0]
        message = generation.message if isinstance(generation, ChatGeneration) else None
        if not isinstance(message, AIMessage):
            message = AIMessage(content=generation.text)
        try:
            self._raise_if_refused(message)
            if self.other_tools and message.tool_calls and self.raw_is_included:
                return None
            return self._find_answer(message, partial)
        except ValueError as error:
            if partial:
                return None
            if isinstance(error, OutputParserException):
                raise
            raise OutputParserException(  # pydantic's ValidationError, of version 2 and 1
                f"The answer is not of the form of {self._schema_name()}: {error}",
                llm_output=message.text,
            ) from error

    def parse(self, text: str) -> Any:
        return self.parse_result([Generation(text=text)])

    def _transform(self, input: Iterator[str | BaseMessage]) -> Iterator[Any]:
        partial_answer = _PartialAnswer(self)
        for chunk in input:
            yield from partial_answer.feed(chunk)
        yield from partial_answer.finish()

    async def _atransform(self, input: AsyncIterator[str | BaseMessage]) -> AsyncIterator[Any]:
        partial_answer = _PartialAnswer(self)
        async for chunk in input:
            for answer in partial_answer.feed(chunk):
                yield answer
        for answer in partial_answer.finish():
            yield answer

    def _find_answer(self, message: AIMessage, partial: bool) -> Any:
        """The answer, wherever the model put it."""
        for call in message.tool_calls:
            if not self.other_tools and self.tool_name in (None, call["name"]):
                return self._to_answer(call["args"])
        text = message.text.strip()
        candidates = list(wrapped_values(text)) if self.is_wrapped else []
        candidates += _objects(text, partial)
        if not candidates:
            raise OutputParserException(self._describe(message), llm_output=text)
        for candidate in candidates:
            try:
                if self.answer_class is not None or candidate.keys() >= self.required:
                    return self._to_answer(candidate)
            except ValueError:
                continue
        return self._to_answer(candidates[0])

    def _raise_if_refused(self, message: AIMessage) -> None:
        refusal = message.additional_kwargs.get("refusal")
        if refusal:
            raise _RefusalError(f"The model refused to answer: {refusal}", message)
        if NORMAL_REASONS[message.response_metadata.get("finish_reason")] == "content_filter":
            raise _RefusalError("The provider's content filter stopped the answer.", message)

    def _describe(self, message: AIMessage) -> str:
        """What the model did instead of answering in the form of the schema."""
        note = cut_note(message.response_metadata.get("finish_reason"))
        if message.invalid_tool_calls:
            arguments = excerpt(message.invalid_tool_calls[0]["args"] or "")
            return f"The arguments for {self._schema_name()} are no JSON object: {arguments}.{note}"
        if self.other_tools and message.tool_calls:
            names = ", ".join(call["name"] for call in message.tool_calls)
            return (
                f"The model called {names} instead of answering. Pass `include_raw=True` to read such calls."
            )
        if message.tool_calls:
            call = message.tool_calls[0]
            arguments = excerpt(json.dumps(call["args"], ensure_ascii=False, default=str))
            return f"The model called {call['name']} with {arguments} instead of {self.tool_name}.{note}"
        called = f" without calling {self.tool_name}" if self.tool_name else ""
        return f"The model answered{called} and not with JSON: {excerpt(message.text)!r}.{note}"

    def _to_answer(self, answer: dict[str, Any]) -> Any:
        if not self.is_wrapped:
            return self._to_object(answer)
        if ANSWER not in answer:
            raise OutputParserException(f"The answer has no `{ANSWER}`.")
        found = self._to_object(answer)
        return found[ANSWER] if self.answer_class is None else getattr(found, ANSWER)

    def _to_object(self, answer: dict[str, Any]) -> Any:
        if self.answer_class is None:
            return answer
        if hasattr(self.answer_class, "model_validate"):
            return self.answer_class.model_validate(answer)
        return self.answer_class.parse_obj(answer)  # a class of pydantic.v1

    def _schema_name(self) -> str:
        return self.answer_class.__name__ if self.answer_class else self.tool_name or "the schema"


def _objects(text: str, partial: bool) -> list[dict[str, Any]]:
    """The JSON objects in a text; with `partial` also the incomplete one at its end."""
    if not partial and isinstance(whole := json_of(text), dict):
        return [whole]
    end = _start_of_incomplete_object(text)
    found = list(json_objects(text[:end]))
    if partial and end < len(text) and (cut := partial_object(text[end:])) is not None:
        found.append(cut)
    return found


def _start_of_incomplete_object(text: str) -> int:
    """Where the incomplete object at the end of a text begins: objects inside it are not answers."""
    start = text.find("{")
    while start >= 0:
        end = start + 1
        try:
            _, end = DECODER.raw_decode(text, start)
        except RecursionError:
            pass
        except json.JSONDecodeError as error:
            if error.pos >= len(text) or error.msg.startswith("Unterminated string"):
                return start
        start = text.find("{", end)
    return len(text)


class _PartialAnswer:
    """An answer while its chunks arrive: each version of it that fits the schema, then the whole."""

    def __init__(self, parser: StructuredOutputParser) -> None:
        self._parser = parser
        self._whole: GenerationChunk | ChatGenerationChunk | None = None
        self._last: Any = None

    def feed(self, chunk: str | BaseMessage) -> Iterator[Any]:
        generation: Any
        if isinstance(chunk, str):
            generation = GenerationChunk(text=chunk)
        elif isinstance(chunk, BaseMessageChunk):
            generation = ChatGenerationChunk(message=chunk)
        else:
            whole = AIMessageChunk(**chunk.model_dump(exclude={"type"}))
            generation = ChatGenerationChunk(message=whole)
        self._whole = generation if self._whole is None else self._whole + generation
        yield from self._if_new(self._parser.parse_result([self._whole], partial=True))

    def finish(self) -> Iterator[Any]:
        """Raises `OutputParserException` when the whole answer does not fit the schema."""
        if self._whole is None:
            return
        answer = self._parser.parse_result([self._whole])
        if answer is None:
            yield None  # the model called another tool instead
        yield from self._if_new(answer)

    def _if_new(self, answer: Any) -> Iterator[Any]:
        if answer is not None and answer != self._last:
            self._last = answer
            yield answer
