"""The facts of the model table as a LangChain profile."""

from __future__ import annotations

from typing import Any, cast

from langchain_core.language_models import ModelProfile

from texapi_core.catalog import UNKNOWN_MODEL, capabilities


class TableProfile(dict[str, Any]):
    """A profile from the model table: it holds for one model, unlike a profile that the user passed."""


def model_profile(model: str) -> ModelProfile | None:
    """The profile of a model, `None` when it is unknown.

    It does not say `structured_output`, in which the routes of a gateway differ.
    """
    known = capabilities(model)
    if known == UNKNOWN_MODEL:
        return None
    facts = {
        "max_input_tokens": known.context_window,
        "max_output_tokens": known.max_output_tokens,
        "image_inputs": known.image_inputs,
        "audio_inputs": known.audio_inputs,
        "pdf_inputs": known.pdf_inputs,
        "reasoning_output": known.reasoning_output,
        "tool_calling": known.tool_calling,
    }
    known_facts = {name: fact for name, fact in facts.items() if fact is not None}
    return cast("ModelProfile", TableProfile(known_facts))
