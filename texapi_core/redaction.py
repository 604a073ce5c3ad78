"""What errors must not show, taken out of what gateways and proxies quote."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Secrets = Sequence[str]
"""What no error may show: `texapi_core.settings.secrets_of`."""
_URL_PASSWORD = re.compile(r"(//[^/\s:@]*:)[^/\s@]+@")
_SHORTEST_START = 4


def redact(text: str, secrets: Secrets) -> str:
    """The text without what gateways and proxies like to quote: keys, headers, passwords in addresses."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return _URL_PASSWORD.sub(r"\1***@", text)


def redact_excerpt(text: str, secrets: Secrets) -> str:
    """Redacts also the beginning of a secret that the end of the excerpt cuts."""
    text = redact(text, secrets)
    if not text.endswith("…"):
        return text
    for secret in secrets:
        for length in range(len(secret) - 1, _SHORTEST_START - 1, -1):
            if text.endswith(f"{secret[:length]}…"):
                return f"{text[: -length - 1]}***…"
    return text


def redact_json(value: Any, secrets: Secrets) -> Any:
    """A JSON value without secrets in its texts and names."""
    if isinstance(value, Mapping):
        return {redact(str(key), secrets): redact_json(item, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [redact_json(item, secrets) for item in value]
    return redact(value, secrets) if isinstance(value, str) else value
