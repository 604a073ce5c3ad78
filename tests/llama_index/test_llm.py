"""TexAPI as an object: contract, settings, secrets, copies, pickles."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import cloudpickle
import openai
import pytest
from llama_index.core import PromptHelper, Settings
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms.loading import load_llm

from llama_index_texapi import TexAPI, TexAPISettingsError
from tests.conftest import Endpoint
from tests.llama_index.test_chat import llm as llm_at

KEY = "sk-tex-very-secret"


def llm(**kwargs: Any) -> TexAPI:
    return TexAPI(**{"model": "claude-sonnet-4-6", "api_key": KEY, **kwargs})


def test_it_is_a_llama_index_llm() -> None:
    assert BaseLLM.__name__ in [base.__name__ for base in TexAPI.__mro__]
    assert TexAPI.class_name() == "TexAPI"


def test_settings_accepts_it() -> None:
    try:
        Settings.llm = llm()
        assert Settings.llm.metadata.model_name == "claude-sonnet-4-6"
    finally:
        Settings._llm = None


@pytest.mark.parametrize(
    ("arguments", "window"),
    [
        ({"model": "claude-sonnet-4-6"}, 1_000_000),
        ({"model": "never-heard-of"}, 128_000),
        ({"model": "never-heard-of", "context_window": 9_000}, 9_000),
    ],
)
def test_metadata_of_any_model(arguments: dict[str, Any], window: int) -> None:
    metadata = llm(**arguments).metadata

    assert metadata.context_window == window
    assert metadata.is_chat_model
    assert metadata.is_function_calling_model
    assert metadata.num_output == -1


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize(
    ("window", "limit", "planned"),
    [
        (128_000, 12_800, 12_800),
        (128_000, 120_000, 120_000),
        (128_000, 126_000, 96_000),
        (128_000, 200_000, 96_000),
        (8_192, 6_144, 6_144),
        (8_192, 8_192, 6_144),
        (1_000, 1_000, 750),
    ],
)
def test_a_limit_that_leaves_no_room_for_a_prompt_is_not_planned_with(
    name: str, window: int, limit: int, planned: int
) -> None:
    model = llm(context_window=window, **{name: limit})

    assert PromptHelper.from_llm_metadata(model.metadata).num_output == planned
    assert model._request([ChatMessage("Hello")], {})[0][name] == limit


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXAPI_API_KEY", KEY)
    monkeypatch.setenv("TEXAPI_API_BASE", "https://gateway.example/v1")

    assert TexAPI("gpt-5.2").api_base == "https://gateway.example/v1"
    assert TexAPI("gpt-5.2", base_url="https://a.example/v1").api_base == "https://a.example/v1"


def test_a_missing_key_raises_at_construction() -> None:
    with pytest.raises(TexAPISettingsError, match="TEXAPI_API_KEY"):
        TexAPI("gpt-5.2")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"temprature": 1}, "temprature"),
        ({"max_retries": -1}, "max_retries"),
        ({"timeout": 0}, "timeout"),
        ({"api_base": "no address"}, "base_url"),
        ({"api_key": "a b"}, "api_key"),
        ({"temperature": "hot"}, "temperature"),
        ({"context_window": "long"}, "context_window"),
    ],
)
def test_a_wrong_argument_is_named_and_the_key_is_not(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named) as caught:
        llm(**arguments)

    assert KEY not in str(caught.value)


def test_nothing_shows_the_key_or_the_headers() -> None:
    secretive = llm(default_headers={"X-Tenant": "hidden-value"})

    shown = [repr(secretive), str(secretive), str(secretive.to_dict()), secretive.to_json()]
    shown += [str(secretive.to_payload()), str(secretive.model_dump())]

    for text in shown:
        assert KEY not in text
        assert "hidden-value" not in text


def test_the_payload_of_events_names_model_and_temperature() -> None:
    payload = llm(temperature=0.5).to_payload()

    assert (payload["model"], payload["temperature"], payload["class_name"]) == (
        "claude-sonnet-4-6",
        0.5,
        "TexAPI",
    )


def test_a_loaded_llm_reads_the_key_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    saved = llm(temperature=0.5, system_prompt="Be terse.").to_dict()
    monkeypatch.setenv("TEXAPI_API_KEY", "sk-tex-here")

    for loaded in (load_llm(dict(saved)), TexAPI.from_dict(dict(saved))):
        assert isinstance(loaded, TexAPI)
        assert loaded.temperature == 0.5
        assert loaded.system_prompt == "Be terse."
        assert loaded._settings().api_key == "sk-tex-here"


SLOW_LOADER = """
import importlib.abc, importlib.util, sys, threading
import llama_index.core.llms

NAME = "llama_index.core.llms.loading"
begun, go_on = threading.Event(), threading.Event()

class Slowly(importlib.abc.Loader):
    def __init__(self, loader):
        self.loader = loader

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        begun.set()
        go_on.wait(2)
        self.loader.exec_module(module)

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != NAME:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        spec.loader = Slowly(spec.loader)
        return spec

sys.meta_path.insert(0, Finder())
other = threading.Thread(target=importlib.import_module, args=[NAME])
other.start()
begun.wait()
threading.Timer(0.5, go_on.set).start()
import llama_index_texapi
other.join()
print(llama_index_texapi.TexAPI.class_name() in sys.modules[NAME].RECOGNIZED_LLMS)
"""


@pytest.mark.combination  # a process that imports LlamaIndex
def test_another_thread_may_import_the_loader_at_the_same_time() -> None:
    done = subprocess.run([sys.executable, "-c", SLOW_LOADER], capture_output=True, text=True, check=False)

    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr


def test_a_pickle_holds_a_key_only_if_it_was_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXAPI_API_KEY", "sk-tex-of-this-machine")
    pickled = pickle.dumps(TexAPI("gpt-5.2"))
    monkeypatch.setenv("TEXAPI_API_KEY", "sk-tex-of-the-worker")

    assert b"sk-tex-of-this-machine" not in pickled
    assert pickle.loads(pickled)._settings().api_key == "sk-tex-of-the-worker"
    assert pickle.loads(pickle.dumps(llm()))._settings().api_key == KEY


@pytest.mark.parametrize(
    "copied",
    [
        copy.copy,
        copy.deepcopy,
        lambda it: pickle.loads(pickle.dumps(it)),
        lambda it: cloudpickle.loads(cloudpickle.dumps(it)),
        lambda it: it.model_copy(),
    ],
)
def test_a_copy_works_before_and_after_use(endpoint: Endpoint, copied: Any) -> None:
    original = llm_at(endpoint)
    early = copied(original)
    answer = original.complete("Say one").text
    late = copied(original)

    assert early.complete("Say one").text == late.complete("Say one").text == answer


def test_an_llm_with_the_user_s_http_client_cannot_be_pickled() -> None:
    with openai.DefaultHttpxClient() as own:
        with pytest.raises(TypeError, match="http_client"):
            pickle.dumps(llm(http_client=own))
        assert copy.deepcopy(llm(http_client=own)).http_client is own


def test_a_key_may_be_changed_later(endpoint: Endpoint) -> None:
    changed = llm(api_base=endpoint.base_url)
    changed.api_key = endpoint.api_key  # type: ignore[assignment] # as users do

    assert changed.complete("Say one").text


def test_a_rate_limiter_is_shared_by_copies() -> None:
    from llama_index.core.rate_limiter import TokenBucketRateLimiter

    limiter = TokenBucketRateLimiter(requests_per_minute=1000)

    assert copy.deepcopy(llm(rate_limiter=limiter)).rate_limiter is limiter
