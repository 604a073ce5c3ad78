"""One row for each model, from what the sources say about it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.model_table.images import image_rule
from tests.model_table.sources import (
    LITELLM,
    PROFILES,
    ROUTER,
    Facts,
    facts_in,
    is_chat,
    is_silent,
    litellm_rows,
    profiles,
)
from texapi_core.catalog import FLAGS, VERSION_SUFFIX

ALSO_CALLED = {"qwen3-235b": "qwen3-235b-a22b"}
"""Names of gateways -> those of the sources."""
_PLAIN = ("name", "status", "release_date", "last_updated", "open_weights")
_EFFORTS = ("reasoning_effort_levels", "reasoning_effort_default")


@dataclass
class Merged:
    """The rows, and where the sources differ."""

    rows: dict[str, Facts] = field(default_factory=dict)
    """Name -> facts, by the names of `ModelCapabilities`."""
    counts: dict[str, int] = field(default_factory=dict)
    """Source -> how many of the rows it speaks of."""
    differ: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    """Fact -> name -> source -> what it says."""


def read_sources() -> dict[str, dict[str, Facts]]:
    """Name -> source -> facts, of the models that answer with text, the makers' packages first."""
    said: dict[str, dict[str, Facts]] = defaultdict(dict)
    for package in PROFILES:
        for name, facts in profiles(package):
            said[name].setdefault(package, facts)
    silent = set()
    for name, row in litellm_rows():
        if is_chat(row) and ("max_input_tokens" in row or "input_cost_per_token" in row):
            said[name].setdefault(LITELLM, facts_in(row))
        elif is_silent(row):
            silent.add(name)
    return {name: facts for name, facts in said.items() if name not in silent and _answers(facts)}


def _answers(sources: Mapping[str, Facts]) -> bool:
    """Whether a model answers with text, by LangChain's packages if they know its limits, else by litellm."""
    described = [facts for facts in sources.values() if facts.get("max_input_tokens") is not None]
    texts = [facts["text_outputs"] for facts in described if "text_outputs" in facts]
    limits = [facts["max_input_tokens"] for facts in described]
    return all(texts) and (any(limits) if limits else LITELLM in sources)


def merge(said: Mapping[str, Mapping[str, Facts]]) -> Merged:
    """A row for each model. A dated name with the facts of the undated one has none of its own."""
    merged = Merged(counts=dict.fromkeys((*PROFILES, LITELLM), 0), differ=defaultdict(dict))
    for name, sources in sorted(said.items()):
        for source in sources:
            merged.counts[source] += 1
        merged.rows[name] = _merge_model(name, sources, merged.differ)
    for other, name in ALSO_CALLED.items():
        if name in merged.rows:
            merged.rows.setdefault(other, merged.rows[name])
    for name in list(merged.rows):
        base = VERSION_SUFFIX.sub("", name)
        if base != name and _undated(merged.rows.get(base)) == _undated(merged.rows[name]):
            del merged.rows[name]
    return merged


def _undated(facts: Facts | None) -> Facts | None:
    return facts and {name: fact for name, fact in facts.items() if name not in _PLAIN}


def _merge_model(name: str, sources: Mapping[str, Facts], differ: dict[str, dict[str, Any]]) -> Facts:
    def stated(fact: str) -> dict[str, Any]:
        found = {source: facts[fact] for source, facts in sources.items() if facts.get(fact) is not None}
        if len({str(value) for value in found.values()}) > 1 and fact not in _PLAIN:
            differ[fact][name] = found
        return found

    row: Facts = {fact: next(iter(found.values())) for fact in _PLAIN if (found := stated(fact))}
    outputs = [value for value in stated("max_output_tokens").values() if value > 0]
    inputs = [value for value in stated("max_input_tokens").values() if value > 0]
    if outputs:
        row["max_output_tokens"] = min(outputs)
    if inputs:
        row |= limits_of(inputs, outputs)
    for fact in FLAGS:
        if (decided := decide(fact, stated(fact))) is not None:
            row[fact] = decided
    _agree(row)
    if row.get("image_inputs") and (rule := image_rule(name)):
        row["image_tokens"] = rule
    for fact in _EFFORTS:
        if row.get("reasoning_output") and (found := stated(fact)):
            row[fact] = next(iter(found.values()))
    return row


def limits_of(inputs: list[int], outputs: list[int]) -> Facts:
    """The longest prompt and the context window, of what sources call the longest prompt.

    Some give the one and some the other: the larger is the window where the two differ by the longest answer.
    Otherwise they disagree, and the smaller is both.
    """
    longest = min(inputs)
    window = next((value for value in inputs if value - longest in outputs), longest)
    return {"context_window": window, "max_input_tokens": longest}


def decide(fact: str, found: Mapping[str, bool]) -> bool | None:
    """What is true of a model: what its maker's package says, then litellm by its maker, then the router.

    Agents rely on `structured_output`: it is only true where nobody denies it, and not on the word of the
    router alone, whose hosts differ.
    """
    if fact == "structured_output" and all(found.values()):
        return True if found.keys() - {ROUTER} else None
    if fact == "structured_output":
        return False
    order = sorted(found, key=lambda source: (source == ROUTER, source == LITELLM))
    return found[order[0]] if order else None


def _agree(row: Facts) -> None:
    """A blanket statement of a package ends where the model has no such thing."""
    if row.get("image_inputs") is False and row.get("attachment") is not True:
        row["pdf_inputs"] = False
    if row.get("tool_calling") is False:
        row["tool_choice"] = False
