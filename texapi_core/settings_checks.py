"""Validates each setting; error messages say what to do. Does not import the openai SDK."""

from __future__ import annotations

import functools
import inspect
import math
import re
import threading
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

API_KEY_ENV = "TEXAPI_API_KEY"
DEFAULT_BASE_URL = "https://api.texapi.dev/v1"
"""The gateway's only base URL, from its documentation."""
_MAX_RETRIES = 100
AsyncTransport = Literal["httpx", "aiohttp"]
"""HTTP library of async calls: the SDK's own, or aiohttp (extra `aiohttp`), which needs a fraction of its
CPU time for many concurrent calls."""


_TRANSPORTS = get_args(AsyncTransport)


def settings_error(message: str) -> ValueError:
    """A `TexAPISettingsError`."""
    from texapi_core.errors import TexAPISettingsError  # imports the SDK

    return TexAPISettingsError(message)


def reveal_secret(api_key: Any) -> str | None:
    """The text of a key or a header value, which may be a `SecretStr`."""
    reveal = getattr(api_key, "get_secret_value", None)
    text: str | None = reveal() if reveal else api_key
    return text


def check_api_key(api_key: Any) -> str:
    """The key, if it can be sent."""
    advice = f"Set `{API_KEY_ENV}` or pass `api_key=...`."
    if not api_key:
        raise settings_error(f"TexAPI needs an API key. {advice}")
    if not isinstance(api_key, str):
        raise settings_error(f"`api_key` must be a string, not {type(api_key).__name__}. {advice}")
    if api_key.split() != [api_key]:
        raise settings_error(
            "`api_key` contains white space or a line break; one read from a file may need `.strip()`. "
            f"{advice}"
        )
    if not api_key.isascii() or not api_key.isprintable():
        raise settings_error(f"`api_key` contains non-ASCII or unprintable characters. {advice}")
    return api_key


def check_base_url(base_url: Any) -> str:
    """The base URL, if it is valid, without a trailing slash."""
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
        raise settings_error(f"`base_url` is not an http(s) URL: {_quotable(url)!r}. {example}.")
    if parts.username or parts.password:
        raise settings_error("`base_url` must not contain a user name or password; pass `api_key=...`.")
    if parts.path.endswith(("/chat/completions", "/models")):
        raise settings_error(f"`base_url` must end before the endpoint, not {_quotable(url)!r}. {example}.")
    if parts.query or parts.fragment:
        raise settings_error(f"`base_url` must not contain a query; pass `default_query=...`. {example}.")
    return url


def _quotable(url: str) -> str:
    """The start of a URL without its user, query and fragment, any of which may hold a key."""
    shown = re.split("[?#;]", url, maxsplit=1)[0]
    scheme, separator, rest = shown.rpartition("//")
    return scheme + separator + rest.rpartition("@")[2]


def check_timeout(name: str, timeout: Any) -> None:
    """Refuse anything but a positive number of seconds or an `openai.Timeout`."""
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


def check_keepalive(keepalive: Any) -> float:
    """Raise `TexAPISettingsError` unless it is a finite number of seconds, 0 or more."""
    if isinstance(keepalive, (int, float)) and type(keepalive) is not bool and 0 <= keepalive < math.inf:
        return keepalive
    raise settings_error(f"`keepalive` must be seconds, 0 or more, not {keepalive!r}.")


def check_max_retries(max_retries: Any) -> int:
    """The number of retries, if it is valid."""
    if isinstance(max_retries, bool) or not isinstance(max_retries, int):
        raise settings_error("`max_retries` must be a whole number.")
    if not 0 <= max_retries <= _MAX_RETRIES:
        raise settings_error(f"`max_retries` must be between 0 and {_MAX_RETRIES}, not {max_retries}.")
    return max_retries


_FLAGS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off", ""), False),
}


def check_flag(name: str, value: Any) -> bool:
    """A bool, or the text of one in an environment variable."""
    flag = _FLAGS.get(value.strip().lower()) if isinstance(value, str) else value
    if not isinstance(flag, bool):
        raise settings_error(f"`{name}` must be true or false, not {value!r}.")
    return flag


def check_http_client(name: str, client: Any, *, asynchronous: bool) -> None:
    """Refuse anything but an HTTP client of the right kind, sync or async."""
    if client is None:
        return
    is_client = all(hasattr(client, attribute) for attribute in ("build_request", "send", "event_hooks"))
    if is_client and inspect.iscoroutinefunction(client.send) == asynchronous:
        return
    kind, other = ("Async", "http_client") if asynchronous else ("", "http_async_client")
    hint = f" Did you mean `{other}=...`?" if is_client else ""
    raise settings_error(
        f"`{name}` must be an `openai.Default{kind}HttpxClient` or another `httpx.{kind}Client`, "
        f"not {type(client).__name__}.{hint}"
    )


_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token, RFC 9110 section 5.6.2."""
_HEADER_VALUE = re.compile(r"(?![ \t])[ \t!-~]*(?<![ \t])")
"""A field value, RFC 9110 section 5.5, without its obsolete bytes above 127."""


def check_headers(name: str, headers: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    """Validated headers as pairs. Error messages quote the name of a header, never its value."""
    pairs = []
    if headers is not None and not isinstance(headers, Mapping):
        raise settings_error(f"`{name}` must map names to strings, not be {type(headers).__name__}.")
    named: Mapping[Any, Any] = headers or {}
    for header, given in named.items():
        value = reveal_secret(given)
        if not (isinstance(header, str) and isinstance(value, str)):
            raise settings_error(f"`{name}` must map names to strings or `SecretStr`s; see {header!r}.")
        if not _HEADER_NAME.fullmatch(header):
            raise settings_error(f"`{name}` contains an invalid header name: {header!r}.")
        if not _HEADER_VALUE.fullmatch(value):
            raise settings_error(
                f"`{name}` contains a line break, a control or non-ASCII character, or white space at an "
                f"end, in the value of {header!r}. A value read from a file may need `.strip()`."
            )
        pairs.append((header, value))
    return tuple(pairs)


def check_async_transport(transport: Any) -> AsyncTransport:
    """The name of a transport, if it is valid and installed."""
    if transport not in _TRANSPORTS:
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
    """Whether the openai SDK's requirements are installed: 3.x contains a bridge to aiohttp, 2.x does not."""
    needed = ["aiohttp"] if int(version("openai").partition(".")[0]) >= 3 else ["aiohttp", "httpx_aiohttp"]
    return all(map(find_spec, needed))


def check_fallback_models(names: Any) -> Sequence[str]:
    """Names of models, none of them blank."""
    if isinstance(names, (list, tuple)) and all(isinstance(name, str) and name.strip() for name in names):
        return names
    raise settings_error(f"`fallback_models` must be a list of names of models, not {names!r}.")


def check_max_response_bytes(max_response_bytes: Any) -> int:
    """Raise `TexAPISettingsError` unless the limit of an answer is a positive whole number."""
    if type(max_response_bytes) is int and max_response_bytes > 0:
        return max_response_bytes
    raise settings_error(f"`max_response_bytes` must be a whole number above 0, not {max_response_bytes!r}.")
