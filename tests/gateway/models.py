"""The models that the gateway offers and their special features."""

from __future__ import annotations

from typing import Any

CREATED = 1790000000
"""The time in every answer; it never changes, so that recordings are stable."""

MODELS = (
    "claude-sonnet-4-6",
    "claude-haiku-4-5",
    "gpt-5.2",
    "gpt-5-mini",
    "gemini-3-pro",
    "gemini-3-flash",
    "deepseek-v3.2",
    "deepseek-r1",
    "qwen3-235b",
    "llama-4-maverick",
)

ALWAYS_REASONING = frozenset({"deepseek-r1"})


def signs_tool_calls(model: str) -> bool:
    return model.startswith("gemini-3-")


def details_reasoning(model: str) -> bool:
    """Return whether the model returns signed reasoning blocks."""
    return model.startswith("claude-")


def caches_what_is_marked(model: str) -> bool:
    """Return whether only marked prompts are cached; other providers cache by themselves."""
    return model.startswith("claude-")


def reasons(model: str, body: dict[str, Any]) -> bool:
    """Return whether the model reasons before it answers this request."""
    if model in ALWAYS_REASONING:
        return True
    effort = body.get("reasoning_effort")
    if effort is not None:
        return effort not in ("none", "minimal")
    reasoning = body.get("reasoning")
    if isinstance(reasoning, dict):
        is_off = reasoning.get("effort") in ("none", "minimal")
        return reasoning.get("enabled") is not False and not is_off
    thinking = body.get("thinking")
    if isinstance(thinking, dict):
        return thinking.get("type") != "disabled"
    return bool(thinking)


def listing(models: tuple[str, ...]) -> dict[str, Any]:
    data = [{"id": model, "object": "model", "created": CREATED, "owned_by": "texapi"} for model in models]
    return {"object": "list", "data": data}
