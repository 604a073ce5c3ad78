"""The language of the command: English texts stand in the code, `vi.toml` has the Vietnamese of each."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, Literal

Language = Literal["en", "vi"]
_LOCALES = ("LC_ALL", "LC_MESSAGES", "LANG")
_spoken: Language | None = None


def language_of_locale() -> Language:
    """Vietnamese if the first locale set in the environment is, else English."""
    locale = next((value for name in _LOCALES if (value := os.environ.get(name))), "")
    return "vi" if locale.lower().startswith("vi") else "en"


def language() -> Language:
    """The language chosen by `--language`, else that of the locale."""
    return _spoken or language_of_locale()


def choose_language(arguments: Sequence[str]) -> None:
    """Take the language from the arguments before they are parsed: help texts are in it."""
    global _spoken
    _spoken = None
    for number, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        if name == "--language":
            value = value or next(iter(arguments[number + 1 :]), "")
            _spoken = "vi" if value == "vi" else "en" if value == "en" else None


def say(text: str, **values: Any) -> str:
    """A text in the user's language, with its values in place of `{name}`."""
    if language() == "vi":
        text = vietnamese().get(text, text)
    return text.format_map(values) if values else text


@cache
def vietnamese() -> Mapping[str, str]:
    """English text -> Vietnamese text."""
    content = resources.files("texapi_core.cli").joinpath("vi.toml").read_text("utf-8")
    return tomllib.loads(content)
