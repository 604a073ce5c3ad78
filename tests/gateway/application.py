"""The ASGI application of the gateway."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from tests.gateway.check_request import check_request, parse_body
from tests.gateway.check_tools import check_signatures
from tests.gateway.completion import Completion, complete
from tests.gateway.delivery import JSON_TYPE, Delivery
from tests.gateway.fault import Fault
from tests.gateway.journal import Journal, LedgerEntry, ReceivedRequest
from tests.gateway.line import ClientGone, Line
from tests.gateway.models import listing
from tests.gateway.refusal import Refusal, invalid, unauthorized, unknown_path
from tests.gateway.stream import stream_events
from tests.gateway.whole import whole_answer

CHAT_PATH = "/v1/chat/completions"
MODELS_PATH = "/v1/models"
FAULT_HEADER = "x-standin-fault"

_REQUEST_LIMIT = 10_000


@dataclass(frozen=True)
class Settings:
    """The options of a gateway."""

    keys: Collection[str]
    models: tuple[str, ...]
    chunk_size: int
    chunk_delay: float
    any_schema: bool


class Application:
    """The ASGI application of the gateway."""

    def __init__(self, journal: Journal, settings: Settings) -> None:
        self._journal = journal
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        received = await _read(Request(scope, receive))
        number = self._journal.receive(received)
        request_id = self._journal.next_id("req_")
        headers = {
            "x-request-id": request_id,
            "x-ratelimit-limit-requests": str(_REQUEST_LIMIT),
            "x-ratelimit-remaining-requests": str(max(_REQUEST_LIMIT - number, 0)),
            "x-ratelimit-reset-requests": "6ms",
        }
        is_chat = (received.method, received.path) == ("POST", CHAT_PATH)
        with contextlib.suppress(ClientGone, OSError), Line(receive, send) as line:
            delivery = Delivery(line, headers, Fault(), 0)
            try:
                fault = self._fault(received, is_chat=is_chat)
                delivery = Delivery(line, headers, fault, self._settings.chunk_delay)
                if is_chat:
                    await self._chat(received, request_id, delivery)
                elif fault.replaces_answer:
                    await delivery.replace()
                else:
                    await self._list_models(received, delivery)
            except Refusal as refusal:
                await delivery.refuse(refusal)

    async def _list_models(self, received: ReceivedRequest, delivery: Delivery) -> None:
        if (received.method, received.path) != ("GET", MODELS_PATH):
            raise unknown_path(received.method, received.path)
        self._authorize(received)
        await delivery.answer(200, JSON_TYPE, _encode(listing(self._settings.models)))

    async def _chat(self, received: ReceivedRequest, request_id: str, delivery: Delivery) -> None:
        """Answer a chat request and write its cost into the ledger."""
        body = received.body if isinstance(received.body, dict) else {}
        model = body.get("model")
        entry = LedgerEntry(
            request_id,
            model=model if isinstance(model, str) else None,
            streamed=body.get("stream") is True,
            era=self._journal.era,
        )
        if delivery.fault.replaces_answer:
            self._journal.write(replace(entry, status=delivery.fault.replaced_status))
            await delivery.replace()
            return
        try:
            self._authorize(received)
            body = check_request(received.body, self._settings.models, any_schema=self._settings.any_schema)
            self._check_signatures(body)
            completion = self._complete(body)
        except Refusal as refusal:
            self._journal.write(replace(entry, status=refusal.status))
            raise
        if body.get("stream"):
            with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
            events = stream_events(completion, self._settings.chunk_size, with_usage=with_usage)
            await delivery.stream(events, completion, entry, self._journal)
        else:
            content = _encode(whole_answer(completion))
            await delivery.complete(content, completion, entry, self._journal)

    def _complete(self, body: dict[str, Any]) -> Completion:
        """Answer a request; whatever goes wrong is reported to the client as an error."""
        try:
            return complete(body, self._journal)
        except Exception as error:
            raise Refusal(500, "server_error", f"The gateway failed: {error!r}") from error

    def _authorize(self, received: ReceivedRequest) -> None:
        scheme, _, key = received.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or key.strip() not in self._settings.keys:
            raise unauthorized()

    def _check_signatures(self, body: dict[str, Any]) -> None:
        """Check the signatures of the tool calls that this gateway issued."""
        calls = [call for each in body["messages"] for call in each.get("tool_calls") or []]
        signed = [call["id"] for call in calls if self._journal.has_signature(call["id"])]
        check_signatures(body, signed)

    def _fault(self, received: ReceivedRequest, *, is_chat: bool) -> Fault:
        """Return the fault that a request asks for in a header, or the next queued one."""
        text = received.headers.get(FAULT_HEADER)
        if text is not None:
            try:
                return Fault.from_json(text)
            except (ValueError, TypeError) as error:
                raise invalid(FAULT_HEADER, str(error)) from error
        return (self._journal.next_fault() if is_chat else None) or Fault()


async def _read(request: Request) -> ReceivedRequest:
    raw = await request.body()
    client = request.client
    return ReceivedRequest(
        method=request.method,
        path=request.url.path,
        headers={name.lower(): value for name, value in request.headers.items()},
        query=dict(request.query_params),
        body=parse_body(raw),
        raw=raw,
        client=(client.host, client.port) if client else ("", 0),
    )


def _encode(data: dict[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode()
