"""One call of the gateway as one value: settings, payload, options, and what is secret in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from texapi_core.failures.secrets import Secrets, secrets_of
from texapi_core.settings import NO_OPTIONS, CallOptions, Settings

_NOTHING: Mapping[str, Any] = {}


class Call:
    """What every step of a call needs. No step changes it."""

    __slots__ = ("options", "payload", "secrets", "settings")

    def __init__(
        self, settings: Settings, payload: Mapping[str, Any] = _NOTHING, options: CallOptions = NO_OPTIONS
    ) -> None:
        self.settings = settings
        self.payload = payload
        """The JSON of the request, but for `stream`."""
        self.options = options
        self.secrets: Secrets = secrets_of(settings, options)
        """What must not be shown of the answer."""
