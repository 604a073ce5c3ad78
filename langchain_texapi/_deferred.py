"""What needs LangChain's tools, imported on first use: they take as long to import as this package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from texapi_core._lazy import lazy_names

if TYPE_CHECKING:
    from langchain_texapi._structured_output import structured_output
    from langchain_texapi._token_counting import count_tokens
    from langchain_texapi._tools import format_call, format_choice, format_response_format, format_tools

__all__ = [
    "count_tokens",
    "format_call",
    "format_choice",
    "format_response_format",
    "format_tools",
    "structured_output",
]

_HOMES = (
    "langchain_texapi._tools",
    "langchain_texapi._structured_output",
    "langchain_texapi._token_counting",
)
__getattr__ = lazy_names(__name__, __all__, _HOMES)
