"""The words of the demo, English or Vietnamese by the locale. Needs only the standard library."""

from __future__ import annotations

import locale
import os
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

Language = Literal["en", "vi"]
_LOCALES = ("LC_ALL", "LC_MESSAGES", "LANG")


def language() -> Language:
    """The language of the environment's locale, on Windows of the system's."""
    found = next((value for name in _LOCALES if (value := os.environ.get(name))), "")
    name = found or locale.getlocale()[0] or ""
    return "vi" if name.lower().startswith("vi") else "en"


@cache
def texts(spoken: Language) -> Mapping[str, str]:
    """Every text of the demo in a language, under its name."""
    file = Path(__file__).with_name(f"{spoken}.toml")
    found: dict[str, str] = tomllib.loads(file.read_text("utf-8"))
    return found


def text(name: str, /, **values: object) -> str:
    """A text in the language of the locale, with its values filled in."""
    return texts(language())[name].format(**values)
