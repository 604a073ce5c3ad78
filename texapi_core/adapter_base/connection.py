"""How calls are sent: the constructor arguments that both adapters share, and copying and pickling them."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, PlainSerializer, SecretStr

import texapi_core
from texapi_core.adapter_base.accounting_parameters import AccountingParameters
from texapi_core.limits.plan import check_limits, parse_limits
from texapi_core.settings import (
    DEFAULT_KEEPALIVE,
    DEFAULT_MAX_RESPONSE_BYTES,
    DEFAULT_MAX_RETRIES,
    DEFAULT_STREAM_IDLE_TIMEOUT,
    LIMITS_ENV,
    Settings,
    resolve_settings,
)
from texapi_core.settings_checks import AsyncTransport

if TYPE_CHECKING:
    from texapi_core.accounting import RedisPlace

# Types of the fields that each adapter names as its framework does, e.g. `request_timeout` or `timeout`.
ModelName = Annotated[str, Field(min_length=1, description="Name of the model, as `list_models()` lists it.")]
ApiKey = Annotated[
    SecretStr | None, Field(description="The gateway's key; default the environment's `TEXAPI_API_KEY`.")
]
BaseUrl = Annotated[
    str,
    Field(
        description="Address of the gateway; default the environment's `TEXAPI_BASE_URL`, then "
        "`TEXAPI_API_BASE`, then TexAPI's."
    ),
]
_TIMEOUT_PARTS = ("connect", "read", "write", "pool")


def dump_timeout(timeout: Any) -> Any:
    """An `openai.Timeout` as a dict of its parts, so that a dump of the settings is JSON."""
    if not all(hasattr(timeout, part) for part in _TIMEOUT_PARTS):
        return timeout
    return {part: getattr(timeout, part) for part in _TIMEOUT_PARTS}


def _load_timeout(timeout: Any) -> Any:
    if not isinstance(timeout, dict) or timeout.keys() != set(_TIMEOUT_PARTS):
        return timeout
    import openai  # slow, and only this form of the setting needs it

    return openai.Timeout(**timeout)


Timeout = Annotated[
    Any,
    BeforeValidator(_load_timeout),
    PlainSerializer(dump_timeout),
    Field(description="Seconds an answer may take, or an `openai.Timeout`; default 120, and 10 to connect."),
]


def _can_be_pickled(value: Any) -> bool:
    try:
        pickle.dumps(value)
    except Exception:
        return False
    return True


def _env_limits() -> str | None:
    return os.environ.get(LIMITS_ENV, "").strip() or None


class ConnectionParameters(AccountingParameters):
    """Constructor arguments that decide how calls are sent. None of them is in the payload."""

    _endpoint: ClassVar[Any]
    """An `attrgetter` of key, address and timeout, whose fields are named as the framework does."""

    stream_idle_timeout: float | None = Field(
        default=DEFAULT_STREAM_IDLE_TIMEOUT,
        description="Seconds between two pieces of content in a stream; `None` for no limit.",
    )
    keepalive: float = Field(
        default=DEFAULT_KEEPALIVE,
        description="Seconds that an idle connection is kept for the next call; 0 for a new one each time.",
    )
    max_retries: int = Field(
        default=DEFAULT_MAX_RETRIES,
        description="Retries on 429, 5xx and requests that were never sent; never on an empty balance.",
    )
    retry_timeouts: bool | None = Field(
        default=None,
        description="Whether to repeat requests that timed out or broke after they were sent, which may be "
        "charged twice; default the environment's `TEXAPI_RETRY_TIMEOUTS`, and no.",
    )
    max_response_bytes: int = Field(
        default=DEFAULT_MAX_RESPONSE_BYTES,
        ge=1,
        description="Most bytes of an answer or a stream, decompressed; more raises an error.",
    )
    think_tags: bool = Field(
        default=False,
        description="Whether `<think>...</think>` at the start of an answer's text is its reasoning.",
    )
    default_headers: Mapping[str, str | SecretStr] | None = Field(
        default=None,
        exclude=True,
        repr=False,
        description="Headers of every request. Treated as secrets: in no repr, dump or trace.",
    )
    default_query: Mapping[str, Any] | None = Field(
        default=None, exclude=True, repr=False, description="Query parameters of every request."
    )
    http_client: Any = Field(
        default=None,
        exclude=True,
        repr=False,
        description="An `openai.DefaultHttpxClient` for sync calls, e.g. with a proxy. One response hook is "
        "added to it, which refuses redirects to other hosts.",
    )
    http_async_client: Any = Field(
        default=None,
        exclude=True,
        repr=False,
        description="An `openai.DefaultAsyncHttpxClient` for async calls, in one event loop.",
    )
    async_transport: AsyncTransport = Field(
        default="httpx",
        description='What carries async calls; "aiohttp" (extra `aiohttp`) is faster for many at once.',
    )

    limits: Any = Field(
        default_factory=_env_limits,
        exclude=True,
        repr=False,
        description='Rate limits that calls wait for: "auto" for this process, "redis://HOST:6379/0" (extra '
        "`redis`), a PostgreSQL or an SQLite file for many, or a dict of `url`, `requests_per_minute`, "
        "`tokens_per_minute`, `max_concurrency` and `name`; default the environment's TEXAPI_LIMITS, "
        "and none.",
    )

    def warm(self) -> None:
        """Open a connection in the background for the next synchronous call, e.g. before the prompt is built.

        Returns at once, and reads the list of models, which costs nothing. Raises nothing if that fails: the
        call will.
        """
        texapi_core.warm(self._settings())

    async def awarm(self) -> None:
        """Open a connection for the next call in this event loop, e.g. when a server starts."""
        await texapi_core.awarm(self._settings())

    def _settings(self) -> Settings:
        """The checked settings of the next call; fields may have changed since the last one."""
        api_key, base_url, timeout = self._endpoint(self)
        return resolve_settings(
            api_key=api_key,
            base_url=base_url,
            timeout=timeout,
            stream_idle_timeout=self.stream_idle_timeout,
            keepalive=self.keepalive,
            max_retries=self.max_retries,
            retry_timeouts=self.retry_timeouts,
            max_response_bytes=self.max_response_bytes,
            think_tags=self.think_tags,
            default_headers=self.default_headers,
            default_query=self.default_query,
            http_client=self.http_client,
            http_async_client=self.http_async_client,
            async_transport=self.async_transport,
            limits=self.limits,
            accounting=self.accounting,
        )

    def _redis(self) -> RedisPlace | None:
        """The Redis of `limits`, if it names one; a `name` there is of a rate limit, not of a budget."""
        plan = parse_limits(check_limits(self.limits)) if self.limits else None
        return texapi_core.accounting.RedisPlace(plan.url) if plan and plan.kind == "redis" else None

    def _check_settings(self) -> None:
        """Raise `TexAPISettingsError` at construction for a setting that would fail the first call."""
        self.check_accounting()
        self._settings()

    def __getstate__(self) -> dict[Any, Any]:
        """The state to pickle; open connections cannot be part of it."""
        if self.http_client is not None or self.http_async_client is not None:
            raise TypeError(
                f"A {type(self).__name__} with `http_client` or `http_async_client` cannot be pickled: it "
                "holds open connections. Build the model where it is used."
            )
        limiter = getattr(self, "rate_limiter", None)
        if limiter is not None and not _can_be_pickled(limiter):
            raise TypeError(
                f"A {type(self).__name__} with this `rate_limiter` cannot be pickled: a "
                f"{type(limiter).__name__} belongs to its process. Use `limits=...`, which processes share."
            )
        return super().__getstate__()

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """A deep copy that shares the HTTP clients and the frameworks' `rate_limiter`: they hold locks."""
        memo = {} if memo is None else memo
        for shared in (self.http_client, self.http_async_client, getattr(self, "rate_limiter", None)):
            if shared is not None:
                memo[id(shared)] = shared
        return super().__deepcopy__(memo)
