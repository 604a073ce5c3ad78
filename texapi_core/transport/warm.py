"""Opens a connection before the first call needs it.

Name lookup, TCP and TLS take two or three round trips. They can pass while the prompt is built.
"""

from __future__ import annotations

import threading
from typing import Any

from texapi_core.accounting.record import logger
from texapi_core.settings import Settings
from texapi_core.transport.clients import http_client_of, sync_client
from texapi_core.transport.event_loops import acquire_shard
from texapi_core.transport.send import call_timeout


def warm(settings: Settings) -> None:
    """Open a connection to the gateway in the background, for the next synchronous call.

    Returns at once. The request is a `HEAD /models`, which costs nothing. If it fails, the call opens its own
    connection, and raises what is wrong.
    """
    threading.Thread(target=_open, args=(settings,), name="texapi-warm", daemon=True).start()


async def awarm(settings: Settings) -> None:
    """Open a connection to the gateway, for the next call in this event loop; see `warm`."""
    try:
        shard = await acquire_shard(settings)
        try:
            shard.client(settings)
            await shard.http_client(settings).head(**_request(settings))
        finally:
            shard.release()
    except Exception as error:
        _log(error)


def _open(settings: Settings) -> None:
    try:
        sync_client(settings)
        http_client_of(settings).head(**_request(settings))
    except Exception as error:
        _log(error)


def _request(settings: Settings) -> dict[str, Any]:
    return {
        "url": f"{settings.base_url}/models",
        "headers": {"Authorization": f"Bearer {settings.api_key}", **dict(settings.default_headers)},
        "timeout": call_timeout(settings.timeout),
    }


def _log(error: Exception) -> None:
    logger.debug("no connection was opened ahead: %s", type(error).__name__)
