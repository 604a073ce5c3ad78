"""Lists the models of the gateway (`GET /v1/models`)."""

from __future__ import annotations

from typing import Any

from texapi_core.accounting.prices import note_listed_prices
from texapi_core.call import Call
from texapi_core.catalog import ModelInfo
from texapi_core.settings import Settings
from texapi_core.transport.read import aread_body, read_body
from texapi_core.transport.send import asend_for_models, send_for_models

_KNOWN_FIELDS = ("id", "object", "owned_by", "created")


def list_models(settings: Settings) -> list[ModelInfo]:
    """The models that the key can use, from `GET /v1/models`.

    Prices in the list are used from then on in this process, instead of those of the price list.

    Raises:
        TexAPIError: see `texapi_core.errors`.
    """
    call = Call(settings)
    return _listed(settings, read_body(call, send_for_models(call)).model_rows())


async def alist_models(settings: Settings) -> list[ModelInfo]:
    """The models that the key can use. Async twin of `list_models`."""
    call = Call(settings)
    return _listed(settings, (await aread_body(call, await asend_for_models(call))).model_rows())


def _listed(settings: Settings, rows: list[Any]) -> list[ModelInfo]:
    models = _parse_models(rows)
    note_listed_prices(settings.base_url, models)
    return models


def _parse_models(rows: list[Any]) -> list[ModelInfo]:
    return [
        ModelInfo(
            id=row["id"],
            owned_by=row.get("owned_by"),
            created=row.get("created") if isinstance(row.get("created"), int) else None,
            extras={name: value for name, value in row.items() if name not in _KNOWN_FIELDS},
        )
        for row in rows
        if isinstance(row, dict) and isinstance(row.get("id"), str)
    ]
