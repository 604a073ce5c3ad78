"""The strict check of names, in OpenAI's words."""

from __future__ import annotations

import re
from typing import Any

from tests.gateway.refusal import invalid

_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_LENGTH = 64
_CALL_ID_LENGTH = 40


def check_name(name: Any, path: str) -> str:
    """Return a name if it is of the characters and the length that every provider takes."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise invalid(
            path,
            f"Invalid '{path}': string does not match pattern. Expected a string that matches the pattern "
            "'^[a-zA-Z0-9_-]+$'.",
        )
    _check_length(name, _LENGTH, path)
    return name


def check_call_id(identifier: str, path: str) -> None:
    """Check that the id of a call is of Claude's characters and OpenAI's length."""
    if not _NAME.fullmatch(identifier):
        raise invalid(path, f"{path}: String should match pattern '^[a-zA-Z0-9_-]+$'")
    _check_length(identifier, _CALL_ID_LENGTH, path)


def _check_length(text: str, longest: int, path: str) -> None:
    if len(text) > longest:
        expected = (
            f"Expected a string with maximum length {longest}, but got a string with length {len(text)}"
        )
        raise invalid(path, f"Invalid '{path}': string too long. {expected} instead.")
