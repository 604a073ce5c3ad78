"""ChatTexAPI as an object: settings, secrets, copies, pickles."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import cloudpickle
import openai
import pytest
from langchain_core.load import dumps
from pydantic import SecretStr

from langchain_texapi import ChatTexAPI, TexAPISettingsError
from tests.conftest import Endpoint

KEY = "sk-tex-very-secret"


def model(**kwargs: Any) -> ChatTexAPI:
    return ChatTexAPI(**{"model": "claude-sonnet-4-6", "api_key": KEY, **kwargs})


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXAPI_API_KEY", KEY)
    monkeypatch.setenv("TEXAPI_BASE_URL", "https://gateway.example/v1")

    chat = ChatTexAPI(model="gpt-5.2")

    assert chat.texapi_api_key == SecretStr(KEY)
    assert chat.texapi_api_base == "https://gateway.example/v1"


def test_a_missing_key_raises_at_construction() -> None:
    with pytest.raises(TexAPISettingsError, match="TEXAPI_API_KEY"):
        ChatTexAPI(model="gpt-5.2")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"temprature": 1}, "temprature"),
        ({"max_retries": -1}, "max_retries"),
        ({"timeout": 0}, "timeout"),
        ({"base_url": "no address"}, "base_url"),
        ({"api_key": "a b"}, "api_key"),
        ({"temperature": "hot"}, "temperature"),
        ({"n": "two"}, "n"),
        ({"replay_reasoning": "sometimes"}, "replay_reasoning"),
    ],
)
def test_a_wrong_argument_is_named_and_the_key_is_not(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named) as caught:
        model(**arguments)

    assert KEY not in str(caught.value)


def test_nothing_shows_the_key_or_the_headers() -> None:
    chat = model(default_headers={"X-Tenant": "hidden-value"})

    shown = [repr(chat), str(chat), chat.model_dump_json(), dumps(chat), str(chat._identifying_params)]
    shown += [str(chat._get_ls_params()), str(chat.asdict()), str(chat._get_invocation_params())]

    for text in shown:
        assert KEY not in text
        assert "hidden-value" not in text


def test_a_pickle_holds_a_key_only_if_it_was_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXAPI_API_KEY", "sk-tex-of-this-machine")
    pickled = pickle.dumps(ChatTexAPI(model="gpt-5.2"))
    monkeypatch.setenv("TEXAPI_API_KEY", "sk-tex-of-the-worker")

    assert b"sk-tex-of-this-machine" not in pickled
    assert pickle.loads(pickled).texapi_api_key == SecretStr("sk-tex-of-the-worker")
    assert pickle.loads(pickle.dumps(model())).texapi_api_key == SecretStr(KEY)


@pytest.mark.parametrize(
    "copied",
    [
        copy.copy,
        copy.deepcopy,
        lambda m: pickle.loads(pickle.dumps(m)),
        lambda m: cloudpickle.loads(cloudpickle.dumps(m)),
        lambda m: m.model_copy(),
    ],
)
def test_a_copy_works_before_and_after_use(endpoint: Endpoint, copied: Any) -> None:
    chat = ChatTexAPI(**endpoint.for_langchain(model="gpt-5.2"))
    early = copied(chat)
    answer = chat.invoke("Say one").text
    late = copied(chat)

    assert early.invoke("Say one").text == late.invoke("Say one").text == answer


def test_a_model_with_the_user_s_http_client_cannot_be_pickled() -> None:
    with openai.DefaultHttpxClient() as own:
        with pytest.raises(TypeError, match="http_client"):
            pickle.dumps(model(http_client=own))
        assert copy.deepcopy(model(http_client=own)).http_client is own


def test_tracers_receive_provider_and_model() -> None:
    chat = model(temperature=0.5, max_tokens=7, stop=["END"])

    assert chat._get_ls_params() == {
        "ls_provider": "texapi",
        "ls_model_name": "claude-sonnet-4-6",
        "ls_model_type": "chat",
        "ls_temperature": 0.5,
        "ls_max_tokens": 7,
        "ls_stop": ["END"],
    }
    assert chat._get_ls_params(model="gpt-5.2")["ls_model_name"] == "gpt-5.2"


def test_the_cache_key_contains_everything_that_affects_the_answer() -> None:
    base = model()._get_llm_string()
    changes: list[dict[str, Any]] = [
        {"model": "gpt-5.2"},
        {"base_url": "https://other.example/v1"},
        {"temperature": 1.0},
        {"seed": 1},
        {"extra_body": {"a": 1}},
        {"model_kwargs": {"a": 1}},
        {"reasoning_effort": "low"},
    ]

    assert len({base, *(model(**change)._get_llm_string() for change in changes)}) == len(changes) + 1
    assert base == model(max_retries=5, timeout=3)._get_llm_string()
