"""The texts of `texapi doctor` in English and Vietnamese."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Literal, NamedTuple, get_args

Language = Literal["en", "vi"]
Check = Literal["key", "address", "dns", "connection", "tls", "clock", "models", "request", "ledger"]
Verdict = Literal["ok", "warning", "fault", "skipped"]
_LOCALES = ("LC_ALL", "LC_MESSAGES", "LANG")


class Text(NamedTuple):
    """What was found, and how to fix it."""

    what: str
    way_out: str = ""


def language_of_locale() -> Language:
    """Vietnamese if the first locale set in the environment is, else English."""
    locale = next((value for name in _LOCALES if (value := os.environ.get(name))), "")
    return "vi" if locale.lower().startswith("vi") else "en"


def _read(language: Language) -> tuple[Mapping[str, str], Mapping[str, Text]]:
    file = resources.files("texapi_core.cli.doctor").joinpath(f"{language}.toml")
    content = tomllib.loads(file.read_text("utf-8"))
    return content["words"], {name: Text(**text) for name, text in content["texts"].items()}


_READ: Mapping[Language, tuple[Mapping[str, str], Mapping[str, Text]]] = {
    language: _read(language) for language in get_args(Language)
}
WORDS: Mapping[Language, Mapping[str, str]] = {language: words for language, (words, _) in _READ.items()}
"""Names of checks and verdicts, and summaries."""
TEXTS: Mapping[Language, Mapping[str, Text]] = {language: texts for language, (_, texts) in _READ.items()}
"""Texts of findings, with their values in braces."""
