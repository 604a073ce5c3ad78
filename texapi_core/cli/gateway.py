"""The subcommands that need no ledger: models, prices, limits."""

from __future__ import annotations

import os

import texapi_core
from texapi_core.accounting.prices import PriceList, parse_prices
from texapi_core.cli import gateway_output as output
from texapi_core.cli import spending
from texapi_core.cli.guard import DIFFERENT, NO_GATEWAY, NO_LEDGER, USAGE_ERROR, stop
from texapi_core.cli.language import say
from texapi_core.cli.limits import read_limits
from texapi_core.cli.models import read_models
from texapi_core.cli.terminal import status
from texapi_core.settings import env_base_url

PRICES_ENV = "TEXAPI_PRICES"


def models(*, name: str, timeout: float, format: str) -> None:
    """The models that the key in TEXAPI_API_KEY can use, with known capabilities and prices."""
    prices = known_prices()
    try:
        with status(say("Asking the gateway…")):
            rows = read_models(prices, name=name, timeout=timeout)
    except texapi_core.TexAPIError as error:
        stop(NO_GATEWAY, _with_doctor(error))
    output.print_models(rows, prices, format)


def prices(*, name: str, ledger: str, check: bool, gateway: bool, timeout: float, format: str) -> None:
    """The price list in use, its date and source, and which models of the ledger have no price."""
    known = known_prices()
    if gateway:
        try:
            read_models(known, timeout=timeout)
        except texapi_core.TexAPIError as error:
            stop(NO_GATEWAY, _with_doctor(error))
        known = known.of_gateway(env_base_url())
    used = spending.used_models(ledger, lambda reason: stop(NO_LEDGER, reason)) if ledger else []
    found = spending.faults(known, used)
    output.print_prices(spending.price_rows(known, name), known, found, format, only_faults=check)
    if check and found:
        raise SystemExit(DIFFERENT)


def limits(*, url: str, format: str) -> None:
    """Shared rate limits: what is stated, the rate in use, 429s that lowered it, processes and calls."""
    output.print_limits(read_limits(url), format)


def known_prices() -> PriceList:
    """The price list of the environment, else the bundled one."""
    try:
        return parse_prices(os.environ.get(PRICES_ENV) or None)
    except ValueError as error:
        stop(USAGE_ERROR, say("{error} Correct {variable}.", error=error, variable=PRICES_ENV))


def _with_doctor(error: Exception) -> str:
    return say("{error} `texapi doctor` looks for the cause.", error=error)
