"""Structured predictions: by a forced tool, by JSON-schema mode, or by one of LlamaIndex's programs.

When LlamaIndex's `FunctionCallingProgram` streams, it does not force the tool and accepts a truncated
object as complete; when it is asynchronous, it drops `system_prompt` (llama-index-core 0.14.25,
`program/function_program.py`). Predictions do not use it. A program that is used directly is corrected in
the `chat_with_tools` family, which gets its tool.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, TypeVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    MessageRole,
    ToolCallBlock,
)
from llama_index.core.bridge.pydantic import BaseModel, ConfigDict, Field, ValidationError
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.program.function_program import FunctionCallingProgram, get_function_tool
from llama_index.core.program.utils import get_program_for_llm, process_streaming_objects

from llama_index_texapi._streaming import PARTIAL
from llama_index_texapi._tools import check_tool_calls, is_program_tool, program_output_class, select_tools
from texapi_core.adapter_base.replies import cut_note
from texapi_core.adapter_base.roots import Wrapper, root_model, unwrapped, wrapped_class, wrapped_values
from texapi_core.adapter_base.schema_cache import SchemaCache, root_object
from texapi_core.wire.text import excerpt, json_objects

if TYPE_CHECKING:
    from llama_index.core.llms.structured_llm import StructuredLLM
    from llama_index.core.tools.types import BaseTool

_Answer = TypeVar("_Answer", bound=BaseModel)
_Object = TypeVar("_Object")
"""Of a pydantic class, or `list[X]` of one."""
_dispatcher = get_dispatcher(__name__)
_response_schemas = SchemaCache()


class StructuredOutputLLM(FunctionCallingLLM):
    """Structured predictions of `TexAPI`, where they differ from LlamaIndex's."""

    model_config = ConfigDict(defer_build=True)

    should_use_structured_outputs: bool = Field(
        default=False,
        description="Whether objects are requested by the provider's JSON-schema mode instead of a tool.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    # LlamaIndex wraps each override of these two in a span, so they do not call `super()`: one call would
    # make two spans.

    def structured_predict(
        self,
        output_cls: type[_Object],
        prompt: Any,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> _Object:
        """The model's answer to the prompt as an object of `output_cls`.

        Raises:
            ValueError: the answer does not fit `output_cls`; the text quotes it.
        """
        _dispatcher.event(
            LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=prompt_args)
        )
        asked = wrapped_class(output_cls)
        arguments = self._chat_arguments(asked, prompt, llm_kwargs, prompt_args)
        if arguments is not None:
            found = object_of(asked, self.chat(**arguments))
        else:
            found = self._program(asked, prompt)(llm_kwargs=dict(llm_kwargs or {}), **prompt_args)
        answer: _Object = unwrapped(found, output_cls)
        _dispatcher.event(LLMStructuredPredictEndEvent(output=answer))
        return answer

    async def astructured_predict(
        self,
        output_cls: type[_Object],
        prompt: Any,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> _Object:
        """Async twin of `structured_predict`."""
        _dispatcher.event(
            LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=prompt_args)
        )
        asked = wrapped_class(output_cls)
        arguments = self._chat_arguments(asked, prompt, llm_kwargs, prompt_args)
        if arguments is not None:
            found = object_of(asked, await self.achat(**arguments))
        else:
            program = self._program(asked, prompt)
            found = await program.acall(llm_kwargs=dict(llm_kwargs or {}), **prompt_args)
        answer: _Object = unwrapped(found, output_cls)
        _dispatcher.event(LLMStructuredPredictEndEvent(output=answer))
        return answer

    def as_structured_llm(self, output_cls: type[BaseModel], **kwargs: Any) -> StructuredLLM:
        """An LLM whose answers are objects of the class; of `list[X]` they have a `root`."""
        return super().as_structured_llm(root_model(output_cls), **kwargs)

    async def achat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> ChatResponse:
        """The answer of the model with these tools; for a program's tool the system prompt is added."""
        if self.system_prompt and is_program_tool(tools):
            system, history = self._system_messages(), chat_history or []
            chat_history = history if history[:1] == system else [*system, *history]
        return await super().achat_with_tools(
            tools, user_msg, chat_history, verbose, allow_parallel_tool_calls, tool_required, **kwargs
        )

    def stream_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool | None = None,
        **kwargs: Any,
    ) -> ChatResponseGen:
        """The answer of the model with these tools as it arrives; a program's tool is forced."""
        output_cls = program_output_class(tools)
        required = output_cls is not None if tool_required is None else tool_required
        responses = super().stream_chat_with_tools(
            tools, user_msg, chat_history, verbose, allow_parallel_tool_calls, required, **kwargs
        )
        responses = _checked_at_the_end(responses, tools, allow_parallel_tool_calls)
        return responses if output_cls is None else _whole_at_the_end(responses, output_cls)

    async def astream_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool | None = None,
        **kwargs: Any,
    ) -> ChatResponseAsyncGen:
        """Async twin of `stream_chat_with_tools`."""
        output_cls = program_output_class(tools)
        required = output_cls is not None if tool_required is None else tool_required
        responses = await super().astream_chat_with_tools(
            tools, user_msg, chat_history, verbose, allow_parallel_tool_calls, required, **kwargs
        )
        responses = _achecked_at_the_end(responses, tools, allow_parallel_tool_calls)
        return responses if output_cls is None else _awhole_at_the_end(responses, output_cls)

    def _structured_stream_call(
        self,
        output_cls: type[BaseModel],
        prompt: Any,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any]:
        output_cls = root_model(output_cls)  # LlamaIndex asserts that no part of a stream is a list
        asked = wrapped_class(output_cls)
        arguments = self._chat_arguments(asked, prompt, llm_kwargs, prompt_args)
        if arguments is not None:
            return self._stream_objects(output_cls, arguments)
        stream: Generator[Any] = self._program(asked, prompt).stream_call(
            llm_kwargs=dict(llm_kwargs or {}), **prompt_args
        )
        return stream if asked is output_cls else (unwrapped(each, output_cls) for each in stream)

    async def _structured_astream_call(
        self,
        output_cls: type[BaseModel],
        prompt: Any,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any]:
        output_cls = root_model(output_cls)  # LlamaIndex asserts that no part of a stream is a list
        asked = wrapped_class(output_cls)
        arguments = self._chat_arguments(asked, prompt, llm_kwargs, prompt_args)
        if arguments is not None:
            return self._astream_objects(output_cls, arguments)
        stream: AsyncGenerator[Any] = await self._program(asked, prompt).astream_call(
            llm_kwargs=dict(llm_kwargs or {}), **prompt_args
        )
        return stream if asked is output_cls else (unwrapped(each, output_cls) async for each in stream)

    def _stream_objects(self, output_cls: type[BaseModel], arguments: dict[str, Any]) -> Generator[Any]:
        partial_object = _PartialObject(output_cls, self)
        with closing(self.stream_chat(**arguments)) as responses:
            for response in responses:
                if (partial := partial_object.feed(response)) is not None:
                    yield partial
        yield partial_object.finish()

    async def _astream_objects(
        self, output_cls: type[BaseModel], arguments: dict[str, Any]
    ) -> AsyncGenerator[Any]:
        partial_object = _PartialObject(output_cls, self)
        async with aclosing(await self.astream_chat(**arguments)) as responses:
            async for response in responses:
                if (partial := partial_object.feed(response)) is not None:
                    yield partial
        yield partial_object.finish()

    def _chat_arguments(
        self,
        output_cls: type[BaseModel],
        prompt: Any,
        llm_kwargs: dict[str, Any] | None,
        prompt_args: dict[str, Any],
    ) -> dict[str, Any] | None:
        """The arguments of a chat call that requests the object; `None` for a program without tools."""
        by_schema = self.should_use_structured_outputs
        if not by_schema and not isinstance(self._program(output_cls, prompt), FunctionCallingProgram):
            return None
        messages = [*self._system_messages(), *prompt.format_messages(llm=self, **prompt_args)]
        kwargs = dict(llm_kwargs or {})
        for of_tools in ("tool_required", "tool_choice", "allow_parallel_tool_calls"):
            kwargs.pop(of_tools, None)
        if by_schema:
            return {"messages": messages, "response_format": _response_format(output_cls), **kwargs}
        return self._prepare_chat_with_tools(
            [get_function_tool(output_cls)], chat_history=messages, tool_required=True, **kwargs
        )

    def _program(self, output_cls: type[BaseModel], prompt: Any) -> Any:
        return get_program_for_llm(output_cls, prompt, self, pydantic_program_mode=self.pydantic_program_mode)

    def _system_messages(self) -> list[ChatMessage]:
        return [ChatMessage(self.system_prompt, role=MessageRole.SYSTEM)] if self.system_prompt else []


def _response_format(output_cls: type[BaseModel]) -> dict[str, Any]:
    schema = _response_schemas.get(output_cls, None, lambda: root_object(output_cls.model_json_schema()))
    return {"type": "json_schema", "json_schema": {"name": output_cls.__name__, "schema": schema}}


def object_of(output_cls: type[_Answer], response: ChatResponse) -> _Answer:
    """The object in a whole answer: in its tool call, or in its text when there is no tool call.

    A model that cannot be forced to call a tool may answer with JSON as text.

    Raises:
        ValueError: a refusal, an answer cut at its token limit, or something of another form.
    """
    if not any(isinstance(block, ToolCallBlock) for block in response.message.blocks):
        return parse_answer(output_cls, response)
    first = select_tools(response, strict=True, of_any_name=True)[0]
    try:
        return output_cls.model_validate(first.tool_kwargs)
    except ValidationError as error:
        raise _misfit(output_cls, response, error) from error


def parse_answer(output_cls: type[_Answer], response: ChatResponse) -> _Answer:
    """The JSON in an answer's text as an object; code fences and prose around it are ignored.

    Raises:
        ValueError: a refusal, an answer cut at its token limit, or text of another form.
    """
    text = (response.message.content or "").strip()
    if refusal := response.message.additional_kwargs.get("refusal"):
        raise ValueError(f"The model refused to answer with {output_cls.__name__}: {refusal}")
    failure: ValidationError | None = None
    is_wrapped = issubclass(output_cls, Wrapper)
    for candidate in wrapped_values(text) if is_wrapped else json_objects(text):
        try:
            return output_cls.model_validate(candidate)
        except ValidationError as error:
            failure = failure or error
    if failure is not None:
        raise _misfit(output_cls, response, failure) from failure
    note = cut_note(response.additional_kwargs.get("finish_reason"))
    raise ValueError(
        f"The model did not answer with JSON for {output_cls.__name__}: {excerpt(text)!r}.{note}"
    )


def _misfit(output_cls: type[BaseModel], response: ChatResponse, error: ValidationError) -> ValueError:
    note = cut_note(response.additional_kwargs.get("finish_reason"))
    return ValueError(f"The answer is not of the form of {output_cls.__name__}.{note} {error}")


def _checked_at_the_end(
    responses: ChatResponseGen, tools: Sequence[BaseTool], allow_parallel_tool_calls: bool
) -> ChatResponseGen:
    """The responses of a stream, the last one checked as a whole answer is."""
    with closing(responses):
        for response in responses:
            yield _checked_if_last(response, tools, allow_parallel_tool_calls)


async def _achecked_at_the_end(
    responses: ChatResponseAsyncGen, tools: Sequence[BaseTool], allow_parallel_tool_calls: bool
) -> ChatResponseAsyncGen:
    async with aclosing(responses):
        async for response in responses:
            yield _checked_if_last(response, tools, allow_parallel_tool_calls)


def _checked_if_last(
    response: ChatResponse, tools: Sequence[BaseTool], allow_parallel_tool_calls: bool
) -> ChatResponse:
    if PARTIAL in response.additional_kwargs:
        return response
    return check_tool_calls(response, tools, allow_parallel_tool_calls=allow_parallel_tool_calls)


def _whole_at_the_end(responses: ChatResponseGen, output_cls: type[BaseModel]) -> ChatResponseGen:
    """The responses to a program's tool, and an error if they do not end in a whole object."""
    last = None
    with closing(responses):
        for last in responses:
            yield last
    if last is not None:
        object_of(output_cls, last)


async def _awhole_at_the_end(
    responses: ChatResponseAsyncGen, output_cls: type[BaseModel]
) -> ChatResponseAsyncGen:
    last = None
    async with aclosing(responses):
        async for last in responses:
            yield last
    if last is not None:
        object_of(output_cls, last)


class _PartialObject:
    """An object whose JSON is streaming in, as a tool's arguments or as text.

    It never loses a field, and once it can be made as `output_cls` it stays of that class.
    """

    def __init__(self, output_cls: type[BaseModel], llm: FunctionCallingLLM) -> None:
        self._asked_cls = output_cls
        self._output_cls = wrapped_class(output_cls)
        self._llm = llm
        self._partial: Any = None
        self._last: ChatResponse | None = None

    def feed(self, response: ChatResponse) -> Any:
        self._last = response
        try:
            partial = process_streaming_objects(
                response,
                self._output_cls,
                cur_objects=None if self._partial is None else [self._partial],
                llm=self._llm,
            )
        except Exception:  # a user's validator that does not expect half an object
            return unwrapped(self._partial, self._asked_cls)
        if not isinstance(self._partial, self._output_cls) or isinstance(partial, self._output_cls):
            self._partial = partial
        return unwrapped(self._partial, self._asked_cls)

    def finish(self) -> BaseModel:
        if self._last is None:
            raise ValueError(f"The model sent nothing for {self._output_cls.__name__}.")
        answer: BaseModel = unwrapped(object_of(self._output_cls, self._last), self._asked_cls)
        return answer
