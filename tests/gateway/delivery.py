"""Delivery of a response, with the requested fault."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tests.gateway.completion import Completion
from tests.gateway.fault import Fault
from tests.gateway.journal import Journal, LedgerEntry
from tests.gateway.line import Line
from tests.gateway.refusal import Refusal
from tests.gateway.stream import Event
from tests.gateway.tokens import count_tokens

JSON_TYPE = "application/json"
STREAM_TYPE = "text/event-stream"

_KEEPALIVE = b": keep-alive\n\n"
_KEEPALIVE_PAUSE = 0.05


class Delivery:
    """Delivers one response to its client."""

    def __init__(self, line: Line, headers: dict[str, str], fault: Fault, chunk_delay: float) -> None:
        self._line = line
        self._headers = headers
        self._chunk_delay = chunk_delay
        self.fault = fault

    async def answer(self, status: int, content_type: str, content: bytes) -> bool:
        """Send a body in one piece and return whether all of it was sent."""
        length = {"content-length": str(len(content))}
        await self._open(status, content_type, length)
        if self.fault.cut_after is not None:
            await self._line.write(content[: len(content) // 2])
            return False
        if self.fault.stall_after is not None:
            await self._stall()
            return False
        await self._line.close(content)
        return True

    async def refuse(self, refusal: Refusal) -> None:
        await self.answer(refusal.status, JSON_TYPE, refusal.body)

    async def replace(self) -> None:
        """Send the fault's response instead of the answer."""
        pieces = self.fault.pieces
        if not pieces:
            await self.answer(*self.fault.answer())
            return
        await self._open(self.fault.status or 200, self.fault.content_type or STREAM_TYPE, {})
        for piece in pieces:
            if isinstance(piece, bytes):
                await self._line.write(piece)
            else:
                await self._line.pause(piece)
        if self.fault.cut_after is None:
            await self._line.close()

    async def complete(
        self, content: bytes, completion: Completion, entry: LedgerEntry, journal: Journal
    ) -> None:
        entry = _charge(entry, completion)
        is_spoilt = self.fault.cut_after is not None or self.fault.stall_after is not None
        journal.write(replace(entry, completed=not is_spoilt))
        is_whole = False
        try:
            is_whole = await self.answer(200, JSON_TYPE, content)
        finally:
            journal.write(replace(entry, completed=is_whole))

    async def stream(
        self,
        events: Iterable[Event],
        completion: Completion,
        entry: LedgerEntry,
        journal: Journal,
    ) -> None:
        entry = _charge(entry, completion)
        journal.write(replace(entry, completion_tokens=0, reasoning_tokens=0))
        sent = ""
        is_whole = False
        try:
            await self._open(200, STREAM_TYPE, {"cache-control": "no-cache"})
            for number, event in enumerate(events):
                if number == self.fault.cut_after:
                    return
                if number == self.fault.stall_after:
                    await self._stall()
                    return
                if event.data == "[DONE]":
                    journal.write(replace(entry, completed=True))
                await self._line.write(event.encode())
                sent += event.text
                is_whole = event.data == "[DONE]"
                await self._line.pause(self._chunk_delay)
            await self._line.close()
        finally:
            if not is_whole:
                tokens = count_tokens(sent)
                reasoning = min(tokens, entry.reasoning_tokens)
                journal.write(replace(entry, completion_tokens=tokens, reasoning_tokens=reasoning))

    async def _open(self, status: int, content_type: str, headers: dict[str, str]) -> None:
        """Send the head of the response, delayed if the fault has a delay."""
        await self._line.pause(self.fault.delay)
        merged = {"content-type": content_type, **headers, **self._headers}
        merged |= {name.lower(): text for name, text in self.fault.headers.items()}
        if self.fault.content_type is not None:
            merged["content-type"] = self.fault.content_type
        await self._line.open(status, merged)

    async def _stall(self) -> None:
        """Send nothing more, or only comments, until the client disconnects."""
        left = self.fault.stall_seconds
        if not self.fault.keepalive:
            await self._line.pause(left)
            return
        while left > 0:
            await self._line.write(_KEEPALIVE)
            await self._line.pause(_KEEPALIVE_PAUSE)
            left -= _KEEPALIVE_PAUSE


def _charge(entry: LedgerEntry, completion: Completion) -> LedgerEntry:
    return replace(
        entry,
        response_id=completion.id,
        prompt_tokens=completion.prompt.total,
        completion_tokens=completion.completion_tokens,
        cached_tokens=completion.prompt.cached,
        cache_written_tokens=completion.prompt.written or 0,
        reasoning_tokens=completion.reasoning_tokens,
    )
