"""TexAPI for LlamaIndex: `TexAPI`, and the errors that it raises."""

from __future__ import annotations

from typing import Any

try:
    import llama_index.core  # noqa: F401 # for an error text that says what to install
except ImportError as error:
    raise ImportError(
        "llama_index_texapi needs llama-index-core. Install it with: "
        'pip install "texapi-integrations[llama-index]"'
    ) from error

from wrapt import register_post_import_hook

import texapi_core
from llama_index_texapi.base import TexAPI
from llama_index_texapi.usage import UsageCounter
from texapi_core._lazy import lazy_names
from texapi_core._version import __version__

__all__ = ["FALLBACK_ERRORS", "TexAPI", "UsageCounter", "__version__"]


def _recognize(_: Any) -> None:
    from llama_index.core.llms import loading  # waits for another thread that is still importing it

    loading.RECOGNIZED_LLMS.setdefault(TexAPI.class_name(), TexAPI)


# So that extractors and pipelines can load what they saved. A hook, since the module imports every
# installed LLM package, which may take seconds.
register_post_import_hook(_recognize, "llama_index.core.llms.loading")

# So that `except llama_index_texapi.TexAPIError` works.
__getattr__ = lazy_names(
    __name__,
    ["FALLBACK_ERRORS", *(n for n in texapi_core.__all__ if n.startswith("TexAPI"))],
    ["texapi_core"],
)
