"""What `limits=` says: where the state of the limits is, and which limits are configured."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from texapi_core.settings_checks import settings_error

AUTO = "auto"
_NUMBERS = ("requests_per_minute", "tokens_per_minute", "max_concurrency")
_NAMES = ("name", *_NUMBERS)
_KINDS = {
    "redis": "redis",
    "rediss": "redis",
    "sqlite": "sqlite",
    "postgresql": "postgresql",
    "postgres": "postgresql",
}
"""Scheme of a URL -> where the state is."""
_OF_DRIVERS = {
    "redis": ("db", "protocol", "ssl_"),
    "postgresql": ("ssl", "host", "port", "gss", "krb", "channel_binding", "target_session_attrs", "service"),
}
"""Query parameters for redis-py and libpq, or how they begin."""
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
"""Query parameters for redis-py that name a file."""
_MAX_NAME = 100
_MAX_NUMBER = 1e12
_FORMS = (
    '`limits` is "auto", "redis://HOST:6379/0", "rediss://...", "postgresql://...", "sqlite:///FILE", '
    "or a dict with `url` and limits"
)
_EXTRAS = {"redis": "redis", "postgresql": "psycopg"}
"""Where the state is -> the driver; the extra has the name of the former."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Parsed `limits`. `None` means that a limit is not configured."""

    url: str
    """`auto`, or the URL without the parameters of this package. May hold a password."""
    name: str | None = None
    """What shares a limit; default the base URL and the key."""
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    max_concurrency: int | None = None

    @property
    def is_shared(self) -> bool:
        """Whether the state is outside this process."""
        return self.url != AUTO

    @property
    def kind(self) -> str:
        """`auto`, `redis`, `postgresql` or `sqlite`."""
        return _KINDS.get(self.url.partition(":")[0], AUTO)

    @property
    def path(self) -> str:
        """The absolute path of an SQLite file."""
        return os.path.abspath(unquote(self.url.removeprefix("sqlite:///")))


def check_limits(limits: Any) -> str:
    """`limits` as text: `auto` or a URL, with the configured limits as query parameters.

    Raises:
        TexAPISettingsError: the value cannot be used; the message does not quote a URL.
    """
    if isinstance(limits, Mapping):
        limits = _text_of(limits)
    if not isinstance(limits, str):
        raise settings_error(f"{_FORMS}, not {type(limits).__name__}.")
    parse_limits(limits)
    return limits


def _text_of(limits: Mapping[Any, Any]) -> str:
    given = {name: value for name, value in limits.items() if value is not None}
    url = given.pop("url", AUTO)
    if not isinstance(url, str):
        raise settings_error(f"`limits['url']` is text, not {type(url).__name__}.")
    if unknown := [name for name in given if name not in _NAMES]:
        raise settings_error(f"`limits` has no {unknown[0]!r}; it has `url`, {_listed(_NAMES)}.")
    for name in _NUMBERS:
        if isinstance(given.get(name), bool):
            raise settings_error(f"`{name}` of `limits` is a number, not {given[name]!r}.")
    if not given:
        return url
    if isinstance(given.get("name"), str):
        _name(given["name"])  # before it is encoded, which not all text can be
    return f"{url}{'&' if '?' in url else '?'}{urlencode(given)}"


@lru_cache
def parse_limits(text: str) -> Plan:
    """The plan that a text describes. Raises `TexAPISettingsError` like `check_limits`."""
    try:
        text.encode()
        parts = urlsplit(text.strip())
        kind = _kind_of(parts.scheme)
        has_host = bool(parts.hostname) or kind == "postgresql"  # whose socket is a parameter
        is_server = kind in _EXTRAS and has_host and "//" in text and parts.port != 0
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise settings_error(f"{_FORMS}; this is none of them.") from None
    is_auto = not parts.scheme and not parts.netloc and parts.path == AUTO
    is_file = kind == "sqlite" and not parts.netloc and len(parts.path) > 1 and not parts.path.endswith("/")
    if not (is_server or is_auto or is_file) or parts.fragment:
        raise settings_error(f"{_FORMS}; this is none of them.")
    if is_server and find_spec(_EXTRAS[kind]) is None:
        raise settings_error(
            f'These `limits` need an extra. Install it with: pip install "texapi-integrations[{kind}]"'
        )
    given = [name for name, _ in pairs]
    if twice := [name for name in given if given.count(name) > 1]:
        raise settings_error(f"`limits` gives `{twice[0][:40]}` twice, in the URL or beside it.")
    own = {name: value for name, value in pairs if name in _NAMES}
    others = [(name, value) for name, value in pairs if name not in _NAMES]
    for name, _ in others:
        if not name.startswith(_OF_DRIVERS.get(kind, ())):
            raise settings_error(f"`limits` has no parameter `{name[:40]}`; it has {_listed(_NAMES)}.")
    if kind == "redis":
        _check_redis(parts.path, dict(others))
    concurrency = _number(own, "max_concurrency")
    return Plan(
        url=AUTO if is_auto else _url_of(text.strip(), others),
        name=_name(own.get("name")),
        requests_per_minute=_number(own, "requests_per_minute"),
        tokens_per_minute=_number(own, "tokens_per_minute"),
        max_concurrency=None if concurrency is None else int(concurrency),
    )


def _kind_of(scheme: str) -> str:
    """SQLAlchemy's name of a driver may follow that of a database."""
    kind = _KINDS.get(scheme.partition("+")[0], "")
    return "" if kind == "redis" and "+" in scheme else kind


def _check_redis(path: str, parameters: Mapping[str, str]) -> None:
    """What redis-py would ignore, or find out when it connects."""
    for number in (path.removeprefix("/"), parameters.get("db", "")):
        if number and not (number.isascii() and number.isdigit()):
            raise settings_error(
                f"The database in the URL of `limits` is a whole number, not {number[:40]!r}."
            )
    for name in _FILES:
        if name in parameters and not os.path.isfile(parameters[name]):
            raise settings_error(f"`{name}` of `limits` names a file that does not exist.")


def _url_of(text: str, parameters: list[tuple[str, str]]) -> str:
    """The URL as drivers read it: without SQLAlchemy's name of a driver, with their own parameters."""
    scheme, _, rest = text.partition("?")[0].partition("://")
    url = f"{scheme.partition('+')[0]}://{rest}"
    return f"{url}?{urlencode(parameters)}" if parameters else url


def _name(name: str | None) -> str | None:
    if name is None or (0 < len(name) <= _MAX_NAME and name.isprintable() and not set(name) & set("{}")):
        return name
    raise settings_error(f"`name` of `limits` has 1 to {_MAX_NAME} printable characters other than braces.")


def _number(own: Mapping[str, str], name: str) -> float | None:
    text = own.get(name)
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < _MAX_NUMBER or (name == "max_concurrency" and number != int(number)):
        kind = "a whole number" if name == "max_concurrency" else "a number"
        raise settings_error(
            f"`{name}` of `limits` is {kind} above 0 and below {_MAX_NUMBER:g}, not {text[:40]!r}."
        )
    return number


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
