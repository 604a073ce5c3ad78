"""What is known of a model as a LangChain profile."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, cast

from langchain_core.language_models import ModelProfile

from texapi_core.catalog import UNKNOWN_MODEL, ModelCapabilities, capabilities

_MEMBERS = ModelProfile.__annotations__
"""Those that the installed LangChain knows: it warns of others."""
_FACTS = tuple(field.name for field in fields(ModelCapabilities) if field.name in _MEMBERS)


class TableProfile(dict[str, Any]):
    """A profile from the model table: it holds for one model, unlike a profile that the user passed."""


def model_profile(model: str, base_url: str) -> ModelProfile | None:
    """The profile of a model, `None` when it is unknown."""
    known = capabilities(model, base_url)
    if known is UNKNOWN_MODEL:
        return None
    facts = {name: fact for name in _FACTS if (fact := getattr(known, name)) is not None}
    if known.reasoning_effort_levels:
        facts["reasoning_effort_levels"] = [*known.reasoning_effort_levels]
    facts |= {name: fact for name, fact in _of_the_class(known).items() if fact is not None}
    return cast(
        "ModelProfile", TableProfile((name, fact) for name, fact in facts.items() if name in _MEMBERS)
    )


def _of_the_class(known: ModelCapabilities) -> dict[str, bool | None]:
    """What depends on `ChatTexAPI` and the protocol, where the model has the thing at all.

    `mid_conversation_tools` is missing: the protocol has no message that adds a tool.
    """
    return {
        "image_url_inputs": known.image_inputs,
        "image_tool_message": known.image_inputs,
        "pdf_tool_message": known.pdf_inputs,
        "tool_call_streaming": known.tool_calling,
        "mid_conversation_system_messages": True,
    }
