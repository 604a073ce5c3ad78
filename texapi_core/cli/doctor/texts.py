"""The texts of `texapi doctor` in English and Vietnamese."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any, Literal, NamedTuple, get_args

from texapi_core.cli.language import Language

Check = Literal["key", "address", "dns", "connection", "tls", "clock", "models", "request", "ledger"]
Verdict = Literal["ok", "warning", "fault", "skipped"]


class Text(NamedTuple):
    """What was found, and how to fix it."""

    what: str
    way_out: str = ""


_FOLDER = resources.files("texapi_core.cli.doctor")
_CONTENT: Mapping[Language, Mapping[str, Any]] = {
    language: tomllib.loads(_FOLDER.joinpath(f"{language}.toml").read_text("utf-8"))
    for language in get_args(Language)
}
WORDS: Mapping[Language, Mapping[str, str]] = {name: content["words"] for name, content in _CONTENT.items()}
"""Names of checks and verdicts, and summaries."""
TEXTS: Mapping[Language, Mapping[str, Text]] = {
    language: {name: Text(**text) for name, text in content["texts"].items()}
    for language, content in _CONTENT.items()
}
"""Texts of findings, with their values in braces."""
