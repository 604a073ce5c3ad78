"""Saving and loading by `langchain_core.load`, and the keys of LangChain's caches."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from langchain_core.load import dumpd, dumps, load
from langchain_core.prompts import ChatPromptTemplate, HumanMessagePromptTemplate, PromptTemplate
from langchain_core.runnables import RunnableSequence
from pydantic import SecretStr

from langchain_texapi import ChatTexAPI

KEY = "sk-tex-secret-00000000000000"

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
CLASSES: Any = [
    RunnableSequence, ChatPromptTemplate, HumanMessagePromptTemplate, PromptTemplate, ChatTexAPI,
]  # fmt: skip


def saved_and_loaded(saved: Any, **options: Any) -> Any:
    options = {"secrets_map": {"TEXAPI_API_KEY": KEY}, **options}
    return load(saved, allowed_objects=CLASSES, valid_namespaces=["langchain_texapi"], **options)


def test_a_chain_is_loaded_as_it_was() -> None:
    model = ChatTexAPI(
        model="gpt-5.2", api_key=KEY, temperature=0.2, stop_sequences=["END"], timeout=openai.Timeout(5),
        max_cost=2.5, budget_window="month", extra_body={"top_k": 5}, cache_prompts="5m",
    )  # fmt: skip
    chain: Any = ChatPromptTemplate.from_messages([("user", "{question}")]) | model

    loaded = saved_and_loaded(json.loads(dumps(chain)))

    assert loaded.first == chain.first
    assert loaded.last == model
    assert loaded.last.texapi_api_key.get_secret_value() == KEY


def test_what_is_saved_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "s3cret-" + "x" * 20
    monkeypatch.setenv("TEXAPI_API_KEY", KEY)
    model = ChatTexAPI(
        model="gpt-5.2",
        base_url="https://example.com/v1",
        default_headers={"X-Team": SecretStr(secret)},
        default_query={"token": secret},
        limits={"url": f"redis://:{secret}@localhost:6379/0"},
        usage_ledger=f"postgresql://u:{secret}@localhost/x",
    )

    assert KEY not in dumps(model)
    assert secret not in dumps(model)
    loaded = saved_and_loaded(dumpd(model), secrets_from_env=True, secrets_map={})
    assert loaded.texapi_api_base == "https://example.com/v1"


def test_budgets_of_the_environment_are_not_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXAPI_MAX_COST", "5")
    saved = dumpd(ChatTexAPI(model="gpt-5.2", api_key=KEY))
    monkeypatch.setenv("TEXAPI_MAX_COST", "7")

    assert "max_cost" not in saved["kwargs"]
    assert saved_and_loaded(saved).max_cost == 7


def test_cache_keys_are_apart_by_what_changes_an_answer() -> None:
    def key(stop: list[str] | None = None, **arguments: Any) -> str:
        per_call = arguments.pop("per_call", {})
        return ChatTexAPI(**{"model": "m", "api_key": KEY, **arguments})._get_llm_string(
            stop=stop, **per_call
        )

    apart = [
        key(),
        key(model="n"),
        key(temperature=0.5),
        key(stop=["a"]),
        key(default_headers={"X-Team": "a"}),
        key(default_headers={"X-Team": "b"}),
        key(default_query={"a": 1}),
        key(per_call={"extra_headers": {"X-Team": "a"}}),
        key(per_call={"extra_headers": {"X-Team": "b"}}),
        key(base_url="https://example.com/v1"),
    ]
    assert len(set(apart)) == len(apart)
    assert key(max_cost=5, keepalive=5, max_retries=0) == key()
