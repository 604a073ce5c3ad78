"""The API reference has every public name, and every argument and field is described."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

import langchain_texapi
import llama_index_texapi
import texapi_core
from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from texapi_core import accounting, bulk, errors

ROOT = Path(__file__).parent.parent
PUBLIC: tuple[ModuleType, ...] = (langchain_texapi, llama_index_texapi, texapi_core, accounting, bulk)
NAMED = [(module, name) for module in PUBLIC for name in module.__all__ if name != "__version__"]
_NAME = re.compile(r"`(\w+)`")


def _of_fields(monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("sphinx", reason="the group `docs` is not installed")
    monkeypatch.syspath_prepend(ROOT / "docs")
    return import_module("extensions.fields")


@pytest.mark.parametrize(
    ("module", "name"), [pytest.param(*each, id=f"{each[0].__name__}.{each[1]}") for each in NAMED]
)
def test_a_public_name_is_in_the_reference(module: ModuleType, name: str) -> None:
    page = (ROOT / "docs" / "api.md").read_text("utf-8")

    if hasattr(errors, name):
        assert "automodule:: texapi_core.errors\n   :members:" in page
    else:
        assert re.search(rf"auto\w+:: {module.__name__}\.{name}$", page, re.MULTILINE)


@pytest.mark.parametrize("model", [ChatTexAPI, TexAPI])
def test_every_argument_of_a_model_has_a_meaning(
    model: type[BaseModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = _of_fields(monkeypatch)
    page = (ROOT / "docs" / "api.md").read_text("utf-8")
    whole = f"{model.__module__.partition('.')[0]}.{model.__name__}"

    assert f"```{{fields}} {whole}\n```" in page
    assert f"```{{fields}} {whole}\n:inherited:\n```" in page
    found = list(fields.fields(model))
    assert {each.names[-1] for each in found} == model.model_fields.keys()
    for each in found:
        assert each.meaning not in ("", fields.OTHERWISE) or not fields.is_own(each, model), each
        assert all(each[2:]), each
        assert "FieldInfo" not in each.type
        assert "object at" not in each.default


def _described(thing: Any) -> set[str]:
    """The names in its docstring, in those of the functions and fields of classes that it names."""
    text = inspect.getdoc(thing) or ""
    found = set(re.findall(r"\w+", text))
    for name in _NAME.findall(text):
        module = sys.modules[thing.__module__]
        other = getattr(module, name, None) or getattr(texapi_core, name, None)
        if other is not None and other is not thing:
            found |= set(re.findall(r"\w+", inspect.getdoc(other) or ""))
            found |= (
                {each.name for each in dataclasses.fields(other)}
                if dataclasses.is_dataclass(other)
                else set()
            )
    return found


def _functions() -> Iterator[Any]:
    for module, name in NAMED:
        thing = getattr(module, name)
        if inspect.isfunction(thing):
            yield pytest.param(thing, id=f"{module.__name__}.{name}")


@pytest.mark.parametrize("function", [*_functions()])
def test_every_argument_of_a_function_is_described(function: Any) -> None:
    assert set(inspect.signature(function).parameters) <= _described(function)


def _classes() -> Iterator[Any]:
    for module, name in NAMED:
        thing = getattr(module, name)
        if inspect.isclass(thing) and not issubclass(thing, (BaseModel, Exception)):
            yield pytest.param(thing, id=f"{module.__name__}.{name}")


@pytest.mark.parametrize("kind", [*_classes()])
def test_every_field_of_a_value_is_described(kind: type) -> None:
    code = pytest.importorskip("sphinx.pycode", reason="the group `docs` is not installed")
    below = code.ModuleAnalyzer.for_module(kind.__module__).find_attr_docs()
    named = {each.name for each in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    named |= set(getattr(kind, "_fields", ()))

    assert kind.__doc__
    assert [
        name
        for name in sorted(named)
        if not name.startswith("_")
        and (kind.__qualname__, name) not in below
        and name not in _described(kind)
    ] == []
