"""LangChain's own standard tests for chat models, against the stand-in gateway over a real socket."""

from __future__ import annotations

import base64
from typing import Any, Literal

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_texapi import ChatTexAPI
from tests.conftest import Endpoint

_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class _Downloaded:
    """Stub for the downloads of the suite's image, PDF and audio tests; nothing is downloaded here."""

    content = _PIXEL


class TestChatTexAPIUnit(ChatModelUnitTests):
    @pytest.mark.xfail(reason="load() takes other classes than LangChain's own only by allowed_objects")
    def test_serdes(self, model: BaseChatModel, snapshot: Any) -> None:
        """Saving and loading is tested in `test_saving.py` with those arguments."""
        super().test_serdes(model, snapshot)

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatTexAPI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "claude-sonnet-4-6", "api_key": "sk-tex-unit"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return (
            {"TEXAPI_API_KEY": "sk-tex-env", "TEXAPI_BASE_URL": "https://gateway.example/v1"},
            {"model": "claude-sonnet-4-6"},
            {"texapi_api_key": "sk-tex-env", "texapi_api_base": "https://gateway.example/v1"},
        )


class TestChatTexAPIIntegration(ChatModelIntegrationTests):
    endpoint: Endpoint

    @pytest.fixture(autouse=True)
    def _stand_in(self, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
        type(self).endpoint = endpoint
        downloads = "langchain_tests.integration_tests.chat_models.httpx.get"
        monkeypatch.setattr(downloads, lambda *args, **kwargs: _Downloaded)
        monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "none")

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatTexAPI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return self.endpoint.for_langchain(model="claude-sonnet-4-6")

    @property
    def model_override_value(self) -> str:
        return "gpt-5.2"

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        return True

    @property
    def supports_audio_inputs(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_pdf_tool_message(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def supported_usage_metadata_details(
        self,
    ) -> dict[
        Literal["invoke", "stream"],
        list[
            Literal[
                "audio_input",
                "audio_output",
                "reasoning_output",
                "cache_read_input",
                "cache_creation_input",
            ]
        ],
    ]:
        return {
            "invoke": ["reasoning_output", "cache_read_input", "cache_creation_input"],
            "stream": ["reasoning_output", "cache_read_input", "cache_creation_input"],
        }

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        chat = ChatTexAPI(**self.chat_model_params, reasoning_effort="low")
        return _answer(chat, [HumanMessage("What is 12 * 7?")], stream=stream)

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        chat = ChatTexAPI(**self.chat_model_params)
        messages = [_long_instructions("read"), HumanMessage("Say one")]
        chat.invoke(messages)
        return _answer(chat, messages, stream=stream)

    def invoke_with_cache_creation_input(self, *, stream: bool = False) -> AIMessage:
        chat = ChatTexAPI(**self.chat_model_params)
        return _answer(
            chat, [_long_instructions(f"created {stream}"), HumanMessage("Say one")], stream=stream
        )


def _long_instructions(name: str) -> SystemMessage:
    text = f"{name}: " + "Answer in one short sentence and name your source. " * 20
    return SystemMessage([{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}])


def _answer(chat: ChatTexAPI, messages: Any, *, stream: bool) -> AIMessage:
    if not stream:
        return chat.invoke(messages)
    whole: AIMessageChunk | None = None
    for chunk in chat.stream(messages):
        assert isinstance(chunk, AIMessageChunk)
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    return whole
