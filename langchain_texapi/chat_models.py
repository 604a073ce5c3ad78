"""`ChatTexAPI`: the models behind TexAPI as a LangChain chat model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, BaseRunManager, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams, LanguageModelInput, ModelProfile
from langchain_core.load.serializable import SerializedConstructor, SerializedNotImplemented
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.utils import secret_from_env
from pydantic import ConfigDict, Field

import texapi_core
from langchain_texapi import _deferred
from langchain_texapi._arguments import (
    ALIASES,
    N_AND_STREAM,
    NOT_SENT,
    OF_LANGCHAIN,
    TOOL_PARAMETERS,
    check_model_kwargs,
)
from langchain_texapi._assistant import MODEL_PROVIDER
from langchain_texapi._call_labels import add_version, call_labels, digest
from langchain_texapi._errors import as_model_error
from langchain_texapi._events import EventStreamingChatModel
from langchain_texapi._messages import convert_messages, create_chat_result
from langchain_texapi._model_list import ListingChatModel
from langchain_texapi._profile import TableProfile, model_profile
from langchain_texapi._streaming import create_chunk
from langchain_texapi._tool_calling import ToolCallingChatModel
from texapi_core.adapter_base.accounting_parameters import FROM_ENVIRONMENT
from texapi_core.adapter_base.connection import ApiKey, BaseUrl, ModelName, Timeout, dump_timeout
from texapi_core.adapter_base.parameters import (
    NO_ARGUMENTS,
    ChatParameters,
    Stop,
    argument_names,
    arguments_of_a_call,
    check_aliases,
    check_parameters,
    field_aliases,
    merge_parameters,
)
from texapi_core.adapter_base.schema_cache import with_signature
from texapi_core.adapter_base.signature import describe_constructor
from texapi_core.catalog import capabilities
from texapi_core.request.payload import build_payload
from texapi_core.request.token_counts import count_text
from texapi_core.settings import (
    CallOptions,
    call_options,
    env_base_url,
    refuse_unknown_arguments,
)
from texapi_core.settings_checks import API_KEY_ENV

if TYPE_CHECKING:
    from typing import Unpack

    from langchain_texapi._constructor_types import ChatTexAPIArguments

_env_api_key = secret_from_env(API_KEY_ENV, default=None)


class ChatTexAPI(ChatParameters, ToolCallingChatModel, EventStreamingChatModel, ListingChatModel):
    """Chat models behind the TexAPI gateway.

    Example:
        ```python
        from langchain_texapi import ChatTexAPI

        model = ChatTexAPI(model="claude-sonnet-4-6")
        print(model.invoke("Xin chào!").text)
        ```

    The key comes from `TEXAPI_API_KEY`, or `api_key=...`. Parameters that are `None` are not sent.

    Raises:
        texapi_core.TexAPISettingsError: a setting is missing or unusable, or an argument is unknown.
        texapi_core.TexAPIError: see `texapi_core.errors`; every error is LangChain's `ModelError` too.
    """

    model_config = ConfigDict(populate_by_name=True, hide_input_in_errors=True, defer_build=False)

    _endpoint: ClassVar = attrgetter("texapi_api_key", "texapi_api_base", "request_timeout")

    model_name: ModelName = Field(alias="model")
    texapi_api_key: ApiKey = Field(alias="api_key", default_factory=_env_api_key)
    texapi_api_base: BaseUrl = Field(alias="base_url", default_factory=env_base_url)
    request_timeout: Timeout = Field(alias="timeout", default=None)

    stop: Stop = Field(alias="stop_sequences", default=None)
    n: int | None = Field(default=None, ge=1, description="Answers per call; more than 1 cannot be streamed.")
    model_kwargs: dict[str, Any] = Field(default_factory=dict, description="Further members of the payload.")
    streaming: bool = Field(
        default=False, description="Whether `invoke` streams internally, for callbacks that want tokens."
    )
    include_response_headers: bool = Field(
        default=False, description='Whether `response_metadata["headers"]` holds the headers of the response.'
    )

    if TYPE_CHECKING:

        def __init__(self, *, model: str, **kwargs: Unpack[ChatTexAPIArguments]) -> None: ...
    else:

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            refuse_unknown_arguments(type(self).__name__, kwargs, argument_names(type(self)))
            check_aliases(kwargs, field_aliases(type(self)))
            if kwargs.get("base_url", "") is None:
                del kwargs["base_url"]
            if isinstance(kwargs.get("profile"), TableProfile):
                del kwargs["profile"]  # from the model that this one is made from, e.g. by `configurable`
            super().__init__(*args, **kwargs)
            self._check_settings()
            check_model_kwargs(self.model_kwargs, kwargs, argument_names(type(self)))
            if self.streaming and (self.n or 1) > 1:
                raise ValueError(N_AND_STREAM)
            self.metadata = add_version(self.metadata)

    # Serializable class method overrides

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Whether `langchain_core.load` can save it."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Where LangChain's loader finds the key."""
        return {"texapi_api_key": API_KEY_ENV}

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """What is saved in another form than that of the attribute."""
        timeout = dump_timeout(self.request_timeout)
        return {} if timeout is None else {"request_timeout": timeout}

    def to_json(self) -> SerializedConstructor | SerializedNotImplemented:
        """What `dumpd` saves: no key, headers, HTTP client, or budget of the environment."""
        saved = super().to_json()
        if saved["type"] != "constructor":
            return saved
        local = FROM_ENVIRONMENT.keys() - self.model_fields_set
        return {**saved, "kwargs": {k: v for k, v in saved["kwargs"].items() if k not in local}}

    def __getstate__(self) -> dict[Any, Any]:
        """The state to pickle. A key from the environment is left out: the worker reads its own."""
        state = super().__getstate__()
        # LangChain's configurable models pass the environment's key on as an argument.
        if "texapi_api_key" not in self.model_fields_set or self.texapi_api_key == _env_api_key():
            state = {**state, "__dict__": {**state["__dict__"], "texapi_api_key": None}}
        return state

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        if self.texapi_api_key is None:
            self.__dict__["texapi_api_key"] = _env_api_key()

    # BaseChatModel method overrides

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.model_name

    @property
    def _llm_type(self) -> str:
        return "texapi-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        """Everything that changes an answer, without secrets: the key of LangChain's caches."""
        identifying = {
            "model_name": self.model_name,
            "base_url": self.texapi_api_base.rstrip("/"),
            **self._default_params,
            "replay_reasoning": self.replay_reasoning,
            "tool_media": self.tool_media,
            "history": self.history,
            "extra_body": self.extra_body,
            "think_tags": self.think_tags,
        }
        for name in ("default_headers", "default_query"):
            if mapping := getattr(self, name):
                identifying[name] = digest(mapping)
        return identifying

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        arguments = {
            "model": self.model_name,
            "stop": self.stop,
            "max_tokens": self.max_tokens,
            "max_completion_tokens": self.max_completion_tokens,
            **self.model_kwargs,
        }
        if kwargs:
            arguments = merge_parameters(arguments, arguments_of_a_call(kwargs, (), aliases=ALIASES))
        params["ls_provider"] = MODEL_PROVIDER
        params["ls_model_name"] = arguments["model"]
        if ls_stop := stop or arguments.get("stop"):
            params["ls_stop"] = [ls_stop] if isinstance(ls_stop, str) else ls_stop
        if max_tokens := arguments.get("max_completion_tokens") or arguments.get("max_tokens"):
            params["ls_max_tokens"] = max_tokens
        return params

    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None]) -> dict[str, Any]:
        """The `llm_output` of `generate`; answers that were streamed have none."""
        named = [output["model_name"] for output in llm_outputs if output]
        return {"model_name": named[0] if named else self.model_name}

    @with_signature
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        payload, options = self._request(messages, stop, kwargs, run_manager)
        try:
            reply = texapi_core.complete(self._settings(), payload, options)
        except texapi_core.TexAPIError as error:
            raise as_model_error(error) from error.__cause__
        return create_chat_result(reply, payload["model"], with_headers=self.include_response_headers)

    @with_signature
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        payload, options = self._request(messages, stop, kwargs, run_manager)
        try:
            reply = await texapi_core.acomplete(self._settings(), payload, options)
        except texapi_core.TexAPIError as error:
            raise as_model_error(error) from error.__cause__
        return create_chat_result(reply, payload["model"], with_headers=self.include_response_headers)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        payload, options = self._request(messages, stop, kwargs, run_manager, stream=True)
        try:
            for item in texapi_core.stream(self._settings(), payload, options):
                chunk = create_chunk(item, payload["model"], with_headers=self.include_response_headers)
                if run_manager:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk
        except texapi_core.TexAPIError as error:
            raise as_model_error(error) from error.__cause__

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        payload, options = self._request(messages, stop, kwargs, run_manager, stream=True)
        try:
            async for item in texapi_core.astream(self._settings(), payload, options):
                chunk = create_chunk(item, payload["model"], with_headers=self.include_response_headers)
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk
        except texapi_core.TexAPIError as error:
            raise as_model_error(error) from error.__cause__

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """About how many tokens the messages and tools take: counted offline, for any model.

        An approximation, good for trimming a history: text within 15 % of OpenAI's o200k_base, an image
        by its size as the model's maker counts, any other file, sound or video 1,000, however long. The
        tokens that a call used are in `usage_metadata`. A tokenizer passed as `custom_get_token_ids` is
        used instead.
        """
        if self.custom_get_token_ids is not None:
            return super().get_num_tokens_from_messages(messages, tools)
        known = capabilities(self.model_name, self.texapi_api_base)
        return _deferred.count_tokens(messages, tools, known.image_tokens)

    def get_num_tokens(self, text: str) -> int:
        """About how many tokens the text takes. See `get_num_tokens_from_messages`."""
        if self.custom_get_token_ids is not None:
            return super().get_num_tokens(text)
        return count_text(text)

    def _resolve_model_profile(self) -> ModelProfile | None:
        return model_profile(self.model_name, self.texapi_api_base)

    # Internal methods

    @property
    def _default_params(self) -> dict[str, Any]:
        """The constructor's parameters of the payload that are set."""
        n = {} if self.n is None else {"n": self.n}
        return {**self.payload_parameters, **n, **self.model_kwargs}

    def _get_request_payload(
        self, input_: LanguageModelInput, *, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """The JSON of one request, without what streaming adds."""
        return self._request(self._convert_input(input_).to_messages(), stop, kwargs)[0]

    def _request(
        self,
        messages: Sequence[BaseMessage],
        stop: list[str] | None,
        kwargs: Mapping[str, Any],
        run_manager: BaseRunManager | None = None,
        *,
        stream: bool = False,
    ) -> tuple[dict[str, Any], CallOptions]:
        parameters = {"model": self.model_name, **self._default_params}
        arguments: Mapping[str, Any] = NO_ARGUMENTS
        if kwargs or stop:
            arguments = arguments_of_a_call(kwargs, argument_names(type(self)), aliases=ALIASES)
            parameters = merge_parameters(parameters, self._parameters_of_a_call(arguments, stop))
        if not stream:
            parameters.pop("stream_options", None)
        payload, own_names = build_payload(
            parameters,
            convert_messages(
                messages,
                replay_reasoning=arguments.get("replay_reasoning", self.replay_reasoning),
                tool_media=arguments.get("tool_media", self.tool_media),
            ),
            self.extra_body,
            arguments.get("extra_body"),
            stream_usage=stream and arguments.get("stream_usage", self.stream_usage),
            history=arguments.get("history", self.history),
            cache_prompts=arguments.get("cache_prompts", self.cache_prompts),
        )
        if stream and (payload.get("n") or 1) > 1:
            raise ValueError(N_AND_STREAM)
        labels = partial(call_labels, run_manager)
        # LangGraph's checkpoints refuse larger integers after the answer was paid.
        return payload, call_options(arguments, labels, own_names, storable_arguments=True)

    def _parameters_of_a_call(self, arguments: Mapping[str, Any], stop: list[str] | None) -> dict[str, Any]:
        """The members of the payload among the arguments of one call, checked, its tools as JSON."""
        per_call = {name: value for name, value in arguments.items() if name not in NOT_SENT}
        if stop:
            per_call["stop"] = stop
        checked = {**arguments, **per_call}
        if isinstance(per_call.get("tool_choice"), bool):
            del checked["tool_choice"]  # LangChain's form
        check_parameters(checked)
        if TOOL_PARAMETERS.isdisjoint(per_call):
            return per_call
        return _deferred.format_call(per_call, self.model_kwargs.get("tools") or ())


describe_constructor(ChatTexAPI, BaseChatModel, OF_LANGCHAIN)
