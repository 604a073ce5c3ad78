"""What the model table knows, in LangChain's words."""

from __future__ import annotations

from typing import cast

from langchain_core.language_models import ModelProfile

from texapi_core.models import UNKNOWN_MODEL, capabilities


def model_profile(model: str) -> ModelProfile | None:
    """The profile of a model, `None` when it is unknown.

    Not `structured_output`: a gateway's routes differ in it.
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
    return cast("ModelProfile", {name: fact for name, fact in facts.items() if fact is not None})
