"""TexAPI for LangChain: `ChatTexAPI`, and the errors that it raises."""

from __future__ import annotations

from typing import Any

try:
    import langchain_core  # for an error text that says what to install
except ImportError as error:
    raise ImportError(
        'langchain_texapi needs langchain-core. Install it with: pip install "texapi-integrations[langchain]"'
    ) from error

# First and from here: nested deeply, the same imports cost Python 3.11 half as many page faults again.
import langchain_core.language_models.chat_models  # noqa: F401

import texapi_core
from langchain_texapi._init_chat_model import register_init_chat_model
from langchain_texapi.chat_models import ChatTexAPI
from texapi_core._version import __version__

__all__ = ["ChatTexAPI", "__version__", "register_init_chat_model"]


def __getattr__(name: str) -> Any:
    """The error classes of `texapi_core`, so that `except langchain_texapi.TexAPIError` works."""
    if name.startswith("TexAPI"):
        return getattr(texapi_core, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
