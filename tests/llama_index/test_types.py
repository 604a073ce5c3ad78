"""The types that type checkers see for methods wrapped by LlamaIndex's decorators."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_type

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
)

from llama_index_texapi import TexAPI

if TYPE_CHECKING:  # checked by mypy

    async def _types(llm: TexAPI, messages: list[ChatMessage]) -> None:
        assert_type(llm.chat(messages), ChatResponse)
        assert_type(llm.stream_chat(messages), ChatResponseGen)
        assert_type(llm.complete("Hello"), CompletionResponse)
        assert_type(llm.stream_complete("Hello"), CompletionResponseGen)
        assert_type(await llm.achat(messages), ChatResponse)
        assert_type(await llm.astream_chat(messages), ChatResponseAsyncGen)
        assert_type(await llm.acomplete("Hello"), CompletionResponse)
        assert_type(await llm.astream_complete("Hello"), CompletionResponseAsyncGen)
