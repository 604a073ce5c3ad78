"""What shapes a payload beside its messages: arguments of the constructors, and what a call may change."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from texapi_core.adapter_base.accounting_parameters import AccountingParameters
from texapi_core.request.history import History
from texapi_core.request.payload import ReplayReasoning, ToolMedia
from texapi_core.request.prompt_cache import CachePrompts, check_cache_prompts
from texapi_core.settings import CALL_ONLY, CALL_OPTIONS, refuse_other_names, resolve_alias
from texapi_core.settings_checks import settings_error


def _with_text_keys(biases: dict[str | int, float] | None) -> dict[str | int, float] | None:
    """Token ids as JSON has them, so that a dump gives the same settings back."""
    return None if biases is None else {str(token): bias for token, bias in biases.items()}


Stop = Annotated[list[str] | str | None, Field(description="Texts that end the answer.")]


class ChatParameters(AccountingParameters):
    """Parameters of `POST /v1/chat/completions`; one that is `None` is not sent.

    The limits of numbers are those of the chat completions protocol.
    """

    model_config = ConfigDict(allow_inf_nan=False, hide_input_in_errors=True)

    temperature: float | None = Field(
        default=None,
        ge=0,
        le=2,
        description="0 to 2: how random the answer is. Not sent unless set, like all of the payload.",
    )
    top_p: float | None = Field(
        default=None, ge=0, le=1, description="0 to 1: the share of likely tokens to choose from."
    )
    max_tokens: int | None = Field(
        default=None, ge=1, description="Most tokens of an answer, sent as `max_tokens`."
    )
    max_completion_tokens: int | None = Field(
        default=None,
        ge=1,
        description="Most tokens of an answer, reasoning included, sent as `max_completion_tokens`.",
    )
    stop: Stop = Field(default=None)
    presence_penalty: float | None = Field(
        default=None, ge=-2, le=2, description="-2 to 2: how much tokens that have occurred are avoided."
    )
    frequency_penalty: float | None = Field(
        default=None, ge=-2, le=2, description="-2 to 2: the same, by how often they have occurred."
    )
    logit_bias: Annotated[
        dict[str | int, Annotated[float, Field(ge=-100, le=100)]] | None, AfterValidator(_with_text_keys)
    ] = Field(default=None, description="Token id -> -100 (never) to 100 (always).")
    logprobs: bool | None = Field(
        default=None, description="Whether each token comes with its log probability."
    )
    top_logprobs: int | None = Field(
        default=None,
        ge=0,
        le=20,
        description="How many likely tokens to list for each place, 0 to 20; needs `logprobs`.",
    )
    seed: int | None = Field(
        default=None,
        description="Asks for the same answer to the same request; a best effort of the provider.",
    )
    reasoning_effort: str | None = Field(
        default=None, description='How much a reasoning model thinks, e.g. "low", "medium", "high".'
    )
    reasoning: dict[str, Any] | None = Field(
        default=None, description="Reasoning settings as an object, for providers that take one."
    )
    verbosity: str | None = Field(default=None, description='How long answers are, e.g. "low".')
    service_tier: str | None = Field(
        default=None, description='The provider\'s class of service, e.g. "flex" or "priority".'
    )
    modalities: list[str] | None = Field(default=None, description='Kinds of output, e.g. ["text", "audio"].')
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
    history: History = Field(
        default="mend",
        description="What is done about a history that providers refuse, e.g. with a call without a result: "
        "`mend` makes it legal, `as_is` sends it unchanged.",
    )
    cache_prompts: Annotated[CachePrompts, BeforeValidator(check_cache_prompts)] = Field(
        default=False,
        description="What is done for prompt caches: `True` marks tools, system message and the end of the "
        'conversation, as Claude needs it; "5m" or "1h" is how long the marked prompt is kept; "key" sends a '
        "`prompt_cache_key` instead, for OpenAI's models.",
    )

    @property
    def payload_parameters(self) -> dict[str, Any]:
        """The parameters that are set, by their names in the payload."""
        fields = vars(self)  # `getattr` would cost a function call for each name, several times per call
        return {name: value for name in _SENT if (value := fields[name]) is not None}


NOT_IN_PAYLOAD = frozenset(
    {
        *CALL_OPTIONS,
        "stream",
        "stream_usage",
        "extra_body",
        "replay_reasoning",
        "tool_media",
        "history",
        "cache_prompts",
    }
)
"""Arguments of one call that are not members of the payload themselves."""

_SENT = tuple(
    name
    for name in ChatParameters.model_fields
    if name not in NOT_IN_PAYLOAD and name not in AccountingParameters.model_fields
)
SENT = frozenset({"model", "n", "metadata", *_SENT})
"""Arguments that are members of the payload; `metadata` is one of a call only, since LangChain's constructor
has another."""

SECRET_OPTIONS = {"extra_headers": "default_headers", "extra_query": "default_query"}
"""Options of one call that may hold secrets -> the constructor argument, which no repr or dump shows."""

TOKEN_LIMITS = frozenset({"max_tokens", "max_completion_tokens"})
"""Two names of one limit: providers refuse both at once."""

NO_ARGUMENTS: Mapping[str, Any] = {}
"""Most calls have no arguments of their own."""


@cache
def argument_names(model_class: type[BaseModel], *other_names: str) -> frozenset[str]:
    """The names that a constructor takes: its fields, their aliases, and arguments that are not fields."""
    fields = model_class.model_fields
    return frozenset({*fields, *(field.alias for field in fields.values() if field.alias), *other_names})


@cache
def field_aliases(model_class: type[BaseModel]) -> Mapping[str, str]:
    """The fields of a constructor that have an alias -> that alias."""
    return {name: field.alias for name, field in model_class.model_fields.items() if field.alias}


def check_aliases(arguments: Mapping[str, Any], aliases: Mapping[str, str]) -> None:
    """Refuse two different values for one setting, given under both of its names.

    Raises:
        TexAPISettingsError: the text has both names, never a value.
    """
    for name, other in aliases.items():
        if name in arguments and other in arguments:
            resolve_alias(**{other: arguments[other], name: arguments[name]})


def arguments_of_a_call(
    arguments: Mapping[str, Any],
    constructor_names: Collection[str],
    *,
    aliases: Mapping[str, str] = NO_ARGUMENTS,
) -> dict[str, Any]:
    """The arguments of one call that are given, by their names in the payload; `None` means "not given".

    An argument that only the constructor takes is refused: as a member of the payload it would have no
    effect, or send a secret.

    `aliases` are the constructor's other names for what one call may change.

    Raises:
        TexAPISettingsError: the text names the argument, never its value.
    """
    check_aliases(arguments, aliases)
    given = {aliases.get(name, name): value for name, value in arguments.items() if value is not None}
    for name in given:
        if name in constructor_names and name not in SENT and name not in NOT_IN_PAYLOAD:
            raise settings_error(
                f"`{name}` cannot be changed for one call. Pass it to the constructor. Nothing was sent."
            )
    return given


@cache
def _call_parameters() -> type[BaseModel]:
    """Made on first use, so that an import does not wait for it."""

    class CallParameters(ChatParameters):
        """What one call may set beside the constructor's parameters."""

        model_config = ConfigDict(defer_build=False)

        model: str | None = Field(default=None, min_length=1)
        n: int | None = Field(default=None, ge=1)
        tools: list[Any] | None = None
        tool_choice: str | dict[str, Any] | None = None
        parallel_tool_calls: bool | None = None
        stream_options: dict[str, Any] | None = None
        metadata: dict[str, Any] | None = None

    return CallParameters


def check_parameters(arguments: Mapping[str, Any]) -> None:
    """Refuse parameters of one call that are out of range or of a wrong type.

    Unknown parameters pass, since the gateway may know them, unless they are another class's or a typo.

    Raises:
        TexAPISettingsError: the text names the parameter and what it may be.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    if not given:
        return
    parameters = _call_parameters()
    taken = {*SENT, *NOT_IN_PAYLOAD, *CALL_ONLY, *parameters.model_fields}
    if unknown := given.keys() - taken:
        refuse_other_names(unknown, taken)
    known = {name: value for name, value in given.items() if name in parameters.model_fields}
    try:
        parameters.model_validate(known)
    except ValidationError as error:
        reasons = [f"`{'.'.join(map(str, each['loc']))}`: {each['msg']}" for each in error.errors()]
        raise settings_error(f"{'; '.join(reasons)}. Nothing was sent.") from None


def merge_parameters(
    defaults: Mapping[str, Any], per_call: Mapping[str, Any], not_sent: Collection[str] = NOT_IN_PAYLOAD
) -> dict[str, Any]:
    """The constructor's parameters, overridden by those of one call, a token limit under either name."""
    members = {name: value for name, value in per_call.items() if value is not None and name not in not_sent}
    if not TOKEN_LIMITS.isdisjoint(members):
        defaults = {name: value for name, value in defaults.items() if name not in TOKEN_LIMITS}
    return {**defaults, **members}
