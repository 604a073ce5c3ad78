"""Lists the models of the gateway (`GET /v1/models`), and uses what the list says about them."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

from texapi_core._fork import at_fork
from texapi_core.accounting.prices import note_listed_prices
from texapi_core.accounting.record import logger
from texapi_core.call import Attempt, Call
from texapi_core.catalog import MAX_AGE, ModelInfo, note_listed_facts
from texapi_core.errors import TexAPIError
from texapi_core.settings import Settings
from texapi_core.settings_checks import settings_error
from texapi_core.transport.clients import sync_client
from texapi_core.transport.read import aread_body, read_body
from texapi_core.transport.send import asend_for_models, send_for_models

_KNOWN_FIELDS = ("id", "object", "owned_by", "created")


def list_models(settings: Settings) -> list[ModelInfo]:
    """The models that the key can use, from `GET /v1/models`.

    Prices, limits and capabilities in the list are used from then on in this process, instead of those of
    the bundled tables.

    Args:
        settings: from `resolve_settings`.

    Raises:
        TexAPIError: see `texapi_core.errors`.
    """
    with Attempt(Call(settings)) as call:
        rows = read_body(call, send_for_models(call)).model_rows()
    return _listed(settings, rows)


async def alist_models(settings: Settings) -> list[ModelInfo]:
    """The models that the key can use. Async twin of `list_models`."""
    with Attempt(Call(settings)) as call:
        rows = (await aread_body(call, await asend_for_models(call))).model_rows()
    return _listed(settings, rows)


def warm(settings: Settings) -> None:
    """Open a connection to the gateway in the background, for the next synchronous call.

    Returns at once. It reads the list of models, which costs nothing; what the list says is used, see
    `list_models`. If it fails, the call opens its own connection, and raises what is wrong. A fork meanwhile
    waits until the client is made.

    Args:
        settings: from `resolve_settings`.
    """
    # No thread can be started at the end of the interpreter, or where the system has none left.
    with suppress(RuntimeError):
        threading.Thread(target=_open, args=(settings,), name="texapi-warm", daemon=True).start()


async def awarm(settings: Settings) -> None:
    """Open a connection to the gateway, for the next call in this event loop; see `warm`."""
    try:
        await alist_models(replace(settings, max_retries=0))
    except TexAPIError as error:
        _log_cold(error)


def _open(settings: Settings) -> None:
    try:
        with _preparing:
            _ = sync_client(settings).default_headers  # which the SDK finds out once, under a lock
        list_models(replace(settings, max_retries=0))
    except TexAPIError as error:
        _log_cold(error)


def _wait_until_prepared() -> None:
    _preparing.acquire()


_preparing = threading.RLock()
"""Held in the background while modules are imported and the client is made. A fork waits for it: its child
would wait for ever for the locks that a thread of the parent holds."""
at_fork(before=_wait_until_prepared, after_in_parent=_preparing.release, after_in_child=_preparing.release)


def _log_cold(error: TexAPIError) -> None:
    logger.debug("no connection was opened ahead: %s", type(error).__name__)


_read_at: dict[str, float] = {}
"""Base URL -> when its list was read last, in seconds of the monotonic clock."""


def refresh_models(settings: Settings, *, max_age: float = MAX_AGE) -> None:
    """Read the gateway's list of models, if this process has not in the last `max_age` seconds.

    Prices, limits and capabilities in it are used from then on instead of those of the bundled tables.

    Args:
        settings: from `resolve_settings`.
        max_age: seconds for which a list is good enough; 0 reads it again.

    Raises:
        TexAPIError: see `texapi_core.errors`.
    """
    if not _is_fresh(settings, max_age):
        list_models(settings)


async def arefresh_models(settings: Settings, *, max_age: float = MAX_AGE) -> None:
    """Read the gateway's list of models. Async twin of `refresh_models`."""
    if not _is_fresh(settings, max_age):
        await alist_models(settings)


def _is_fresh(settings: Settings, max_age: float) -> bool:
    if type(max_age) not in (int, float) or not max_age >= 0:
        raise settings_error(f"`max_age` must be a number of seconds, 0 or more, not {max_age!r}.")
    read_at = _read_at.get(settings.base_url)
    return read_at is not None and time.monotonic() - read_at < max_age


def _listed(settings: Settings, rows: list[Any]) -> list[ModelInfo]:
    models = _parse_models(rows)
    note_listed_prices(settings.base_url, models)
    note_listed_facts(settings.base_url, models)
    _read_at[settings.base_url] = time.monotonic()
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
