"""`TexAPI`: the models behind TexAPI as a LlamaIndex LLM."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.bridge.pydantic import ConfigDict, Field
from llama_index.core.instrumentation.dispatcher import active_instrument_tags
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection

import texapi_core
from llama_index_texapi._arguments import (
    OF_LLAMA_INDEX,
    OTHER_NAMES,
    check_additional_kwargs,
    check_number_of_answers,
)
from llama_index_texapi._callbacks import chat_callback, completion_callback, streaming
from llama_index_texapi._messages import to_openai_message_dicts
from llama_index_texapi._responses import create_chat_response, create_completion_response
from llama_index_texapi._streaming import ResponseStream
from llama_index_texapi._structured_output import StructuredOutputLLM
from llama_index_texapi._tools import check_tool_calls, prepare_tools, select_tools
from texapi_core.accounting.record import CallLabels, labels_of
from texapi_core.adapter_base.connection import ApiKey, BaseUrl, ConnectionParameters, ModelName, Timeout
from texapi_core.adapter_base.parameters import (
    NO_ARGUMENTS,
    NOT_IN_PAYLOAD,
    ChatParameters,
    argument_names,
    arguments_of_a_call,
    check_parameters,
    merge_parameters,
)
from texapi_core.adapter_base.signature import describe_constructor
from texapi_core.catalog import DEFAULT_CONTEXT_WINDOW, MAX_AGE, ModelInfo, capabilities
from texapi_core.request.payload import build_payload
from texapi_core.settings import (
    CallOptions,
    call_options,
    env_base_url,
    refuse_unknown_arguments,
    resolve_alias,
)
from texapi_core.settings_checks import check_fallback_models

if TYPE_CHECKING:
    from typing import Unpack

    from llama_index.core.tools.types import BaseTool

    from llama_index_texapi._constructor_types import TexAPIArguments

_MIN_PROMPT = 4096
"""Tokens that an answer must leave for the prompt, or a quarter of a smaller window."""


class TexAPI(StructuredOutputLLM, ChatParameters, ConnectionParameters):
    """Models behind the TexAPI gateway.

    Examples:
        ```python
        from llama_index_texapi import TexAPI

        llm = TexAPI(model="claude-sonnet-4-6")
        print(llm.complete("Xin chào!"))
        ```

    The key comes from `TEXAPI_API_KEY`, or `api_key=...`. Parameters that are `None` are not sent.

    Raises:
        texapi_core.TexAPISettingsError: a setting is missing or unusable, or an argument is unknown.
        texapi_core.TexAPIError: see `texapi_core.errors`; each is an error of the openai SDK too.
    """

    model_config = ConfigDict(hide_input_in_errors=True, defer_build=False)

    _endpoint: ClassVar = attrgetter("api_key", "api_base", "timeout")

    model: ModelName
    api_key: ApiKey = Field(default=None, exclude=True)
    api_base: BaseUrl
    timeout: Timeout = Field(default=None)
    additional_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="Further parameters of the payload."
    )
    context_window: int | None = Field(
        default=None, ge=1, description="Tokens of context; default by the model table, else 128,000."
    )
    fallback_models: list[str] = Field(
        default_factory=list,
        description="Models to ask instead, in this order, after one of `FALLBACK_ERRORS`; in a stream only "
        "before its first content.",
    )
    is_function_calling_model: bool = Field(
        default=True, description="Whether agents and programs may give the model tools."
    )

    if TYPE_CHECKING:

        def __init__(self, model: str, **kwargs: Unpack[TexAPIArguments]) -> None: ...
    else:

        def __init__(self, model: str | None = None, **kwargs: Any) -> None:
            if kwargs.get("class_name") == type(self).class_name():
                del kwargs["class_name"]  # from `model_dump`
            api_base, base_url = kwargs.pop("api_base", None), kwargs.pop("base_url", None)
            async_http_client = kwargs.pop("async_http_client", None)
            refuse_unknown_arguments(type(self).__name__, kwargs, type(self).model_fields)
            kwargs["http_async_client"] = resolve_alias(
                http_async_client=kwargs.get("http_async_client"), async_http_client=async_http_client
            )
            kwargs = {k: v for k, v in kwargs.items() if v is not None or k == "stream_idle_timeout"}
            if model is not None:
                kwargs["model"] = model
            super().__init__(
                api_base=resolve_alias(api_base=api_base, base_url=base_url) or env_base_url(),
                **kwargs,
            )
            check_additional_kwargs(self.additional_kwargs, argument_names(type(self), *OTHER_NAMES))
            check_parameters(self.additional_kwargs)
            check_number_of_answers(self.additional_kwargs)
            check_fallback_models(self.fallback_models)
            self._check_settings()

    # The LLM contract

    @classmethod
    def class_name(cls) -> str:
        """The name in events and in serialized components."""
        return "TexAPI"

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex needs to know to size prompts and run agents. No network."""
        num_output = self._token_limit()
        window = self.context_window or self._known_window(max(num_output, 0))
        if window - num_output < min(window // 4, _MIN_PROMPT):
            num_output = window - window // 4  # LlamaIndex plans prompts with this: else there is no room
        return LLMMetadata(
            context_window=window,
            num_output=num_output,
            is_chat_model=True,
            is_function_calling_model=self.is_function_calling_model,
            model_name=self.model,
            system_role=MessageRole.SYSTEM,
        )

    def _token_limit(self) -> int:
        """The most tokens of an answer, as the payload will have it; -1 if it is not set."""
        given = self.additional_kwargs
        bodies = (given.get("extra_body"), self.extra_body, given, vars(self))
        limits = (
            body.get(name) for body in bodies if body for name in ("max_tokens", "max_completion_tokens")
        )
        return next((limit for limit in limits if type(limit) is int and limit > 0), -1)

    def _known_window(self, num_output: int) -> int:
        """Tokens of prompt and answer. LlamaIndex takes the answer's off; what is left is a prompt's."""
        known = capabilities(self.model, self.api_base)
        window = known.context_window or DEFAULT_CONTEXT_WINDOW
        return min(window, (known.max_input_tokens or window) + num_output)

    def to_payload(self) -> dict[str, Any]:
        """What observability events show of this LLM: no key, no header."""
        return {
            "class_name": self.class_name(),
            **self.metadata.model_dump(),
            "model": self.model,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }

    @chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """The whole answer to a conversation."""
        return self._chat(messages, **kwargs)

    @streaming(chat_callback)
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """The answer as it arrives; the last response holds usage and the whole."""
        return self._stream_chat(messages, **kwargs)

    @completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """The whole answer to a prompt."""
        return create_completion_response(self._chat(self._prompt(prompt, formatted), **kwargs))

    @streaming(completion_callback)
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """The answer to a prompt as it arrives."""
        responses = self._stream_chat(self._prompt(prompt, formatted), **kwargs)
        return (create_completion_response(response) for response in responses)

    @chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Async twin of `chat`."""
        return await self._achat(messages, **kwargs)

    @streaming(chat_callback)
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Async twin of `stream_chat`."""
        return await self._astream_chat(messages, **kwargs)

    @completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Async twin of `complete`."""
        return create_completion_response(await self._achat(self._prompt(prompt, formatted), **kwargs))

    @streaming(completion_callback)
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        """Async twin of `stream_complete`."""
        responses = await self._astream_chat(self._prompt(prompt, formatted), **kwargs)
        return (create_completion_response(response) async for response in responses)

    # Tools

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: str | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        if isinstance(user_msg, str):
            user_msg = ChatMessage(role=MessageRole.USER, content=user_msg)
        messages = [*(chat_history or []), *([user_msg] if user_msg else [])]
        prepared = prepare_tools(
            tools,
            tool_choice=tool_choice,
            tool_required=tool_required,
            allow_parallel_tool_calls=allow_parallel_tool_calls,
        )
        return {"messages": messages, **prepared, **kwargs}

    def _validate_chat_with_tools_response(
        self,
        response: ChatResponse,
        tools: Sequence[BaseTool],
        allow_parallel_tool_calls: bool = False,
        **kwargs: Any,
    ) -> ChatResponse:
        """Cut an answer to its first tool call where only one is allowed; record calls of unknown tools."""
        return check_tool_calls(response, tools, allow_parallel_tool_calls=allow_parallel_tool_calls)

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """The tool calls of an answer, or of as much of it as has streamed.

        Arguments that are not a JSON object in a whole answer are kept as `invalid_arguments`, beside a
        `self` that no tool takes: an agent reports an error to the model, and the tool does not run.

        Raises:
            ValueError: no call, one of a tool that was not given, or one whose arguments cannot be read,
                and `error_on_no_tool_call`.
        """
        return select_tools(response, strict=error_on_no_tool_call)

    # Public methods beyond LlamaIndex's

    def list_models(self) -> list[ModelInfo]:
        """The models that the key can use."""
        return texapi_core.list_models(self._settings())

    async def alist_models(self) -> list[ModelInfo]:
        """The models that the key can use. Async twin of `list_models`."""
        return await texapi_core.alist_models(self._settings())

    def refresh_models(self, *, max_age: float = MAX_AGE) -> None:
        """Use the limits, capabilities and prices in the gateway's list instead of the bundled tables.

        This holds for `metadata` of every LLM of this process with the same address. The list is read
        again after `max_age` seconds.

        Raises:
            texapi_core.TexAPIError: see `texapi_core.errors`.
        """
        texapi_core.refresh_models(self._settings(), max_age=max_age)

    async def arefresh_models(self, *, max_age: float = MAX_AGE) -> None:
        """Async twin of `refresh_models`."""
        await texapi_core.arefresh_models(self._settings(), max_age=max_age)

    # Internal methods: not decorated, so that one call of the user makes one event and one span

    def _chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        payload, options = self._request(messages, kwargs)
        reply = texapi_core.complete(self._settings(), payload, options)
        return create_chat_response(reply, requested_model=payload["model"])

    async def _achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        payload, options = self._request(messages, kwargs)
        reply = await texapi_core.acomplete(self._settings(), payload, options)
        return create_chat_response(reply, requested_model=payload["model"])

    def _stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        payload, options = self._request(messages, kwargs, stream=True)
        return self._responses(payload, options)

    async def _astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        payload, options = self._request(messages, kwargs, stream=True)
        return self._aresponses(payload, options)

    def _responses(self, payload: dict[str, Any], options: CallOptions) -> Generator[ChatResponse]:
        responses = ResponseStream(requested_model=payload["model"])
        for item in texapi_core.stream(self._settings(), payload, options):
            yield responses.feed(item)

    async def _aresponses(
        self, payload: dict[str, Any], options: CallOptions
    ) -> AsyncGenerator[ChatResponse]:
        responses = ResponseStream(requested_model=payload["model"])
        async for item in texapi_core.astream(self._settings(), payload, options):
            yield responses.feed(item)

    def _prompt(self, prompt: str, formatted: bool) -> list[ChatMessage]:
        if not isinstance(prompt, str):
            raise ValueError(
                f"`prompt` must be a string, not {type(prompt).__name__}. Pass messages to `chat`."
            )
        if not formatted and self.completion_to_prompt is not None:
            prompt = self.completion_to_prompt(prompt)
        return [ChatMessage(prompt, role=MessageRole.USER)]

    def _request(
        self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any], *, stream: bool = False
    ) -> tuple[dict[str, Any], CallOptions]:
        arguments = per_call = NO_ARGUMENTS
        if kwargs or self.additional_kwargs:
            constructor_names = argument_names(type(self), *OTHER_NAMES)
            per_call = arguments_of_a_call(kwargs, constructor_names)
            arguments = {**arguments_of_a_call(self.additional_kwargs, constructor_names), **per_call}
            check_parameters(arguments)
        parameters = self._parameters(per_call)
        if not stream:
            parameters.pop("stream_options", None)
        payload, own_names = build_payload(
            parameters,
            to_openai_message_dicts(
                messages,
                replay_reasoning=arguments.get("replay_reasoning", self.replay_reasoning),
                tool_media=arguments.get("tool_media", self.tool_media),
            ),
            self.extra_body,
            self.additional_kwargs.get("extra_body"),
            kwargs.get("extra_body"),
            stream_usage=stream and arguments.get("stream_usage", self.stream_usage),
            history=arguments.get("history", self.history),
            cache_prompts=arguments.get("cache_prompts", self.cache_prompts),
        )
        check_number_of_answers(payload)
        # Tags are read now: a stream may be consumed after the block that sets them has ended.
        return payload, call_options(
            arguments,
            partial(_call_labels, active_instrument_tags.get()),
            own_names,
            self.fallback_models,
        )

    def _parameters(self, per_call: Mapping[str, Any]) -> dict[str, Any]:
        """The members of the payload: the constructor's, `additional_kwargs`, the call's; the last wins."""
        parameters = {"model": self.model, **self.payload_parameters}
        for over in (self.additional_kwargs, per_call):
            if over:
                parameters = merge_parameters(parameters, over, NOT_IN_PAYLOAD)
        return parameters


def _call_labels(tags: Mapping[str, Any]) -> CallLabels:
    """The user's tags, set by `with instrument_tags({...})`: as metadata, and as tags `name=value`."""
    return labels_of([f"{name}={value}" for name, value in tags.items()], tags)


describe_constructor(TexAPI, FunctionCallingLLM, OF_LLAMA_INDEX, positional=True)
