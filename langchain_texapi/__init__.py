"""TexAPI for LangChain: `ChatTexAPI`, and the errors that it raises."""

from __future__ import annotations

try:
    import langchain_core  # for an error text that says what to install
except ImportError as error:
    raise ImportError(
        'langchain_texapi needs langchain-core. Install it with: pip install "texapi-integrations[langchain]"'
    ) from error

# First and from here: nested deeply, the same imports cost Python 3.11 half as many page faults again.
import langchain_core.language_models.chat_models  # noqa: F401

import texapi_core
from langchain_texapi._arguments import RawAndParsed
from langchain_texapi._init_chat_model import register_init_chat_model
from langchain_texapi.chat_models import ChatTexAPI
from texapi_core._lazy import lazy_names
from texapi_core._version import __version__

__all__ = ["FALLBACK_ERRORS", "ChatTexAPI", "RawAndParsed", "__version__", "register_init_chat_model"]

# So that `except langchain_texapi.TexAPIError` works.
__getattr__ = lazy_names(
    __name__,
    ["FALLBACK_ERRORS", *(n for n in texapi_core.__all__ if n.startswith("TexAPI"))],
    ["texapi_core"],
)
