"""The constructor arguments of both adapters that shape the payload, beside the model and the messages."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from texapi_core.adapter_base.accounting_parameters import AccountingParameters
from texapi_core.request.payload import ReplayReasoning, ToolMedia
from texapi_core.settings import CALL_OPTIONS

Stop = Annotated[list[str] | str | None, Field(description="Texts that end the answer.")]


class ChatParameters(AccountingParameters):
    """Parameters of `POST /v1/chat/completions`; one that is `None` is not sent.

    The limits of numbers are those of the chat completions protocol.
    """

    model_config = ConfigDict(allow_inf_nan=False, hide_input_in_errors=True)

    temperature: float | None = Field(default=None, ge=0, le=2, description="Not sent unless set.")
    top_p: float | None = Field(default=None, ge=0, le=1)
    max_tokens: int | None = Field(
        default=None, ge=1, description="Most tokens of an answer, sent as `max_tokens`."
    )
    max_completion_tokens: int | None = Field(
        default=None,
        ge=1,
        description="Most tokens of an answer, reasoning included, sent as `max_completion_tokens`.",
    )
    stop: Stop = Field(default=None)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    logit_bias: dict[str | int, Annotated[float, Field(ge=-100, le=100)]] | None = Field(
        default=None, description="Token id -> -100 to 100."
    )
    logprobs: bool | None = Field(default=None)
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    seed: int | None = Field(default=None)
    reasoning_effort: str | None = Field(
        default=None, description='How much a reasoning model thinks, e.g. "low", "medium", "high".'
    )
    reasoning: dict[str, Any] | None = Field(
        default=None, description="Reasoning settings as an object, for providers that take one."
    )
    verbosity: str | None = Field(default=None, description='How long answers are, e.g. "low".')
    service_tier: str | None = Field(default=None)
    modalities: list[str] | None = Field(default=None)
    user: str | None = Field(default=None, description="Your user's id, for the provider's abuse checks.")
    store: bool | None = Field(default=None, description="Whether the provider may keep the exchange.")
    prompt_cache_key: str | None = Field(
        default=None, description="Calls with the same key share a prompt cache."
    )
    prompt_cache_options: dict[str, Any] | None = Field(
        default=None, description="Prompt cache settings as an object, for providers that take one."
    )
    extra_body: dict[str, Any] | None = Field(
        default=None, description="Members added to the payload as they are; they override all others."
    )

    stream_usage: bool = Field(default=True, description="Whether streams ask for usage.")
    replay_reasoning: ReplayReasoning = Field(
        default="auto",
        description="When reasoning goes back to the model: `auto` with messages that call tools (where "
        "DeepSeek, Claude and Gemini need it), `always`, or `never`.",
    )
    tool_media: ToolMedia = Field(
        default="user_message",
        description="Where images and files of tool results go: into a user message after them, or in place.",
    )

    @property
    def payload_parameters(self) -> dict[str, Any]:
        """The parameters that are set, by their names in the payload."""
        return {name: value for name in _SENT if (value := getattr(self, name)) is not None}


NOT_IN_PAYLOAD = frozenset(
    {*CALL_OPTIONS, "stream", "stream_usage", "extra_body", "replay_reasoning", "tool_media"}
)
"""Arguments of one call that are not members of the payload themselves."""

_SENT = tuple(
    name
    for name in ChatParameters.model_fields
    if name not in NOT_IN_PAYLOAD and name not in AccountingParameters.model_fields
)
SENT = frozenset({"model", *_SENT})
"""Arguments of the constructor that are members of the payload."""
