"""The LLM class under test, `TexAPI` unless the environment names another."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from tests.conftest import Endpoint

VARIABLE = "CONFORMANCE_SUBJECT"
MODEL = "claude-sonnet-4-6"


@dataclass(frozen=True)
class Subject:
    """A class with the arguments that its documentation recommends for such a gateway."""

    path: str
    """`module:Class`."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    distribution: str | None = None

    @property
    def name(self) -> str:
        return self.path.rpartition(":")[2]

    def bare(self, endpoint: Endpoint, **kwargs: Any) -> Any:
        """The LLM without further arguments."""
        module, _, name = self.path.partition(":")
        where = {"model": MODEL, "api_base": endpoint.base_url, "api_key": endpoint.api_key}
        return getattr(import_module(module), name)(**{**where, **kwargs})

    def llm(self, endpoint: Endpoint, **kwargs: Any) -> Any:
        """The LLM as documented, without retries."""
        return self.bare(endpoint, **{"max_retries": 0, **self.arguments, **kwargs})


SUBJECTS = {
    "texapi": Subject("llama_index_texapi:TexAPI", distribution="texapi-integrations"),
    "openai-like": Subject(
        "llama_index.llms.openai_like:OpenAILike",
        {"is_chat_model": True, "is_function_calling_model": True},
        "llama-index-llms-openai-like",
    ),
}


def subject_named(name: str) -> Subject:
    """A subject of the table, or a class given by its path, without extra arguments."""
    return SUBJECTS.get(name) or Subject(name)


SUBJECT = subject_named(os.environ.get(VARIABLE, "texapi"))
