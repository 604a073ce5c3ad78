"""The settings of a model are the same after a dump to JSON, field by field, as the class lists them.

Fields that hold secrets, connections or callbacks are in no dump: they are given again, or come from the
environment.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest
from llama_index.core.llms.loading import load_llm

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI

KEY = "sk-tex-test-key-0123456789"
VALUES: dict[str, Any] = {
    "api_base": "https://gateway.example/v1",
    "texapi_api_base": "https://gateway.example/v1",
    "model": "m",
    "model_name": "m",
    "stop": ["a"],
    "logit_bias": {1: -100, "2": 5},
    "reasoning": {"effort": "low"},
    "prompt_cache_options": {"mode": "auto"},
    "modalities": ["text"],
    "extra_body": {"a": [1]},
    "additional_kwargs": {"min_p": 0.5},
    "model_kwargs": {"min_p": 0.5},
    "metadata": {"a": 1},
    "tags": ["a"],
    "async_transport": "aiohttp",
    "budget_window": "30d",
    "budget_scope": "key",
    "budget_timezone": "Asia/Ho_Chi_Minh",
    "budget_warnings": (0.5, 0.9),
    "unpriced": "count_tokens",
    "on_ledger_error": "open",
    "history": "as_is",
    "cache_prompts": "1h",
    "fallback_models": ["b"],
    "replay_reasoning": "never",
    "tool_media": "tool_message",
    "pydantic_program_mode": "openai",
    "output_version": "v1",
    "disable_streaming": "tool_calling",
    "n": 2,
    "top_logprobs": 3,
    "stream_idle_timeout": None,
    "system_prompt": "Be brief.",
}
"""Values of fields for which no number, text or bool would do."""
LIMITS = {"max_cost": 1, "max_tokens_total": 1000}
"""What the settings of budgets need beside them."""
TIMEOUTS = [
    None,
    5,
    2.5,
    openai.Timeout(9),
    openai.Timeout(9, connect=1.5),
    openai.Timeout(None, read=3),
]
NOT_PLAIN = {"cache", "rate_limiter", "callbacks", "custom_get_token_ids", "profile", "name"}
"""LangChain's own fields that hold objects, which a dump to JSON cannot restore."""


def _fields(model_class: type[Any]) -> list[str]:
    fields = model_class.model_fields.items()
    return [name for name, field in fields if not field.exclude and name not in NOT_PLAIN]


def _llama_index_trips() -> dict[str, Callable[[TexAPI], Any]]:
    return {
        "JSON": lambda llm: TexAPI.from_json(llm.to_json(), api_key=KEY),
        "dict": lambda llm: TexAPI.from_dict(llm.to_dict(), api_key=KEY),
        "fields": lambda llm: TexAPI(**llm.model_dump(), api_key=KEY),
        "loader": lambda llm: load_llm({**json.loads(llm.to_json()), "api_key": KEY}),
    }


def _value(name: str, field: Any) -> Any:
    if name in VALUES:
        return VALUES[name]
    if isinstance(field.default, bool):
        return not field.default
    kind = str(field.annotation)
    if "bool" in kind:
        return True
    return 1 if "int" in kind or "float" in kind else "text"


@pytest.mark.parametrize("way", _llama_index_trips())
@pytest.mark.parametrize("name", _fields(TexAPI))
def test_llama_index(way: str, name: str) -> None:
    values = TIMEOUTS if name == "timeout" else [_value(name, TexAPI.model_fields[name])]
    for value in values:
        arguments: Any = {"model": "m", "api_key": KEY, **LIMITS, name: value}
        llm = TexAPI(**arguments)

        restored = _llama_index_trips()[way](llm)

        assert getattr(restored, name) == getattr(llm, name)
        assert type(getattr(restored, name)) is type(getattr(llm, name))
        for other in _fields(TexAPI):
            assert getattr(restored, other) == getattr(llm, other), other


@pytest.mark.parametrize("name", _fields(ChatTexAPI))
def test_langchain(name: str) -> None:
    values = TIMEOUTS if name == "request_timeout" else [_value(name, ChatTexAPI.model_fields[name])]
    for value in values:
        key = {} if name == "texapi_api_key" else {"api_key": KEY}
        arguments: Any = {"model": "m", **key, **LIMITS, name: value}
        chat = ChatTexAPI(**arguments)

        fields: Any = json.loads(chat.model_dump_json(exclude=NOT_PLAIN | {"texapi_api_key"}))
        restored = ChatTexAPI(**fields, api_key=chat.texapi_api_key)

        assert type(getattr(restored, name)) is type(getattr(chat, name))
        for other in _fields(ChatTexAPI):
            assert getattr(restored, other) == getattr(chat, other), other
