"""Settings: argument, then environment, then default; invalid ones raise before anything is sent."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from texapi_core import TexAPISettingsError, resolve_settings
from texapi_core.settings import Settings, call_options, refuse_unknown_arguments
from texapi_core.settings_checks import DEFAULT_BASE_URL


def settings(**arguments: Any) -> Settings:
    return resolve_settings(
        **{"api_key": "sk-tex-1", "base_url": None, "timeout": None, "max_retries": 2, **arguments}
    )


def test_the_key_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXAPI_API_KEY", "sk-tex-env")

    assert settings(api_key=None).api_key == "sk-tex-env"
    assert settings(api_key="sk-tex-arg").api_key == "sk-tex-arg"


def test_openai_s_key_is_never_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")

    with pytest.raises(TexAPISettingsError, match="TEXAPI_API_KEY"):
        settings(api_key=None)


@pytest.mark.parametrize("key", ["", " ", "sk tex", "sk-tex\n", "\tsk-tex", "sk-tếx", "sk\0tex"])
def test_an_invalid_key_raises_and_is_not_shown(key: str) -> None:
    with pytest.raises(TexAPISettingsError, match="TEXAPI_API_KEY") as caught:
        settings(api_key=key)

    assert not key.strip() or key not in str(caught.value)


def test_a_settings_error_is_an_openai_error_and_a_value_error() -> None:
    assert issubclass(TexAPISettingsError, openai.OpenAIError)
    assert issubclass(TexAPISettingsError, ValueError)


def test_the_address_argument_environment_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings().base_url == DEFAULT_BASE_URL
    monkeypatch.setenv("TEXAPI_API_BASE", "https://b.example/v1")
    assert settings().base_url == "https://b.example/v1"
    monkeypatch.setenv("TEXAPI_BASE_URL", "https://a.example/v1/")
    assert settings().base_url == "https://a.example/v1"
    assert settings(base_url="http://127.0.0.1:80/v1").base_url == "http://127.0.0.1:80/v1"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.texapi.dev/v1",
        "ftp://api.texapi.dev",
        "https://",
        "https://user:secret@api.texapi.dev/v1",
        "https://api.texapi.dev/v1/chat/completions",
        "https://api.texapi.dev/v1?key=secret",
        "https://api.texapi.dev:port/v1",
    ],
)
def test_an_invalid_address_is_named(url: str) -> None:
    with pytest.raises(TexAPISettingsError, match="base_url") as caught:
        settings(base_url=url)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", [["https://api.texapi.dev/v1"], 1, b"https://api.texapi.dev/v1"])
def test_an_address_of_the_wrong_type_is_named(url: Any) -> None:
    with pytest.raises(TexAPISettingsError, match=f"`base_url` must be a string.*not {type(url).__name__}"):
        settings(base_url=url)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeout", 0),
        ("timeout", -1),
        ("timeout", "10"),
        ("timeout", True),
        ("timeout", float("nan")),
        ("timeout", float("inf")),
        ("timeout", 1e10),
        ("stream_idle_timeout", 1e10),
        ("stream_idle_timeout", 0),
        ("keepalive", -1),
        ("keepalive", "60"),
        ("keepalive", True),
        ("keepalive", float("inf")),
        ("max_retries", -1),
        ("max_retries", 1.5),
        ("max_retries", None),
        ("max_retries", 10_000),
        ("default_headers", {"X-A": "b\r\nc"}),
        ("default_headers", {"X A": "b"}),
        ("default_headers", {"": "b"}),
        ("default_headers", {"X-A": 1}),
        ("default_headers", {"X-A": "Hà Nội"}),
    ],
)
def test_a_value_out_of_range_is_named(name: str, value: Any) -> None:
    with pytest.raises(TexAPISettingsError, match=f"`{name}`"):
        settings(**{name: value})


def test_a_timeout_object_of_openai_is_accepted() -> None:
    timeout = openai.Timeout(5.0, connect=1.0)

    assert settings(timeout=timeout).timeout is timeout


def test_no_repr_shows_a_secret() -> None:
    shown = repr(settings(api_key="sk-tex-secret", default_headers={"X-Tenant": "hidden"}))

    assert "secret" not in shown
    assert "hidden" not in shown


def test_call_options_are_checked_too() -> None:
    with pytest.raises(TexAPISettingsError, match="extra_headers"):
        call_options({"extra_headers": {"X": "a\nb"}})
    with pytest.raises(TexAPISettingsError, match="timeout"):
        call_options({"timeout": -1})


def test_an_unknown_argument_is_named_with_a_suggestion() -> None:
    with pytest.raises(TexAPISettingsError, match=r"no argument `temprature`. Did you mean `temperature`"):
        refuse_unknown_arguments("ChatTexAPI", ["temprature"], ["temperature", "model"])
