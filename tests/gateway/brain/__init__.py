"""Answers that depend on nothing but the request and still make sense."""

from tests.gateway.brain.thinking import think
from tests.gateway.brain.thought import Call, Thought

__all__ = ["Call", "Thought", "think"]
