"""The connection to one client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from starlette.types import Receive, Send


class ClientGone(Exception):
    """The client closed its connection before the response was complete."""


class Line:
    """Sends the response to one client, which may disconnect at any time."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._send = send
        self._gone = asyncio.create_task(self._watch(receive))

    async def open(self, status: int, headers: Mapping[str, str]) -> None:
        await self.pause(0)
        encoded = [(name.encode("latin-1"), text.encode("latin-1")) for name, text in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    async def write(self, piece: bytes) -> None:
        await self.pause(0)
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def close(self, piece: bytes = b"") -> None:
        """Finish the body. Without this the connection is dropped."""
        await self._send({"type": "http.response.body", "body": piece, "more_body": False})

    async def pause(self, seconds: float) -> None:
        """Wait, but stop when the client disconnects."""
        if seconds > 0:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._gone), seconds)
        else:
            await asyncio.sleep(0)
        if self._gone.done():
            raise ClientGone

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *exception: object) -> None:
        self._gone.cancel()

    @staticmethod
    async def _watch(receive: Receive) -> None:
        """Return when the client has disconnected."""
        while (await receive())["type"] != "http.disconnect":
            pass
