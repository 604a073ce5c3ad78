"""What users may pass: names in `additional_kwargs`, and for one call."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from texapi_core.adapter_base.parameters import SECRET_OPTIONS, arguments_of_a_call
from texapi_core.settings_checks import settings_error

OTHER_NAMES = ("base_url", "async_http_client")
"""Arguments of the constructor that are not fields."""


def check_additional_kwargs(additional_kwargs: Mapping[str, Any], constructor_names: Collection[str]) -> None:
    """Refuse secrets, which would be printed and saved in clear, and what only the constructor takes.

    Raises:
        TexAPISettingsError: the text names the argument and where it belongs, never its value.
    """
    for name, value in additional_kwargs.items():
        if value is not None and name in SECRET_OPTIONS:
            raise settings_error(
                f"`{name}` in `additional_kwargs` would be printed and saved with all that is in it. "
                f"Pass `{SECRET_OPTIONS[name]}=...` to the constructor."
            )
    arguments_of_a_call(additional_kwargs, constructor_names)


def check_number_of_answers(payload: Mapping[str, Any]) -> None:
    """Refuse a payload that asks for more than one answer: all are paid for, and only the first is shown."""
    n = payload.get("n")
    if isinstance(n, int) and n > 1:
        raise settings_error(
            f"`n` is {n}, but LlamaIndex's responses hold one answer. Make a call for each "
            "answer. Nothing was sent."
        )


OF_LLAMA_INDEX = {
    "api_base": "The same as `base_url`, as LlamaIndex's OpenAI calls it.",
    "base_url": "Address of the gateway; default the environment's `TEXAPI_BASE_URL`, then "
    "`TEXAPI_API_BASE`, then TexAPI's.",
    "async_http_client": "The same as `http_async_client`, as LlamaIndex's OpenAI calls it.",
    "callback_manager": "LlamaIndex: handlers that follow each call; default those of `Settings`.",
    "rate_limiter": "LlamaIndex: waits before each call of this process; see `limits` for many.",
    "system_prompt": "LlamaIndex: system prompt of `predict`, `stream` and structured predictions.",
    "messages_to_prompt": "LlamaIndex: makes a prompt of messages; chat models do not use it.",
    "completion_to_prompt": "LlamaIndex: changes the prompt of `complete` before it is sent.",
    "output_parser": "LlamaIndex: parses and checks the text of `predict`.",
    "pydantic_program_mode": "LlamaIndex: which program makes structured predictions.",
    "query_wrapper_prompt": "LlamaIndex: a template around the prompt of `predict`.",
}
"""LlamaIndex's arguments, and those of `TexAPI` that are no fields -> what they do."""
