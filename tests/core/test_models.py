"""Known facts about models, and the models available to the key."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Endpoint
from tests.gateway import Gateway
from texapi_core import (
    TexAPIAuthenticationError,
    TexAPIResponseError,
    alist_models,
    capabilities,
    list_models,
    resolve_settings,
)
from texapi_core.catalog import UNKNOWN_MODEL
from texapi_core.settings import Settings


def settings(endpoint: Endpoint, **changes: Any) -> Settings:
    arguments = {"api_key": endpoint.api_key, "base_url": endpoint.base_url, "timeout": 5, "max_retries": 0}
    return resolve_settings(**{**arguments, **changes})


@pytest.mark.parametrize(
    "name",
    ["claude-sonnet-4-6", "claude-sonnet-4.6", "anthropic/claude-sonnet-4.6", "Claude-Sonnet-4-6-20260101"],
)
def test_a_model_is_found_under_each_spelling(name: str) -> None:
    assert capabilities(name).context_window == 1_000_000


@pytest.mark.parametrize("name", ["", "my-model", "claude", "sonnet"])
def test_an_unknown_model_is_not_an_error(name: str) -> None:
    assert capabilities(name) is UNKNOWN_MODEL


def test_list_models(recorded: Endpoint) -> None:
    models = list_models(settings(recorded))

    assert [model.id for model in models][:2] == ["claude-sonnet-4-6", "claude-haiku-4-5"]
    assert {model.owned_by for model in models} == {"texapi"}


async def test_alist_models(recorded: Endpoint) -> None:
    models = await alist_models(settings(recorded))

    assert "claude-sonnet-4-6" in [model.id for model in models]


def test_a_wrong_key_is_an_authentication_error(endpoint: Endpoint) -> None:
    with pytest.raises(TexAPIAuthenticationError, match="TEXAPI_API_KEY"):
        list_models(settings(endpoint, api_key="sk-tex-wrong"))


def test_an_answer_that_is_not_a_list_is_an_error(gateway: Gateway, endpoint: Endpoint) -> None:
    with pytest.raises(TexAPIResponseError):
        list_models(settings(endpoint, default_headers={"X-Standin-Fault": '{"body": {"data": null}}'}))
