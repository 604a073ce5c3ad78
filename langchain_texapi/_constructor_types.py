"""What type checkers see of the arguments of `ChatTexAPI(...)`. Nothing imports this at runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from langchain_core.caches import BaseCache
from langchain_core.callbacks import Callbacks
from langchain_core.language_models import ModelProfile
from langchain_core.rate_limiters import BaseRateLimiter

from texapi_core.adapter_base.constructor_types import SharedArguments


class ChatTexAPIArguments(SharedArguments, total=False):
    """All arguments but `model`. Those of `populate_by_name` are left out: they are second names."""

    stop_sequences: list[str] | str | None
    n: int | None
    model_kwargs: dict[str, Any]
    streaming: bool
    include_response_headers: bool

    # LangChain's
    name: str | None
    cache: BaseCache | bool | None
    verbose: bool
    callbacks: Callbacks
    tags: list[str] | None
    metadata: dict[str, Any] | None
    custom_get_token_ids: Callable[[str], list[int]] | None
    rate_limiter: BaseRateLimiter | None
    disable_streaming: bool | Literal["tool_calling"]
    output_version: str | None
    profile: ModelProfile | None
