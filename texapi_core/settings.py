"""Settings of requests: argument, else environment variable, else default.

OpenAI's variables (`OPENAI_*`) are ignored. Importing this module does not import the openai SDK.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from texapi_core.accounting.record import CallLabels
from texapi_core.settings_checks import (
    API_KEY_ENV,
    DEFAULT_BASE_URL,
    AsyncTransport,
    check_api_key,
    check_async_transport,
    check_base_url,
    check_fallback_models,
    check_flag,
    check_headers,
    check_http_client,
    check_keepalive,
    check_max_response_bytes,
    check_max_retries,
    check_timeout,
    reveal_secret,
    settings_error,
)
from texapi_core.wire.values import SAME_NAMES, OwnNames

if TYPE_CHECKING:
    import openai
    from pydantic import SecretStr

    from texapi_core.accounting.sinks import Accounting

BASE_URL_ENVS = ("TEXAPI_BASE_URL", "TEXAPI_API_BASE")
RETRY_TIMEOUTS_ENV = "TEXAPI_RETRY_TIMEOUTS"
LIMITS_ENV = "TEXAPI_LIMITS"
DEFAULT_TIMEOUT = 120.0
"""Seconds; the gateway's own limit."""
CONNECT_TIMEOUT = 10.0
"""Seconds to open a connection, unless `timeout` is shorter or an `openai.Timeout`."""
DEFAULT_STREAM_IDLE_TIMEOUT = 120.0
"""Seconds between two pieces of content in a stream; keep-alive comments do not count."""
DEFAULT_KEEPALIVE = 60.0
"""Seconds that an idle connection is kept: the time between two messages of a chat."""
DEFAULT_MAX_RETRIES = 2
DEFAULT_MAX_RESPONSE_BYTES = 128 * 2**20
"""Decoded bytes of an answer or a stream; answers with images take some ten million."""
_MIN_HINTED_KEY = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Validated settings of requests. Holds no connection."""

    api_key: str = field(repr=False)
    """The gateway's key."""
    base_url: str = DEFAULT_BASE_URL
    """Address of the gateway, with `/v1` at its end."""
    timeout: float | openai.Timeout = DEFAULT_TIMEOUT
    """Seconds that an answer may take, or an `openai.Timeout`."""
    stream_idle_timeout: float | None = DEFAULT_STREAM_IDLE_TIMEOUT
    """Seconds between two pieces of content in a stream; `None` for no limit."""
    keepalive: float = DEFAULT_KEEPALIVE
    """Seconds that an idle connection is kept for the next call."""
    max_retries: int = DEFAULT_MAX_RETRIES
    """Retries on 429, 5xx and requests that were never sent."""
    retry_timeouts: bool = False
    """Whether requests that timed out or broke after they were sent are repeated."""
    max_response_bytes: int = DEFAULT_MAX_RESPONSE_BYTES
    """Most bytes of an answer or a stream, decompressed."""
    think_tags: bool = False
    """Whether `<think>...</think>` at the start of an answer's text is its reasoning."""
    default_headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Name and value of headers of every request. Treated as secrets."""
    default_query: tuple[tuple[str, Any], ...] = field(default=(), repr=False)
    """Name and value of query parameters of every request."""
    http_client: Any = field(default=None, repr=False)
    """The user's `openai.DefaultHttpxClient` for sync calls."""
    http_async_client: Any = field(default=None, repr=False)
    """The user's `openai.DefaultAsyncHttpxClient` for async calls."""
    async_transport: AsyncTransport = "httpx"
    """What carries async calls: `httpx` or `aiohttp`."""
    limits: str | None = field(default=None, repr=False)
    """Where rate limits are shared, as `texapi_core.limits.plan` reads it."""
    accounting: Accounting | None = field(default=None, repr=False)
    """Price list and sinks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """Settings of one call, which override `Settings` where they are set."""

    extra_headers: Mapping[str, str] | None = field(default=None, repr=False)
    """Headers of this call alone, over those of `Settings`. Treated as secrets."""
    extra_query: Mapping[str, Any] | None = field(default=None, repr=False)
    """Query parameters of this call alone, added to those of `Settings`."""
    timeout: float | openai.Timeout | None = None
    """Seconds for this call, or `openai.Timeout`."""
    max_retries: int | None = None
    """Retries of this call."""
    think_tags: bool | None = None
    """Whether `<think>...</think>` at the start of the text is reasoning."""
    fallback_models: Sequence[str] = ()
    """Models to ask instead, in this order, after `FALLBACK_ERRORS` before the first content."""
    labels: Callable[[], CallLabels] = CallLabels
    """Returns the labels for the call's record; called only if the call is recorded."""
    own_names: OwnNames = SAME_NAMES
    """Own names of tools and properties, which the answer has in place of those that were sent."""
    storable_arguments: bool = False
    """Whether integers beyond 64 bits in the arguments of calls become text, since a store refuses them."""


NO_OPTIONS = CallOptions()


def env_api_key() -> str | None:
    """The key in the environment, `None` if it is not set."""
    return os.environ.get(API_KEY_ENV) or None


def env_base_url() -> str:
    """The base URL in the environment, else the default."""
    for name in BASE_URL_ENVS:
        if value := os.environ.get(name, "").strip():
            return value
    return DEFAULT_BASE_URL


def env_retry_timeouts() -> bool:
    """Whether the environment asks to repeat requests that timed out, default no."""
    value = os.environ.get(RETRY_TIMEOUTS_ENV)
    return False if value is None else check_flag(RETRY_TIMEOUTS_ENV, value)


def key_hint(api_key: str) -> str:
    """The last four characters of a key, to distinguish keys; `""` for a short key."""
    return f"…{api_key[-4:]}" if len(api_key) >= _MIN_HINTED_KEY else ""


def resolve_settings(
    *,
    api_key: str | SecretStr | None,
    base_url: str | None,
    timeout: float | openai.Timeout | None,
    max_retries: int,
    retry_timeouts: bool | None = None,
    stream_idle_timeout: float | None = DEFAULT_STREAM_IDLE_TIMEOUT,
    keepalive: float = DEFAULT_KEEPALIVE,
    max_response_bytes: int = DEFAULT_MAX_RESPONSE_BYTES,
    think_tags: bool = False,
    default_headers: Mapping[str, Any] | None = None,
    default_query: Mapping[str, Any] | None = None,
    http_client: Any = None,
    http_async_client: Any = None,
    async_transport: AsyncTransport = "httpx",
    limits: Any = None,
    accounting: Accounting | None = None,
) -> Settings:
    """Validated settings from the user's arguments; `None` means environment variable, else default.

    Each argument is the field of that name in `Settings`.

    Raises:
        TexAPISettingsError: a value is missing or invalid; the message names it.
    """
    if retry_timeouts is None:
        retry_timeouts = env_retry_timeouts()
    if timeout is not None:
        check_timeout("timeout", timeout)
    if stream_idle_timeout is not None:
        check_timeout("stream_idle_timeout", stream_idle_timeout)
    check_http_client("http_client", http_client, asynchronous=False)
    check_http_client("http_async_client", http_async_client, asynchronous=True)
    return Settings(
        api_key=check_api_key(reveal_secret(api_key) if api_key is not None else env_api_key()),
        base_url=check_base_url(base_url if base_url is not None else env_base_url()),
        timeout=DEFAULT_TIMEOUT if timeout is None else timeout,
        stream_idle_timeout=stream_idle_timeout,
        keepalive=check_keepalive(keepalive),
        max_retries=check_max_retries(max_retries),
        retry_timeouts=check_flag("retry_timeouts", retry_timeouts),
        max_response_bytes=check_max_response_bytes(max_response_bytes),
        think_tags=check_flag("think_tags", think_tags),
        default_headers=check_headers("default_headers", default_headers),
        default_query=tuple((default_query or {}).items()),
        http_client=http_client,
        http_async_client=http_async_client,
        async_transport=check_async_transport(async_transport),
        limits=None if limits is None else _checked_limits(limits),
        accounting=accounting,
    )


def _checked_limits(limits: Any) -> str:
    from texapi_core.limits.plan import check_limits  # most models have none

    return check_limits(limits)


CALL_OPTIONS = ("extra_headers", "extra_query", "timeout", "max_retries", "think_tags")
"""Per-call arguments that change how a request is sent and its answer read, not its payload."""


CALL_ONLY = ("tools", "tool_choice", "parallel_tool_calls", "response_format")
"""Parameters of one call that users also look for in the constructor."""

_SIMILAR = 0.75
"""Of names that are likelier a typo than another name: `provider` is not a `profile`."""
_ALMOST_EQUAL = 0.9
"""Of names with a letter missing, doubled or swapped: `min_tokens` is not `max_tokens`."""
_MIN_LETTERS = 8
"""A shorter name has neighbours that mean something else, as `models` and `model`."""


def call_options(
    arguments: Mapping[str, Any],
    labels: Callable[[], CallLabels] = CallLabels,
    own_names: OwnNames = SAME_NAMES,
    fallback_models: Sequence[str] = (),
    *,
    storable_arguments: bool = False,
) -> CallOptions:
    """The validated options among the arguments of one call."""
    timeout, max_retries = arguments.get("timeout"), arguments.get("max_retries")
    think_tags = arguments.get("think_tags")
    extra_query = arguments.get("extra_query")
    if extra_query is not None and not isinstance(extra_query, Mapping):
        raise settings_error(f"`extra_query` must map names to values, not be {type(extra_query).__name__}.")
    if timeout is not None:
        check_timeout("timeout", timeout)
    extra_headers = arguments.get("extra_headers")
    return CallOptions(
        extra_headers=(
            None if extra_headers is None else dict(check_headers("extra_headers", extra_headers)) or None
        ),
        extra_query=extra_query,
        timeout=timeout,
        max_retries=None if max_retries is None else check_max_retries(max_retries),
        think_tags=None if think_tags is None else check_flag("think_tags", think_tags),
        fallback_models=fallback_models and check_fallback_models(fallback_models),
        labels=labels,
        own_names=own_names,
        storable_arguments=storable_arguments,
    )


def refuse_unknown_arguments(class_name: str, arguments: Iterable[str], known: Collection[str]) -> None:
    """Raise `TexAPISettingsError` for an unknown constructor argument, which may be a costly typo."""
    for name in arguments:
        if name not in known:
            raise settings_error(f"{class_name} has no argument `{name}`. {_way_out(name, known)}")


def _way_out(name: str, known: Collection[str]) -> str:
    """What to do about an argument: that of another class by the table, else a similar name."""
    if advice := arguments_of_others()["constructor"].get(name):
        return advice
    if name in CALL_ONLY:
        return "Pass it to a call, or in `extra_body={...}` for every call."
    guess = difflib.get_close_matches(name, known, n=1, cutoff=_SIMILAR)
    hint = f"Did you mean `{guess[0]}`? " if guess else ""
    return f"{hint}Parameters that only the gateway knows go into `extra_body={{...}}`."


def refuse_other_names(unknown: Iterable[str], known: Collection[str]) -> None:
    """Refuse arguments of one call that another class takes, and typos.

    Others pass, since the gateway may know them.

    Raises:
        TexAPISettingsError: the text names the argument and what to do instead.
    """
    rows = arguments_of_others()
    for name in sorted(unknown):
        advice = rows["call"].get(name) or rows["constructor"].get(name, "")
        if advice and "extra_body" not in advice:
            raise settings_error(f"`{name}` is no parameter of a call. {advice} Nothing was sent.")
        similar = difflib.get_close_matches(name, known, n=1, cutoff=_ALMOST_EQUAL)
        if similar and len(name) >= _MIN_LETTERS:
            raise settings_error(
                f"`{name}` is no parameter of a call. Did you mean `{similar[0]}`? If the gateway knows "
                f'it, pass `extra_body={{"{name}": ...}}`. Nothing was sent.'
            )


@cache
def arguments_of_others() -> Mapping[str, Mapping[str, str]]:
    """Arguments of other classes for gateways -> what to do instead, for a constructor and for a call."""
    text = resources.files("texapi_core").joinpath("data", "other_arguments.json").read_text("utf-8")
    table: Mapping[str, Mapping[str, str]] = json.loads(text)
    return table


def resolve_alias(**named: Any) -> Any:
    """The value of an argument with two names. Raises `TexAPISettingsError` for two different values."""
    values = [value for value in named.values() if value is not None]
    if len(values) > 1 and values[0] != values[1]:
        raise settings_error(f"{' and '.join(f'`{name}`' for name in named)} are one setting: pass one.")
    return values[0] if values else None
