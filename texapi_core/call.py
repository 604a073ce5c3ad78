"""One call of the gateway as one value: settings, payload, options, and what is secret in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from texapi_core.failures.secrets import Secrets, secrets_of
from texapi_core.settings import NO_OPTIONS, CallOptions, Settings


@dataclass(slots=True)  # a frozen one takes three times as long to make
class Call:
    """What every step of a call needs. No step changes it."""

    settings: Settings
    payload: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The JSON of the request, but for `stream`."""
    options: CallOptions = NO_OPTIONS
    secrets: Secrets = field(init=False)
    """What must not be shown of the answer to it."""

    def __post_init__(self) -> None:
        self.secrets = secrets_of(self.settings, self.options)
