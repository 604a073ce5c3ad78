"""What is known of models: by the bundled table, and by the lists of gateways."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from importlib import resources
from typing import Any, TypeVar

DEFAULT_CONTEXT_WINDOW = 128_000
"""Tokens, for a model that is not in the table."""

_Row = TypeVar("_Row")
VERSION_SUFFIX = re.compile(r"(-20\d{6}|-20\d\d-\d\d-\d\d|-latest|-preview|:[a-z]+)+$")
_DATE = re.compile(r"-20(\d{6}|\d\d-\d\d-\d\d)$")
_CLOUD_SUFFIX = re.compile(r"(-v[12](:\d+)?|-00\d)$")
MAX_AGE = 3_600.0
"""Seconds for which a gateway's list holds, unless a caller says otherwise."""
_MAX_LIMIT = 10**9
"""Tokens; a gateway that lists more lists something else."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One model as `GET /v1/models` lists it."""

    id: str
    """The name to pass as `model`."""
    owned_by: str | None = None
    """Whom the gateway names as its maker."""
    created: int | None = None
    """Seconds since 1970."""
    extras: Mapping[str, Any] = field(default_factory=dict)
    """Other members of the gateway's row, e.g. prices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCapabilities:
    """Capabilities of a model. `None` means unknown."""

    context_window: int | None = None
    """Tokens of prompt and answer together."""
    max_input_tokens: int | None = None
    """Tokens of the longest prompt: some models keep a part of the window for the answer."""
    max_output_tokens: int | None = None
    """Most tokens of an answer."""
    text_inputs: bool | None = None
    """Whether it reads text."""
    image_inputs: bool | None = None
    """Whether it reads images."""
    audio_inputs: bool | None = None
    """Whether it hears sound."""
    video_inputs: bool | None = None
    """Whether it sees video."""
    pdf_inputs: bool | None = None
    """Whether it reads PDF files."""
    text_outputs: bool | None = None
    """Whether it writes text."""
    image_outputs: bool | None = None
    """Whether it makes images."""
    audio_outputs: bool | None = None
    """Whether it makes sound."""
    video_outputs: bool | None = None
    """Whether it makes video."""
    reasoning_output: bool | None = None
    """Whether it thinks before it answers."""
    tool_calling: bool | None = None
    """Whether it calls tools."""
    tool_choice: bool | None = None
    """Whether it can be forced to call a tool."""
    structured_output: bool | None = None
    """Whether it takes a JSON schema as `response_format`, by all that say something about it."""
    attachment: bool | None = None
    """Whether it takes files."""
    temperature: bool | None = None
    """Whether it takes a temperature."""
    reasoning_effort_levels: tuple[str, ...] | None = None
    """Values that `reasoning_effort` may have."""
    reasoning_effort_default: str | None = None
    """The effort where none is set."""
    image_tokens: str | None = None
    """How it counts images, see `texapi_core.request.image_tokens`."""
    name: str | None = None
    """What its maker calls it."""
    status: str | None = None
    """E.g. `deprecated`."""
    release_date: str | None = None
    """Day of its release, ISO 8601."""
    last_updated: str | None = None
    """Day of its last change, ISO 8601."""
    open_weights: bool | None = None
    """Whether its weights are public."""


UNKNOWN_MODEL = ModelCapabilities()
FLAGS = (
    "text_inputs",
    "image_inputs",
    "audio_inputs",
    "video_inputs",
    "pdf_inputs",
    "text_outputs",
    "image_outputs",
    "audio_outputs",
    "video_outputs",
    "reasoning_output",
    "tool_calling",
    "tool_choice",
    "structured_output",
    "attachment",
    "temperature",
)
"""What the members of `flags` in the table stand for: `+` is true, `-` false, `?` unknown."""
_SIGNS = {"+": True, "-": False}


def capabilities(model: str, base_url: str | None = None) -> ModelCapabilities:
    """What is known of `model`, all `None` if nothing is. No network, never raises.

    The table is `texapi_core/data/models.json`, which names its sources and date. What the gateway at
    `base_url` listed in this process takes precedence. Both only provide defaults, which every constructor
    can override.
    """
    listed = _of_gateways.get(base_url.rstrip("/")) if base_url and _of_gateways else None
    return (listed and find_row(listed, model)) or _table_row(model)


@lru_cache(maxsize=1024)
def _table_row(model: str) -> ModelCapabilities:
    row = find_row(capability_table(), model)
    if row is None:
        return UNKNOWN_MODEL
    alias = _DATE.sub("", normal_name(model))
    of_alias = capability_table().get(alias) if alias != normal_name(model) else None
    known = read_row(row)
    return known if of_alias is None else _with_smaller_limits(known, read_row(of_alias))


def _with_smaller_limits(known: ModelCapabilities, other: ModelCapabilities) -> ModelCapabilities:
    """The capabilities, with the smaller limits where both know one."""
    limits = ((name, getattr(known, name), getattr(other, name)) for name in _LIMITS)
    return replace(known, **{name: min(one, two) for name, one, two in limits if one and two})


def find_row(table: Mapping[str, _Row], model: str) -> _Row | None:
    """The row of a model in a table keyed by `normal_name`, else of its name with another version suffix."""
    rows = (table.get(name) for name in _spellings(model))
    return next((row for row in rows if row is not None), None)


def _spellings(model: str) -> Iterator[str]:
    """The names under which a row may stand, the most exact first: last those without what clouds add.

    Bedrock has `us.anthropic.claude-sonnet-4-6-v1:0`, Vertex `gemini-2.0-flash-001`.
    """
    own = model.lower().rpartition("/")[2]
    yield from _versions(normal_name(own))
    while own[:1].isalpha():
        yield from _versions(_CLOUD_SUFFIX.sub("", normal_name(own)))
        own = own.partition(".")[2]


def _versions(name: str) -> Iterator[str]:
    plain = VERSION_SUFFIX.sub("", name)
    yield from (name, plain, f"{plain}-latest", f"{plain}-preview")


@cache
def capability_table() -> dict[str, dict[str, Any]]:
    """The rows of the bundled table as they are in the file, by `normal_name`."""
    text = resources.files("texapi_core").joinpath("data/models.json").read_text("utf-8")
    rows: dict[str, dict[str, Any]] = json.loads(text)["models"]
    return rows


def read_row(row: Mapping[str, Any]) -> ModelCapabilities:
    """The capabilities in a row of the table."""
    facts = {name: value for name, value in row.items() if name != "flags"}
    facts |= {name: _SIGNS.get(sign) for name, sign in zip(FLAGS, row.get("flags", ""), strict=False)}
    facts.setdefault("max_input_tokens", facts.get("context_window"))
    if levels := facts.get("reasoning_effort_levels"):
        facts["reasoning_effort_levels"] = tuple(levels.split())
    return ModelCapabilities(**facts)


def normal_name(model: str) -> str:
    """One spelling for `anthropic/claude-sonnet-4.6` and `claude-sonnet-4-6`."""
    return model.lower().rpartition("/")[2].replace(".", "-").replace("@", "-")


# What gateways list

_of_gateways: dict[str, dict[str, ModelCapabilities]] = {}
"""Base URL -> what is known of the models in its list, with its own facts first."""
_LIMITS = {
    "context_window": ("context_window", "context_length", "max_context_length", "max_model_len"),
    "max_input_tokens": ("max_input_tokens",),
    "max_output_tokens": ("max_output_tokens", "max_completion_tokens"),
}
"""Where a row of a list has limits: names of Groq, OpenRouter and Together, Mistral, vLLM and LiteLLM."""
_INNER = ("max_input_tokens", "max_output_tokens")
"""Limits that are never above the context window."""
_MODALITIES = {"text": "text", "image": "image", "audio": "audio", "video": "video", "file": "pdf"}
_PARAMETERS = {
    "tools": "tool_calling",
    "tool_choice": "tool_choice",
    "structured_outputs": "structured_output",
    "reasoning": "reasoning_output",
    "temperature": "temperature",
}


def note_listed_facts(base_url: str, models: Iterable[ModelInfo]) -> None:
    """Keep what a gateway's list of models says about them; what it does not say comes from the table.

    Of several rows of one model the smaller limits count, and what one of them denies.
    """
    found: dict[str, ModelCapabilities] = {}
    listed: dict[str, dict[str, Any]] = {}
    for model in models:
        if facts := _listed_facts(model.extras):
            name = normal_name(model.id)
            others = listed.setdefault(name, {})
            others |= {fact: min(value, others.get(fact, value)) for fact, value in facts.items()}
            found[name] = _with_listed(_table_row(model.id), others)
    if found:
        _of_gateways[base_url.rstrip("/")] = found


def _with_listed(known: ModelCapabilities, facts: Mapping[str, Any]) -> ModelCapabilities:
    window = facts.get("context_window") or known.context_window
    if "context_window" in facts and window != known.context_window and "max_input_tokens" not in facts:
        facts = {**facts, "max_input_tokens": window}
    known = replace(known, **facts)
    inner = {name: min(limit, window) for name in _INNER if window and (limit := getattr(known, name))}
    return replace(known, **inner)


def _listed_facts(extras: Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for fact, names in _LIMITS.items():
        for place in (extras, extras.get("top_provider")):
            limits = [_limit(place.get(name)) for name in names] if isinstance(place, Mapping) else []
            if found := min(filter(None, [*limits, facts.get(fact)]), default=None):
                facts[fact] = found
    architecture = extras.get("architecture")
    if isinstance(architecture, Mapping):
        for way in ("input", "output"):
            listed = architecture.get(f"{way}_modalities")
            if isinstance(listed, list) and listed:
                facts |= {
                    f"{kind}_{way}s": modality in listed
                    for modality, kind in _MODALITIES.items()
                    if way == "input" or kind != "pdf"
                }
    parameters = extras.get("supported_parameters")
    if isinstance(parameters, list) and parameters:
        facts |= {fact: parameter in parameters for parameter, fact in _PARAMETERS.items()}
    return facts


def _limit(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"\d{1,12}(\.0+)?", value := value.strip()):
        value = float(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if is_number and 0 < value <= _MAX_LIMIT else None
