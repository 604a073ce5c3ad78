"""What comes out of thinking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Call:
    """A tool to call and the arguments to call it with."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Thought:
    """What to answer."""

    text: str | None = None
    reasoning: str | None = None
    calls: tuple[Call, ...] = ()
    is_formatted: bool = False
    """Whether the text has a format, such as JSON, that nothing may be added to."""
