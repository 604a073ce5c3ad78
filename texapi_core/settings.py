"""Where requests go and what they carry: argument, else environment, else default.

Nothing of OpenAI's own environment (`OPENAI_*`) has a say in it. Importing this module is cheap: it
does not import the openai SDK.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from texapi_core.accounting.record import CallLabels, no_labels
from texapi_core.settings_checks import (
    API_KEY_ENV,
    DEFAULT_BASE_URL,
    AsyncTransport,
    check_api_key,
    check_async_transport,
    check_base_url,
    check_headers,
    check_http_client,
    check_max_retries,
    check_timeout,
    settings_error,
)

if TYPE_CHECKING:
    import openai

    from texapi_core.accounting.sinks import Accounting

BASE_URL_ENVS = ("TEXAPI_BASE_URL", "TEXAPI_API_BASE")
DEFAULT_TIMEOUT = 120.0
"""Seconds; the gateway's own limit."""
CONNECT_TIMEOUT = 10.0
"""Seconds to open a connection, unless `timeout` is shorter or an `openai.Timeout`."""
DEFAULT_STREAM_IDLE_TIMEOUT = 120.0
"""Seconds between two pieces of content in a stream; comments that keep it alive do not count."""
DEFAULT_MAX_RETRIES = 2
_MIN_HINTED_KEY = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that decides where a request goes, resolved and checked. Holds no socket."""

    api_key: str = field(repr=False)
    base_url: str = DEFAULT_BASE_URL
    timeout: float | openai.Timeout = DEFAULT_TIMEOUT
    stream_idle_timeout: float | None = DEFAULT_STREAM_IDLE_TIMEOUT
    max_retries: int = DEFAULT_MAX_RETRIES
    default_headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    default_query: tuple[tuple[str, Any], ...] = field(default=(), repr=False)
    http_client: Any = field(default=None, repr=False)
    http_async_client: Any = field(default=None, repr=False)
    async_transport: AsyncTransport = "httpx"
    accounting: Accounting | None = field(default=None, repr=False)
    """Prices, and what follows the calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """What one call changes: each unset value leaves the setting as it is."""

    extra_headers: Mapping[str, str] | None = field(default=None, repr=False)
    extra_query: Mapping[str, Any] | None = field(default=None, repr=False)
    timeout: float | openai.Timeout | None = None
    """Seconds for this call, or `openai.Timeout`."""
    max_retries: int | None = None
    labels: Callable[[], CallLabels] = no_labels
    """The user's labels for the call's record; asked for only when there will be one."""


NO_OPTIONS = CallOptions()


def env_api_key() -> str | None:
    """The key in the environment, `None` when there is none."""
    return os.environ.get(API_KEY_ENV) or None


def env_base_url() -> str:
    """The address in the environment, else the gateway's."""
    for name in BASE_URL_ENVS:
        if value := os.environ.get(name, "").strip():
            return value
    return DEFAULT_BASE_URL


def key_hint(api_key: str) -> str:
    """The end of a key, by which its owner tells it from others; `""` for one too short to show it."""
    return f"…{api_key[-4:]}" if len(api_key) >= _MIN_HINTED_KEY else ""


def resolve_settings(
    *,
    api_key: str | None,
    base_url: str | None,
    timeout: float | openai.Timeout | None,
    max_retries: int,
    stream_idle_timeout: float | None = DEFAULT_STREAM_IDLE_TIMEOUT,
    default_headers: Mapping[str, Any] | None = None,
    default_query: Mapping[str, Any] | None = None,
    http_client: Any = None,
    http_async_client: Any = None,
    async_transport: AsyncTransport = "httpx",
    accounting: Accounting | None = None,
) -> Settings:
    """Checked settings from what the user passed; `None` means environment, then default.

    Raises:
        TexAPISettingsError: a value is missing or cannot be used; the text names it.
    """
    if timeout is not None:
        check_timeout("timeout", timeout)
    if stream_idle_timeout is not None:
        check_timeout("stream_idle_timeout", stream_idle_timeout)
    check_http_client("http_client", http_client, asynchronous=False)
    check_http_client("http_async_client", http_async_client, asynchronous=True)
    return Settings(
        api_key=check_api_key(api_key if api_key is not None else env_api_key()),
        base_url=check_base_url(base_url if base_url is not None else env_base_url()),
        timeout=DEFAULT_TIMEOUT if timeout is None else timeout,
        stream_idle_timeout=stream_idle_timeout,
        max_retries=check_max_retries(max_retries),
        default_headers=check_headers("default_headers", default_headers),
        default_query=tuple((default_query or {}).items()),
        http_client=http_client,
        http_async_client=http_async_client,
        async_transport=check_async_transport(async_transport),
        accounting=accounting,
    )


CALL_OPTIONS = ("extra_headers", "extra_query", "timeout", "max_retries")
"""Per-call arguments that change how a request is sent, not what is in it."""


def call_options(arguments: Mapping[str, Any], labels: Callable[[], CallLabels] = no_labels) -> CallOptions:
    """The options among the arguments of one call, checked."""
    timeout, max_retries = arguments.get("timeout"), arguments.get("max_retries")
    extra_query = arguments.get("extra_query")
    if extra_query is not None and not isinstance(extra_query, Mapping):
        raise settings_error(f"`extra_query` must map names to values, not be {type(extra_query).__name__}.")
    if timeout is not None:
        check_timeout("timeout", timeout)
    return CallOptions(
        extra_headers=dict(check_headers("extra_headers", arguments.get("extra_headers"))) or None,
        extra_query=extra_query,
        timeout=timeout,
        max_retries=None if max_retries is None else check_max_retries(max_retries),
        labels=labels,
    )


def refuse_unknown_arguments(class_name: str, arguments: Iterable[str], known: Collection[str]) -> None:
    """Raise `TexAPISettingsError` for an argument that a constructor does not have: typos cost money."""
    for name in arguments:
        if name not in known:
            import difflib  # slow to import, and only this error needs it

            guess = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean `{guess[0]}`? " if guess else ""
            raise settings_error(
                f"{class_name} has no argument `{name}`. {hint}Parameters that only the gateway knows "
                "go into `extra_body={...}`."
            )


def resolve_alias(**named: Any) -> Any:
    """The value of an argument that has two names; two values are a `TexAPISettingsError`."""
    values = [value for value in named.values() if value is not None]
    if len(values) > 1 and values[0] != values[1]:
        raise settings_error(f"{' and '.join(f'`{name}`' for name in named)} are one setting: pass one.")
    return values[0] if values else None
