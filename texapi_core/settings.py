"""Where requests go and what they carry: argument, else environment, else default.

Nothing of OpenAI's own environment (`OPENAI_*`) has a say in it. Importing this module is cheap: it
does not import the openai SDK.
"""

from __future__ import annotations

import functools
import inspect
import math
import os
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import urlsplit

from texapi_core.accounting.record import CallLabels, no_labels

if TYPE_CHECKING:
    import openai

    from texapi_core.accounting.sinks import Accounting

API_KEY_ENV = "TEXAPI_API_KEY"
BASE_URL_ENVS = ("TEXAPI_BASE_URL", "TEXAPI_API_BASE")
DEFAULT_BASE_URL = "https://api.texapi.dev/v1"
"""The gateway's one address, by its documentation."""
DEFAULT_TIMEOUT = 120.0
"""Seconds; the gateway's own limit."""
CONNECT_TIMEOUT = 10.0
"""Seconds to open a connection, unless `timeout` is shorter or an `openai.Timeout`."""
DEFAULT_STREAM_IDLE_TIMEOUT = 120.0
"""Seconds between two pieces of content in a stream; comments that keep it alive do not count."""
DEFAULT_MAX_RETRIES = 2
_LARGEST_MAX_RETRIES = 100
AsyncTransport = Literal["httpx", "aiohttp"]
"""What carries async calls: the SDK's own, or aiohttp, which takes a fraction of its time with many calls
at once and comes with the extra `aiohttp`."""
_SHORTEST_HINTED_KEY = 20


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
    """What becomes of the records of calls."""


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


def check_api_key(api_key: Any) -> str:
    """The key if it can be sent, else a `TexAPISettingsError` that names the way out."""
    way_out = f"Set `{API_KEY_ENV}` or pass `api_key=...`."
    if not api_key:
        raise settings_error(f"TexAPI needs an API key. {way_out}")
    if not isinstance(api_key, str):
        raise settings_error(f"`api_key` must be a string, not {type(api_key).__name__}. {way_out}")
    if any(character.isspace() for character in api_key):
        raise settings_error(f"`api_key` holds white space or a line break. {way_out}")
    if not api_key.isascii() or not api_key.isprintable():
        raise settings_error(f"`api_key` holds characters that no key has. {way_out}")
    return api_key


def reveal_secret(api_key: Any) -> str | None:
    """The text of a key, or of a header's value, that may be a `SecretStr`."""
    reveal = getattr(api_key, "get_secret_value", None)
    text: str | None = reveal() if reveal else api_key
    return text


def key_hint(api_key: str) -> str:
    """The end of a key, by which its owner tells it from others; `""` for one too short to show it."""
    return f"…{api_key[-4:]}" if len(api_key) >= _SHORTEST_HINTED_KEY else ""


def check_base_url(base_url: Any) -> str:
    """The address if requests can go there, without a slash at its end."""
    if not isinstance(base_url, str):
        raise settings_error(
            f"`base_url` must be a string like {DEFAULT_BASE_URL}, not {type(base_url).__name__}."
        )
    return _checked_base_url(base_url)


@functools.lru_cache
def _checked_base_url(base_url: str) -> str:
    url = base_url.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        legal = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        legal = False
    example = f"It must look like {DEFAULT_BASE_URL}"
    if not legal:
        raise settings_error(f"`base_url` is no http(s) address: {_without_user(url)!r}. {example}.")
    if parts.username or parts.password:
        raise settings_error("`base_url` must hold no user name or password; pass `api_key=...`.")
    if parts.path.endswith(("/chat/completions", "/models")):
        raise settings_error(f"`base_url` must end before the endpoint, not {url!r}. {example}.")
    if parts.query or parts.fragment:
        raise settings_error(f"`base_url` must hold no query; pass `default_query=...`. {example}.")
    return url


def check_timeout(name: str, timeout: Any) -> None:
    """Refuse a number of seconds that is none; an `openai.Timeout` passes."""
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        if hasattr(timeout, "connect") and hasattr(timeout, "read"):
            return
        raise settings_error(
            f"`{name}` must be seconds or an `openai.Timeout`, not {type(timeout).__name__}."
        )
    if not timeout > 0 or math.isinf(timeout):
        raise settings_error(f"`{name}` must be more than 0 seconds, not {timeout}.")
    if timeout > threading.TIMEOUT_MAX:
        raise settings_error(
            f"`{name}` must be at most {threading.TIMEOUT_MAX:.0f} seconds on this machine, not {timeout}."
        )


def check_max_retries(max_retries: Any) -> int:
    """The number of retries if it is one."""
    if isinstance(max_retries, bool) or not isinstance(max_retries, int):
        raise settings_error("`max_retries` must be a whole number.")
    if not 0 <= max_retries <= _LARGEST_MAX_RETRIES:
        raise settings_error(
            f"`max_retries` must be between 0 and {_LARGEST_MAX_RETRIES}, not {max_retries}."
        )
    return max_retries


def check_http_client(name: str, client: Any, *, asynchronous: bool) -> None:
    """Refuse what is no HTTP client of the right kind: sync for `invoke` and `chat`, async for the others."""
    if client is None:
        return
    is_client = all(hasattr(client, attribute) for attribute in ("build_request", "send", "event_hooks"))
    if is_client and inspect.iscoroutinefunction(client.send) == asynchronous:
        return
    legal = ("openai.DefaultAsyncHttpxClient", "httpx.AsyncClient")
    if not asynchronous:
        legal = ("openai.DefaultHttpxClient", "httpx.Client")
    way_out = ""
    if is_client:
        other = "http_client" if asynchronous else "http_async_client"
        way_out = f" Did you mean `{other}=...`?"
    raise settings_error(
        f"`{name}` must be an `{legal[0]}` or another `{legal[1]}`, not {type(client).__name__}.{way_out}"
    )


def check_headers(name: str, headers: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    """Headers that can be sent, as pairs. Error texts name the header, never its value."""
    pairs = []
    if headers is not None and not isinstance(headers, Mapping):
        raise settings_error(f"`{name}` must map names to strings, not be {type(headers).__name__}.")
    named: Mapping[Any, Any] = headers or {}
    for header, given in named.items():
        value = reveal_secret(given)
        if not (isinstance(header, str) and isinstance(value, str)):
            raise settings_error(f"`{name}` must map names to strings or `SecretStr`s; see {header!r}.")
        if not header or not header.isascii() or any(c.isspace() or c == ":" for c in header):
            raise settings_error(f"`{name}` holds a name that is no header: {header!r}.")
        if not value.isascii() or any(character in value for character in "\r\n\0"):
            raise settings_error(
                f"`{name}` holds a line break or a non-ASCII character in the value of {header!r}."
            )
        pairs.append((header, value))
    return tuple(pairs)


def check_async_transport(transport: Any) -> AsyncTransport:
    """The name of a transport if it is one and installed."""
    if transport not in get_args(AsyncTransport):
        raise settings_error(f"`async_transport` must be 'httpx' or 'aiohttp', not {transport!r}.")
    if transport == "aiohttp" and not _has_aiohttp():
        raise settings_error(
            "`async_transport='aiohttp'` needs an extra. "
            'Install it with: pip install "texapi-integrations[aiohttp]"'
        )
    checked: AsyncTransport = transport
    return checked


@functools.cache
def _has_aiohttp() -> bool:
    """Whether the openai SDK will find what it needs: 3.x brings the bridge to aiohttp, 2.x does not."""
    needed = ["aiohttp"] if int(version("openai").partition(".")[0]) >= 3 else ["aiohttp", "httpx_aiohttp"]
    return all(map(find_spec, needed))


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
            import difflib  # for the message alone

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


def _without_user(url: str) -> str:
    return url.rpartition("@")[2]


def settings_error(message: str) -> ValueError:
    """A `TexAPISettingsError`, made without importing the SDK before there is one."""
    from texapi_core.errors import TexAPISettingsError  # imports the SDK, which an error may

    return TexAPISettingsError(message)
