"""Models: the rows of the gateway's list, and the bundled table of capabilities."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, TypeVar

DEFAULT_CONTEXT_WINDOW = 128_000
"""Tokens, for a model that is not in the table."""

_Row = TypeVar("_Row")
_VERSION_SUFFIX = re.compile(r"(-20\d{6}|-20\d\d-\d\d-\d\d|-latest|-preview|:[a-z]+)+$")


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One model as `GET /v1/models` lists it."""

    id: str
    """The name to pass as `model`."""
    owned_by: str | None = None
    created: int | None = None
    """Seconds since 1970."""
    extras: Mapping[str, Any] = field(default_factory=dict)
    """Other members of the gateway's row, e.g. prices."""


@dataclass(frozen=True, slots=True)
class ModelCapabilities:
    """Capabilities of a model. `None` means unknown."""

    context_window: int | None = None
    """Tokens of prompt and answer together."""
    max_output_tokens: int | None = None
    image_inputs: bool | None = None
    audio_inputs: bool | None = None
    pdf_inputs: bool | None = None
    reasoning_output: bool | None = None
    tool_calling: bool | None = None
    structured_output: bool | None = None


UNKNOWN_MODEL = ModelCapabilities()


def capabilities(model: str) -> ModelCapabilities:
    """The capabilities of `model`, all `None` if it is not in the bundled table. No network, never raises.

    The table is `texapi_core/data/models.json`, which names its source and date. It only provides defaults,
    which every constructor can override.
    """
    return find_row(_capability_table(), model) or UNKNOWN_MODEL


def find_row(table: Mapping[str, _Row], model: str) -> _Row | None:
    """The row of a model in a table keyed by `normal_name`, else the row without its version suffix."""
    name = normal_name(model)
    return table.get(name) or table.get(_VERSION_SUFFIX.sub("", name))


@cache
def _capability_table() -> dict[str, ModelCapabilities]:
    text = resources.files("texapi_core").joinpath("data/models.json").read_text("utf-8")
    return {name: ModelCapabilities(**row) for name, row in json.loads(text)["models"].items()}


def normal_name(model: str) -> str:
    """One spelling for `anthropic/claude-sonnet-4.6` and `claude-sonnet-4-6`."""
    return model.lower().rpartition("/")[2].replace(".", "-")
