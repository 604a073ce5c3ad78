"""Connection pools: the HTTP clients that the openai clients use."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib import import_module
from typing import Any

import openai


def new_pool(make: Callable[..., Any]) -> Any:
    """An HTTP client by `make`, without cookies: keys of different accounts may share it."""
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    return make(
        cookies=no_cookies,
        max_redirects=3,
        verify=_tls_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")),
    )


@lru_cache(maxsize=4)
def _tls_context(_cert_file: str | None, _cert_dir: str | None) -> ssl.SSLContext:
    """The HTTP library's TLS context for these variables, cached because creating it takes 30 to 50 ms."""
    http_library = import_module(openai.DefaultHttpxClient.__mro__[1].__module__)  # httpx, or httpx2
    context: ssl.SSLContext = http_library.create_ssl_context()
    return context
