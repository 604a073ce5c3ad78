"""The models of the gateway: which ones a key can use, and what is known of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from texapi_core.settings import Settings

DEFAULT_CONTEXT_WINDOW = 128_000
"""Tokens, for a model that the table does not know."""

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
    """What else the gateway says of the model, e.g. prices."""


@dataclass(frozen=True, slots=True)
class ModelCapabilities:
    """What a model can do, as far as is known. A fact unknown is `None`."""

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
    """What the table knows of `model`, `UNKNOWN_MODEL` when it knows nothing. No network, never raises.

    The table is data: `texapi_core/data/models.json`, which names its source and date. Behaviour does
    not depend on it beyond defaults that every constructor can override.
    """
    return find_row(_capability_table(), model) or UNKNOWN_MODEL


def find_row(table: Mapping[str, _Row], model: str) -> _Row | None:
    """The row of a model in a table by `normal_name`, whichever version of the model it is."""
    name = normal_name(model)
    return table.get(name) or table.get(_VERSION_SUFFIX.sub("", name))


def list_models(settings: Settings) -> list[ModelInfo]:
    """The models that the key can use, by `GET /v1/models`.

    Raises:
        TexAPIError: see `texapi_core.errors`.
    """
    from texapi_core.chat import fetch_models  # imports the SDK, which reading the table does not

    return _parse_models(fetch_models(settings))


async def alist_models(settings: Settings) -> list[ModelInfo]:
    """The models that the key can use. Async twin of `list_models`."""
    from texapi_core.chat import afetch_models  # as above

    return _parse_models(await afetch_models(settings))


def _parse_models(rows: list[Any]) -> list[ModelInfo]:
    return [
        ModelInfo(
            id=row["id"],
            owned_by=row.get("owned_by"),
            created=row.get("created") if isinstance(row.get("created"), int) else None,
            extras={
                name: value
                for name, value in row.items()
                if name not in ("id", "object", "owned_by", "created")
            },
        )
        for row in rows
        if isinstance(row, dict) and isinstance(row.get("id"), str)
    ]


@cache
def _capability_table() -> dict[str, ModelCapabilities]:
    text = resources.files("texapi_core").joinpath("data/models.json").read_text("utf-8")
    return {name: ModelCapabilities(**row) for name, row in json.loads(text)["models"].items()}


def normal_name(model: str) -> str:
    """One spelling for `anthropic/claude-sonnet-4.6` and `claude-sonnet-4-6`."""
    return model.lower().rpartition("/")[2].replace(".", "-")
