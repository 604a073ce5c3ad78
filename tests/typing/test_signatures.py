"""What type checkers, `help()` and notebooks see of both classes is what the constructors take."""

from __future__ import annotations

import inspect
from typing import Any, get_type_hints

import pytest
from langchain_core.language_models import BaseChatModel
from llama_index.core.llms.function_calling import FunctionCallingLLM
from pydantic import BaseModel

from langchain_texapi import ChatTexAPI
from langchain_texapi._constructor_types import ChatTexAPIArguments
from llama_index_texapi import TexAPI
from llama_index_texapi._arguments import OTHER_NAMES
from llama_index_texapi._constructor_types import TexAPIArguments
from texapi_core.adapter_base.constructor_types import SharedArguments

SECOND_NAMES = {"model_name", "texapi_api_key", "texapi_api_base", "request_timeout"}
"""Fields of ChatTexAPI that also go by their names; type checkers know their aliases."""
READ_MORE_WIDELY = {
    "api_key", "base_url", "api_base", "timeout", "logit_bias", "default_headers", "limits", "budgets",
    "budget_warnings",
}  # fmt: skip
"""Arguments whose text, list or number becomes another type as a field."""

CLASSES = pytest.mark.parametrize(
    ("model_class", "arguments", "framework"),
    [(ChatTexAPI, ChatTexAPIArguments, BaseChatModel), (TexAPI, TexAPIArguments, FunctionCallingLLM)],
)


def _names(model_class: type[BaseModel]) -> set[str]:
    aliases = {field.alias for field in model_class.model_fields.values() if field.alias}
    other = set(OTHER_NAMES) if model_class is TexAPI else set()
    return {*model_class.model_fields, *aliases, *other} - SECOND_NAMES


@CLASSES
def test_type_checkers_know_every_argument(model_class: Any, arguments: Any, framework: Any) -> None:
    known = {"model", *arguments.__annotations__, *SharedArguments.__annotations__}

    assert _names(model_class) - known == set()
    # A framework's older version may not have all of its arguments.
    assert (known - _names(model_class)) & set(SharedArguments.__annotations__) == set()


@CLASSES
def test_type_checkers_know_the_fields_types(model_class: Any, arguments: Any, framework: Any) -> None:
    fields = {field.alias or name: field for name, field in model_class.model_fields.items()}
    own = {name: field for name, field in fields.items() if name not in framework.model_fields}
    hints = get_type_hints(arguments)
    checked = {name: field.annotation for name, field in own.items() if name != "model"}

    assert {n: hints[n] for n in checked if n not in READ_MORE_WIDELY and hints[n] != checked[n]} == {}


@CLASSES
def test_help_shows_the_model_first_and_every_argument(
    model_class: Any, arguments: Any, framework: Any
) -> None:
    parameters = inspect.signature(model_class).parameters
    documented = (inspect.getdoc(model_class) or "").partition("Args:")[2].partition("Raises:")[0]
    lines = dict(line.strip().split(": ", 1) for line in documented.strip().splitlines())

    assert next(iter(parameters)) == "model"
    assert parameters["model"].default is inspect.Parameter.empty
    assert "Any" not in str(parameters["api_key"].annotation)
    shown = _names(model_class) - ({"stop"} if model_class is ChatTexAPI else set())
    assert set(parameters) == set(lines) == shown
    assert [name for name, text in lines.items() if len(text) < 10] == []
    assert lines["max_response_bytes"].endswith("Default 134217728.")


@CLASSES
def test_type_hints_work_where_the_framework_s_do(model_class: Any, arguments: Any, framework: Any) -> None:
    def fails(of: type, name: str) -> bool:
        try:
            get_type_hints(getattr(of, name))
        except (NameError, TypeError):
            return True
        return False

    assert get_type_hints(model_class)["temperature"] == float | None
    names = [
        name
        for name in dir(framework)
        if not name.startswith("_")
        and callable(getattr(framework, name, None))
        # pydantic's own, in some versions with names that only type checkers see
        and name not in ("copy", "model_post_init")
    ]
    assert [name for name in names if fails(model_class, name) and not fails(framework, name)] == []


@pytest.mark.parametrize("name", ["complete", "stream_complete", "acomplete", "astream_complete"])
def test_completions_show_their_arguments(name: str) -> None:
    assert list(inspect.signature(getattr(TexAPI, name)).parameters) == [
        "self",
        "prompt",
        "formatted",
        "kwargs",
    ]
    assert str(inspect.signature(getattr(TexAPI("m", api_key="sk-tex-1"), name))).startswith("(prompt: ")
