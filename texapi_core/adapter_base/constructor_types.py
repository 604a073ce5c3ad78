"""What type checkers see of the arguments that both constructors take.

Nothing imports this at runtime; a test compares it with the fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

import openai
from pydantic import SecretStr

from texapi_core.request.history import History
from texapi_core.request.payload import ReplayReasoning, ToolMedia
from texapi_core.request.prompt_cache import CachePrompts
from texapi_core.settings_checks import AsyncTransport


class SharedArguments(TypedDict, total=False):
    """Arguments of `ChatTexAPI` and `TexAPI`; their meanings are the fields' descriptions."""

    api_key: str | SecretStr | None
    base_url: str | None
    timeout: float | openai.Timeout | None

    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    max_completion_tokens: int | None
    stop: list[str] | str | None
    presence_penalty: float | None
    frequency_penalty: float | None
    logit_bias: Mapping[str, float] | Mapping[int, float] | None
    logprobs: bool | None
    top_logprobs: int | None
    seed: int | None
    reasoning_effort: str | None
    reasoning: dict[str, Any] | None
    verbosity: str | None
    service_tier: str | None
    modalities: list[str] | None
    user: str | None
    store: bool | None
    prompt_cache_key: str | None
    prompt_cache_options: dict[str, Any] | None
    extra_body: dict[str, Any] | None

    stream_usage: bool
    replay_reasoning: ReplayReasoning
    tool_media: ToolMedia
    history: History
    cache_prompts: CachePrompts

    stream_idle_timeout: float | None
    keepalive: float
    max_retries: int
    retry_timeouts: bool | None
    max_response_bytes: int
    think_tags: bool
    default_headers: Mapping[str, str] | Mapping[str, SecretStr] | Mapping[str, str | SecretStr] | None
    default_query: Mapping[str, Any] | None
    http_client: Any
    http_async_client: Any
    async_transport: AsyncTransport
    limits: str | Mapping[str, Any] | None

    usage_ledger: str | None
    prices: Any
    otel: bool
    max_cost: float | None
    max_tokens_total: int | None
    budget_window: str
    budget_scope: str
    budget_timezone: str
    budget_warnings: Sequence[float]
    budgets: Sequence[Mapping[str, Any]] | str | None
    unpriced: Literal["refuse", "count_tokens"]
    on_ledger_error: Literal["closed", "open"]
