"""One call to the gateway: its settings, payload, options and secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from texapi_core.failures.secrets import Secrets, secrets_of
from texapi_core.settings import NO_OPTIONS, CallOptions, Settings

_NO_PAYLOAD: Mapping[str, Any] = {}


class Call:
    """The input of every step of a call. No step changes it."""

    __slots__ = ("options", "payload", "secrets", "settings")

    def __init__(
        self, settings: Settings, payload: Mapping[str, Any] = _NO_PAYLOAD, options: CallOptions = NO_OPTIONS
    ) -> None:
        self.settings = settings
        self.payload = payload
        """The JSON of the request, without `stream`."""
        self.options = options
        self.secrets: Secrets = secrets_of(settings, options)
        """To be redacted from answers and errors."""
