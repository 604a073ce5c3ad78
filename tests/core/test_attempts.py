"""A call that forces a tool is repeated once without forcing it if the model refuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from texapi_core import TexAPIStreamInterruptedError, TexAPIToolChoiceError, chat, resolve_settings
from texapi_core.wire.values import ChatReply

FUNCTION = {"name": "f", "parameters": {"type": "object", "properties": {}}}
REFUSED = Fault(
    status=400,
    error_type="invalid_request_error",
    message="Thinking may not be enabled when tool_choice forces tool use.",
)


def _settings(endpoint: Endpoint) -> Any:
    return resolve_settings(api_key=endpoint.api_key, base_url=endpoint.base_url, timeout=None, max_retries=0)


def _payload(choice: Any) -> dict[str, Any]:
    return {
        "model": "claude-sonnet-4-6",
        "messages": [{"role": "user", "content": "Say one"}],
        "tools": [{"type": "function", "function": FUNCTION}],
        "tool_choice": choice,
    }


def _stream(settings: Any, payload: Any) -> Any:
    return list(chat.stream(settings, payload))[-1]


def _astream(settings: Any, payload: Any) -> Any:
    async def last() -> Any:
        return [item async for item in chat.astream(settings, payload)][-1]

    return asyncio.run(last())


WAYS: dict[str, Callable[[Any, Any], ChatReply]] = {
    "complete": chat.complete,
    "acomplete": lambda settings, payload: asyncio.run(chat.acomplete(settings, payload)),
    "stream": _stream,
    "astream": _astream,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}], ids=str)
def test_a_refused_call_is_repeated_once(
    gateway: Gateway, endpoint: Endpoint, way: Any, choice: Any, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.misbehave(REFUSED)

    assert way(_settings(endpoint), _payload(choice)).choice.text == "one"

    assert [request.body["tool_choice"] for request in gateway.requests] == [choice, "auto"]
    (record,) = caplog.records
    assert "claude-sonnet-4-6 cannot be forced" in record.getMessage()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_call_refused_twice_is_an_error(gateway: Gateway, endpoint: Endpoint, way: Any) -> None:
    gateway.misbehave(REFUSED, times=3)

    with pytest.raises(TexAPIToolChoiceError):
        way(_settings(endpoint), _payload("required"))

    assert len(gateway.requests) == 2


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("choice", ["auto", "none"])
def test_a_call_that_forces_no_tool_is_not_repeated(
    gateway: Gateway, endpoint: Endpoint, way: Any, choice: str
) -> None:
    gateway.misbehave(REFUSED)

    with pytest.raises(TexAPIToolChoiceError):
        way(_settings(endpoint), _payload(choice))

    assert len(gateway.requests) == 1


@pytest.mark.parametrize("way", [_stream, _astream])
def test_a_stream_that_has_begun_is_not_repeated(gateway: Gateway, endpoint: Endpoint, way: Any) -> None:
    delta = {"choices": [{"index": 0, "delta": {"content": "I"}, "finish_reason": None}]}
    error = {"error": {"code": "400", "message": "tool_choice cannot be kept"}}
    events = "".join(f"data: {json.dumps(event)}\n\n" for event in (delta, error))
    gateway.misbehave(Fault(raw=events.encode(), content_type="text/event-stream"))

    with pytest.raises(TexAPIStreamInterruptedError) as caught:
        way(_settings(endpoint), _payload("required"))

    assert isinstance(caught.value.__cause__, TexAPIToolChoiceError)
    assert len(gateway.requests) == 1
