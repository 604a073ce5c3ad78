"""The settings of calls that the command makes, from the variables of the models' constructors."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter
from typing import Any, ClassVar

from texapi_core.accounting import Accounting, parse_prices
from texapi_core.adapter_base.connection import ConnectionParameters
from texapi_core.cli.guard import USAGE_ERROR, stop
from texapi_core.settings import Settings, env_base_url


class _Parameters(ConnectionParameters):
    _endpoint: ClassVar[Any] = attrgetter("api_key", "base_url", "timeout")

    api_key: None = None
    base_url: str
    timeout: float

    def settings(self) -> Settings:
        self._check_settings()
        return self._settings()


def call_settings(**given: Any) -> Settings:
    """The settings, with a price list in any case: the command shows the cost."""
    try:
        settings = _Parameters(base_url=env_base_url(), **given).settings()
        return replace(settings, accounting=settings.accounting or Accounting(prices=parse_prices(None)))
    except ValueError as error:  # `TexAPISettingsError` is one, and pydantic's of a variable
        stop(USAGE_ERROR, str(error))
