"""Structured predictions: LlamaIndex's own programs, made to force the tool, and JSON-schema mode.

LlamaIndex's `FunctionCallingProgram` does not force the tool when it streams, and loses `system_prompt`
when it is asynchronous (llama-index-core 0.14.25, `program/function_program.py`). Both are mended where
its tool passes by, in the `chat_with_tools` family, so a program that is used directly is mended too.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Generator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    MessageRole,
)
from llama_index.core.bridge.pydantic import BaseModel, Field, ValidationError
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.program.utils import get_program_for_llm, process_streaming_objects
from llama_index.core.prompts import BasePromptTemplate

from llama_index_texapi._tools import is_program_tool
from texapi_core.json_text import CUT_NOTE, json_objects
from texapi_core.schema_cache import SchemaCache
from texapi_core.wire import excerpt

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool

_Answer = TypeVar("_Answer", bound=BaseModel)
_dispatcher = get_dispatcher(__name__)
_response_schemas = SchemaCache()


class StructuredOutputLLM(FunctionCallingLLM):
    """What `TexAPI` does of its own when it is asked for an object."""

    should_use_structured_outputs: bool = Field(
        default=False,
        description="Whether objects are asked for by the provider's JSON-schema mode instead of a tool.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    # LlamaIndex wraps overrides of these two in a span of their own, so they call no `super()`: one call
    # would be two spans.

    def structured_predict(
        self,
        output_cls: type[_Answer],
        prompt: Any,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> _Answer:
        """An object of `output_cls`, as the model answers the prompt.

        Raises:
            ValueError: the answer is not of the form of `output_cls`; the text says what came.
        """
        _dispatcher.event(
            LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=prompt_args)
        )
        answer: Any
        if self.should_use_structured_outputs:
            messages = self._messages_of(prompt, prompt_args)
            response = self.chat(messages, **self._schema_kwargs(output_cls, llm_kwargs))
            answer = parse_answer(output_cls, response)
        else:
            answer = self._program(output_cls, prompt)(llm_kwargs=dict(llm_kwargs or {}), **prompt_args)
        _dispatcher.event(LLMStructuredPredictEndEvent(output=answer))
        return answer  # type: ignore[no-any-return] # a program's answer is of its `output_cls`

    async def astructured_predict(
        self,
        output_cls: type[_Answer],
        prompt: Any,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> _Answer:
        """Async twin of `structured_predict`."""
        _dispatcher.event(
            LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=prompt_args)
        )
        answer: Any
        if self.should_use_structured_outputs:
            messages = self._messages_of(prompt, prompt_args)
            response = await self.achat(messages, **self._schema_kwargs(output_cls, llm_kwargs))
            answer = parse_answer(output_cls, response)
        else:
            program = self._program(output_cls, prompt)
            answer = await program.acall(llm_kwargs=dict(llm_kwargs or {}), **prompt_args)
        _dispatcher.event(LLMStructuredPredictEndEvent(output=answer))
        return answer  # type: ignore[no-any-return] # as above

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
        """The answer of the model that has these tools; a program's system prompt is put in."""
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
        """The answer of the model that has these tools as it arrives; a program's tool is forced."""
        required = is_program_tool(tools) if tool_required is None else tool_required
        return super().stream_chat_with_tools(
            tools, user_msg, chat_history, verbose, allow_parallel_tool_calls, required, **kwargs
        )

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
        required = is_program_tool(tools) if tool_required is None else tool_required
        return await super().astream_chat_with_tools(
            tools, user_msg, chat_history, verbose, allow_parallel_tool_calls, required, **kwargs
        )

    def _structured_stream_call(
        self,
        output_cls: type[BaseModel],
        prompt: Any,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        if not self.should_use_structured_outputs:
            stream: Generator[Any, None, None] = self._program(output_cls, prompt).stream_call(
                llm_kwargs=dict(llm_kwargs or {}), **prompt_args
            )
            return _whole_at_the_end(stream, output_cls)
        messages = self._messages_of(prompt, prompt_args)
        return self._stream_objects(output_cls, messages, self._schema_kwargs(output_cls, llm_kwargs))

    async def _structured_astream_call(
        self,
        output_cls: type[BaseModel],
        prompt: Any,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        if not self.should_use_structured_outputs:
            stream: AsyncGenerator[Any, None] = await self._program(output_cls, prompt).astream_call(
                llm_kwargs=dict(llm_kwargs or {}), **prompt_args
            )
            return _awhole_at_the_end(stream, output_cls)
        messages = self._messages_of(prompt, prompt_args)
        return self._astream_objects(output_cls, messages, self._schema_kwargs(output_cls, llm_kwargs))

    def _stream_objects(
        self, output_cls: type[BaseModel], messages: list[ChatMessage], kwargs: dict[str, Any]
    ) -> Generator[Any, None, None]:
        growing = _GrowingObject(output_cls)
        for response in self.stream_chat(messages, **kwargs):
            yield growing.feed(response)
        yield growing.finish()

    async def _astream_objects(
        self, output_cls: type[BaseModel], messages: list[ChatMessage], kwargs: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        growing = _GrowingObject(output_cls)
        async for response in await self.astream_chat(messages, **kwargs):
            yield growing.feed(response)
        yield growing.finish()

    def _program(self, output_cls: type[BaseModel], prompt: Any) -> Any:
        return get_program_for_llm(output_cls, prompt, self, pydantic_program_mode=self.pydantic_program_mode)

    def _messages_of(self, prompt: BasePromptTemplate, prompt_args: dict[str, Any]) -> list[ChatMessage]:
        return [*self._system_messages(), *prompt.format_messages(llm=self, **prompt_args)]

    def _system_messages(self) -> list[ChatMessage]:
        return [ChatMessage(self.system_prompt, role=MessageRole.SYSTEM)] if self.system_prompt else []

    @staticmethod
    def _schema_kwargs(output_cls: type[BaseModel], llm_kwargs: dict[str, Any] | None) -> dict[str, Any]:
        name = re.sub(r"[^a-zA-Z0-9_-]", "_", output_cls.__name__)
        json_schema = _response_schemas.get(output_cls, None, output_cls.model_json_schema)
        schema = {"name": name, "schema": json_schema}
        kwargs = {"response_format": {"type": "json_schema", "json_schema": schema}, **(llm_kwargs or {})}
        for of_tools in ("tool_required", "tool_choice", "allow_parallel_tool_calls"):
            kwargs.pop(of_tools, None)
        return kwargs


def parse_answer(output_cls: type[_Answer], response: ChatResponse) -> _Answer:
    """The JSON in an answer's text as an object; fences and prose around it do no harm.

    Raises:
        ValueError: a refusal, an answer cut at its token limit, or text of another form.
    """
    text = (response.message.content or "").strip()
    if refusal := response.message.additional_kwargs.get("refusal"):
        raise ValueError(f"The model refused to answer with {output_cls.__name__}: {refusal}")
    cut = response.additional_kwargs.get("finish_reason") == "length"
    note = CUT_NOTE if cut else ""
    failure: ValidationError | None = None
    for candidate in json_objects(text):
        try:
            return output_cls.model_validate(candidate)
        except ValidationError as error:
            failure = failure or error
    if failure is not None:
        raise ValueError(
            f"The answer is not of the form of {output_cls.__name__}.{note} {failure}"
        ) from failure
    raise ValueError(
        f"The model did not answer with JSON for {output_cls.__name__}: {excerpt(text)!r}.{note}"
    )


def _whole_at_the_end(
    objects: Generator[Any, None, None], output_cls: type[BaseModel]
) -> Generator[Any, None, None]:
    """The objects of a stream, and an error if the last one is not whole."""
    last = None
    for last in objects:
        yield last
    _check_whole(last, output_cls)


async def _awhole_at_the_end(
    objects: AsyncGenerator[Any, None], output_cls: type[BaseModel]
) -> AsyncGenerator[Any, None]:
    last = None
    async for last in objects:
        yield last
    _check_whole(last, output_cls)


def _check_whole(last: Any, output_cls: type[BaseModel]) -> None:
    if not isinstance(last, (output_cls, list)):
        raise ValueError(
            f"The stream ended without a whole {output_cls.__name__}; the last that came was {last!r}. "
            "The model may have answered in prose, refused, or been cut at its token limit."
        )


class _GrowingObject:
    """An object while its JSON streams in; it never loses a field that it had."""

    def __init__(self, output_cls: type[BaseModel]) -> None:
        self._output_cls = output_cls
        self._objects: list[Any] | None = None
        self._last: ChatResponse | None = None

    def feed(self, response: ChatResponse) -> Any:
        self._last = response
        partial = process_streaming_objects(response, self._output_cls, cur_objects=self._objects)
        self._objects = [partial]
        return partial

    def finish(self) -> BaseModel:
        if self._last is None:
            raise ValueError(f"The model sent nothing for {self._output_cls.__name__}.")
        return parse_answer(self._output_cls, self._last)
