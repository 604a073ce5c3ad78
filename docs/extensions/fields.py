"""The directive `fields`: a table of the constructor arguments of a model class, made from its fields.

A field's meaning is its `description`, else its docstring in the framework's source.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any, ClassVar, NamedTuple, get_type_hints

from docutils import nodes
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import stringify_annotation

_HEAD = "| Argument | Type | Default | Meaning |\n| --- | --- | --- | --- |"
_ROLE = re.compile(r":\w+:`~?([^`<]+)(?: <[^>]*>)?`|\[`?([^\]`]+)`?\](?:\[[^\]]*\]|\([^)]*\))")
_MODULE = re.compile(r"~?\b(?:[A-Za-z_]\w*\.)+(?=\w)")
OTHERWISE = "Documented by the framework."


class Field(NamedTuple):
    """An argument of a constructor, as text."""

    owner: type
    names: tuple[str, ...]
    type: str
    default: str
    meaning: str


def fields(model: type[BaseModel]) -> Iterator[Field]:
    """The fields of a class in the order of its signature, each with the class that declares it."""
    annotations = {name: info.annotation for name, info in model.model_fields.items()}
    plain = type("Plain", (), {"__annotations__": annotations})
    hints = get_type_hints(plain)  # without what `Annotated` adds
    first = [*inspect.signature(model).parameters]
    by_place = sorted(model.model_fields.items(), key=lambda each: _place(first, each))
    for name, info in by_place:
        classes = reversed(model.__mro__)
        owner = next(each for each in classes if name in vars(each).get("__annotations__", {}))
        names = (info.alias, name) if info.alias and info.alias != name else (name,)
        kind = _MODULE.sub("", stringify_annotation(hints[name], "smart"))
        meaning = info.description or _docstring(owner, name)
        yield Field(owner, names, kind, _default(info, meaning), meaning)


def _place(parameters: list[str], field: tuple[str, FieldInfo]) -> int:
    """Where the signature has a field: `model` and `api_key` come first there."""
    name, info = field
    places = [parameters.index(each) for each in (info.alias, name) if each in parameters]
    return min(places, default=len(parameters))


def _default(info: FieldInfo, meaning: str) -> str:
    if info.is_required():
        return "see its meaning" if "default" in meaning else "required"
    if info.default is not PydanticUndefined:
        return f"`{getattr(info.default, 'value', info.default)!r}`"
    made = info.get_default(call_default_factory=True, validated_data={})
    return f"`{made!r}`" if made in ({}, [], (), True, False) else "see its meaning"


def _docstring(owner: type, name: str) -> str:
    """The first paragraph of the text below the field in the source."""
    lines = ModuleAnalyzer.for_module(owner.__module__).find_attr_docs().get((owner.__qualname__, name), [])
    paragraph = lines[: lines.index("")] if "" in lines else lines
    return _ROLE.sub(lambda found: f"`{found[1] or found[2]}`", " ".join(paragraph)) or OTHERWISE


def is_own(field: Field, model: type[BaseModel]) -> bool:
    """Whether this project declares the field, not the framework."""
    return field.owner.__module__.partition(".")[0] in ("texapi_core", model.__module__.partition(".")[0])


def table(model: type[BaseModel], *, own: bool) -> str:
    """The fields as a Markdown table: `own` for those that this project declares, else the framework's."""
    rows = [
        (" or ".join(f"`{name}`" for name in each.names), f"`{each.type}`", each.default, each.meaning)
        for each in fields(model)
        if is_own(each, model) is own
    ]
    cells = [" | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in row) for row in rows]
    return "\n".join([_HEAD, *(f"| {line} |" for line in cells)])


class FieldsDirective(SphinxDirective):
    """`fields` CLASS: the arguments that this project declares; with `:inherited:` the framework's."""

    required_arguments = 1
    option_spec: ClassVar = {"inherited": lambda argument: True}

    def run(self) -> list[nodes.Node]:
        """The table."""
        module, _, name = self.arguments[0].rpartition(".")
        model = getattr(import_module(module), name)
        made = self.parse_text_to_nodes(table(model, own="inherited" not in self.options))
        for each in made:
            each["classes"].append("arguments")
        return made


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.add_directive("fields", FieldsDirective)
