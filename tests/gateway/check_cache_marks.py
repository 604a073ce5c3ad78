"""The strict check of the marks for the prompt cache, as Claude checks them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.gateway.refusal import invalid

_MAX_MARKS = 4
_LIFETIMES = {"5m": 300, "1h": 3600}


def check_cache_marks(body: dict[str, Any]) -> None:
    """Check that a request has few marks, none on an empty text, and the longer lifetimes first."""
    marks = list(_marks(body))
    if len(marks) > _MAX_MARKS:
        raise invalid(
            None,
            f"A maximum of 4 blocks with cache_control may be provided. Found {len(marks)}.",
        )
    shortest = max(_LIFETIMES.values())
    for path, mark in marks:
        if not isinstance(mark, dict) or mark.get("type") != "ephemeral":
            raise invalid(path, f"{path}.cache_control.type: Input should be 'ephemeral'")
        lifetime = mark.get("ttl", "5m")
        if lifetime not in _LIFETIMES:
            raise invalid(path, f"{path}.cache_control.ephemeral.ttl: Input should be '5m' or '1h'")
        if _LIFETIMES[lifetime] > shortest:
            raise invalid(
                path,
                f"{path}.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' "
                "cache_control block.",
            )
        shortest = _LIFETIMES[lifetime]


def _marks(body: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The marks in the order in which Claude reads a prompt, each with its place."""
    for at, tool in enumerate(body.get("tools") or []):
        if tool.get("cache_control"):
            yield f"tools.{at}", tool["cache_control"]
    for number, message in enumerate(body["messages"]):
        content = message.get("content")
        for at, part in enumerate(content if isinstance(content, list) else []):
            if not part.get("cache_control"):
                continue
            path = f"messages.{number}.content.{at}"
            if part.get("type") == "text" and not part["text"].strip():
                raise invalid(path, f"{path}.text: cache_control cannot be set for empty text blocks")
            yield path, part["cache_control"]
    if body.get("cache_control"):
        yield "cache_control", body["cache_control"]
