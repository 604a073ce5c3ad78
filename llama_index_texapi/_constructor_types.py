"""What type checkers see of the arguments of `TexAPI(...)`. Nothing imports this at runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.types import BaseOutputParser, PydanticProgramMode

from texapi_core.adapter_base.constructor_types import SharedArguments


class TexAPIArguments(SharedArguments, total=False):
    """All arguments but `model`."""

    api_base: str | None
    async_http_client: Any
    additional_kwargs: dict[str, Any]
    context_window: int | None
    fallback_models: list[str]
    is_function_calling_model: bool
    should_use_structured_outputs: bool

    # LlamaIndex's
    callback_manager: CallbackManager
    rate_limiter: Any
    system_prompt: str | None
    messages_to_prompt: Callable[[Sequence[ChatMessage]], str] | None
    completion_to_prompt: Callable[[str], str] | None
    output_parser: BaseOutputParser | None
    pydantic_program_mode: PydanticProgramMode
    query_wrapper_prompt: BasePromptTemplate | None
